"""Compiled encoders: walked for every task, or one line that says what to set."""

import pytest
import torch
import torch._functorch.config as settings
from toys import POINT, batch, learner

from umbel.core import SingleProcess, UmbelError
from umbel.descent import make_descent
from umbel.descent.compiled import allow_several_walks, is_compiled


@pytest.fixture
def default_setting():
    before = settings.donated_buffer
    settings.donated_buffer = True
    torch._dynamo.reset()
    yield
    settings.donated_buffer = before


def _compiled_learner():
    taught = learner().train()
    taught.model.encoder = torch.compile(taught.model.encoder, backend="aot_eager")
    return taught


def test_a_compiled_part_is_seen(default_setting):
    taught = learner()
    allow_several_walks(taught)
    assert settings.donated_buffer
    assert not any(is_compiled(module) for module in taught.modules())
    taught.model.encoder.compile(backend="aot_eager")
    assert is_compiled(taught.model.encoder)
    allow_several_walks(taught)
    assert not settings.donated_buffer


@pytest.mark.parametrize("engine", ["auto", "rows", "sketched"])
def test_the_update_of_a_compiled_encoder_is_that_of_the_plain_one(default_setting, engine):
    found = []
    for taught in (learner().train(), _compiled_learner()):
        options = {} if engine == "rows" else {"directions": 64}
        descent = make_descent("upgrad", engine=engine, **options)
        descent.prepare(taught)
        descent(taught, batch(), POINT, SingleProcess())
        found.append(torch.cat([p.grad.flatten() for p in taught.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


def test_a_refused_second_walk_is_explained(default_setting, monkeypatch):
    taught = _compiled_learner()
    taught.losses(batch(), POINT)

    def refuse(*_, **__):
        raise RuntimeError("This backward function was compiled with non-empty donated buffers which requires ...")

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    with pytest.raises(UmbelError, match="donated_buffer = False before the first step"):
        make_descent("upgrad")(taught, batch(), POINT, SingleProcess())
