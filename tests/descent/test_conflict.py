"""Cosines between gradients, and a probe that leaves no trace."""

import math

import pytest
import torch
from toys import POINT, Plane, TwoRanks, assert_same, batch, gradients, learner

from umbel.core import Batch, SingleProcess, UmbelError
from umbel.descent import ConflictProbe, gradient_cosines

J2 = torch.tensor([[-4.0, 1, 1], [6, 1, 1]], dtype=torch.float64)


def test_cosines_are_those_of_the_angles():
    jacobian = torch.tensor([[1.0, 0.0], [1.0, 1.0], [-2.0, 0.0], [0.0, 0.0]])
    half = math.sqrt(0.5)
    expected = torch.tensor([[1, half, -1], [half, 1, -half], [-1, -half, 1]])
    cosines = gradient_cosines(jacobian)
    assert torch.allclose(cosines[:3, :3], expected)
    assert cosines[3].isnan().all()
    assert cosines[:, 3].isnan().all()


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_length_does_not_matter_even_at_the_limits_of_float32(factor):
    jacobian = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(gradient_cosines(jacobian * factor), gradient_cosines(jacobian), atol=1e-6)


def test_the_probe_measures_the_gradients_of_the_shared_parameters():
    cosines = ConflictProbe().measure(Plane(J2), Batch(torch.zeros(2, 1)), POINT, SingleProcess())
    assert torch.allclose(cosines[0, 1], torch.tensor(-22 / math.sqrt(18 * 38)).double())


def test_the_probe_leaves_no_trace():
    taught = learner(normalise=True, dropout=0.5)
    sum(taught.losses(batch(), POINT).values()).backward()
    before = (gradients(taught), {n: b.clone() for n, b in taught.named_buffers()}, torch.get_rng_state())
    ConflictProbe().measure(taught, batch(seed=3), POINT, SingleProcess())
    assert_same(before[0], gradients(taught), tolerance=0)
    assert_same(before[1], dict(taught.named_buffers()), tolerance=0)
    assert torch.equal(before[2], torch.get_rng_state())


def test_two_processes_measure_what_one_does():
    item = batch(count=13)
    whole = ConflictProbe().measure(learner(), item, POINT, SingleProcess())
    parts = TwoRanks().run(
        lambda index, runtime: ConflictProbe().measure(
            learner(), item[slice(4) if index == 0 else slice(4, None)], POINT, runtime
        )
    )
    assert torch.equal(*parts)
    assert torch.allclose(parts[0], whole, rtol=1e-10)


def test_a_task_without_labels_has_no_angle():
    item = batch()
    item.targets["b"].fill_(torch.nan)
    cosines = ConflictProbe().measure(learner(), item, POINT, SingleProcess())
    assert cosines[1].isnan().all()
    assert cosines[0, 2].isfinite()


def test_some_tasks_can_be_chosen_and_must_exist():
    probe = ConflictProbe(["c", "a"])
    whole = ConflictProbe().measure(learner(), batch(), POINT, SingleProcess())
    assert torch.equal(probe.measure(learner(), batch(), POINT, SingleProcess())[0, 1], whole[2, 0])
    with pytest.raises(UmbelError, match="'d'"):
        ConflictProbe(["d"]).measure(learner(), batch(), POINT, SingleProcess())
