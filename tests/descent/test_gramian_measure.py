"""Looking at a Gramian leaves no trace and gives what the rows give."""

import pytest
import torch
from toys import POINT, batch, learner

from umbel.core import SingleProcess, UmbelError
from umbel.descent import measure_gramian


def _rows(taught, given):
    losses = taught.losses(given, POINT).values()
    shared = taught.shared_parameters()
    found = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses]
    rows = torch.stack([torch.cat([g.flatten() for g in row]) for row in found])
    return rows @ rows.T


@pytest.mark.parametrize("engine", ["rows", "ghost"])
def test_the_exact_engines_give_the_product_of_the_rows(engine):
    taught, given = learner(), batch()
    found = measure_gramian(taught, given, POINT, SingleProcess(), engine)
    assert torch.allclose(found, _rows(taught, given), rtol=1e-10)


@pytest.mark.parametrize("engine", ["rows", "ghost", "sketched", "features"])
def test_no_trace_is_left(engine):
    taught, given = learner(normalise=True, dropout=0.3), batch()
    for parameter in taught.parameters():
        parameter.grad = torch.ones_like(parameter)
    buffers = [buffer.clone() for buffer in taught.buffers()]
    state = torch.get_rng_state()
    measure_gramian(taught, given, POINT, SingleProcess(), engine)
    assert all(bool((parameter.grad == 1).all()) for parameter in taught.parameters())
    assert all(torch.equal(a, b) for a, b in zip(buffers, taught.buffers(), strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_what_cannot_be_measured_is_said():
    taught, given = learner(), batch()
    with pytest.raises(UmbelError, match="sketched"):
        measure_gramian(taught, given, POINT, SingleProcess(), "sketch")
    with pytest.raises(UmbelError, match="use engine='rows'"):
        measure_gramian(taught, given, POINT, SingleProcess(accumulate=2), "ghost")
    for parameter in taught.model.encoder.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(UmbelError, match="no trainable shared"):
        measure_gramian(taught, given, POINT, SingleProcess())
