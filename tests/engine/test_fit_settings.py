"""Settings, schedules and the optimizer."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from umbel.core import ParameterGroup, align
from umbel.engine import FitSettings
from umbel.engine.optimise import learning_rate_factor, load_optimizer, make_optimizer, set_learning_rate
from umbel.errors import UmbelError


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        *[(name, 0, "at least 1") for name in ("epochs", "steps", "batch_size", "accumulate", "log_every")],
        *[(name, -0.1, "at least 0") for name in ("learning_rate", "clip_norm")],
        ("learning_rate", 0.0, "greater than 0"),
        *[("learning_rate", value, "finite") for value in (math.nan, math.inf)],
        *[(name, 1.5, "whole number") for name in ("epochs", "steps", "batch_size", "accumulate", "validate_every")],
        *[(name, -1.0, "at least 0") for name in ("weight_decay", "checkpoint_seconds")],
        ("least_steps", -1, "at least 0"),
        *[("warmup", value, words) for value, words in ((-0.1, "at least 0"), (1.0, "below 1"), (math.nan, "finite"))],
        ("precision", "fp16", "unknown precision 'fp16'"),
        ("schedule", "cosin", "did you mean 'cosine'"),
        ("optimizer", "adam", "did you mean 'adamw'"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(name, value, words):
    with pytest.raises(UmbelError) as caught:
        FitSettings(**{name: value})
    assert name in str(caught.value) and words in str(caught.value)
    with pytest.raises(UmbelError):
        FitSettings().replace(**{name: value})


def test_settings_at_the_edge_are_taken():
    FitSettings(epochs=1, batch_size=1, weight_decay=0.0, warmup=0.0, checkpoint_seconds=0.0, clip_norm=None)


def factors(steps=100, **changes):
    settings = replace(FitSettings(), **changes)
    return [learning_rate_factor(step, steps, settings) for step in range(steps)]


def test_cosine_rises_then_falls_to_nothing():
    values = factors(schedule="cosine", warmup=0.1)
    assert values[0] == pytest.approx(1 / 11)
    assert values[:10] == sorted(values[:10]) and max(values) == values[10] == 1.0
    assert values[10:] == sorted(values[10:], reverse=True)
    assert values[55] == pytest.approx(0.5) and 0 < values[-1] < 1e-3


def test_constant_rises_and_stays():
    values = factors(schedule="constant", warmup=0.05)
    assert values[5:] == [1.0] * 95 and values[0] == pytest.approx(1 / 6)
    assert factors(schedule="constant", warmup=0.0) == [1.0] * 100


def test_one_cycle_is_torchs():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    # Ours reaches the peak and the end half-open: at step 0.3 n and (just after the last step) at n.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=101, pct_start=31 / 101, div_factor=25.0, final_div_factor=1e9
    )
    values = factors(schedule="one-cycle")
    for step, value in enumerate(values):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(value, abs=1e-6), step
        optimizer.step()
        schedule.step()
    assert values[0] == pytest.approx(0.04) and max(values) == values[30] == 1.0 and 0 < values[-1] < 1e-3


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3, 1000])
def test_every_step_of_every_length_has_a_rate(schedule, steps):
    values = factors(steps, schedule=schedule)
    assert all(0 < value <= 1 for value in values)
    assert values == factors(steps, schedule=schedule)


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2), nn.LayerNorm(2))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_only_weights_of_layers_decay(name):
    net = model()
    optimizer = make_optimizer([net, net], FitSettings(optimizer=name, weight_decay=0.3))
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    assert decayed == {id(net[0].weight), id(net[3].weight)}
    every = [id(p) for g in optimizer.param_groups for p in g["params"]]
    assert sorted(every) == sorted(id(p) for p in net.parameters())  # each once
    set_learning_rate(optimizer, 0.25)
    assert [g["lr"] for g in optimizer.param_groups] == [0.25, 0.25]


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_groups_learn_at_multiples_of_the_rate_and_the_decay(name):
    net = model()
    net[3].bias.requires_grad_(False)
    groups = [ParameterGroup(net[0].parameters(), rate=10.0, decay=0.5), ParameterGroup(net[3].parameters(), 0.1, 0.0)]
    optimizer = make_optimizer([net], FitSettings(optimizer=name, weight_decay=0.2), groups)
    set_learning_rate(optimizer, 0.03)
    told = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    rates = {"0.weight": (0.3, 0.1), "0.bias": (0.3, 0.0), "3.weight": (0.003, 0.0)}
    for parameter_name, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert told.pop(id(parameter)) == pytest.approx(rates.get(parameter_name, (0.03, 0.0)))
    assert not told


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_group_that_maximises_goes_the_other_way(name):
    up, down = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2, 2))
    holder = nn.ParameterList([up, down])
    groups = [ParameterGroup([up], maximise=True)]
    optimizer = make_optimizer([holder], FitSettings(optimizer=name, weight_decay=0.0), groups)
    for parameter in holder:
        parameter.grad = torch.ones(2, 2)
    optimizer.step()
    assert (up > 0).all() and torch.equal(up, -down)


def test_groups_that_do_not_fit_are_named():
    net, other = model(), nn.Linear(2, 2)
    for groups in ([[net[0].weight, net[0].weight]], [[net[0].weight], net[0].parameters()], [other.parameters()]):
        made = [ParameterGroup(parameters) for parameters in groups]
        with pytest.raises(UmbelError, match=f"parameter group {len(groups) - 1} holds a parameter twice, of another"):
            make_optimizer([net], FitSettings(), made)
    for changes in ({"rate": -1.0}, {"rate": math.inf}, {"decay": math.nan}):
        with pytest.raises(UmbelError, match=f"parameter group: {next(iter(changes))} is"):
            ParameterGroup([], **changes)


def test_a_run_goes_on_with_the_groups_that_it_had():
    net, changed = model(), [ParameterGroup(model()[0].parameters())]
    state = make_optimizer([net], FitSettings()).state_dict()
    for group in state["param_groups"]:
        del group["rate"]  # as checkpoints were before there were groups
    again = make_optimizer([net], FitSettings())
    load_optimizer(again, state)
    assert [group["rate"] for group in again.param_groups] == [1.0, 1.0]
    for changed in ({"rate": 2.0}, {"maximise": True}, {"decay": 0.5}):
        groups = [ParameterGroup(net[0].parameters(), **changed)]
        before = make_optimizer([net], FitSettings(), [ParameterGroup(net[0].parameters())]).state_dict()
        with pytest.raises(UmbelError, match=r"had parameter groups of \(rate, decay, ascent\) .*; use the same"):
            load_optimizer(make_optimizer([net], FitSettings(), groups), before)


def test_aligned_gradients_are_updated_as_they_should():
    nets = [model().to(memory_format=layout) for layout in (torch.contiguous_format, torch.channels_last)]
    generator = torch.Generator().manual_seed(1)
    gradients = [torch.randn(p.shape, generator=generator) for p in nets[0].parameters()]
    plain = torch.optim.AdamW(nets[0].parameters(), lr=0.1, fused=False, foreach=False, weight_decay=0.0)
    fused = make_optimizer([nets[1]], FitSettings(learning_rate=0.1, weight_decay=0.0))
    for _ in range(3):
        for net, optimizer in zip(nets, (plain, fused), strict=True):
            for p, gradient in zip(net.parameters(), gradients, strict=True):
                p.grad = gradient.clone(memory_format=torch.contiguous_format)
            align(list(net.parameters()))
            assert all(p.grad.stride() == p.stride() for p in net.parameters())
            optimizer.step()
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)
