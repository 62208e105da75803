"""The gradient split study on a few steps: every arm, the matrices, cost, another set, claims from known numbers."""

import dataclasses
import json
import re
import shutil

import pytest
import torch
from small_studies import timeless

from umbel import tasks
from umbel.core import Batch, UmbelError
from umbel.data import MultiTaskData, TensorSource
from umbel.descent import Affinity, GradSplit
from umbel.engine import FitSettings, open_runtime
from umbel.recipes import RECIPES
from umbel.recipes.bench import SINGLE
from umbel.recipes.build import load_data, make_learner
from umbel.recipes.gradsplit import QUICK, GradSplitSettings
from umbel.recipes.gradsplit.arms import (
    JOINT,
    MEASURED,
    MTAN,
    OWN,
    RANDOM,
    AfterWarmUp,
    Bench,
    affinity_record,
    arm_learner,
    random_matrix,
    read_affinity,
)
from umbel.recipes.gradsplit.charts import charts
from umbel.recipes.gradsplit.measure import check_same_cost, inference_cost, load_other_set, most_frequent
from umbel.recipes.gradsplit.reading import Numbers
from umbel.recipes.gradsplit.study import gradsplit_study
from umbel.recipes.gradsplit.verdict import claims, verdict
from umbel.recipes.settings import DataSettings, ModelSettings
from umbel.recipes.study import Outcome, Study
from umbel.report import Results
from umbel.report.schema import plain

SMALL = dataclasses.replace(
    QUICK,
    data=DataSettings(data="digits", tasks="digit,parity,loops", train_size=200),
    model=ModelSettings(encoder_options="widths=8/16"),
    others="own,random,pcgrad,mtan",
    warm_up=0.5,
    every=1,
    unsure="refuse",
    cross_set="other-digits:digit",
    fit=FitSettings(steps=8, batch_size=32, precision="float32", learning_rate=0.01, tensorboard=False),
)
DIGITS = load_data(dataclasses.replace(SMALL.data, tasks="digit"))


def load_with_another_set(monkeypatch):
    """Digits again, under another name, as the set that was never seen."""
    real = load_data

    def load(settings):
        return dataclasses.replace(DIGITS, name="other-digits") if settings.data == "other-digits" else real(settings)

    monkeypatch.setattr("umbel.recipes.gradsplit.measure.load_data", load)


def run(out, settings=SMALL, resume=False):
    with pytest.MonkeyPatch.context() as patched:
        load_with_another_set(patched)
        return gradsplit_study(settings, Study(out, open_runtime(), "umbel run gradsplit", resume))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "out"


@pytest.fixture(scope="module")
def results(folder):
    return run(folder)


def without_times(results):
    """Plain results; the last sentence and the chart of prices are of times."""
    found = timeless(json.loads(results.to_json()))
    found["verdict"].pop()
    found["charts"] = [chart for chart in found["charts"] if chart["section"] != "Quality and price"]
    return found


def runs(results, arm):
    return [run for run in results.runs if run.method == arm]


def test_every_arm_is_run_for_every_seed(results):
    arms = [SINGLE, JOINT, MEASURED, OWN, RANDOM, "pcgrad", MTAN]
    assert [method.key for method in results.methods] == arms
    for arm in arms:
        assert [found.seed for found in runs(results, arm)] == [0, 1]
        assert all(set(found.metrics) == {"digit", "parity", "loops"} for found in runs(results, arm))
    assert results.reference == SINGLE
    assert Results.from_json(results.to_json()) == results
    assert {claim.name for claim in results.claims} == {"beats-joint", "beats-own", "beats-random", "same-inference"}


def test_the_matrices_are_kept_and_the_random_one_is_as_dense(results, folder):
    for measured, random in zip(runs(results, MEASURED), runs(results, RANDOM), strict=True):
        file = folder / "networks" / MEASURED / f"seed-{measured.seed}" / "affinity.json"
        found = read_affinity(file.read_text())
        assert measured.settings["accept"] == found.accept.int().tolist()
        assert found.count.min() == 4, "steps of the warm-up"
        drawn = torch.tensor(random.settings["accept"])
        assert drawn.sum() == found.accept.sum()
        assert (drawn.diagonal() == 1).all()


def test_splitting_costs_nothing_at_inference_and_attention_does(results):
    parameters = {method.key: method.parameters for method in results.methods}
    assert parameters[MEASURED] == parameters[OWN] == parameters[RANDOM] == parameters[JOINT]
    assert parameters[JOINT] < parameters[MTAN] < parameters[SINGLE]
    described = {method.key: method.description.split("; ")[-2] for method in results.methods}
    assert described[MEASURED] == described[OWN] == described[RANDOM] == described[JOINT]
    assert len({described[arm] for arm in (JOINT, MTAN, SINGLE)}) == 3
    claim = next(claim for claim in results.claims if claim.name == "same-inference")
    assert (claim.value, claim.holds) == (0.0, True)


def test_the_memory_of_a_training_step_is_told(results):
    described = {method.key: method.description.split("; ")[-1] for method in results.methods}
    assert all(re.fullmatch(r"\d+\.\d MB of activations and gradients at the peak .*", d) for d in described.values())
    assert all(float(d.split()[0]) > 0 for d in described.values())


def test_the_other_set_is_a_metric_of_its_task(results):
    """The other set is the same digits here, so that the numbers must be those of the test split."""
    digit = next(task for task in results.tasks if task.name == "digit")
    assert digit.metrics[-1] == "accuracy on other-digits"
    for found in results.runs:
        assert found.metrics["digit"]["accuracy on other-digits"] == pytest.approx(found.metrics["digit"]["accuracy"])
        assert "accuracy on other-digits" not in found.metrics["loops"]
    assert any("on other-digits, where no network learnt it" in sentence for sentence in results.verdict)


@pytest.mark.slow
def test_a_study_that_was_stopped_goes_on_and_ends_the_same(folder, results, tmp_path):
    """Without the networks after the measured one, whose matrix is taken from its file."""
    shutil.copytree(folder, tmp_path / "out")
    for arm in (RANDOM, MTAN):
        shutil.rmtree(tmp_path / "out" / "networks" / arm)
    again = run(tmp_path / "out", resume=True)
    assert without_times(again) == without_times(results)


def test_other_settings_are_refused(folder, results):
    with pytest.raises(UmbelError, match="was begun with every=1, not 2"):
        run(folder, dataclasses.replace(SMALL, every=2), resume=True)


def test_the_random_matrix_is_another_one_of_the_same_density():
    measured = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 1]]).bool()
    drawn = [random_matrix(measured, seed) for seed in range(30)]
    assert all(matrix.sum() == 6 and matrix.diagonal().all() for matrix in drawn)
    assert not any(torch.equal(matrix, measured) for matrix in drawn)
    assert len({tuple(matrix.flatten().tolist()) for matrix in drawn}) > 5
    assert torch.equal(random_matrix(measured, 4), drawn[4])
    for only in (torch.eye(3).bool(), torch.ones(3, 3).bool()):
        assert torch.equal(random_matrix(only, 0), only)


def test_after_the_warm_up_the_matrix_decides():
    data = load_data(SMALL.data)
    learner = make_learner(SMALL.model, data, 0)
    matrix = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1]]).bool()
    descent = AfterWarmUp(matrix, 2, 0.5)
    descent.prepare(learner)
    batch = next(data.train.train_batches(32, seed=0, epoch=0))

    def gradients(of):
        learner.zero_grad(set_to_none=True)
        of(learner, batch, learner.sweep()[0], open_runtime())
        return [p.grad.clone() for p in learner.parameters()]

    expected = {}
    for name, accept in (("all", "all"), ("given", matrix)):
        split = GradSplit(accept, 0.5)
        split.prepare(learner)
        expected[name] = gradients(split)
    for wanted in ("all", "all", "given", "given"):
        for mine, theirs in zip(gradients(descent), expected[wanted], strict=True):
            torch.testing.assert_close(mine, theirs)
    assert not all(torch.allclose(a, b) for a, b in zip(expected["all"], expected["given"], strict=True))
    assert int(descent.state_dict()["steps"]) == 4


# -- claims from numbers that are known -------------------------------------------------------------


def known(accuracies, accept=((1, 0), (1, 1)), validation=None):
    """Numbers of two tasks, each with a single-task accuracy of 0.5; `accuracies` has one for each arm and seed."""
    data = load_data(DataSettings(data="digits", tasks="parity,loops", train_size=50))
    seeds = len(next(iter(accuracies.values())))
    settings = dataclasses.replace(SMALL, cross_set="none", seeds=seeds)
    bench = Bench(Study(None, open_runtime(), ""), settings, settings.fit, data, {})

    def outcome(test, chosen):
        splits = [{name: {"accuracy": value} for name in ("parity", "loops")} for value in (test, chosen)]
        return Outcome(*splits, 8, 8, 0.1, 1.0, 100)

    for arm, values in {SINGLE: [0.5] * seeds, **accuracies}.items():
        for seed, value in enumerate(values):
            chosen = value if validation is None else validation.get(arm, value)
            bench.outcomes[arm, seed] = outcome(value, chosen)
        bench.costs[arm] = {"macs": 10, "parameters": 100}
    matrix = torch.tensor(accept).bool()
    for seed in range(seeds):
        mean = torch.tensor([[0.02, -0.01 - 0.002 * seed], [0.001, 0.03]], dtype=torch.float64)
        half = torch.full((2, 2), 0.004, dtype=torch.float64)
        count = torch.full((2, 2), 5)
        bench.affinities[seed] = Affinity(("parity", "loops"), mean, half, count, matrix, True)
        bench.drawn[seed] = random_matrix(matrix, seed)
    return Numbers(bench)


def claim(numbers, name):
    return next(claim for claim in claims(numbers) if claim.name == name)


def test_the_gain_over_joint_training_counts_where_that_hurts():
    numbers = known({JOINT: [0.48, 0.47], MEASURED: [0.49, 0.49], OWN: [0.5, 0.49], RANDOM: [0.47, 0.48]})
    assert numbers.delta_m(JOINT, 0) == pytest.approx(-4)
    found = claim(numbers, "beats-joint")
    assert found.value == pytest.approx((2 + 4) / 2)
    assert found.holds
    assert claim(numbers, "beats-own").value == pytest.approx(-1)
    assert not claim(numbers, "beats-own").holds
    assert claim(numbers, "beats-random").value == pytest.approx(3)
    said = " ".join(verdict(numbers))
    assert "Null result: what was claimed did not come out for beats-own." in said
    assert "does not clearly beat joint training" in said, "two seeds have too wide an interval"


def test_whether_joint_training_hurts_is_looked_up_on_validation():
    arms = {JOINT: [0.4, 0.4], MEASURED: [0.49, 0.49], OWN: [0.4, 0.4], RANDOM: [0.4, 0.4]}
    assert claim(known(arms), "beats-joint").holds
    fine = claim(known(arms, validation={JOINT: 0.498}), "beats-joint")
    assert fine.holds is None
    assert fine.reason == "joint training does not hurt here: delta-m is -0.4 ± 0.0 % on validation"


def test_a_matrix_without_an_alternative_is_no_control():
    arms = {JOINT: [0.48, 0.47], MEASURED: [0.48, 0.47], OWN: [0.4, 0.4], RANDOM: [0.48, 0.47]}
    numbers = known(arms, accept=((1, 1), (1, 1)))
    assert claim(numbers, "beats-random").holds is None
    assert "one matrix of that density only" in claim(numbers, "beats-random").reason
    assert "In 2 of 2 seeds the warm-up found no task that clearly hurts a group" in " ".join(verdict(numbers))
    left_out = known({JOINT: [0.4], MEASURED: [0.5]})
    assert claim(left_out, "beats-own").reason == "own is not among --others"
    assert claim(left_out, "beats-random").reason == "random is not among --others"


def test_the_measured_matrix_is_told_with_its_uncertainty():
    arms = {JOINT: [0.48, 0.47], MEASURED: [0.49, 0.49]}
    pair = next(pair for pair in known(arms).pairs() if (pair.task, pair.group) == ("parity", "loops"))
    assert pair.gain.mean == pytest.approx(-1.1)
    assert pair.gain.half_width == pytest.approx(12.706 * 0.1)
    assert pair.accepted == 0
    assert "in the group of loops: parity -1.100 ± 1.271 %, refused in 2 of 2" in " ".join(verdict(known(arms)))
    alone = known({arm: values[:1] for arm, values in arms.items()})
    pair = next(pair for pair in alone.pairs() if (pair.task, pair.group) == ("parity", "loops"))
    assert (pair.gain.mean, pair.gain.half_width) == pytest.approx((-1, 0.4)), "the warm-up's, with one seed"
    matrix = charts(alone)[0]
    by_label = {series.label: series for series in matrix.series}
    assert (by_label["a step of parity"].x, by_label["a step of parity"].y) == ((2.0,), (-1.0,))


def test_what_was_measured_survives_its_file():
    half = torch.tensor([[0.1, torch.inf], [0.2, 0.3]], dtype=torch.float64)
    mean = torch.tensor([[0.1, torch.nan], [-0.2, 0.3]], dtype=torch.float64)
    accept = torch.tensor([[1, 1], [0, 1]]).bool()
    found = Affinity(("a", "b"), mean, half, torch.tensor([[2, 1], [3, 4]]), accept, True)
    again = read_affinity(json.dumps(plain(affinity_record(found))))
    assert again.names == found.names
    for name in ("mean", "half_width", "count", "accept"):
        torch.testing.assert_close(getattr(again, name), getattr(found, name), equal_nan=True)


def test_another_cost_of_inference_is_an_error():
    same = {"macs": 10, "parameters": 5}
    check_same_cost({JOINT: same, OWN: dict(same), MTAN: {"macs": 12, "parameters": 9}})
    with pytest.raises(UmbelError, match="the network of arm 'measured' costs"):
        check_same_cost({JOINT: same, MEASURED: {"macs": 11, "parameters": 5}})


def test_costs_are_counted_on_the_networks(tmp_path):
    data = load_data(SMALL.data)
    bench = Bench(Study(tmp_path, open_runtime(), ""), SMALL, SMALL.fit, data, {})
    joint = inference_cost([arm_learner(bench, JOINT, 0)], data.input_shape)
    pixels = 16, 4  # the map behind each of the two layers, which shrink 8x8 twice
    by_hand = pixels[0] * 8 * 1 * 9 + pixels[1] * 16 * 8 * 9 + 16 * (10 + 2 + 2)
    assert joint["macs"] == by_hand
    attended = inference_cost([arm_learner(bench, MTAN, 0)], data.input_shape)
    assert attended["macs"] - joint["macs"] == 3 * pixels[1] * 16 * 16
    assert attended["parameters"] - joint["parameters"] == 3 * (16 * 16 + 2 * 16)


# -- the other set ----------------------------------------------------------------------------------


def faces(name, labels=("female", "male"), size=8, count=12, extra=()):
    generator = torch.Generator().manual_seed(2)
    kinds = (tasks.classification("gender", labels), *extra)
    targets = {"gender": torch.arange(count) % 3 // 2}
    part = TensorSource(Batch(torch.rand(count, 3, size, size, generator=generator), targets))
    return MultiTaskData(name, name, kinds, part, part, part, (3, size, size))


def other_set(monkeypatch, data, other, wanted="there:gender"):
    monkeypatch.setattr("umbel.recipes.gradsplit.measure.load_data", lambda settings: other)
    settings = dataclasses.replace(SMALL, data=DataSettings(data=data.name), cross_set=wanted)
    return load_other_set(settings, data, Study(None, open_runtime(), ""))


def test_a_set_whose_labels_mean_something_else_is_refused(monkeypatch):
    here = faces("here")
    assert other_set(monkeypatch, here, faces("there")).name == "there"
    assert most_frequent(faces("there")) == pytest.approx(2 / 3)
    with pytest.raises(UmbelError, match="task 'gender' has labels female, male in here but male, female in there"):
        other_set(monkeypatch, here, faces("there", ("male", "female")))
    with pytest.raises(UmbelError, match=r"inputs of shape \(3, 16, 16\), here of \(3, 8, 8\); say --resolution"):
        other_set(monkeypatch, here, faces("there", size=16))
    with pytest.raises(UmbelError, match="unknown task in --cross-set 'age'"):
        other_set(monkeypatch, here, faces("there"), "there:age")
    with pytest.raises(UmbelError, match="that is the set that is learnt from"):
        other_set(monkeypatch, here, faces("there"), "here:gender")


def test_the_usual_other_set_is_left_out_with_a_warning_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    study = Study(None, open_runtime(), "")
    settings = GradSplitSettings()
    assert settings.other_set == ("lfw64", "gender")
    assert load_other_set(settings, faces("utkface64"), study) is None
    assert "lfw64 was not found" in study.warnings[0]
    assert load_other_set(dataclasses.replace(settings, cross_set="none"), faces("utkface64"), study) is None
    assert QUICK.other_set is None


@pytest.mark.parametrize(
    ("options", "other"),
    [("", "utkface64"), ("ethnicity=", "utkface64"), ("gender=utkface64", "lfw64"), ("gender=utkface64+lfw64", None)],
)
def test_in_the_mixture_gender_is_tested_where_it_was_not_learnt(options, other):
    settings = dataclasses.replace(SMALL, data=DataSettings(data="faces", options=options), cross_set="auto")
    assert settings.other_set == (other and (other, "gender"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 0.0}, "layers is 0.0"),
        ({"warm_up": 1.0}, "warm_up is 1.0"),
        ({"every": 0}, "every is 0"),
        ({"look_ahead": 0.0}, "look_ahead is 0.0"),
        ({"seeds": 0}, "seeds is 0"),
        ({"reference_passes": 0.0}, "reference_passes is 0.0"),
        ({"cross_set": "lfw64"}, "write a set and one of its tasks"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(UmbelError, match=message):
        dataclasses.replace(SMALL, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"others": "owns"}, "unknown descent 'owns'"),
        ({"model": ModelSettings(encoder_options="widths=8/2")}, "too few for 3 groups"),
        ({"data": DataSettings(data="digits", tasks="digit")}, "the learner has one task"),
        ({"warm_up": 0.95}, "too short for a warm-up"),
        ({"model": ModelSettings(encoder="mlp")}, "attention of a task needs feature maps"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_folder_is_made(change, message, tmp_path):
    with pytest.raises(UmbelError, match=message):
        run(tmp_path / "out", dataclasses.replace(SMALL, **change))
    assert not (tmp_path / "out").exists()


def test_the_recipe_can_be_run_by_name():
    assert RECIPES["gradsplit"].quick is QUICK
    assert QUICK.beside == ["own", "random", "pcgrad", "upgrad", "mtan"]
