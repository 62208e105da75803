"""The split that was not measured: a warm-up, then a given matrix, and how a random one is drawn."""

import pytest
import torch

from umbel import tasks
from umbel.core import Batch, Learner, OperatingPoint, SingleProcess, UmbelError
from umbel.descent import AfterWarmUp, GradSplit, random_matrix
from umbel.nn import build_model

KINDS = tuple(tasks.regression(name) for name in ("a", "b", "c"))
MATRIX = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1]]).bool()


def test_the_random_matrix_is_another_one_of_the_same_density():
    measured = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 1]]).bool()
    drawn = [random_matrix(measured, seed) for seed in range(30)]
    assert all(matrix.sum() == 6 and matrix.diagonal().all() for matrix in drawn)
    assert not any(torch.equal(matrix, measured) for matrix in drawn)
    assert len({tuple(matrix.flatten().tolist()) for matrix in drawn}) > 5
    assert torch.equal(random_matrix(measured, 4), drawn[4])
    for only in (torch.eye(3).bool(), torch.ones(3, 3).bool()):
        assert torch.equal(random_matrix(only, 0), only)


def gradients(learner, batch, descent) -> list[torch.Tensor]:
    learner.zero_grad(set_to_none=True)
    descent(learner, batch, OperatingPoint(), SingleProcess())
    return [p.grad.clone() for p in learner.parameters()]


def test_after_the_warm_up_the_matrix_decides():
    learner = Learner(build_model((1, 8, 8), KINDS, "conv", widths=(6, 6), norm="group"), KINDS)
    generator = torch.Generator().manual_seed(0)
    targets = {task.name: torch.randn(8, 1, generator=generator) for task in KINDS}
    batch = Batch(torch.rand(8, 1, 8, 8, generator=generator), targets)
    descent = AfterWarmUp(MATRIX, 2, 0.5)
    descent.prepare(learner)
    expected = {}
    for name, accept in (("all", "all"), ("given", MATRIX)):
        split = GradSplit(accept, 0.5)
        split.prepare(learner)
        expected[name] = gradients(learner, batch, split)
    for wanted in ("all", "all", "given", "given"):
        for mine, theirs in zip(gradients(learner, batch, descent), expected[wanted], strict=True):
            torch.testing.assert_close(mine, theirs)
    assert not all(torch.allclose(a, b) for a, b in zip(expected["all"], expected["given"], strict=True))
    assert int(descent.state_dict()["steps"]) == 4, "a resumed run would start its warm-up again"


def test_a_matrix_that_does_not_fit_is_refused_before_the_warm_up():
    two = KINDS[:2]
    learner = Learner(build_model((1, 8, 8), two, "conv", widths=(6, 6)), two)
    with pytest.raises(UmbelError, match="accept"):
        AfterWarmUp(MATRIX, 2, 0.5).prepare(learner)
