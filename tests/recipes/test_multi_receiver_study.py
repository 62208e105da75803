"""The study of several receivers: its arms, what follows from their runs, what it refuses."""

import dataclasses

import pytest
import study_laws as laws
import torch

from umbel.core import UmbelError
from umbel.data import TensorSource, load_data
from umbel.engine import FitSettings
from umbel.recipes import RECIPES
from umbel.recipes.communications import LinkSettings
from umbel.recipes.multi_receiver import MULTI_RECEIVER, QUICK, MultiReceiverSettings
from umbel.recipes.multi_receiver.digital import CLEAN, FREE, GENIE, WHOLE
from umbel.recipes.multi_receiver.findings import FEW, findings, uses_to
from umbel.recipes.multi_receiver.settings import FIT
from umbel.recipes.multi_receiver.study import (
    EACH,
    GUESSES,
    JOINT,
    REUSED,
    SAME,
    SINGLE,
    UNEQUAL,
    WEIGHTS,
    guesses,
    network_jobs,
    served,
)
from umbel.recipes.settings import DataSettings
from umbel.report import DataInfo, MethodInfo, Results, Run, TaskInfo
from umbel.study import Job, Table

SMALL = MultiReceiverSettings(
    data=DataSettings(data="digits"),
    encoder_options="widths=4/8",
    pairs="parity/loops,digit/parity",
    uses="2/4",
    sweep_uses=4,
    sweep_weights="0.2/0.5",
    link=LinkSettings(channels="awgn", test_snr_db="0/10/20", draws=2),
    digital_uses="128",
    digital_pictures=12,
    seeds=2,
    fit=FitSettings(
        steps=4, batch_size=64, precision="float32", monitor="loss", clip_norm=1.0, validate_every=4, tensorboard=False
    ),
)
PAIRS = ("parity/loops", "digit/parity")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return laws.run(MULTI_RECEIVER, SMALL, tmp_path_factory.mktemp("receivers") / "study")


@pytest.fixture(scope="module")
def at(done):
    """The runs of the first pair at 10 dB."""
    return Table(done[0].runs).at(pair="parity/loops", channel="awgn", snr_db=10.0)


def test_every_arm_is_measured_at_every_point(done):
    table = Table(done[0].runs)
    for pair in PAIRS:
        for snr_db in (0.0, 10.0, 20.0):
            here = table.at(pair=pair, channel="awgn", snr_db=snr_db)
            for arm in (JOINT, SAME, EACH, GENIE):
                for uses in (2, 4):
                    assert set(here.runs_of(arm, uses=uses)) == {0, 1}, (arm, uses)
            for arm in (REUSED, UNEQUAL):
                assert set(here.runs_of(arm, uses=4)) == {0, 1}
            for arm in (WHOLE, FREE):
                assert set(here.runs_of(arm, uses=128)) == {0, 1}
            for weight in (0.2, 0.5):
                assert set(here.runs_of(WEIGHTS, uses=4, weight=weight)) == {0, 1}
        assert set(table.runs_of(CLEAN, pair=pair, channel="none")) == {0, 1}
    for run in done[0].runs:
        assert set(run.metrics) == set(run.point["pair"].split("/"))
        assert all(0 <= metrics["accuracy"] <= 1 for metrics in run.metrics.values())


def test_it_obeys_the_laws_of_studies(done):
    laws.assert_nothing_is_done_twice(MULTI_RECEIVER, SMALL, done)
    laws.assert_follows_from_its_runs(MULTI_RECEIVER, done[0])


def test_a_killed_study_goes_on(tmp_path):
    link = LinkSettings("awgn", "0/10", "0/10", draws=1)
    small = dataclasses.replace(SMALL, pairs="digit/parity", uses="2", sweep_uses=2, seeds=1, link=link)
    whole = laws.run(MULTI_RECEIVER, small, tmp_path / "whole")
    label = "reused-transmitter, task parity, by digit, channel awgn, uses 2, repeat 0"
    laws.assert_goes_on_after_a_kill(MULTI_RECEIVER, small, whole, tmp_path, label, 4)


def test_batches_divide(tmp_path, monkeypatch):
    laws.assert_batches_divide(MULTI_RECEIVER, SMALL, tmp_path, monkeypatch)


def test_a_share_of_the_uses_is_the_network_with_so_many_of_its_own(at):
    assert dict(at(SAME, task="loops", uses=4)) == dict(at(EACH, task="loops", uses=2))
    assert {run.point["total_uses"] for run in at.runs_of(EACH, uses=2).values()} == {4}


def test_equal_weights_are_the_shared_network(at):
    def numbers(arm, **place):
        return [dict(at(arm, task=task, uses=4, **place)) for task in ("parity", "loops")]

    assert numbers(WEIGHTS, weight=0.5) == numbers(JOINT) != numbers(WEIGHTS, weight=0.2)


def test_all_receivers_at_one_snr_are_measured_as_each_at_its_own(at):
    """At 3/10 dB the second receiver is where it is when both are at 10 dB."""
    unequal = at(JOINT, task="loops", uses=4, snr_db={"parity": 3.0, "loops": 10.0})
    assert dict(unequal) == dict(at(JOINT, task="loops", uses=4))
    first = at(JOINT, task="parity", uses=4, snr_db={"parity": 3.0, "loops": 10.0})
    assert dict(first) != dict(at(JOINT, task="parity", uses=4))


def test_every_network_serves_an_arm_and_none_is_trained_twice(done):
    _, out = done
    jobs = list(network_jobs(SMALL))
    assert len({job.key for job in jobs}) == len(jobs) == len(list(out.rglob("outcome.json")))
    assert all(list(served(SMALL, job)) for job in jobs)
    alone = Job.at(SINGLE, 0, task="parity", channel="awgn", uses=2)
    arms = [(arm, place["pair"], place["uses"]) for arm, place in served(SMALL, alone)]
    assert arms == [(EACH, pair, 2) for pair in PAIRS[:1]] + [
        (SAME, PAIRS[0], 4),
        (EACH, PAIRS[1], 2),
        (SAME, PAIRS[1], 4),
    ]


def test_sizes_are_those_of_one_row_of_the_main_table(done):
    """Two single-task networks, of as many uses as the row takes; one shared network, one of the swept weights."""
    method = done[0].method
    assert method(JOINT).parameters == method(WEIGHTS).parameters == method(UNEQUAL).parameters
    assert method(JOINT).parameters < method(SAME).parameters < method(EACH).parameters < 2 * method(JOINT).parameters
    assert method(GENIE).parameters == method(CLEAN).parameters
    assert len(method(SAME).seconds_per_step) == 2 and method(GENIE).seconds_per_step == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pairs": "parity/hoops"}, "hoops"),
        ({"pairs": "parity"}, "one task only"),
        ({"pairs": ""}, "names no tasks"),
        ({"pairs": "parity/parity"}, "twice"),
        ({"pairs": "parity/loops,parity/loops"}, "named twice"),
        ({"uses": "0/4"}, "no number of channel uses"),
        ({"uses": "3/4"}, "multiple of 2"),
        ({"sweep_uses": 6}, "not among --uses"),
        ({"sweep_weights": "0.5/1"}, "not between 0 and 1"),
        ({"unequal_snr_db": "3"}, "first receiver"),
        ({"unequal_snr_db": "nan/3"}, "finite"),
        ({"seeds": 0}, "seeds is 0"),
        ({"digital_pictures": 0}, "digital_pictures is 0"),
        ({"fit": FIT.replace(seed=1)}, "--seeds"),
    ],
)
def test_bad_settings_are_one_line_before_the_folder_is_made(change, said, tmp_path):
    with pytest.raises(UmbelError, match=said) as caught:
        laws.run(MULTI_RECEIVER, dataclasses.replace(SMALL, **change), tmp_path / "new")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"digital_uses": "127"}, "no blocks of 127 uses"),
        ({"encoder": "ghost"}, "ghost"),
        ({"encoder_options": "widths=wide"}, "option widths is 'wide'"),
        ({"descent": "ghost"}, "ghost"),
        ({"link": LinkSettings(channels="ether")}, "ether"),
        ({"fit": FIT.replace(monitor="parity/accuracy")}, "monitor"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_folder_is_made(change, said, tmp_path):
    laws.assert_refused_before_writing(MULTI_RECEIVER, dataclasses.replace(SMALL, **change), tmp_path, said)


def test_tasks_that_are_no_classification_are_refused(tmp_path, tiny_data, monkeypatch):
    monkeypatch.setattr("umbel.recipes.build.load_data", lambda name, **options: tiny_data)
    settings = dataclasses.replace(SMALL, data=DataSettings(data="tiny"), pairs="side/brightness")
    says = "'brightness' is a task of kind regression"
    laws.assert_refused_before_writing(MULTI_RECEIVER, settings, tmp_path, says)


def test_a_fading_that_digital_links_do_not_know_is_a_warning(tmp_path):
    link = LinkSettings(channels="rician", test_snr_db="5", draws=1)
    small = {"pairs": "parity/loops", "uses": "2", "sweep_uses": 2, "sweep_weights": "", "unequal_snr_db": ""}
    settings = dataclasses.replace(SMALL, link=link, seeds=1, **small)
    results, _ = laws.run(MULTI_RECEIVER, settings, tmp_path / "new")
    assert any("none is shown for rician" in warning for warning in results.warnings)
    assert {run.method for run in results.runs} == {JOINT, SAME, EACH, REUSED, CLEAN}
    assert not any(claim.name.startswith("labels") for claim in results.claims)


def test_pictures_that_cannot_be_coded_are_left_out_with_a_warning(tmp_path, monkeypatch):
    data = load_data("digits")

    def brighter(source):
        samples = source.samples
        return TensorSource(dataclasses.replace(samples, inputs=samples.inputs / 255 + 1))

    bright = {split: brighter(getattr(data, split)) for split in ("train", "validation", "test")}
    monkeypatch.setattr("umbel.recipes.build.load_data", lambda name, **options: dataclasses.replace(data, **bright))
    small = {"pairs": "parity/loops", "uses": "2", "sweep_uses": 2, "sweep_weights": "", "unequal_snr_db": ""}
    link = LinkSettings(channels="awgn", test_snr_db="5", draws=1)
    results, _ = laws.run(MULTI_RECEIVER, dataclasses.replace(SMALL, link=link, seeds=1, **small), tmp_path / "new")
    assert any("The coded picture is left out: pictures outside 0 to 1" in warning for warning in results.warnings)
    assert {run.method for run in results.runs} == {JOINT, SAME, EACH, REUSED, CLEAN, GENIE}


def test_whether_one_label_determines_the_other_is_counted():
    labels = {"a": torch.tensor([0, 1, 2, 3, 3]), "b": torch.tensor([0, 0, 1, 1, -1])}
    nested, back = guesses(labels, ["a", "b"])
    assert nested == {"known": "a", "wanted": "b", "right": 1.0, "right without": 0.5}
    assert back == {"known": "b", "wanted": "a", "right": 0.5, "right without": 0.25}


def test_uses_to_a_target_are_linear_in_their_logarithm():
    curve = [(2, 70.0), (4, 80.0), (8, 90.0)]
    assert uses_to(85, curve) == pytest.approx(4 * 2**0.5)
    assert uses_to(80, curve) == pytest.approx(4)
    assert uses_to(95, curve) != uses_to(95, curve), "NaN: never reached"
    assert uses_to(60, curve) != uses_to(60, curve), "NaN: the first point is beyond it"


ASKED = dataclasses.replace(SMALL, pairs="a/b", uses="2/4/8", sweep_weights="0.2/0.5/0.8")
TOLD = [{"known": "a", "wanted": "b", "right": 0.75, "right without": 0.5}]


def runs_of(arm, accuracies, **more):
    """Two seeds, 0.1 point apart; accuracy of both tasks in percent, by uses."""
    runs = []
    for uses, value in accuracies.items():
        for seed in (0, 1):
            first, second = value if isinstance(value, tuple) else (value, value)
            metrics = {"a": {"accuracy": (first + seed / 10) / 100}, "b": {"accuracy": (second + seed / 10) / 100}}
            point = {"pair": "a/b", "channel": "awgn", "uses": uses, "snr_db": 10.0, **more}
            runs.append(Run(arm, seed, metrics, point, metrics))
    return runs


def told(joint, same, each, weights=None):
    runs = runs_of(JOINT, joint) + runs_of(SAME, same) + runs_of(EACH, each)
    for weight, value in (weights or {0.2: (70, 90), 0.5: (80, 85), 0.8: (90, 80)}).items():
        runs += runs_of(WEIGHTS, {4: value}, weight=weight)
    return runs


def found_in(runs):
    """What is said of made-up runs."""
    methods = tuple(MethodInfo(key, key) for key in dict.fromkeys(run.method for run in runs))
    tasks = tuple(TaskInfo(name, "classification", "accuracy", True) for name in "ab")
    settings, facts = dataclasses.asdict(ASKED), {GUESSES: {"a/b": TOLD}}
    return findings(
        Results("multi_receiver", "", "", DataInfo("d"), tasks, methods, tuple(runs), None, settings, facts=facts)
    )


def by_name(runs):
    return {claim.name.partition(":")[0]: claim for claim in found_in(runs).claims}


AS_GOOD = ({2: 70, 4: 85, 8: 95}, {2: 60, 4: 70, 8: 85}, {2: 70, 4: 85, 8: 95})
"""Sharing is as good as networks with n uses each."""


def test_sharing_that_is_as_good_as_n_each_saves_half():
    claims = by_name(told(*AS_GOOD))
    assert claims["saving"].value == pytest.approx(50, abs=0.5)
    assert claims["same-total"].value == pytest.approx((10 + 15 + 10) / 3)
    assert claims["near-n-each"].value == pytest.approx(0, abs=1e-9)
    assert all(claim.state == "shown" for claim in claims.values())
    assert FEW == 8
    assert "labels" not in claims, "no genie was measured"


def test_what_falls_short_is_said():
    claims = by_name(told({2: 60, 4: (84, 66), 8: 85}, {2: 60, 4: 70, 8: 85}, {2: 70, 4: 85, 8: 95}))
    assert claims["worst-task"].value == pytest.approx(-4)
    assert "b at 4 uses" in claims["worst-task"].statement
    assert {claims[name].state for name in ("worst-task", "near-n-each")} == {"refuted"}
    assert claims["same-total"].value == pytest.approx(5 / 3)


def test_a_target_out_of_reach_is_not_measured():
    claims = by_name(told({2: 60, 4: 70, 8: 80}, {2: 60, 4: 70, 8: 80}, {2: 70, 4: 80, 8: 95}))
    assert claims["saving"].value is None
    assert "outside what was measured" in claims["saving"].reason
    easy = by_name(told({2: 95, 4: 95, 8: 95}, {2: 93, 4: 94, 8: 95}, {2: 94, 4: 95, 8: 95}))
    assert "2 uses suffice" in easy["saving"].reason


def test_a_target_that_the_fewest_uses_exceed_gives_the_least_that_is_saved():
    """95 % of 100 is reached by single-task networks at 8 uses in all, and by sharing at 2 or fewer."""
    claims = by_name(told({2: 96, 4: 97, 8: 98}, {2: 60, 4: 70, 8: 95}, {2: 70, 4: 95, 8: 100}))
    assert claims["saving"].value == pytest.approx(75, abs=0.5)


def test_weights_that_turn_an_accuracy_the_wrong_way_are_refuted():
    right = by_name(told(*AS_GOOD))
    assert right["weight of a"].value == pytest.approx(20) and right["weight of b"].value == pytest.approx(10)
    wrong = by_name(told(*AS_GOOD, weights={0.2: (70, 90), 0.5: (80, 85), 0.8: (66, 80)}))
    assert (wrong["weight of a"].state, wrong["weight of b"].state) == ("refuted", "shown")
    assert wrong["weight of a"].value == pytest.approx(-4)


def test_the_verdict_speaks_of_every_case():
    runs = told(*AS_GOOD)
    runs += [
        Run(CLEAN, seed, {"a": {"accuracy": 0.9}, "b": {"accuracy": 1.0}}, {"pair": "a/b", "channel": "none"})
        for seed in (0, 1)
    ]
    unequal = {"a": 3.0, "b": 10.0}
    runs += runs_of(JOINT, {4: 80}, snr_db=unequal) + runs_of(UNEQUAL, {4: 81}, snr_db=unequal)
    sentences = found_in(runs).verdict
    assert len(sentences) == 3
    assert "+10.0 ± 0.0 points at 2" in sentences[0] and "it saves 50 ± 0 % of the uses" in sentences[0]
    assert "the clean picture 95.0 %" in sentences[1]
    assert "(a 3 dB, b 10 dB) a network trained for them changes it by +1.0 ± 0.0 points" in sentences[1]
    assert sentences[2].startswith("a/b: a does not determine b (the best guess from it is right for 75.0%, without")


def test_the_recipe_is_on_the_list_and_its_settings_are_sound():
    assert RECIPES["multi_receiver"] is MULTI_RECEIVER
    assert MULTI_RECEIVER.quick is QUICK
    assert MultiReceiverSettings().middle_snr_db == 5.0
    assert {"parity", "large", "digit"} == {name for group in MultiReceiverSettings().groups for name in group}


def test_settings_say_which_networks_and_ranges_they_mean():
    assert SMALL.single_uses == {"parity": [1, 2, 4], "loops": [1, 2, 4], "digit": [1, 2, 4]}
    assert SMALL.unequal_ranges(["a", "b", "c"]) == {"a": (0.0, 3.0), "b": (10.0, 10.0), "c": (10.0, 10.0)}
    assert dataclasses.replace(SMALL, unequal_snr_db="").unequal_of(["a", "b"]) == {}
    assert SMALL.swept == ("awgn", 4)
