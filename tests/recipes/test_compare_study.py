"""The general study from end to end, on data that trains in a moment."""

import dataclasses
import json

import pytest
import study_laws as laws
import torch
from small_studies import FIT, SMALL, compared, learn_from, toy

from umbel import tasks
from umbel.core import UmbelError
from umbel.data import MultiTaskData, TensorSource
from umbel.data.several import several
from umbel.engine import Silent, load_checkpoint, resolve
from umbel.recipes.compare import COMPARE
from umbel.report import Results
from umbel.study import Study

ARMS = ["single-task", "equal", "pcgrad", "tuned-weights"]


class Counter(Silent):
    """Remembers what a study announced and began."""

    def __init__(self):
        self.expected, self.labels = 0, []

    def expect(self, runs, title="all networks"):
        self.expected += runs

    def begin(self, label, total, done=0):
        self.labels.append(label)


@pytest.fixture(scope="module")
def counter():
    return Counter()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, counter):
    """A comparison of two tasks, three joint arms and two seeds: (results, folder)."""
    return laws.run(COMPARE, SMALL, tmp_path_factory.mktemp("compare") / "study", reporter=counter)


def test_results_have_every_arm_seed_and_task(finished):
    results, out = finished
    assert [m.key for m in results.methods] == ARMS
    assert {(r.method, r.repeat) for r in results.runs} == {(arm, seed) for arm in ARMS for seed in (0, 1)}
    for one in results.runs:
        for metrics in (one.metrics, one.validation):
            assert {task: list(values) for task, values in metrics.items()} == {
                "digit": ["accuracy", "macro F1"],
                "loops": ["accuracy", "macro F1"],
            }
    assert [t.name for t in results.tasks] == ["digit", "loops"]
    assert results.reference == "single-task"
    assert sum(results.data.sizes.values()) == 1797
    assert {c.name for c in results.claims} == {"joint-not-worse", "gradients-beat-weights"}
    assert {s.file for s in results.samples} == {"samples-single-task.png", "samples-equal.png"}
    assert all((out / s.file).is_file() for s in results.samples)


def test_results_are_whole_after_a_trip_through_json(finished):
    results = finished[0]
    again = Results.from_json(results.to_json())
    assert again.to_json() == results.to_json()


def test_each_run_has_the_curves_of_its_networks(finished):
    results = finished[0]
    for arm in ARMS:
        for seed in (0, 1):
            for task in ("digit", "loops"):
                mine = [c for c in results.curves if (c.method, c.repeat, c.task) == (arm, seed, task) and not c.other]
                assert {(c.name, c.split) for c in mine} == {("loss", "train"), ("accuracy", "validation")}, (arm, task)
                assert all(list(c.steps) == [2, 4, 6] for c in mine)


def test_the_progress_announces_as_many_networks_as_are_trained(finished, counter):
    assert counter.expected == len(counter.labels) == 2 * (2 + 3) + 3
    assert len(set(counter.labels)) == len(counter.labels)


def test_the_weights_of_the_best_validation_are_the_ones_tested(finished):
    """Not those of the last step: the best of the logged scores is the one whose metrics are reported."""
    results, out = finished
    for arm in ARMS[1:]:
        for seed in (0, 1):
            rows = Study(out, None, "").log(f"{arm}/repeat-{seed}", "validation")
            best = max(rows, key=lambda row: row["improvement"])
            one = next(r for r in results.runs if (r.method, r.repeat) == (arm, seed))
            assert one.best_step == best["step"], arm
            assert one.validation["digit"]["accuracy"] == pytest.approx(best["digit/accuracy"])
            assert load_checkpoint(resolve(out / "networks" / arm / f"repeat-{seed}")).step == best["step"]


def test_a_reference_begins_with_the_encoder_of_the_joint_network(tmp_path, monkeypatch):
    """And with the same head: else the difference between them is partly luck of the start."""
    starts = {}
    trained = Study.trained

    def watched(self, key, learner, *rest, **more):
        starts[key] = {name: v.clone() for name, v in learner.state_dict().items() if isinstance(v, torch.Tensor)}
        return trained(self, key, learner, *rest, **more)

    monkeypatch.setattr(Study, "trained", watched)
    compared(tmp_path / "study")
    for seed in (0, 1):
        joint = starts[f"equal/repeat-{seed}"]
        for arm in ("pcgrad", "tuned-weights"):
            assert all(torch.equal(v, joint[name]) for name, v in starts[f"{arm}/repeat-{seed}"].items())
        for task in ("digit", "loops"):
            alone = starts[f"single-task/task-{task}/repeat-{seed}"]
            assert any("encoder" in name for name in alone)
            assert all(torch.equal(value, joint[name]) for name, value in alone.items()), (task, seed)
            assert len(alone) < len(joint)
    first, second = starts["equal/repeat-0"], starts["equal/repeat-1"]
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_a_reference_for_a_vector_has_the_encoder_of_the_joint_network_with_maps(tmp_path, monkeypatch):
    """A task with maps makes the joint encoder keep resolution; the references must keep it too."""
    pictures = torch.rand(24, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    side = (pictures[..., :8].mean((1, 2, 3)) > pictures[..., 8:].mean((1, 2, 3))).long()
    kinds = (tasks.classification("side", "lr"), tasks.reconstruction("picture", channels=1))
    settings = learn_from(monkeypatch, toy(kinds, {"side": side}, pictures))
    shapes = {}
    trained = Study.trained

    def watched(self, key, learner, *rest, **more):
        weights = learner.model.encoder.state_dict()
        shapes[key] = (str(learner.model.encoder), {n: v.clone() for n, v in weights.items()})
        return trained(self, key, learner, *rest, **more)

    monkeypatch.setattr(Study, "trained", watched)
    compared(tmp_path / "study", settings)
    text, joint = shapes["equal/repeat-0"]
    for task in ("side", "picture"):
        own_text, alone = shapes[f"single-task/task-{task}/repeat-0"]
        assert own_text == text
        assert all(torch.equal(alone[name], joint[name]) for name in joint)


def test_the_test_split_chooses_nothing(tmp_path, monkeypatch):
    """With the test labels in another order every choice stays: weights, steps, validation; only test numbers move."""
    data = toy()
    shuffled = data.test.samples
    order = torch.randperm(len(shuffled), generator=torch.Generator().manual_seed(1))
    moved = dataclasses.replace(shuffled, targets={name: t[order] for name, t in shuffled.targets.items()})
    both = []
    for number, one in enumerate((data, dataclasses.replace(data, test=TensorSource(moved)))):
        settings = dataclasses.replace(learn_from(monkeypatch, one), tuning_trials=4, descents="equal,pcgrad")
        both.append(compared(tmp_path / str(number), settings))
    one, other = both
    for a, b in zip(one.runs, other.runs, strict=True):
        assert (a.validation, a.best_step, a.settings) == (b.validation, b.best_step, b.settings)
    assert [a.metrics for a in one.runs] != [b.metrics for b in other.runs]
    assert [c.statement for c in one.claims] == [c.statement for c in other.claims]


def test_tuned_weights_are_those_of_the_best_trial(finished):
    results, out = finished
    trials = [out / "networks" / "tuning" / f"trial-{i}" / "repeat-1000" / "outcome.json" for i in range(3)]
    outcomes = [json.loads(trial.read_text()) for trial in trials]
    reference = next(r for r in results.runs if (r.method, r.repeat) == ("single-task", 0)).validation

    def gain(outcome):
        mains = [(outcome["validation"][t]["accuracy"], reference[t]["accuracy"]) for t in ("digit", "loops")]
        return sum(new / old - 1 for new, old in mains)

    best = max(range(3), key=lambda i: gain(outcomes[i]))
    wanted = [{"digit": 1, "loops": 1}, {"digit": 1.5, "loops": 0.5}, {"digit": 0.5, "loops": 1.5}][best]
    chosen = [r.settings["weights"] for r in results.runs if r.method == "tuned-weights"]
    assert chosen[0] == chosen[1] == pytest.approx(wanted)
    assert all(outcome["steps"] == 3 for outcome in outcomes), "half the budget, as asked for"
    measured = [json.loads(trial.with_name("measured.json").read_text()) for trial in trials]
    assert not any(trial["measurements"] for trial in measured), "the test split is not looked at"


def test_conflicts_are_measured_at_the_steps_asked_for_in_one_arm(finished):
    results, out = finished
    cosines = [c for c in results.curves if c.name == "cosine"]
    assert {(c.method, c.repeat, c.task, c.other) for c in cosines} == {
        ("equal", 0, "digit", "loops"),
        ("equal", 1, "digit", "loops"),
    }
    assert all(list(c.steps) == [1, 3, 5] for c in cosines)
    assert all(-1 <= value <= 1 for c in cosines for value in c.values)
    (conflict,) = results.conflicts
    assert conflict.mean == pytest.approx(sum(sum(c.values) for c in cosines) / 6)
    assert not (out / "networks" / "pcgrad" / "repeat-0" / "conflict.csv").exists()


def test_measuring_conflicts_changes_no_result(tmp_path, finished):
    without = compared(tmp_path / "study", dataclasses.replace(SMALL, probes=0))
    assert without.conflicts == ()
    assert [r.metrics for r in without.runs] == [r.metrics for r in finished[0].runs]


def test_it_obeys_the_laws_of_studies(finished):
    laws.assert_nothing_is_done_twice(COMPARE, SMALL, finished)
    laws.assert_follows_from_its_runs(COMPARE, finished[0])


@pytest.mark.parametrize(
    ("label", "step"),
    [("single-task, task loops, repeat 0", 2), ("equal, repeat 0", 4), ("tuning, trial 1, repeat 1000", 2)],
)
def test_a_killed_study_goes_on_as_if_nothing_had_been(tmp_path, finished, label, step):
    """Networks that were done are taken up, the one in hand from its checkpoint, cosines are neither lost nor twice."""
    laws.assert_goes_on_after_a_kill(COMPARE, SMALL, finished, tmp_path, label, step)


def test_one_task_is_compared_with_a_warning(tmp_path):
    results = compared(
        tmp_path / "study", dataclasses.replace(SMALL, data=dataclasses.replace(SMALL.data, tasks="digit"))
    )
    assert any("one task only" in warning for warning in results.warnings)
    assert results.conflicts == ()
    assert [r.metrics for r in results.runs if r.method == "equal"] == [
        r.metrics for r in results.runs if r.method == "single-task"
    ]


def test_one_seed_and_few_passes_are_said(tmp_path, monkeypatch):
    settings = learn_from(monkeypatch, toy())
    settings = dataclasses.replace(settings, fit=FIT.replace(steps=None, epochs=3, least_steps=1))
    results = compared(tmp_path / "study", settings)
    assert any("seed" in warning for warning in results.warnings)
    assert any("3 passes" in warning for warning in results.warnings)
    assert "One seed says nothing for certain" in results.verdict[0]


ODD = ["a/b", "..", "weißes Licht", "é0", "\u0e90", "a%2fb", "CON", "sub.task"]


def test_tasks_may_be_called_anything(tmp_path, monkeypatch):
    """Names become folders: none may climb out of the study's, and no two may share one."""
    label = torch.arange(96) % 2
    kinds = tuple(tasks.classification(name, "xy") for name in ODD)
    settings = learn_from(monkeypatch, toy(kinds, {name: label for name in ODD}))
    settings = dataclasses.replace(settings, fit=FIT.replace(steps=1), probes=0)
    results = compared(tmp_path / "study", settings)
    folders = sorted(p.name for p in (tmp_path / "study" / "networks" / "single-task").iterdir())
    assert len(folders) == len(ODD), folders
    assert {p.name for p in (tmp_path / "study" / "networks").iterdir()} == {"single-task", "equal"}
    assert [t.name for t in results.tasks] == ODD
    assert {p.name for p in tmp_path.iterdir()} == {"study"}


@pytest.mark.parametrize(
    ("inputs", "encoder"), [((5,), "MLPEncoder"), ((4, 3), "GRUEncoder"), ((1, 8, 8), "ConvEncoder")]
)
def test_the_encoder_suits_the_inputs(tmp_path, monkeypatch, inputs, encoder):
    seen = []
    trained = Study.trained

    def watched(self, key, learner, *rest, **more):
        seen.append(type(learner.model.encoder).__name__)
        return trained(self, key, learner, *rest, **more)

    monkeypatch.setattr(Study, "trained", watched)
    values = torch.rand(96, *inputs, generator=torch.Generator().manual_seed(0))
    results = compared(tmp_path / "study", learn_from(monkeypatch, toy(inputs=values)))
    assert set(seen) == {encoder}
    assert len(results.runs) == 2


def test_sets_of_one_task_each_are_compared_as_one(tmp_path, monkeypatch):
    """Every sample has the label of its own set only; the references are trained on their own set."""
    generator = torch.Generator().manual_seed(0)

    def one(name, task, target):
        made = toy((task,), {task.name: target}, torch.rand(96, 1, 8, 8, generator=generator))
        return MultiTaskData(name, name, made.tasks, made.train, made.validation, made.test, (1, 8, 8))

    colour = one("colours", tasks.classification("colour", "ab"), torch.arange(96) % 2)
    size = one("sizes", tasks.regression("size"), torch.rand(96, 1, generator=generator))
    settings = learn_from(monkeypatch, several([colour, size], "both", "Both"))
    seen = {}
    trained = Study.trained

    def watched(self, key, learner, descent, data, *rest, **more):
        seen[key] = len(data.train)
        return trained(self, key, learner, descent, data, *rest, **more)

    monkeypatch.setattr(Study, "trained", watched)
    results = compared(tmp_path / "study", dataclasses.replace(settings, descents="equal,pcgrad", tuning_trials=2))
    assert seen["single-task/task-colour/repeat-0"] == seen["single-task/task-size/repeat-0"] == 32
    assert seen["equal/repeat-0"] == 64
    assert all(torch.isfinite(torch.tensor(list(m.values()))).all() for r in results.runs for m in r.metrics.values())


def _spoiled(what):
    data = toy()
    samples = data.train.samples
    inputs, targets = samples.inputs.clone(), {name: t.clone() for name, t in samples.targets.items()}
    if what == "one class":
        targets["second"][:] = 1
    elif what == "no label":
        targets["second"][:] = -1
    elif what == "out of range":
        targets["second"][5] = 2
    else:
        inputs[7, 0, 0, 0] = torch.nan if what == "NaN" else torch.inf
    return dataclasses.replace(data, train=TensorSource(dataclasses.replace(samples, inputs=inputs, targets=targets)))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("one class", "'second' has only one class"),
        ("no label", "'second' has no label at all"),
        ("out of range", "'second' has label 2; its classes are 0 to 1"),
        ("NaN", "sample 7 hold NaN or infinity"),
        ("infinity", "sample 7 hold NaN or infinity"),
    ],
)
def test_data_that_cannot_be_learnt_from_stops_the_study_before_it_writes_anything(
    tmp_path, monkeypatch, what, message
):
    laws.assert_refused_before_writing(COMPARE, learn_from(monkeypatch, _spoiled(what)), tmp_path, message)


def test_NaN_in_the_inputs_of_the_test_split_is_found_before_training(tmp_path, monkeypatch):
    data = toy()
    data.test.samples.inputs[3] = torch.nan
    settings = learn_from(monkeypatch, data)
    laws.assert_refused_before_writing(COMPARE, settings, tmp_path, r"toy, test split.*sample 3")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"descents": "equal,pcgard"}, "unknown descent 'pcgard'; did you mean 'pcgrad'"),
        ({"descents": " , "}, "--descents names none"),
        ({"data": dataclasses.replace(SMALL.data, data="digitz")}, "did you mean 'digits'"),
        ({"data": dataclasses.replace(SMALL.data, tasks="digit,loop")}, "unknown task 'loop'; did you mean 'loops'"),
        ({"data": dataclasses.replace(SMALL.data, targets="age")}, "--targets is for own tables"),
        ({"data": dataclasses.replace(SMALL.data, data="x.csv")}, "x.csv: no such file"),
        ({"model": dataclasses.replace(SMALL.model, encoder="convv")}, "unknown encoder 'convv'"),
        ({"model": dataclasses.replace(SMALL.model, encoder_options="width=3")}, "did you mean 'widths'"),
        ({"fit": FIT.replace(monitor="digit/acuracy")}, "did you mean 'digit/accuracy'"),
    ],
)
def test_wrong_names_stop_the_study_before_it_writes_anything(tmp_path, changes, message):
    laws.assert_refused_before_writing(COMPARE, dataclasses.replace(SMALL, **changes), tmp_path, message)


def test_a_metric_of_one_task_can_choose_the_checkpoints_of_joint_training(tmp_path):
    """A reference of another task has no such metric; it chooses by its own."""
    settings = dataclasses.replace(SMALL, seeds=1, fit=FIT.replace(monitor="loops/macro F1"))
    results = compared(tmp_path / "study", settings)
    rows = Study(tmp_path / "study", None, "").log("equal/repeat-0", "validation")
    one = next(r for r in results.runs if r.method == "equal")
    assert one.validation["loops"]["macro F1"] == pytest.approx(max(row["loops/macro F1"] for row in rows))


@pytest.mark.parametrize(
    "changes",
    [{"seeds": 0}, {"tuning_budget": 0.0}, {"tuning_budget": 1.5}, {"reference_passes": 0.0}],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(UmbelError, match=next(iter(changes))):
        dataclasses.replace(SMALL, **changes)


def test_a_batch_that_does_not_divide_by_the_processes_is_refused_at_once(tmp_path, monkeypatch):
    """References take batches of their own, so that it would be found after the first of them was trained."""
    laws.assert_batches_divide(COMPARE, SMALL, tmp_path, monkeypatch)


def test_a_reference_of_zero_is_named_and_does_not_stop_the_comparison(tmp_path, monkeypatch):
    """A task without any yes has F1 0, with which nothing can be compared; it used to end the study after training."""
    samples = torch.cat([getattr(toy(), s).samples.targets["first"] for s in ("train", "validation", "test")])
    kinds = (tasks.classification("first", "ab"), tasks.multilabel("never", 1))
    data = toy(kinds, {"first": samples, "never": torch.zeros(len(samples), 1)})
    settings = dataclasses.replace(learn_from(monkeypatch, data), tuning_trials=2)
    results = compared(tmp_path / "study", settings)
    (named,) = [text for text in results.warnings if "never" in text]
    assert named.startswith(
        "Task 'never': the F1 of its reference is 0 on validation and test (seed 0), so that no rel"
    )
    assert {run.method for run in results.runs} == {"single-task", "equal", "tuned-weights"}
    assert not any("'first': the" in text for text in results.warnings)
