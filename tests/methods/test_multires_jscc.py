"""Layers of pictures and labels: goals, schedules, what a receiver may know, greedy training, codes cut short."""

import copy

import pytest
import torch

from umbel import tasks
from umbel.channels import AWGN, Fading
from umbel.core import Batch, OperatingPoint, SingleProcess, UmbelError
from umbel.data import TensorSource
from umbel.descent import DESCENTS, make_descent
from umbel.engine import FitSettings, fit
from umbel.methods.multires_ablations import GreedyStage, joint_again, truncated
from umbel.methods.multires_jscc import (
    PICTURE,
    LayeredUser,
    attribute_first,
    layered_users,
    multires_goals,
    multires_jscc,
    semantic_first,
)

DIGIT, LOOPS = tasks.classification("digit", "0123"), tasks.classification("loops", "ab")
POINT = OperatingPoint(snr_db=5.0)


def small(goals=None, uses=(4, 4, 8), channel=None, **options):
    goals = goals or multires_goals([DIGIT], 1, semantic_first(len(uses)))
    made = {"width": 8, "blocks": 1, "decoder_width": 8, "decoder_blocks": 0, **options}
    return multires_jscc((1, 8, 8), goals, uses, channel or AWGN(), **made)


def batch(count=6):
    generator = torch.Generator().manual_seed(1)
    labels = {"digit": torch.arange(count) % 4, "loops": torch.arange(count) % 2}
    return Batch(torch.rand(count, 1, 8, 8, generator=generator), labels)


def predicted(learner, point=POINT):
    torch.manual_seed(0)
    with torch.no_grad():
        return learner.eval().predict(batch(), point)


def test_picture_weights_rise_from_first_to_last():
    assert semantic_first(3, 0.1, 0.9) == pytest.approx((0.1, 0.5, 0.9))
    assert semantic_first(1, 0.1, 0.9) == pytest.approx((0.9,))


def test_the_objective_is_the_one_that_is_written_down():
    goals = multires_goals([DIGIT, LOOPS], 1, (0.25, 1.0), picture_scale=10.0, layer_weights=(2.0, 1.0))
    learner = small(goals, (4, 4))
    sample, point = batch(), POINT
    torch.manual_seed(0)
    made = learner.predict(sample, point)
    error = [(made[f"{PICTURE}@{layer}"] - sample.inputs).square().mean() for layer in (1, 2)]
    entropy = [
        torch.nn.functional.cross_entropy(made[f"{name}@1"], sample.targets[name]) for name in ("digit", "loops")
    ]
    expected = 2 * (0.25 * 10 * error[0] + 0.75 * sum(entropy) / 2) + 10 * error[1]
    torch.testing.assert_close(sum(learner.task_losses(made, sample).values()), expected)
    assert [goal.name for goal in goals] == ["picture@1", "digit@1", "loops@1", "picture@2"]


def test_a_resolution_pyramid_doubles_from_layer_to_layer():
    learner = small(multires_goals([DIGIT], 1, (0.5,) * 3, "resolution"))
    made = predicted(learner)
    assert [made[f"{PICTURE}@{layer}"].shape[-1] for layer in (1, 2, 3)] == [2, 4, 8]
    target = learner.tasks[0].target_of(batch())
    torch.testing.assert_close(target[0, 0, 0, 0], batch().inputs[0, 0, :4, :4].mean())


def test_early_layers_do_not_depend_on_later_ones():
    """A user who hears two layers gets what a user who hears all gets from them."""
    learner = small()
    for weight in learner.model.codes[2].parameters():
        torch.nn.init.normal_(weight, std=3.0)
    few, every = predicted(learner, POINT.with_values(stages=2)), predicted(learner)
    assert set(few) == {name for name in every if not name.endswith("@3")}
    for name, value in few.items():
        torch.testing.assert_close(value, every[name])


@pytest.mark.parametrize(("combine", "depends"), [("concatenate", True), ("latest", False)])
def test_later_decoders_read_past_layers_unless_told_otherwise(combine, depends):
    learner = small(combine=combine)
    before = predicted(learner)[f"{PICTURE}@3"]
    with torch.no_grad():
        for weight in learner.model.codes[0].parameters():
            weight.add_(torch.randn(weight.shape))
    assert torch.equal(before, predicted(learner)[f"{PICTURE}@3"]) is not depends


def test_every_layer_has_its_own_power():
    learner = small(powers=[1.0, 2.0, 0.5])
    latents = learner.model.transmit(batch().inputs, POINT)
    powers = [2 * latent.square().flatten(1).mean(1) for latent in latents]
    for power, expected in zip(powers, (1.0, 2.0, 0.5), strict=True):
        torch.testing.assert_close(power, torch.full_like(power, expected))


def test_attributes_that_must_survive_stand_alone_in_the_first_layer():
    goals = multires_goals([DIGIT, LOOPS], 1, (0.5, 0.5))
    changed = attribute_first(goals, ["loops"])
    assert [goal.name for goal in changed if goal.stage == 1] == ["loops@1"]
    assert sum(goal.weight for goal in changed) == pytest.approx(sum(goal.weight for goal in goals))
    assert [goal for goal in changed if goal.stage == 2] == [goal for goal in goals if goal.stage == 2]
    assert set(predicted(small(changed, (4, 4)))) == {"loops@1", "picture@2", "digit@2", "loops@2"}


@pytest.mark.parametrize("descent", sorted(DESCENTS))
def test_every_descent_can_settle_the_layers(descent):
    learner = small(uses=(4, 4))
    chosen = make_descent(descent, **({"expected_batch_size": 8} if descent == "dp-sgd" else {}))
    chosen.prepare(learner)
    chosen(learner, batch(), POINT, SingleProcess())
    gradients = [p.grad for p in learner.shared_parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("encoder", ["pixel", "conv", "resnet", "mlp"])
def test_every_kind_of_encoder_fits(encoder):
    goals = multires_goals([DIGIT], 1, (0.5, 0.5))
    learner = multires_jscc((1, 8, 8), goals, (4, 8), AWGN(), encoder=encoder, decoder_width=8)
    assert predicted(learner)[f"{PICTURE}@2"].shape == (6, 1, 8, 8)


def test_greedy_stages_leave_what_came_before_as_it_is():
    learner = small()
    source = TensorSource(batch(32))
    settings = FitSettings(steps=3, batch_size=16, precision="float32", monitor="loss", tensorboard=False)
    receiver = learner.model.receivers[0]
    for stage in (1, 2, 3):
        before = copy.deepcopy(learner.model.state_dict())
        own = GreedyStage(learner.model, (0.0, 10.0), stage)
        assert all(goal.name.endswith(f"@{stage}") for goal in own.tasks)
        fit(own, make_descent("equal"), source, source, settings)
        after = learner.model.state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert any(name.startswith(f"codes.{stage - 1}.") for name in changed)
        for name in changed:
            allowed = (f"codes.{stage - 1}.", f"receivers.0.decoders.{stage}.", "receivers.0.heads.")
            assert name.startswith(allowed) or (stage == 1 and name.startswith("encoder.")), name
            assert "heads." not in name or f"@{stage}" in name
    whole = joint_again(learner.model, (0.0, 10.0))
    assert len(whole.tasks) == 6 and all(p.requires_grad for p in receiver.parameters())


def test_a_greedy_stage_predicts_what_the_whole_model_does():
    learner = small()
    whole = predicted(learner, POINT.with_values(stages=2))
    own = predicted(GreedyStage(learner.model, (0.0, 10.0), 2))
    assert set(own) == {"picture@2", "digit@2"}
    for name, value in own.items():
        torch.testing.assert_close(value, whole[name])


def test_frozen_parts_are_not_in_training_mode():
    own = GreedyStage(small().model, (0.0, 10.0), 2).train()
    assert own.training and own.model.codes[1].training
    assert not own.model.encoder.training and not own.model.codes[0].training


def test_a_code_cut_short_hears_zeros_after_the_cut():
    learner = truncated(small(multires_goals([DIGIT], 1, (0.5,)), (16,)))
    receiver = learner.model.receivers[0]
    latents = learner.model.transmit(batch().inputs, POINT)
    heard = learner.model.hear(latents, receiver, POINT.with_values(uses=4))[0].latent
    real, imaginary = heard.flatten(1).chunk(2, 1)
    assert bool((real[:, 4:] == 0).all()) and bool((imaginary[:, 4:] == 0).all()) and bool((real[:, :4] != 0).all())
    whole = predicted(learner, POINT.with_values(uses=16))
    torch.testing.assert_close(whole["digit@1"], predicted(learner)["digit@1"])
    assert truncated(learner).model.receivers[0].channel is receiver.channel


def test_all_layers_can_share_one_fade():
    learner = small(channel=Fading(), coherence="picture")
    receiver = learner.model.receivers[0]
    heard = learner.model.hear(learner.model.transmit(batch().inputs, POINT), receiver, POINT)
    torch.testing.assert_close(heard[0].snr, heard[2].snr)


def test_users_listen_as_long_as_it_pays():
    quality = {0.0: [20.0, 20.3, 20.4], 10.0: [22.0, 22.2, 26.0], 5.0: [21.0, 22.0, 22.1]}
    assert layered_users(quality, [4, 4, 8], 0.5) == [
        LayeredUser(0.0, 1, 4),
        LayeredUser(5.0, 2, 8),
        LayeredUser(10.0, 3, 16),
    ]


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: semantic_first(0), "at least 1"),
        (lambda: multires_goals([DIGIT], 1, (0.5, 1.5)), "from 0 to 1"),
        (lambda: multires_goals([DIGIT], 1, (0.5, float("nan"))), "from 0 to 1"),
        (lambda: multires_goals([], 1, (0.0, 1.0)), "nothing to learn"),
        (lambda: multires_goals([DIGIT], 1, ()), "one of each for a layer"),
        (lambda: multires_goals([DIGIT], 1, (0.5,), layer_weights=(1.0, 1.0)), "one of each for a layer"),
        (lambda: multires_goals([DIGIT], 1, (0.5,), mode="size"), "quality, resolution"),
        (lambda: attribute_first(multires_goals([DIGIT], 1, (0.5, 0.5)), ["parity"]), "survive first"),
        (lambda: small(uses=(4, 0, 8)), "at least 1 whole use"),
        (lambda: small(powers=[1.0]), "3 layers but 1 powers"),
        (lambda: small(multires_goals([DIGIT], 1, (0.5,) * 5, "resolution"), (4,) * 5), "use fewer layers"),
        (lambda: small(multires_goals([DIGIT], 1, (0.5,) * 3), (4, 8)), "2 are sent"),
        (lambda: multires_jscc((7,), multires_goals([DIGIT], 1, (0.5,)), (4,), AWGN()), "no pictures"),
        (lambda: GreedyStage(small().model, (0.0, 10.0), 4), "greedy training of stage 4"),
        (lambda: layered_users({0.0: [1.0]}, [4, 4]), "1 values"),
    ],
)
def test_one_clear_line_for_each_mistake(attempt, message):
    with pytest.raises(UmbelError, match=message) as error:
        attempt()
    assert "\n" not in str(error.value)
