"""The multi-round study on a few steps: all arms, fair power, choices on validation, claims from the right numbers."""

import dataclasses
import json

import pytest
import torch
from small_studies import timeless

from umbel.core import OperatingPoint, UmbelError
from umbel.engine import FitSettings, open_runtime
from umbel.recipes import RECIPES
from umbel.recipes.build import load_data
from umbel.recipes.communications import LinkSettings
from umbel.recipes.multi_round import QUICK, MultiRoundSettings
from umbel.recipes.multi_round.arms import (
    COST,
    ERROR,
    GENIE,
    LATEST,
    PREFIX,
    RANDOM,
    REPEAT,
    ROUNDS,
    SINGLE,
    TITLES,
    Network,
    make_learner,
    networks,
    one_task,
)
from umbel.recipes.multi_round.measure import BUDGET, MIDDLE, TARGET, Seen
from umbel.recipes.multi_round.study import multi_round_study
from umbel.recipes.multi_round.verdict import Numbers, claims, interpolated
from umbel.recipes.study import Study

SMALL = dataclasses.replace(
    QUICK,
    encoder_options="widths=4/8",
    link=LinkSettings("awgn/rayleigh", "0/8", "0/4/8", draws=2),
    single_uses="2/6",
    seeds=2,
    thresholds="0.3/0.9",
    fit=FitSettings(
        steps=12, batch_size=64, precision="float32", learning_rate=5e-3, monitor="loss", tensorboard=False
    ),
)


def run(out, settings=SMALL, resume=False):
    return multi_round_study(settings, Study(out, open_runtime(), "umbel run multi_round", resume))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "out"


@pytest.fixture(scope="module")
def results(folder):
    return run(folder)


@pytest.fixture(scope="module")
def data():
    return one_task(load_data(SMALL.data))


def at(results, arm, seed=0, channel="awgn", snr_db=4.0, **place):
    where = {"channel": channel, "snr_db": snr_db, **place}
    found = [r for r in results.runs if r.method == arm and r.seed == seed and where.items() <= r.point.items()]
    assert len(found) == 1, (arm, where)
    return found[0]


def test_all_arms_are_measured_on_every_channel(results):
    for arm in TITLES:
        assert {run.point["channel"] for run in results.runs if run.method == arm} == {"awgn", "rayleigh"}
    assert {chart.section for chart in results.charts} == {"awgn", "rayleigh"}
    assert len(results.claims) == 10
    assert all(claim.value is not None for claim in results.claims)


def test_random_escalation_has_the_delay_of_multi_round(results):
    for place in ({"tau": 0.3}, {"tau": 0.9}, {"rule": MIDDLE}):
        own, drawn = (at(results, arm, **place).metrics["digit"] for arm in (ROUNDS, RANDOM))
        assert own["delay"] == drawn["delay"]
        ends = [at(results, ROUNDS, round=number).metrics["digit"]["accuracy"] for number in (1, 2)]
        expected = ends[0] + own["escalated"] * (ends[1] - ends[0])
        assert drawn["accuracy"] == pytest.approx(expected, abs=1e-9)


def test_accuracy_is_that_of_those_who_stopped_and_of_those_who_went_on(results):
    found = at(results, ROUNDS, rule=MIDDLE).metrics["digit"]
    parts = (1 - found["escalated"]) * found["accuracy of stopped"] + found["escalated"] * found[
        "accuracy of escalated"
    ]
    assert found["accuracy"] == pytest.approx(parts, abs=1e-9)
    assert found["delay"] == pytest.approx(2 + 4 * found["escalated"])


def test_choices_keep_their_word_on_validation(results):
    for arm in (ROUNDS, LATEST, REPEAT):
        assert at(results, arm, rule=BUDGET).validation["digit"]["delay"] <= 0.75 * 6
        middle = at(results, arm, rule=MIDDLE)
        assert middle.validation["digit"]["delay"] == pytest.approx(4.0, abs=0.5)
        assert len(middle.settings["thresholds"]) == (2 if arm == REPEAT else 1)
    assert at(results, ROUNDS, rule=TARGET).settings["thresholds"]


def test_feedback_costs_delay_and_its_errors_cost_accuracy_or_delay(results):
    for tau in (0.3, 0.9):
        own, cost, wrong = (at(results, arm, tau=tau).metrics["digit"] for arm in (ROUNDS, COST, ERROR))
        assert cost["delay"] == pytest.approx(own["delay"] + SMALL.feedback_uses)
        assert cost["accuracy"] == own["accuracy"]
        swapped = 0.9 * own["escalated"] + 0.1 * (1 - own["escalated"])
        assert wrong["escalated"] == pytest.approx(swapped, abs=0.04)


def test_claims_are_differences_of_what_the_runs_say(results):
    numbers, seeds = Numbers(SMALL, results), (0, 1)
    by_name = {claim.name: claim for claim in results.claims}

    def mean(value):
        return 100 * sum(map(value, seeds)) / 2

    def accuracy(arm, seed, **place):
        return at(results, arm, seed, "rayleigh", **place).metrics["digit"]["accuracy"]

    combining = mean(lambda s: accuracy(ROUNDS, s, round=2) - accuracy(LATEST, s, round=2))
    assert by_name["combining-rayleigh"].value == pytest.approx(combining)
    delay = [at(results, ROUNDS, s, "rayleigh", rule=MIDDLE).metrics["digit"]["delay"] for s in seeds]
    single = [
        accuracy(SINGLE, s, uses=2) * (6 - d) / 4 + accuracy(SINGLE, s, uses=6) * (d - 2) / 4
        for s, d in zip(seeds, delay, strict=True)
    ]
    margin = mean(lambda s: accuracy(ROUNDS, s, rule=MIDDLE) - single[s])
    assert by_name["equal-delay-rayleigh"].value == pytest.approx(margin)
    assert by_name["equal-delay-rayleigh"].bar == 1.5
    assert by_name["equal-delay-awgn"].bar == 0.0
    assert len(claims(SMALL, results)) == len(results.claims)
    assert numbers.margin("rayleigh", 0, rule=MIDDLE) == pytest.approx(accuracy(ROUNDS, 0, rule=MIDDLE) - single[0])


def test_a_resumed_study_says_the_same(folder, results, monkeypatch):
    monkeypatch.setattr("umbel.recipes.study.fit", None)  # nothing may be trained again
    again = run(folder, resume=True)
    assert timeless(json.loads(again.to_json())) == timeless(json.loads(results.to_json()))


def test_every_arm_sends_with_the_same_power(data):
    inputs = torch.rand(4, 1, 8, 8)
    for network in {(n.arm, n.uses): n for n in networks(SMALL) if n.arm != GENIE}.values():
        model = make_learner(SMALL, data, network).model
        cuts = (2, 3, 6) if network.arm == PREFIX else network.uses[:1]
        for cut in cuts:
            sent = model.transmit(inputs, OperatingPoint(snr_db=0.0, uses=cut))[0].detach()
            assert sent.square().sum(1).tolist() == pytest.approx([cut] * 4, rel=1e-4)
            assert (sent != 0).sum(1).tolist() == [2 * cut] * 4


def test_every_arm_starts_with_the_same_encoder(data):
    encoders = [make_learner(SMALL, data, n).model.encoder for n in networks(SMALL) if n.seed == 0]
    first = [p for p in encoders[0].parameters()]
    for encoder in encoders[1:]:
        assert all(torch.equal(a, b) for a, b in zip(first, encoder.parameters(), strict=True))


def test_cuts_are_drawn_and_are_those_of_the_single_rounds(data):
    learner = make_learner(SMALL, data, Network(PREFIX, "awgn", (6,), 0))
    generator = torch.Generator().manual_seed(0)
    drawn = [learner.draw_point(generator, 0.0) for _ in range(40)]
    assert {point["uses"] for point in drawn} == {2, 6}
    assert all(0 <= point["snr_db"] <= 8 for point in drawn)
    assert learner.sweep()[0]["uses"] == 6


def test_temperature_of_each_snr(tmp_path):
    """With --calibrate per-snr every SNR has its own temperatures, otherwise all have the same."""
    settings = dataclasses.replace(SMALL, seeds=1, link=LinkSettings("awgn", "0/8", "0/8", draws=1))
    for calibrate, different in (("per-snr", True), ("range", False)):
        run(tmp_path / calibrate, dataclasses.replace(settings, calibrate=calibrate))
        kept = json.loads((tmp_path / calibrate / "networks/awgn/multi-round/seed-0/curves.json").read_text())
        low, high = kept["temperatures"]
        assert (low != high) == different


def test_seen_by_hand():
    seen = Seen(torch.tensor([[0.9, 0.2], [0.5, 0.5]]), torch.tensor([[True, False], [False, True]]))
    found, drawn = seen.metrics([2, 4], 0.6)
    assert (found["accuracy"], found["delay"], found["escalated"]) == (1.0, 4.0, 0.5)
    assert drawn["accuracy"] == 0.5
    assert found["peak age"] == pytest.approx(4 + 4)


def test_interpolation():
    assert interpolated([(2, 0.5), (4, 0.9)], 3) == pytest.approx(0.7)
    assert interpolated([(2, 0.5), (4, 0.9)], 4) == 0.9
    assert interpolated([(2, 0.5), (4, 0.9)], 4.1) != interpolated([(2, 0.5), (4, 0.9)], 4.1)  # NaN


def test_defaults():
    settings = MultiRoundSettings()
    assert (settings.rounds, settings.total, settings.singles) == ([2, 4], 6, [2, 3, 4, 5, 6])
    assert dataclasses.replace(settings, uses="4/8/16").singles == [4, 10, 16, 22, 28]
    assert settings.middle_snr_db == 3.0
    assert RECIPES["multi_round"].settings is MultiRoundSettings


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"uses": "4"}, "at least two"),
        ({"uses": "4/2"}, "more than half"),
        ({"uses": "4/0"}, "at least 1"),
        ({"single_uses": "3/6"}, "2 is not among them"),
        ({"thresholds": "0.5/1.2"}, "1.2"),
        ({"thresholds": "0/0.5"}, "above 0"),
        ({"feedback_error": 0.6}, "0 to 0.5"),
        ({"feedback_error": float("nan")}, "0 to 0.5"),
        ({"feedback_uses": -1.0}, "at least 0"),
        ({"seeds": 0}, "at least 1"),
        ({"calibrate": "never"}, "calibration"),
        ({"coherence": "year"}, "coherence"),
        ({"fit": FitSettings(seed=3)}, "--seed"),
    ],
)
def test_bad_settings(change, says):
    with pytest.raises(UmbelError, match=says):
        dataclasses.replace(QUICK, **change)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"descent": "up"}, "descent"),
        ({"encoder": "cnn"}, "encoder"),
        ({"encoder_options": "widths=wide"}, "no such network"),
        ({"link": LinkSettings(channels="fog")}, "channel"),
        ({"fit": FitSettings(monitor="digit/accuracy")}, "monitor"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_folder_is_claimed(tmp_path, change, says):
    with pytest.raises(UmbelError, match=says):
        run(tmp_path / "out", dataclasses.replace(QUICK, **change))
    assert not (tmp_path / "out").exists()


def test_a_regression_is_refused(monkeypatch):
    regression = dataclasses.replace(load_data(SMALL.data).tasks[0], kind="regression", decode=lambda z: z)
    loaded = dataclasses.replace(load_data(SMALL.data), tasks=(regression,))
    with pytest.raises(UmbelError, match="no classification"):
        one_task(loaded)
