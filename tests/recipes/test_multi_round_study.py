"""The multi-round study on a few steps: all arms, fair power, choices on validation, claims from the right numbers."""

import dataclasses

import pytest
import study_laws as laws
import torch

from umbel.core import OperatingPoint, UmbelError
from umbel.data import seeded
from umbel.engine import FitSettings
from umbel.recipes import RECIPES
from umbel.recipes.build import open_data
from umbel.recipes.communications import LinkSettings
from umbel.recipes.multi_round import MULTI_ROUND, QUICK, MultiRoundSettings
from umbel.recipes.multi_round.findings import interpolated, pooled
from umbel.recipes.multi_round.study import (
    BUDGET,
    COST,
    ERROR,
    GENIE,
    LATEST,
    MIDDLE,
    PREFIX,
    RANDOM,
    REPEAT,
    ROUNDS,
    SINGLE,
    TARGET,
    arms,
    jobs,
    make_learner,
    uses_of,
)
from umbel.study import Job, Table

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


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return laws.run(MULTI_ROUND, SMALL, tmp_path_factory.mktemp("study") / "out")


@pytest.fixture(scope="module")
def results(finished):
    return finished[0]


@pytest.fixture(scope="module")
def data():
    return open_data(SMALL.data).only(["digit"])


def at(results, arm, seed=0, channel="awgn", snr_db=4.0, **place):
    return Table(results.runs).runs_of(arm, channel=channel, snr_db=snr_db, **place)[seed]


def test_all_arms_are_measured_on_every_channel(results):
    for arm in arms(SMALL):
        assert {run.point["channel"] for run in results.runs if run.method == arm.key} == {"awgn", "rayleigh"}
    assert {chart.section for chart in results.charts} == {"awgn", "rayleigh"}
    assert len(results.claims) == 8
    assert all(claim.value is not None for claim in results.claims)


def test_it_obeys_the_laws_of_studies(finished):
    laws.assert_nothing_is_done_twice(MULTI_ROUND, SMALL, finished)
    laws.assert_follows_from_its_runs(MULTI_ROUND, finished[0])


def test_a_killed_study_goes_on(tmp_path):
    small = dataclasses.replace(SMALL, seeds=1, link=LinkSettings("awgn", "0/8", "0/4", draws=1))
    whole = laws.run(MULTI_ROUND, small, tmp_path / "whole")
    label = "multi-round, channel awgn, repeat 0"
    laws.assert_goes_on_after_a_kill(MULTI_ROUND, small, whole, tmp_path, label, 12)


def test_batches_divide(tmp_path, monkeypatch):
    laws.assert_batches_divide(MULTI_ROUND, SMALL, tmp_path, monkeypatch)


def test_random_escalation_has_the_delay_of_multi_round(results):
    for place in ({"tau": 0.3}, {"tau": 0.9}, {"rule": MIDDLE}):
        own, drawn = (at(results, arm, **place).metrics["digit"] for arm in (ROUNDS, RANDOM))
        assert own["delay"] == drawn["delay"]
        ends = [at(results, ROUNDS, round=number).metrics["digit"]["accuracy"] for number in (1, 2)]
        expected = ends[0] + own["escalated"] * (ends[1] - ends[0])
        assert drawn["accuracy"] == pytest.approx(expected, abs=1e-9)


def test_accuracy_is_that_of_those_who_stopped_and_of_those_who_went_on(results):
    own = at(results, ROUNDS, rule=MIDDLE).metrics["digit"]
    parts = (1 - own["escalated"]) * own["accuracy of stopped"] + own["escalated"] * own["accuracy of escalated"]
    assert own["accuracy"] == pytest.approx(parts, abs=1e-9)
    assert own["delay"] == pytest.approx(2 + 4 * own["escalated"])


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
    seeds = (0, 1)
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


def test_every_arm_sends_with_the_same_power(data):
    inputs = torch.rand(4, 1, 8, 8)
    for job in {(job.arm, job.place): job for job in jobs(SMALL) if job.arm != GENIE}.values():
        model = make_learner(SMALL, data, job).model
        cuts = {PREFIX: (2, 3, 6), SINGLE: (job.place.get("uses"),)}.get(job.arm) or uses_of(SMALL, job.arm)[:1]
        for cut in cuts:
            sent = model.transmit(inputs, OperatingPoint(snr_db=0.0, uses=cut))[0].detach()
            assert sent.square().sum(1).tolist() == pytest.approx([cut] * 4, rel=1e-4)
            assert (sent != 0).sum(1).tolist() == [2 * cut] * 4


def test_every_arm_starts_with_the_same_encoder(data):
    encoders = [make_learner(SMALL, data, job).model.encoder for job in jobs(SMALL) if job.repeat == 0]
    first = list(encoders[0].parameters())
    for encoder in encoders[1:]:
        assert all(torch.equal(a, b) for a, b in zip(first, encoder.parameters(), strict=True))


def test_cuts_are_drawn_and_are_those_of_the_single_rounds(data):
    learner = make_learner(SMALL, data, Job.at(PREFIX, 0, channel="awgn"))
    generator = seeded(0)
    drawn = [learner.draw_point(generator, 0.0) for _ in range(40)]
    assert {point["uses"] for point in drawn} == {2, 6}
    assert all(0 <= point["snr_db"] <= 8 for point in drawn)
    assert learner.sweep()[0]["uses"] == 6


def test_temperature_of_each_snr(tmp_path):
    """With --calibrate per-snr what is measured at one SNR does not depend on which others are; otherwise it may."""
    settings = dataclasses.replace(SMALL, seeds=1, link=LinkSettings("awgn", "0/8", "0/8", draws=1))
    calibrated = {}
    for calibrate in ("per-snr", "range"):
        results, _ = laws.run(MULTI_ROUND, dataclasses.replace(settings, calibrate=calibrate), tmp_path / calibrate)
        of_round = [at(results, ROUNDS, snr_db=snr_db, round=2).metrics["digit"] for snr_db in (0.0, 8.0)]
        calibrated[calibrate] = [metrics["ECE calibrated"] for metrics in of_round]
    assert calibrated["per-snr"] != calibrated["range"]


def test_reliability_is_kept_for_every_round_and_seed(results):
    names = {(profile.name, profile.repeat, profile.point["channel"]) for profile in results.profiles}
    assert len(names) == 2 * 2 * 2 * 2  # rounds, before and after, seeds, channels
    assert all(sum(profile.columns["part"]) == pytest.approx(1.0) for profile in results.profiles)


def test_pooled_bins_by_hand():
    one = {"confidence": (0.31, 0.95), "accuracy": (0.5, 1.0), "part": (0.25, 0.75)}
    two = {"confidence": (0.39, 0.95), "accuracy": (0.3, 0.6), "part": (0.75, 0.25)}
    x, y = pooled([one, two])
    assert x == pytest.approx([0.25 * 0.31 + 0.75 * 0.39, 0.95]) and y == pytest.approx([0.35, 0.9])
    assert pooled([{"confidence": (0.5,), "accuracy": (0.4,)}]) == ([0.5], [0.4])


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
        ({"feedback_error": float("nan")}, "feedback_error is nan"),
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
        ({"encoder_options": "widths=wide"}, "option widths is 'wide'"),
        ({"link": LinkSettings(channels="fog")}, "channel"),
        ({"fit": FitSettings(monitor="digit/accuracy")}, "monitor"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_folder_is_claimed(tmp_path, change, says):
    laws.assert_refused_before_writing(MULTI_ROUND, dataclasses.replace(QUICK, **change), tmp_path, says)


def test_a_regression_is_refused(tmp_path, monkeypatch):
    data = open_data(SMALL.data)
    regression = dataclasses.replace(data.tasks[0], kind="regression", decode=lambda z: z)
    monkeypatch.setattr(
        "umbel.recipes.build.load_data", lambda name, **options: dataclasses.replace(data, tasks=(regression,))
    )
    laws.assert_refused_before_writing(MULTI_ROUND, SMALL, tmp_path, "no classification")
