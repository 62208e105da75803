import math

import pytest
import torch
from small_transmissions import DIGIT, PARITY, SHAPE, batch, dense, draws, mapped

from umbel.channels import AWGN, Fading
from umbel.core import OperatingPoint, SingleProcess, UmbelError
from umbel.data import TensorSource
from umbel.descent import DESCENTS, make_descent
from umbel.engine import FitSettings, evaluate, fit, load_checkpoint, load_weights, open_runtime, resolve
from umbel.transmission import Goal, SnrRange, Stage, StagedLearner, build_transmission

RANGE: SnrRange = (0.0, 10.0)
FIT = FitSettings(steps=4, batch_size=6, precision="float32", tensorboard=False, monitor="loss", clip_norm=1.0)


def near_and_far():
    goals = [Goal(DIGIT, 1, "near"), Goal(PARITY, 2, "far")]
    return dense(goals=goals, channels={"near": AWGN(), "far": Fading()})


def test_the_ratio_of_a_step_is_uniform_in_the_range():
    learner, generator = StagedLearner(dense(), (-5.0, 15.0)), draws()
    drawn = torch.tensor([learner.draw_point(generator, 0.0)["snr_db"] for _ in range(2000)])
    assert -5 <= drawn.min() < -4.8 and 14.8 < drawn.max() <= 15
    assert drawn.mean().item() == pytest.approx(5, abs=0.6)
    assert drawn.std().item() == pytest.approx(20 / math.sqrt(12), rel=0.04)


def test_receivers_draw_ratios_of_their_own():
    learner, generator = StagedLearner(near_and_far(), {"near": (10.0, 20.0), "far": (-5.0, 0.0)}), draws()
    points = [learner.draw_point(generator, 0.0)["snr_db"] for _ in range(500)]
    near, far = (torch.tensor([point[name] for point in points]) for name in ("near", "far"))
    assert near.min() >= 10 and near.max() <= 20 and far.min() >= -5 and far.max() <= 0
    assert abs(torch.corrcoef(torch.stack([near, far]))[0, 1]) < 0.15
    assert learner.sweep()[0] == OperatingPoint(snr_db={"near": 15.0, "far": -2.5})


def test_the_same_generator_draws_the_same_and_one_receiver_has_a_plain_number():
    learner = StagedLearner(dense(), RANGE)
    assert learner.draw_point(draws(5), 0.0) == learner.draw_point(draws(5), 0.7)
    assert list(learner.sweep()) == [OperatingPoint(snr_db=5.0)]


@pytest.mark.parametrize("value", [7.0, math.inf, -3.0])
def test_a_fixed_ratio_stays(value):
    learner = StagedLearner(dense(), (value, value))
    assert learner.draw_point(draws(), 0.5)["snr_db"] == learner.sweep()[0]["snr_db"] == value


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((5.0, 0.0), "SNR from 5.0 to 0.0 dB: give finite numbers, the lower one first"),
        ((math.nan, 5.0), "SNR from nan"),
        ((0.0, math.inf), "SNR from 0.0 to inf"),
        ({"near": RANGE}, "receiver 'far' has no range of SNR"),
        ({"near": RANGE, "far": RANGE, "fur": RANGE}, "unknown receiver of an SNR 'fur'; did you mean 'far'"),
    ],
)
def test_ranges_that_cannot_be_are_refused(given, words):
    with pytest.raises(UmbelError, match=words):
        StagedLearner(near_and_far(), given)


def test_the_loss_is_the_weighted_sum_over_goals():
    goals = [Goal(DIGIT, 1, weight=0.25), Goal(DIGIT, 2, weight=4.0)]
    plain, weighted = (
        StagedLearner(dense(goals=g), (math.inf, math.inf)) for g in ([Goal(DIGIT, 1), Goal(DIGIT, 2)], goals)
    )
    data, point = batch(), OperatingPoint(snr_db=math.inf)
    one, other = plain.losses(data, point), weighted.losses(data, point)
    assert list(other) == ["digit@1", "digit@2"]
    torch.testing.assert_close(other.stack(), one.stack() * torch.tensor([0.25, 4.0]))


def test_what_is_shared_is_the_transmitter():
    learner = StagedLearner(near_and_far(), RANGE)
    model = learner.model
    shared = {id(p) for p in learner.shared_parameters()}
    assert shared == {id(p) for part in (model.encoder, model.codes) for p in part.parameters()}
    own = {id(p) for p in learner.own_parameters()}
    assert own == {id(p) for p in model.receivers.parameters()}
    model.encoder.requires_grad_(False)
    assert {id(p) for p in learner.shared_parameters()} == {id(p) for p in model.codes.parameters()}


def _make(name):
    try:
        return make_descent(name, **({"expected_batch_size": 8} if name == "dp-sgd" else {}))
    except UmbelError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("make", [dense, mapped])
@pytest.mark.parametrize("name", DESCENTS)
def test_every_descent_teaches_two_steps(name, make):
    learner, descent = StagedLearner(make(), RANGE), _make(name)
    descent.prepare(learner)
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    optimizer = torch.optim.SGD([*learner.parameters(), *descent.parameters()], lr=0.01)
    for _ in range(2):
        point, data = learner.draw_point(draws(), 0.0), batch()
        optimizer.zero_grad(set_to_none=True)
        losses = descent(learner, data, point, SingleProcess())
        assert torch.isfinite(losses.stack()).all()
        assert all(torch.isfinite(p.grad).all() for p in learner.parameters() if p.grad is not None)
        optimizer.step()
        learner.after_step()
        descent.after_step(learner, data, point, SingleProcess())
    after = learner.state_dict()
    for part in ("model.encoder", "model.codes.0", "model.codes.1", "model.receivers.0.heads"):
        assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith(part)), part


def test_a_code_that_nobody_reads_does_not_stop_a_jacobian():
    model = dense((Stage(3), Stage(4)), goals=[Goal(DIGIT, 2), Goal(PARITY, 2)], combine="latest")
    learner, descent = StagedLearner(model, RANGE), make_descent("upgrad")
    descent.prepare(learner)
    descent(learner, batch(), OperatingPoint(snr_db=3.0), SingleProcess())
    assert model.codes[1].layers[0].weight.grad.abs().sum() > 0


def _fitted(out, seed=0, **more):
    source = TensorSource(batch(36))
    learner = StagedLearner(dense(seed=seed, channels=Fading(), **more), RANGE)
    fit(learner, make_descent("equal"), source, source, FIT.replace(seed=seed), out=out, runtime=open_runtime())
    return learner


def test_training_is_a_function_of_its_seed(tmp_path):
    one, again, other = (_fitted(tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    mine, same, theirs = (learner.state_dict() for learner in (one, again, other))
    assert all(torch.equal(mine[name], same[name]) for name in mine)
    assert any(not torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("combine", ["concatenate", "maximum-ratio"])
def test_a_checkpoint_brings_back_the_whole_transmission(tmp_path, combine):
    more = {"stages": (Stage(4),) * 2, "combine": combine}
    trained = _fitted(tmp_path, **more)
    fresh = StagedLearner(dense(seed=9, channels=Fading(), **more), RANGE)
    load_weights(fresh, load_checkpoint(resolve(tmp_path)))
    source, runtime = TensorSource(batch(20)), open_runtime()
    assert evaluate(fresh, source, runtime) == evaluate(trained, source, runtime)


def test_an_evaluation_after_fewer_stages_leaves_the_later_goals_open():
    learner = StagedLearner(dense(), RANGE)
    found = evaluate(learner, TensorSource(batch()), open_runtime(), OperatingPoint(snr_db=5.0, stages=1))
    assert math.isfinite(found.metrics["digit@1"]["accuracy"]) and math.isfinite(found.losses["digit@1"])
    assert math.isnan(found.metrics["digit@2"]["accuracy"]) and math.isnan(found.losses["digit@2"])


def test_more_noise_is_worse_for_a_network_that_has_learnt():
    """The operating point reaches the channel: the same network at -20 dB guesses."""
    source = TensorSource(batch(64))
    model = build_transmission(SHAPE, [Stage(16)], [Goal(DIGIT)], AWGN(), "mlp", width=64)
    learner = StagedLearner(model, (10.0, 20.0))
    settings = FIT.replace(steps=150, batch_size=64, learning_rate=0.01, validate_every=150)
    fit(learner, make_descent("equal"), source, source, settings)
    high, low = (evaluate(learner, source, open_runtime(), OperatingPoint(snr_db=s), draws=4) for s in (20.0, -20.0))
    assert high.metrics["digit@1"]["accuracy"] > 0.9
    assert low.metrics["digit@1"]["accuracy"] < 0.4
