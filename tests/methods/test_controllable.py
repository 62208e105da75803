"""The controllable learner: its configurations, its losses against the sum written out, and how it combines."""

import pytest
import torch
from two_processes import TwoProcesses, run_in_two_processes, share_of

from umbel import losses as distances
from umbel import tasks
from umbel.core import Batch, Learner, Losses, OperatingPoint, SingleProcess, Task, UmbelError, at_point
from umbel.data import seeded
from umbel.descent import make_descent
from umbel.methods.controllable import (
    CONFIGURATIONS,
    DISTILLATION,
    ControllableLearner,
    controllable,
    is_controllable,
    slimmable_model,
)
from umbel.nn import build_model, synchronise_norms

KINDS = (tasks.classification("side", "ab"), tasks.regression("height", 1))
WIDTHS = (0.25, 0.5, 1.0)


def make(**options) -> ControllableLearner:
    about = {"encoder": "conv", "hidden": 16, "vector_head": "conv", "grid": WIDTHS, "seed": 1} | options
    return controllable((1, 8, 8), KINDS, **about)


def batch(count=12, seed=0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    side = torch.randint(0, 2, (count,), generator=generator)
    side[:3] = -1
    height = torch.rand(count, 1, generator=generator)
    return Batch(torch.rand(count, 1, 8, 8, generator=generator), {"side": side, "height": height})


def test_the_full_network_is_the_ordinary_one():
    learner = make()
    plain = build_model((1, 8, 8), KINDS, "conv", seed=1, hidden=16, vector_head="conv")
    ours, theirs = (
        learner.model.eval()(batch().inputs, OperatingPoint()),
        plain.eval()(batch().inputs, OperatingPoint()),
    )
    for name, prediction in theirs.items():
        assert torch.equal(ours[name], prediction)


def test_every_step_has_the_full_and_the_smallest_configuration_and_random_ones():
    learner = make(random_widths=3, head_draws=2)
    drawn = [learner.draw_point(seeded(0, step), 0.0)[CONFIGURATIONS] for step in range(40)]
    for configurations in drawn:
        assert configurations[0] == learner.point(1.0)
        assert configurations[1] == learner.point(0.25)
        assert len(configurations) == 2 + 3 * 2
    rest = [c for configurations in drawn for c in configurations[2:]]
    assert {c["width"] for c in rest} == set(WIDTHS)
    pairs = {(c["head_widths"]["side"], c["head_widths"]["height"]) for c in rest}
    assert len(pairs) == 9, "the heads' widths are drawn independently of each other"
    assert learner.draw_point(seeded(0, 5), 0.0) == learner.draw_point(seeded(0, 5), 0.9)


@pytest.mark.parametrize("distillation", ["prefix", "relational", "attention", "none"])
def test_losses_are_the_mean_over_configurations_and_the_distance(distillation):
    learner, samples = make(distillation=distillation, strength=0.7), batch()
    configurations = (
        learner.point(1.0),
        learner.point(0.25),
        learner.point(0.5, {"side": 1.0, "height": 0.25}),
        learner.point(0.5, {"side": 0.25, "height": 0.5}),
    )
    found = learner.losses(samples, OperatingPoint({CONFIGURATIONS: configurations}))
    each = [learner.task_losses(learner.model(samples.inputs, c), samples) for c in configurations]
    for task in KINDS:
        assert torch.allclose(found[task.name], torch.stack([losses[task.name] for losses in each]).mean())
    if distillation == "none":
        assert list(found) == ["side", "height"]
        return
    distance = getattr(distances, f"{distillation}_distance")
    full, *narrow = (at_point(learner.model.encoder, samples.inputs, learner.point(w)) for w in (1.0, 0.25, 0.5))
    expected = 0.7 * torch.stack([distance(z, full).mean() for z in narrow]).mean()
    assert torch.allclose(found[DISTILLATION], expected)


def test_distillation_teaches_narrow_encoders_and_leaves_the_full_one_alone():
    learner, samples = make(), batch()
    point = OperatingPoint({CONFIGURATIONS: (learner.point(1.0), learner.point(0.5))})
    learner.losses(samples, point)[DISTILLATION].backward()
    last = learner.model.encoder.module.stages[-1][0].weight
    half = last.shape[0] // 2
    assert last.grad[:half, : last.shape[1] // 2].abs().max() > 0
    assert last.grad[half:].abs().max() == 0, "channels that only the full encoder has would learn from themselves"
    assert all(p.grad is None for p in learner.own_parameters())


def test_logits_of_narrow_configurations_are_drawn_to_the_full_ones():
    learner, samples = make(distillation="logits", strength=1.0), batch()
    configurations = (learner.point(1.0), learner.point(0.25))
    found = learner.losses(samples, OperatingPoint({CONFIGURATIONS: configurations}))
    full, narrow = (learner.model(samples.inputs, c) for c in configurations)
    side = distances.class_divergence(narrow["side"], full["side"]).mean()
    height = (narrow["height"] - full["height"]).square().mean()
    assert torch.allclose(found[DISTILLATION], (side + height) / 2)


def test_a_liveness_is_drawn_to_the_full_probability_though_its_target_is_a_type():
    about = {"encoder": "conv", "hidden": 16, "vector_head": "conv", "grid": WIDTHS, "seed": 1}
    learner = controllable((1, 8, 8), (tasks.liveness("live"),), distillation="logits", strength=1.0, **about)
    samples = Batch(batch().inputs, {"live": torch.arange(12) % 4})
    configurations = (learner.point(1.0), learner.point(0.25))
    found = learner.losses(samples, OperatingPoint({CONFIGURATIONS: configurations}))
    full, narrow = (learner.model(samples.inputs, c)["live"] for c in configurations)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(narrow, full.sigmoid().detach())
    assert torch.allclose(found[DISTILLATION], wanted)


def test_the_encoder_runs_once_for_each_width():
    learner, samples = make(), batch()
    seen = []
    learner.model.encoder.register_forward_hook(lambda part, given, output: seen.append(output.shape[1]))
    point = learner.draw_point(seeded(0, 3), 0.0)
    learner.losses(samples, point)
    assert len(seen) == len({c["width"] for c in point[CONFIGURATIONS]})


def test_the_names_of_the_losses_never_change():
    learner = make(random_widths=0, grid=(1.0,))
    assert list(learner.losses(batch(), learner.draw_point(seeded(0), 0.0))) == ["side", "height", DISTILLATION]
    assert learner.is_auxiliary(DISTILLATION)


@pytest.mark.parametrize("descent", ["equal", "uncertainty", "upgrad", "pcgrad"])
def test_it_is_taught_by_any_descent(descent):
    learner, samples = make(), batch()
    teach = make_descent(descent)
    teach.prepare(learner)
    losses = teach(learner, samples, learner.draw_point(seeded(0), 0.0), SingleProcess())
    assert isinstance(losses, Losses)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learner.shared_parameters())


def test_pieces_of_a_batch_add_up_to_the_whole():
    """Group norm and the prefix distance look at each sample by itself, so accumulation changes nothing."""
    learner, samples = make(norm="group"), batch(16)
    point = learner.draw_point(seeded(0, 1), 0.0)
    gradients = []
    for pieces in (1, 4):
        learner.zero_grad()
        make_descent("equal")(learner, samples, point, SingleProcess(accumulate=pieces))
        gradients.append([p.grad.clone() for p in learner.parameters()])
    for whole, summed in zip(*gradients, strict=True):
        assert torch.allclose(whole, summed, atol=1e-6)


def gradients(runtime, samples) -> list[torch.Tensor]:
    """Of one step with batch norm, taken over all processes."""
    learner = synchronise_norms(make(random_widths=1).double())
    samples = Batch(samples.inputs.double(), {**samples.targets, "height": samples.targets["height"].double()})
    make_descent("equal")(learner, samples, learner.draw_point(seeded(0, 1), 0.0), runtime)
    return [p.grad for p in learner.parameters() if p.grad is not None]


def gradients_of_this_process() -> list[torch.Tensor]:
    runtime = TwoProcesses()
    return gradients(runtime, batch()[share_of(runtime.rank)])


def test_two_processes_give_the_update_of_one(tmp_path):
    """Labels are missing unevenly, shares differ in size, and batch norm sees both at every width."""
    whole = gradients(SingleProcess(), batch())
    for found in run_in_two_processes(gradients_of_this_process, tmp_path):
        torch.testing.assert_close(found, whole)


def test_outside_training_a_point_is_one_configuration():
    learner, samples = make(norm="group"), batch()
    found = learner.losses(samples, learner.point(0.5))
    assert list(found) == ["side", "height"]
    sweep = learner.sweep()
    assert [point["width"] for point in sweep] == [1.0, 0.5, 0.25]


def test_what_is_no_controllable_network_is_refused():
    plain = build_model((1, 8, 8), KINDS, "conv")
    assert not is_controllable(Learner(plain, KINDS))
    with pytest.raises(UmbelError, match="needs a model with a slimmable encoder"):
        ControllableLearner(plain, KINDS)
    with pytest.raises(UmbelError, match="unknown distillation 'prefixes'"):
        make(distillation="prefixes")
    with pytest.raises(UmbelError, match="head_draws 0 1 or more"):
        make(head_draws=0)
    with pytest.raises(UmbelError, match="strength -1"):
        make(strength=-1.0)
    del plain.encoder.feature_shape
    with pytest.raises(UmbelError, match="give it an attribute feature_shape"):
        slimmable_model(plain, (1, 8, 8))


def test_a_part_that_cannot_be_slimmed_is_named():
    series = Task("next", 1, lambda p, t: (p - t).square(), {"error": lambda: None}, higher_is_better=False)
    with pytest.raises(UmbelError, match=r"recurrent \(GRU\) is recurrent"):
        controllable((5, 3), (series,), "gru")
