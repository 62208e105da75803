"""Evaluation against metrics by hand, and what chooses the best step."""

import math

import pytest
import torch
from torch import nn
from toy_learners import PAIR, draws, make, two_heads, two_tasks

from umbel.core import Batch, Evaluation, Learner, OperatingPoint, task_scores
from umbel.data import TensorSource
from umbel.engine import Monitor, check_monitor, decoded_predictions, evaluate, evaluating, open_runtime
from umbel.errors import UmbelError


class Known(nn.Module):
    """Predictions that are the inputs: value = the first two, logits = the last two."""

    def forward(self, inputs, point):
        shift = point.get("shift", 0.0)
        return {"value": inputs[:, :2] + shift, "side": inputs[:, 2:]}


@pytest.fixture
def samples():
    return two_tasks()


@pytest.mark.parametrize("batch_size", [1000, 256, 7, 1])
def test_metrics_are_those_of_the_whole_split(samples, batch_size):
    learner = Learner(Known(), PAIR)
    found = evaluate(learner, TensorSource(samples), open_runtime(), batch_size=batch_size)
    value, side = samples.targets["value"], samples.targets["side"]
    present = ~torch.isnan(value)
    error = (samples.inputs[:, :2] - value)[present].square().mean().item()
    assert found.metrics["value"]["MSE"] == pytest.approx(error, rel=1e-5)
    assert found.losses["value"] == pytest.approx(error, rel=1e-5)
    labelled = side >= 0
    logits, wanted = samples.inputs[labelled][:, 2:], side[labelled]
    guess = logits.argmax(1)
    assert found.metrics["side"]["accuracy"] == pytest.approx((guess == wanted).double().mean().item(), rel=1e-6)
    scores = []
    for k in (0, 1):
        hits = ((guess == k) & (wanted == k)).sum().item()
        scores.append(2 * hits / ((guess == k).sum().item() + (wanted == k).sum().item()))
    assert found.metrics["side"]["macro F1"] == pytest.approx(sum(scores) / 2, rel=1e-6)
    loss = nn.functional.cross_entropy(logits, wanted).item()
    assert found.losses["side"] == pytest.approx(loss, rel=1e-5)
    assert found.main() == {"value": found.metrics["value"]["MSE"], "side": found.metrics["side"]["accuracy"]}


def test_a_split_without_labels_of_a_task_gives_nan_for_it_alone(samples):
    samples.targets["side"][:] = -1
    found = evaluate(Learner(Known(), PAIR), TensorSource(samples), open_runtime(), batch_size=50)
    assert math.isnan(found.losses["side"]) and all(math.isnan(v) for v in found.metrics["side"].values())
    assert found.losses["value"] > 0


def test_the_point_is_given_or_the_first_of_the_sweep(samples):
    learner, source = Learner(Known(), PAIR), TensorSource(samples)
    base = evaluate(learner, source, open_runtime()).losses["value"]
    shifted = evaluate(learner, source, open_runtime(), OperatingPoint(shift=3.0)).losses["value"]
    assert shifted > base + 4
    toy = make("slimmable")
    first = evaluate(toy.learner, toy.validation, open_runtime())
    assert first == evaluate(toy.learner, toy.validation, open_runtime(), OperatingPoint(width=1.0))
    assert first != evaluate(toy.learner, toy.validation, open_runtime(), OperatingPoint(width=0.25))


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_no_trace(training):
    encoder = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    learner = Learner(two_heads(encoder), PAIR).double().train(training)
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    source = TensorSource(two_tasks())
    once = evaluate(learner, source, open_runtime())
    assert once == evaluate(learner, source, open_runtime())  # no dropout
    assert learner.training == encoder[2].training == training
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())
    assert all(p.grad is None for p in learner.parameters())


def test_predictions_for_pictures_are_in_natural_units(samples):
    found = decoded_predictions(Learner(Known(), PAIR), samples[:5], open_runtime(), OperatingPoint())
    assert torch.allclose(found["value"], samples.inputs[:5, :2].float())
    assert torch.allclose(found["side"].sum(1), torch.ones(5))


# -- the monitor ---------------------------------------------------------------------------------------------------

EVALUATION = Evaluation(
    {"value": {"MSE": 2.0}, "side": {"accuracy": 0.6, "macro F1": 0.5}}, {"value": 2.0, "side": 0.7}
)


@pytest.fixture
def learner():
    return Learner(Known(), PAIR)


def test_the_monitor_is_greater_when_it_is_better(learner):
    def score(name, **references):
        return Monitor(name, references).score(EVALUATION, learner, open_runtime())

    assert score("loss") == pytest.approx(-2.7)
    assert score("value/MSE") == -2.0
    assert score("side/accuracy") == 0.6
    assert score("side/macro F1") == 0.5
    # half the error: + 50 %; accuracy 0.6 after 0.8: - 25 %
    assert score("improvement", value=4.0, side=0.8) == pytest.approx((50 - 25) / 2)


def of(value, side):
    return Evaluation({"value": {"MSE": value}, "side": {"accuracy": side}}, {"value": value, "side": 0.7})


def chosen(learner, references, *validations):
    """Which of the validations ends as the best one, and its number."""
    best, number, score = None, -1, -math.inf
    for i, validation in enumerate(validations):
        now = Monitor("improvement", references).score(validation, learner, open_runtime(), best, score)
        if best is None or now > score:
            best, number, score = validation, i, now
    return number, score


def test_a_task_that_starts_at_zero_or_at_chance_does_not_bend_the_choice(learner):
    # The reproduced faults: a first accuracy of 0 left the task out; 1000 at first made every later change small.
    assert chosen(learner, {}, of(1.0, 0.0), of(0.9, 0.58), of(0.88, 0.0))[0] == 1
    assert chosen(learner, {}, of(1000.0, 0.5), of(1.0, 0.6), of(2.0, 0.65))[0] == 1
    assert chosen(learner, {}, of(1.0, 0.01), of(0.5, 0.9), of(5.0, 0.92))[0] == 1


@pytest.mark.parametrize("start", [of(1.0, 0.0), of(1e6, 0.01), of(0.0, 1.0), of(math.inf, 0.5), of(math.nan, 0.5)])
def test_how_a_run_began_does_not_matter_to_what_is_chosen_later(learner, start):
    later = [of(0.9, 0.70), of(0.8, 0.72), of(0.81, 0.60), of(0.7, 0.71), of(0.698, 0.70)]
    if start != of(0.0, 1.0):  # which is perfect
        assert chosen(learner, {}, start, *later)[0] == 4
    else:
        assert chosen(learner, {}, start, *later)[0] == 0


def test_without_references_the_number_goes_on_from_the_best_before(learner):
    assert chosen(learner, {}, EVALUATION) == (0, 0)
    number, score = chosen(learner, {}, of(2.0, 0.6), of(1.0, 0.6), of(1.0, 0.7), of(1.1, 0.7))
    assert number == 2
    assert score == pytest.approx((200 / 3 + 200 * 0.1 / 1.3) / 2)


def test_a_metric_that_is_lost_is_never_better_and_one_that_nobody_knows_does_not_count(learner):
    assert chosen(learner, {}, of(2.0, 0.6), of(math.nan, 1.0))[0] == 0
    assert chosen(learner, {}, of(math.nan, 0.6), of(math.nan, 0.7), of(math.nan, 0.65))[0] == 1
    nothing = [Evaluation(of(math.nan, math.nan).metrics, {"value": loss, "side": 1.0}) for loss in (3.0, 1.0, 2.0)]
    assert chosen(learner, {}, *nothing)[0] == 1


def test_references_that_are_not_zero_choose_as_ever(learner):
    references = {"value": 4.0, "side": 0.8}
    validations = [of(8.0, 0.1), of(2.0, 0.6), of(3.0, 0.9), of(2.1, 0.62)]
    wanted = [((4.0 - v.main()["value"]) / 4.0 + (v.main()["side"] - 0.8) / 0.8) * 50 for v in validations]
    number, score = chosen(learner, references, *validations)
    assert number == wanted.index(max(wanted)) and score == pytest.approx(max(wanted))
    assert chosen(learner, {"value": math.nan, "side": 0.5}, *validations)[1] == pytest.approx(80)  # left out
    assert chosen(learner, {"value": math.nan, "side": math.nan}, *validations)[0] == 1  # the least loss


def test_a_reference_of_zero_leaves_the_task_in_the_choice(learner):
    references = {"value": 2.0, "side": 0.0}
    assert chosen(learner, references, of(2.0, 0.0), of(1.9, 0.58), of(1.85, 0.0), of(1.9, 0.59))[0] == 3
    assert chosen(learner, references, of(2.0, 0.0), of(1.0, 0.58), of(1.9, 0.6))[0] == 1


def test_an_unknown_monitor_is_refused_before_training_and_lists_what_there_is(learner, tmp_path):
    from dataclasses import replace

    from umbel.engine import fit

    toy = make("slimmable")
    for name in ("accuracy", "side/auroc", "other/MSE", ""):
        with pytest.raises(UmbelError) as caught:
            fit(toy.learner, toy.descent, toy.train, toy.validation, replace(toy.settings, monitor=name), out=tmp_path)
        assert "improvement, loss, value/MSE, side/accuracy, side/macro F1" in str(caught.value)
        assert not list(tmp_path.iterdir())


def test_a_study_checks_a_monitor_for_all_its_networks_with_one_call(learner):
    both, one = learner.scores(), task_scores(PAIR[:1])
    for name in ("improvement", "loss", "value/MSE"):
        check_monitor(name, both, one)
    check_monitor("side/accuracy", both)
    with pytest.raises(UmbelError, match=r"unknown monitor 'side/accuracy'; known: improvement, loss, value/MSE$"):
        check_monitor("side/accuracy", both, one)
    with pytest.raises(UmbelError, match=r"did you mean 'side/accuracy'\? known: improvement, loss, value/MSE, side"):
        check_monitor("side/acuracy", both)


class Judged(Learner):
    """Offers a score of its own: how sure it is about inputs that nobody labelled."""

    def __init__(self, model, kinds, unlabelled):
        super().__init__(model, kinds)
        self.unlabelled, self.calls = unlabelled, []

    def sureness(self, evaluation, runtime):
        self.calls.append((self.training, torch.is_grad_enabled(), torch.rand(()).item(), set(evaluation.losses)))
        batches = self.unlabelled.batches(64, runtime.rank, runtime.world_size)
        sure = [self.predict(batch, OperatingPoint())["side"].softmax(1).amax(1).sum() for batch in batches]
        return float(runtime.sum(sum(sure, torch.zeros((), dtype=torch.float64)))) / len(self.unlabelled)

    def scores(self):
        return {**super().scores(), "sureness": self.sureness}


def test_a_score_of_the_learners_own_is_taken_in_evaluation_mode_with_the_same_draws(samples):
    learner = Judged(Known(), PAIR, TensorSource(Batch(samples.inputs))).train()
    values = [Monitor("sureness", {}).score(EVALUATION, learner, open_runtime()) for _ in range(2)]
    assert values[0] == values[1] and 0.5 < values[0] < 1
    assert learner.calls == [(False, False, learner.calls[0][2], {"value", "side"})] * 2
    assert learner.training
    with pytest.raises(UmbelError, match="known: improvement, loss, value/MSE, side/accuracy, side/macro F1, sureness"):
        Monitor("certainty of all", {}).check(learner)


def test_a_task_without_reference_is_refused_before_training():
    from dataclasses import replace

    from umbel.engine import fit

    toy = make("slimmable")
    settings = replace(toy.settings, monitor="improvement")
    with pytest.raises(UmbelError, match="task 'side' has no reference"):
        fit(toy.learner, toy.descent, toy.train, toy.validation, settings, references={"value": 1.0})


def test_a_task_that_validation_does_not_label_does_not_hide_the_others(learner):
    # Its loss is NaN: the best step must still be chosen by the rest.
    half = Evaluation({**EVALUATION.metrics, "side": {"accuracy": math.nan}}, {"value": 2.0, "side": math.nan})
    assert Monitor("loss", {}).score(half, learner, open_runtime()) == -2.0


def test_a_network_that_diverged_is_never_the_best(learner):
    x = two_tasks()
    x.inputs[:, :2] = torch.nan
    found = evaluate(learner, TensorSource(x), open_runtime())
    assert found.losses["value"] == math.inf
    for name in ("loss", "value/MSE"):
        assert Monitor(name, {}).score(found, learner, open_runtime()) == -math.inf


def test_the_direction_of_a_second_metric_is_its_own(learner):
    from umbel import tasks

    kinds = (tasks.regression("value", 2), PAIR[1])
    evaluation = Evaluation({"value": {"RMSE": 2.0, "MAE": 1.5}, "side": {"accuracy": 0.6}}, {})
    assert Monitor("value/MAE", {}).score(evaluation, Learner(Known(), kinds), open_runtime()) == -1.5


def test_integer_inputs_and_mappings_are_evaluated():
    class Table(nn.Module):
        def forward(self, inputs, point):
            return {"value": nn.functional.one_hot(inputs["code"], 2).double()}

    code = torch.randint(2, (20,), generator=draws())
    source = TensorSource(Batch({"code": code}, {"value": nn.functional.one_hot(code, 2).double()}))
    found = evaluate(Learner(Table(), PAIR[:1]), source, open_runtime(), batch_size=6)
    assert found.losses == {"value": 0.0}


def test_evaluating_draws_from_a_seed_of_its_own_and_puts_everything_back(samples):
    learner = Learner(Known(), PAIR).train()
    torch.default_generator.manual_seed(5)
    expected = torch.rand(3)
    torch.default_generator.manual_seed(5)
    drawn = []
    for _ in range(2):
        with evaluating(learner, open_runtime(), seed=1):
            assert not learner.training
            assert not torch.is_grad_enabled()
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert learner.training
    assert torch.equal(torch.rand(3), expected)
