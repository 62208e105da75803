"""The gradient split study on a few steps: every arm, the matrices, cost, another set, claims from known numbers."""

import dataclasses
import json
import math

import pytest
import study_laws as laws
import torch

from umbel import tasks
from umbel.core import Batch, UmbelError
from umbel.data import MultiTaskData, TensorSource
from umbel.descent import Affinity, AfterWarmUp, GradSplit, random_matrix
from umbel.engine import FitSettings, open_runtime
from umbel.recipes import RECIPES
from umbel.recipes.build import make_learner, open_data
from umbel.recipes.gradsplit import GRADSPLIT, QUICK, GradSplitSettings
from umbel.recipes.gradsplit.findings import findings
from umbel.recipes.gradsplit.study import (
    JOINT,
    MACS,
    MEASURED,
    MTAN,
    OWN,
    PEAK,
    RANDOM,
    arm_of,
    check_same_inference,
    inference_macs,
    other_set,
    training_of,
)
from umbel.recipes.other_set import load_other_set, most_frequent, on_other_set
from umbel.recipes.references import SINGLE, joint_job
from umbel.recipes.settings import DataSettings, ModelSettings
from umbel.report import NOT_SHOWN, SHOWN, DataInfo, MethodInfo, Results, Run, TaskInfo
from umbel.report.schema import finite_again, plain
from umbel.study import Bench, Study

SMALL = dataclasses.replace(
    QUICK,
    data=DataSettings(data="digits", tasks="digit,parity,loops", train_size=200),
    model=ModelSettings(encoder_options="widths=8/16"),
    others="own,random,pcgrad,mtan",
    warm_up=0.5,
    every=1,
    unsure="refuse",
    cross_set="other-digits:digit",
    fit=FitSettings(steps=8, batch_size=32, precision="float32", learning_rate=0.01, log_every=2, tensorboard=False),
)
DIGITS = open_data(dataclasses.replace(SMALL.data, tasks="digit"))


@pytest.fixture(scope="module", autouse=True)
def another_set():
    """Digits again, under another name, as the set that was never seen."""
    real = open_data

    def load(settings):
        return dataclasses.replace(DIGITS, name="other-digits") if settings.data == "other-digits" else real(settings)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("umbel.recipes.other_set.open_data", load)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return laws.run(GRADSPLIT, SMALL, tmp_path_factory.mktemp("study") / "out")


@pytest.fixture(scope="module")
def results(finished):
    return finished[0]


def runs(results, arm):
    return [run for run in results.runs if run.method == arm]


def test_every_arm_is_run_for_every_seed(results):
    arms = [SINGLE, JOINT, MEASURED, OWN, RANDOM, "pcgrad", MTAN]
    assert [method.key for method in results.methods] == arms
    for arm in arms:
        assert [run.repeat for run in runs(results, arm)] == [0, 1]
        assert all(set(run.metrics) == {"digit", "parity", "loops"} for run in runs(results, arm))
    assert results.reference == SINGLE
    assert Results.from_json(results.to_json()).to_json() == results.to_json()
    assert {claim.name for claim in results.claims} == {"beats-joint", "beats-own", "beats-random"}


def test_the_matrices_are_kept_and_the_random_one_is_as_dense(results, finished):
    for measured, random in zip(runs(results, MEASURED), runs(results, RANDOM), strict=True):
        file = finished[1] / "networks" / MEASURED / f"repeat-{measured.repeat}" / "affinity.json"
        kept = Affinity.of_record(json.loads(file.read_text()))
        assert measured.settings["accept"] == kept.accept.int().tolist()
        assert kept.count.min() == 4, "steps of the warm-up"
        drawn = torch.tensor(random.settings["accept"])
        assert torch.equal(drawn.bool(), random_matrix(kept.accept, random.repeat))
        assert (drawn.diagonal() == 1).all()


def test_the_matrix_on_the_page_is_the_mean_over_the_seeds(results):
    (matrix,) = results.matrices
    first, second = (torch.tensor(run.settings["mean"]) for run in runs(results, MEASURED))
    drawn = torch.tensor(matrix.values)
    expected = 50 * (first + second)
    assert matrix.rows == matrix.columns == ("digit", "parity", "loops")
    assert drawn.diagonal().isnan().all()
    outside = ~torch.eye(3, dtype=torch.bool)
    torch.testing.assert_close(drawn[outside], expected[outside])


def test_splitting_costs_nothing_at_inference_and_attention_does(results):
    parameters = {method.key: method.parameters for method in results.methods}
    assert parameters[MEASURED] == parameters[OWN] == parameters[RANDOM] == parameters[JOINT]
    assert parameters[JOINT] < parameters[MTAN] < parameters[SINGLE]
    macs = {method.key: method.costs[MACS] for method in results.methods}
    assert macs[MEASURED] == macs[OWN] == macs[RANDOM] == macs[JOINT] < macs[MTAN] < macs[SINGLE]
    assert all(0 < method.costs[PEAK] < 1e7 for method in results.methods)


def test_the_other_set_is_a_metric_of_its_task(results):
    """The other set is the same digits here, so that the numbers must be those of the test split."""
    digit = next(task for task in results.tasks if task.name == "digit")
    assert digit.metrics[-1] == "accuracy on other-digits"
    for run in results.runs:
        assert run.metrics["digit"]["accuracy on other-digits"] == pytest.approx(run.metrics["digit"]["accuracy"])
        assert "accuracy on other-digits" not in run.metrics["loops"]
    assert any("on other-digits, where no network learnt it" in sentence for sentence in results.verdict)
    assert results.charts[-1].section == "Another set"


def test_it_obeys_the_laws_of_studies(finished):
    laws.assert_nothing_is_done_twice(GRADSPLIT, SMALL, finished)
    laws.assert_follows_from_its_runs(GRADSPLIT, finished[0])


def test_a_killed_study_goes_on(tmp_path):
    """Killed behind its warm-up, whose matrix the random arm needs."""
    small = dataclasses.replace(SMALL, seeds=1, others="random", cross_set="none")
    whole = laws.run(GRADSPLIT, small, tmp_path / "whole")
    laws.assert_goes_on_after_a_kill(GRADSPLIT, small, whole, tmp_path, "measured, repeat 0", 6)


def test_other_settings_are_refused(finished):
    with pytest.raises(UmbelError, match="was begun with every=1, not 2"):
        laws.run(GRADSPLIT, dataclasses.replace(SMALL, every=2), finished[1], resume=True)


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
    data = open_data(SMALL.data)
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
    """Results of two tasks, each with a single-task accuracy of 0.5; `accuracies` has one for each arm and seed."""
    names, matrix = ("parity", "loops"), torch.tensor(accept).bool()

    def chosen(arm, seed):
        mean = [[0.02, -0.01 - 0.002 * seed], [0.001, 0.03]]
        rest = {"half_width": [[0.004] * 2] * 2, "count": [[5] * 2] * 2, "accept": matrix.int().tolist()}
        drawn = {"accept": random_matrix(matrix, seed).int().tolist()}
        return {MEASURED: {"tasks": list(names), "mean": mean, **rest}, RANDOM: drawn}.get(arm, {})

    seeds = len(next(iter(accuracies.values())))
    made, methods = [], []
    for arm, values in {SINGLE: [0.5] * seeds, **accuracies}.items():
        methods.append(MethodInfo(arm, arm_of(arm).title, "", 100, (0.1,) * seeds, {MACS: 10.0, PEAK: 5.0}))
        for seed, value in enumerate(values):
            on_validation = value if validation is None else validation.get(arm, value)
            splits = [{name: {"accuracy": one} for name in names} for one in (value, on_validation)]
            made.append(Run(arm, seed, splits[0], {}, splits[1], 8, 1.0, 8, chosen(arm, seed)))
    infos = [TaskInfo(name, "classification", "accuracy", True, "", ("a", "b"), ("accuracy",)) for name in names]
    return Results("gradsplit", "By hand", "", DataInfo("toy"), infos, methods, made, SINGLE)


def claim(results, name):
    return next(claim for claim in findings(results).claims if claim.name == name)


def test_the_gain_over_joint_training_counts_where_that_hurts():
    results = known({JOINT: [0.48, 0.47], MEASURED: [0.49, 0.49], OWN: [0.5, 0.49], RANDOM: [0.47, 0.48]})
    assert claim(results, "beats-joint").value == pytest.approx((2 + 4) / 2)
    assert claim(results, "beats-joint").state == NOT_SHOWN, "two seeds have too wide an interval"
    assert claim(results, "beats-own").value == pytest.approx(-1)
    assert claim(results, "beats-random").value == pytest.approx(3)
    assert "does not clearly beat joint training" in " ".join(findings(results).verdict)


def test_what_is_clear_is_shown_and_what_failed_is_said():
    arms = {JOINT: [0.48, 0.48], MEASURED: [0.49, 0.49], OWN: [0.5, 0.5], RANDOM: [0.47, 0.47]}
    results = known(arms)
    assert [one.state for one in findings(results).claims] == [SHOWN, "refuted", SHOWN]
    said = " ".join(findings(results).verdict)
    assert "Joint training hurts here" in said and "the measured split is better" in said
    assert "Null result: what was claimed did not come out for beats-own." in said


def test_whether_joint_training_hurts_is_looked_up_on_validation():
    arms = {JOINT: [0.4, 0.4], MEASURED: [0.49, 0.49], OWN: [0.4, 0.4], RANDOM: [0.4, 0.4]}
    assert claim(known(arms), "beats-joint").state == SHOWN
    fine = claim(known(arms, validation={JOINT: 0.498}), "beats-joint")
    assert (fine.state, fine.value) == (NOT_SHOWN, None)
    assert fine.reason == "joint training does not hurt here: delta-m is -0.4 ± 0.0 % on validation"


def test_a_matrix_without_an_alternative_is_no_control():
    arms = {JOINT: [0.48, 0.47], MEASURED: [0.48, 0.47], OWN: [0.4, 0.4], RANDOM: [0.48, 0.47]}
    results = known(arms, accept=((1, 1), (1, 1)))
    assert claim(results, "beats-random").value is None
    assert "one matrix of that density only" in claim(results, "beats-random").reason
    assert "In 2 of 2 seeds the warm-up found no task that clearly hurts a group" in " ".join(findings(results).verdict)
    left_out = known({JOINT: [0.4], MEASURED: [0.5]})
    assert claim(left_out, "beats-own").reason == "own is not among --others"
    assert claim(left_out, "beats-random").reason == "random is not among --others"


def with_the_measured_matrix(results, repeat):
    """The random arm accepts what was measured in a seed, so that it is no control there."""
    runs = [
        dataclasses.replace(run, settings={"accept": [[1, 0], [1, 1]]})
        if (run.method, run.repeat) == (RANDOM, repeat)
        else run
        for run in results.runs
    ]
    return dataclasses.replace(results, runs=runs)


def test_only_seeds_with_another_matrix_count_as_control():
    """In the last seed the drawn matrix is the measured one, so its difference of 18 points says nothing."""
    seeds = {JOINT: [0.48] * 3, MEASURED: [0.48, 0.48, 0.49], OWN: [0.4] * 3, RANDOM: [0.47, 0.46, 0.4]}
    results = with_the_measured_matrix(known(seeds), 2)
    assert claim(results, "beats-random").value == pytest.approx((2 + 4) / 2)
    alone = claim(with_the_measured_matrix(results, 1), "beats-random")
    assert alone.value is None and "in 2 of 3 seeds" in alone.reason


def test_the_measured_matrix_is_told_with_its_uncertainty():
    arms = {JOINT: [0.48, 0.47], MEASURED: [0.49, 0.49]}
    half = 12.706 * 0.1
    said = " ".join(findings(known(arms)).verdict)
    assert f"in the group of loops: parity -1.100 ± {half:.3f} %, refused in 2 of 2" in said
    assert findings(known(arms)).matrices[0].values[0][1] == pytest.approx(-1.1)
    alone = findings(known({arm: values[:1] for arm, values in arms.items()}))
    assert "in the group of loops: parity -1.000 ± 0.400 %" in " ".join(alone.verdict), "the warm-up's, with one seed"
    assert alone.matrices[0].values[0][1] == pytest.approx(-1.0)


def test_what_was_measured_survives_its_file():
    half = torch.tensor([[0.1, torch.inf], [0.2, 0.3]], dtype=torch.float64)
    mean = torch.tensor([[0.1, torch.nan], [-0.2, 0.3]], dtype=torch.float64)
    accept = torch.tensor([[1, 1], [0, 1]]).bool()
    measured = Affinity(("a", "b"), mean, half, torch.tensor([[2, 1], [3, 4]]), accept, True)
    again = Affinity.of_record(finite_again(json.loads(json.dumps(plain(measured.record())))))
    assert again.names == measured.names
    for name in ("mean", "half_width", "count", "accept"):
        torch.testing.assert_close(getattr(again, name), getattr(measured, name), equal_nan=True)


def test_a_pair_that_was_never_measured_is_blank():
    results = known({JOINT: [0.48, 0.47], MEASURED: [0.49, 0.49]})
    for run in runs(results, MEASURED):
        run.settings["mean"][0][1] = "NaN"
    made = findings(results)
    assert math.isnan(made.matrices[0].values[0][1])
    assert "in the group of loops: parity not measured" in " ".join(made.verdict)


def test_another_cost_of_inference_is_an_error():
    check_same_inference({JOINT: 10, OWN: 10, MTAN: 12})
    with pytest.raises(UmbelError, match="the network of arm 'measured' takes 11"):
        check_same_inference({JOINT: 10, MEASURED: 11})


def test_costs_are_counted_on_the_networks(tmp_path):
    data = open_data(SMALL.data)
    bench = Bench(Study(tmp_path, open_runtime(), ""), SMALL, SMALL.fit, data)
    joint, attended = (training_of(bench, joint_job(data, arm, 0)).learner for arm in (JOINT, MTAN))
    pixels = 16, 4  # the map behind each of the two layers, which shrink 8x8 twice
    by_hand = pixels[0] * 8 * 1 * 9 + pixels[1] * 16 * 8 * 9 + 16 * (10 + 2 + 2)
    assert inference_macs(joint, data.input_shape) == by_hand
    assert inference_macs(attended, data.input_shape) - by_hand == 3 * pixels[1] * 16 * 16
    sizes = [sum(p.numel() for p in learner.parameters()) for learner in (joint, attended)]
    assert sizes[1] - sizes[0] == 3 * (16 * 16 + 2 * 16)


def test_all_arms_start_with_the_same_network(tmp_path):
    data = open_data(SMALL.data)
    bench = Bench(Study(tmp_path, open_runtime(), ""), SMALL, SMALL.fit, data)
    starts = [training_of(bench, joint_job(data, arm, 1)).learner.model for arm in (JOINT, MEASURED, OWN, RANDOM, MTAN)]
    for model in starts[1:]:
        for mine, theirs in zip(model.encoder.parameters(), starts[0].encoder.parameters(), strict=True):
            assert torch.equal(mine, theirs)


# -- the other set ----------------------------------------------------------------------------------


def faces(name, labels=("female", "male"), size=8, count=12, extra=()):
    generator = torch.Generator().manual_seed(2)
    kinds = (tasks.classification("gender", labels), *extra)
    targets = {"gender": torch.arange(count) % 3 // 2}
    part = TensorSource(Batch(torch.rand(count, 3, size, size, generator=generator), targets))
    return MultiTaskData(name, name, kinds, part, part, part, (3, size, size))


def load_there(monkeypatch, data, other, wanted="there", task="gender"):
    monkeypatch.setattr("umbel.recipes.other_set.open_data", lambda settings: other)
    return load_other_set(wanted, task, data, DataSettings(data=data.name))


def test_a_set_whose_labels_mean_something_else_is_refused(monkeypatch):
    here = faces("here")
    assert load_there(monkeypatch, here, faces("there")).name == "there"
    assert most_frequent(faces("there")) == pytest.approx(2 / 3)
    with pytest.raises(UmbelError, match="task 'gender' has labels female, male in here but male, female in there"):
        load_there(monkeypatch, here, faces("there", ("male", "female")))
    with pytest.raises(UmbelError, match=r"inputs of shape \(3, 16, 16\), here of \(3, 8, 8\); say --resolution"):
        load_there(monkeypatch, here, faces("there", size=16))
    with pytest.raises(UmbelError, match="unknown task in --cross-set 'age'"):
        load_there(monkeypatch, here, faces("there"), "there", "age")
    with pytest.raises(UmbelError, match="that is the set that is learnt from"):
        load_there(monkeypatch, here, faces("there"), "here")


def test_the_usual_other_set_is_left_out_with_a_warning_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    study = Study(None, open_runtime(), "")
    settings = GradSplitSettings()
    assert settings.other_set == ("lfw64", "gender")
    assert other_set(settings, faces("utkface64"), study) is None
    assert "lfw64 was not found" in study.warnings[0]
    assert other_set(dataclasses.replace(settings, cross_set="none"), faces("utkface64"), study) is None
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
    laws.assert_refused_before_writing(GRADSPLIT, dataclasses.replace(SMALL, **change), tmp_path, message)


def test_batches_divide(tmp_path, monkeypatch):
    laws.assert_batches_divide(GRADSPLIT, SMALL, tmp_path, monkeypatch)


def test_on_the_other_set_only_the_one_task_is_asked(monkeypatch):
    """The head of the other task would not fit there."""
    here, there = faces("here", extra=(tasks.classification("age", "ab"),)), faces("there")
    learner = make_learner(SMALL.model, here, 0)
    value = on_other_set(learner, there, open_runtime())
    prediction = learner.eval().model(there.test.samples.inputs, learner.sweep()[0])["gender"].argmax(1)
    expected = (prediction == there.test.samples.targets["gender"]).float().mean()
    assert value == pytest.approx(float(expected))


def test_the_recipe_can_be_run_by_name():
    assert RECIPES["gradsplit"].quick is QUICK
    assert QUICK.beside == ["own", "random", "pcgrad", "upgrad", "mtan"]
