"""Taps on inner modules record what they give and leave nothing behind."""

import copy

import pytest
import torch
from torch import nn

from umbel import tasks
from umbel.core import Learner, Taps, UmbelError

KINDS = (tasks.classification("kind", "ab"), tasks.regression("size"))


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)), nn.Linear(4, 2))


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_outputs_of_inner_modules_are_recorded_with_their_graph_and_the_model_stays_itself():
    model, x = net(), torch.randn(5, 3)
    keys = list(model.state_dict())
    with Taps(model, ["0", "1.1"]) as taps:
        out = model(x)
        copied = copy.deepcopy(model)
    assert torch.equal(taps["0"], model[0](x)) and torch.equal(taps["1.1"], model[1](model[0](x)))
    (gradient,) = torch.autograd.grad(taps["1.1"].sum(), model[0].weight)
    assert gradient.abs().sum() > 0 and torch.equal(out, model(x))
    assert list(taps) == ["0", "1.1"] and len(taps) == 2
    assert hooks(model) == 0 and list(model.state_dict()) == keys
    copied(2 * x)  # a copy that was made inside does not write into these taps
    assert torch.equal(taps["0"], model[0](x))


def test_hooks_go_after_an_error_too_and_a_second_pass_is_recorded_anew():
    model = net()
    taps = Taps(model, ["0"])
    with pytest.raises(RuntimeError), taps:
        model(torch.ones(5, 7))
    assert hooks(model) == 0
    with taps:
        model(torch.ones(1, 3))
        model(torch.zeros(2, 3))
    assert taps["0"].shape == (2, 4)
    with taps, pytest.raises(UmbelError, match="module '0' did not run inside the taps"):
        taps["0"]


def test_what_cannot_be_tapped_is_named():
    model = net()
    with pytest.raises(UmbelError, match=r"unknown module of a Sequential '1\.2'; did you mean '1\.[01]'"):
        Taps(model, ["1.2"])
    with Taps(model, ["0"]) as taps, pytest.raises(UmbelError, match="unknown tapped module '2'; known: 0"):
        taps["2"]
    model[1].compile(backend="eager")
    with pytest.raises(UmbelError, match=r"module '1' is compiled, so '1\.1' cannot be tapped; leave `compile` off"):
        Taps(model, ["0", "1.1"]).__enter__()
    assert hooks(model) == 0
    with Taps(model, ["0"]) as taps:  # beside the compiled part
        model[0](torch.ones(1, 3))
    assert taps["0"].shape == (1, 4)


def test_a_model_without_encoder_names_what_its_tasks_share():
    model = net()
    plain = Learner(model, KINDS)
    with pytest.raises(
        UmbelError, match=r"a Sequential has no encoder; name what its tasks share: Learner\(\.\.\., sh"
    ):
        plain.shared_parameters()
    named = Learner(model, KINDS, shared=["0", "1.1"])
    assert [id(p) for p in named.shared_parameters()] == [
        id(p) for p in (*model[0].parameters(), *model[1][1].parameters())
    ]
    assert [id(p) for p in named.own_parameters()] == [id(p) for p in model[2].parameters()]
    assert len(Learner(model, KINDS, shared=["1", "1.1"]).shared_parameters()) == 2  # each once
    model[0].requires_grad_(False)
    assert len(named.shared_parameters()) == 2 and named.shared_modules() == [model[0], model[1][1]]
    with pytest.raises(UmbelError, match="unknown module of a Sequential 'layer1'"):
        Learner(model, KINDS, shared=["layer1"])
