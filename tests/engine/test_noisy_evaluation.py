"""Evaluation of models that are random at evaluation time: a channel's noise."""

import math

import pytest
import torch
from torch import nn
from toy_learners import PAIR, two_tasks

from umbel.core import Learner, OperatingPoint, PointModule
from umbel.data import TensorSource
from umbel.engine import Predictions, decoded_predictions, evaluate, metrics_of, open_runtime, predict_split
from umbel.errors import UmbelError


class Noisy(PointModule):
    """Predictions are the inputs (value: the first two, side: the last two) and noise of the point's size."""

    def forward(self, x, point):
        noisy = x + point.get("noise", 1.0) * torch.randn_like(x)
        named = {"value": noisy[:, :2], "side": noisy[:, 2:]}
        return {name: named[name] for name in point.get("tasks", ("value", "side"))}


POINT = OperatingPoint(noise=0.5)


@pytest.fixture
def learner():
    return Learner(Noisy(), PAIR)


@pytest.fixture
def source():
    return TensorSource(two_tasks())


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(learner, source):
    first, again, other = (evaluate(learner, source, open_runtime(), POINT, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.losses["value"] != other.losses["value"]
    assert first == evaluate(learner, source, open_runtime(), POINT), "the seed is 0 unless it is said"


def test_what_was_drawn_before_does_not_matter_and_what_comes_after_is_left_alone(learner, source):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first = evaluate(learner, source, open_runtime(), POINT)
    predict_split(learner, source, open_runtime(), POINT)
    decoded_predictions(learner, two_tasks()[:3], open_runtime(), POINT)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.randn(3)
    assert evaluate(learner, source, open_runtime(), POINT) == first


def test_the_generator_and_the_mode_are_left_alone_when_an_evaluation_fails(learner, source):
    before = torch.random.get_rng_state()
    learner.train()
    with pytest.raises(UmbelError, match="'side' is not predicted"):
        predict_split(learner, source, open_runtime(), POINT.with_values(tasks=("value",)), tasks=["side"])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert learner.training


def test_draws_are_averaged_and_each_has_noise_of_its_own(learner, source):
    """Many draws come near the expectation: error without noise + noise variance. One draw repeated would not."""
    exact = evaluate(learner, source, open_runtime(), OperatingPoint(noise=0.0)).losses["value"]
    wanted = exact + 0.25
    many = evaluate(learner, source, open_runtime(), POINT, draws=60).losses["value"]
    assert many == pytest.approx(wanted, rel=0.02)
    alone = [evaluate(learner, source, open_runtime(), POINT, seed=seed).losses["value"] for seed in range(60)]
    assert abs(many - wanted) < 3 * torch.tensor(alone).std().item() / math.sqrt(60)


def test_a_model_without_noise_is_the_same_however_often_it_is_asked(learner, source):
    quiet = OperatingPoint(noise=0.0)
    once, thrice = (evaluate(learner, source, open_runtime(), quiet, draws=draws) for draws in (1, 3))
    assert once.losses == pytest.approx(thrice.losses, rel=1e-6)
    assert once.main() == pytest.approx(thrice.main(), rel=1e-6)


def test_predictions_come_draw_after_draw_in_the_order_of_the_split(learner, source):
    samples = two_tasks()
    count = len(samples)
    found = predict_split(learner, source, open_runtime(), POINT, batch_size=7, draws=3)
    assert isinstance(found, Predictions)
    assert found.raw["value"].shape == (3 * count, 2) and found.raw["value"].dtype == torch.float32
    for draw in range(3):
        part = slice(draw * count, (draw + 1) * count)
        for name in ("value", "side"):
            torch.testing.assert_close(found.targets[name][part], samples.targets[name], equal_nan=True)
        noise = found.raw["value"][part] - samples.inputs[:, :2]
        assert noise.std().item() == pytest.approx(0.5, rel=0.15)
    first, second = found.raw["value"][:count], found.raw["value"][count : 2 * count]
    assert not torch.equal(first, second)
    again = predict_split(learner, source, open_runtime(), POINT, batch_size=7, draws=1)
    assert torch.equal(again.raw["value"], first), "the first draw does not depend on how many follow"


def test_metrics_of_collected_predictions_are_those_of_an_evaluation(learner, source):
    found = predict_split(learner, source, open_runtime(), POINT, batch_size=256, draws=2)
    slow = evaluate(learner, source, open_runtime(), POINT, batch_size=256, draws=2).metrics
    for task in PAIR:
        fast = metrics_of(task, found.raw[task.name], found.targets[task.name])
        assert fast == pytest.approx(slow[task.name], rel=1e-5)
    nothing = torch.full_like(found.targets["side"], -1)
    assert all(map(math.isnan, metrics_of(PAIR[1], found.raw["side"], nothing).values()))


def test_only_the_tasks_that_are_asked_for_are_kept(learner, source):
    assert list(predict_split(learner, source, open_runtime(), POINT, tasks=["side"]).raw) == ["side"]
    with pytest.raises(UmbelError, match="unknown task 'sides'; did you mean 'side'"):
        predict_split(learner, source, open_runtime(), POINT, tasks=["sides"])


def test_tasks_that_a_point_leaves_out_are_open(learner, source):
    part = POINT.with_values(tasks=("side",))
    found = evaluate(learner, source, open_runtime(), part)
    assert math.isnan(found.losses["value"]) and math.isnan(found.metrics["value"]["MSE"])
    assert found.losses["side"] > 0
    assert list(predict_split(learner, source, open_runtime(), part).raw) == ["side"]
    with pytest.raises(UmbelError, match="task 'value' is not predicted at"):
        predict_split(learner, source, open_runtime(), part, tasks=["value"])


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_left_as_it_was(learner, source, training):
    learner.train(training)
    predict_split(learner, source, open_runtime(), POINT)
    assert learner.training == training


def test_dropout_is_off(source):
    class Dropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x, point):
            x = self.drop(x)
            return {"value": x[:, :2], "side": x[:, 2:]}

    found = predict_split(Learner(Dropped(), PAIR), source, open_runtime())
    assert torch.equal(found.raw["value"], two_tasks().inputs[:, :2].float())


@pytest.mark.parametrize("draws", [0, -1])
def test_no_draw_is_no_evaluation(learner, source, draws):
    for function in (evaluate, predict_split):
        with pytest.raises(UmbelError, match=f"draws is {draws}"):
            function(learner, source, open_runtime(), POINT, draws=draws)


def test_every_process_predicts_with_the_same_noise(learner, source, monkeypatch):
    """A threshold that each process chooses from its predictions must be one threshold. Shares of metrics differ."""
    runtime = open_runtime()
    here = predict_split(learner, source, runtime, POINT).raw["value"]
    first = evaluate(learner, source, runtime, POINT).losses["value"]
    monkeypatch.setattr("umbel.engine.runtime.FabricRuntime.rank", 1)
    assert torch.equal(predict_split(learner, source, runtime, POINT).raw["value"], here)
    monkeypatch.setattr("umbel.engine.runtime.FabricRuntime.world_size", 1)
    assert evaluate(learner, source, runtime, POINT).losses["value"] != first
