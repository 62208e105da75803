"""`umbel run`, `umbel verify` and `umbel report`."""

import dataclasses
import json
import shutil

import pytest
from commands import SMALL, STUDY, contents, finish, refused, results_without_times, start, start_anew, umbel

from umbel.report import Claim, DataInfo, MethodInfo, Results, Run, TaskInfo


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a small comparison, and what the command printed."""
    folder = tmp_path_factory.mktemp("studies")
    status, out, err = finish(start("run", "compare", *STUDY, "--out", "study", folder=folder, COLUMNS="120"))
    assert status == 0, err
    return folder / "study", out, err


def test_a_run_prints_tables_verdict_and_where_everything_is(finished):
    folder, out, err = finished
    assert err == ""
    for text in ("Single-task", "equal", "pcgrad", "Tuned weights", "digit", "loops", "Joint training", "Claims"):
        assert text in out
    assert out.splitlines()[-2:] == ["results: study/results.json", "page:    study/report.html"]
    assert max(map(len, out.splitlines())) <= 120
    for name in ("results.json", "report.html", "tables.md", "table.csv", "study.json", "samples-equal.png"):
        assert (folder / name).stat().st_size > 0


def test_the_results_name_the_command_that_made_them(finished):
    made = json.loads((finished[0] / "results.json").read_text())
    assert made["command"] == "umbel run compare " + " ".join([*STUDY, "--out", "study"])
    assert made["settings"]["fit"]["steps"] == 6
    assert made["settings"]["model"]["encoder_options"] == "widths=4/8"


@pytest.mark.parametrize("arguments", [[], ["--help"]])
@pytest.mark.parametrize("verb", ["run", "verify"])
def test_without_a_name_the_recipes_are_listed(capsys, verb, arguments):
    status, out, err = umbel(capsys, verb, *arguments)
    assert (status, err) == (0, "")
    assert f"usage: umbel {verb} NAME" in out
    assert "  compare " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run comapre", "unknown recipe 'comapre'; did you mean 'compare'?"),
        ("verify comapre", "unknown recipe 'comapre'; did you mean 'compare'?"),
        ("run compare --descents equel", "unknown descent 'equel'; did you mean 'equal'?"),
        ("run compare --data digitz", "unknown data set 'digitz'; did you mean 'digits'?"),
        ("run compare --data digits --tasks looops", "unknown task 'looops'; did you mean 'loops'?"),
        ("run compare --encoder convv", "unknown encoder 'convv'; did you mean 'conv'?"),
        ("run compare --stepz 3", "unknown flag '--stepz'; did you mean '--steps'?"),
        ("run compare --sedes=3", "unknown flag '--sedes'; did you mean '--seeds'?"),
        ("run compare --quik", "unknown flag '--quik'; did you mean '--quick'?"),
        ("run compare 3", "nothing takes '3'"),
        ("run compare --steps x", "--steps"),
        ("run compare --steps", "--steps"),
        ("run compare --steps 0", "steps is 0; give at least 1"),
        ("run compare --seeds 0", "seeds is 0"),
        ("run compare --optimizer adam", "'adam'"),
        ("run compare --devices 99", "--devices 99: this machine has"),
        ("run compare --devices 0", "--devices is 0"),
        ("run compare --options size", "--options: 'size' is not of the form name=value"),
        ("run compare --targets age", "--targets is for own tables"),
        ("run compare --data no.csv", "no.csv: no such file"),
        ("run compare --monitor digit/loss", "unknown monitor 'digit/loss'"),
        ("verify compare --from", "--from needs a folder"),
        ("verify compare --from nowhere", "no results at nowhere"),
        ("report nowhere", "no results at nowhere"),
        ("report --out", "--out needs a folder"),
        ("report --quick", "umbel report has no option --quick"),
        ("run nowhere.py:study", "there is no file nowhere.py"),
        ("run study.py", "as study.py:attribute"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing_behind(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert message in refused(capsys, *arguments.split())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(capsys, finished):
    before = contents(finished[0])
    message = refused(capsys, "run", "compare", *STUDY, "--out", finished[0])
    assert "already holds a study; go on with --resume or choose another --out" in message
    assert contents(finished[0]) == before


def test_a_folder_with_something_else_is_refused(capsys, tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    assert "is not empty and holds no study" in refused(capsys, "run", "compare", *STUDY, "--out", tmp_path)
    assert contents(tmp_path) == {"thesis.txt": b"all of it"}


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--learning-rate", "0.5", "fit.learning_rate=0.001, not 0.5"),
        ("--descents", "equal", "descents=equal,pcgrad, not equal"),
        ("--tasks", "digit,parity", "data.tasks=digit,loops, not digit,parity"),
    ],
)
def test_going_on_with_other_settings_is_refused_by_name(capsys, finished, flag, value, message):
    before = contents(finished[0])
    assert message in refused(capsys, "run", "compare", *STUDY, flag, value, "--out", finished[0], "--resume")
    assert contents(finished[0]) == before


def test_a_finished_run_can_be_gone_on_with(capsys, finished, tmp_path):
    copy = tmp_path / "study"
    shutil.copytree(finished[0], copy)
    (copy / "results.json").unlink()
    status, out, _ = umbel(capsys, "run", "compare", *STUDY, "--out", copy, "--resume", "--json")
    assert status == 0
    assert json.loads(out) == json.loads((copy / "results.json").read_text())
    again, before = results_without_times(copy), results_without_times(finished[0])
    assert {key for key in before if again[key] != before[key]} <= {"environment"}


def test_folders_are_numbered_and_resume_takes_the_newest(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = [*SMALL, *["--descents", "equal", "--seeds", "1", "--tuning-trials", "0", "--probes", "0", "--steps", "1"]]
    for name in ("compare-digits", "compare-digits-2"):
        status, out, _ = umbel(capsys, "run", "compare", *study)
        assert status == 0
        assert f"runs/{name}/results.json" in out
    status, out, _ = umbel(capsys, "run", "compare", *study, "--resume")
    assert status == 0
    assert "runs/compare-digits-2/results.json" in out
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["compare-digits", "compare-digits-2"]


def test_two_processes_find_what_one_finds_and_one_of_them_talks(finished, tmp_path):
    flags = [*STUDY, "--devices", "2", "--out", tmp_path / "two", "--json"]
    status, out, err = finish(start_anew("run", "compare", *flags))
    assert status == 0, err
    two, one = json.loads(out), results_without_times(finished[0])
    assert err == ""
    for mine, theirs in zip(two["runs"], one["runs"], strict=True):
        assert (mine["method"], mine["repeat"], mine["steps"]) == (theirs["method"], theirs["repeat"], theirs["steps"])
    losses = [
        {(c["method"], c["repeat"], c["task"]): c["values"] for c in r["curves"] if c["name"] == "loss"}
        for r in (two, one)
    ]
    assert losses[0].keys() == losses[1].keys()
    for key, values in losses[0].items():
        if key[0] != "tuned-weights":  # a tie between weightings may be settled otherwise
            assert values == pytest.approx(losses[1][key], rel=1e-3), key


# -- verify and report ------------------------------------------------------------------------------


TOY = """
from dataclasses import dataclass

from umbel.recipes import Recipe
from umbel.study import Findings, Table, claim


@dataclass(frozen=True)
class Nothing:
    pass


def findings(results):
    at = Table(results.runs, "task")
    claims = [claim(m.key, f"{m.title} is good", at(m.key), at_least=1.0, unit="") for m in results.methods]
    return Findings(claims=tuple(claims), verdict=("Said afresh.",))


TOY = Recipe("toy", "A toy", Nothing, Nothing(), "nowhere:nothing", findings=findings)
"""


def toy(folder, *values_of_methods):
    """Results of a study of the user's own, and the recipe that says what follows from them."""
    (folder / "toy.py").write_text(TOY)
    methods = [MethodInfo(f"m{i}", f"Method {i}") for i in range(len(values_of_methods))]
    runs = [
        Run(f"m{i}", repeat, {"task": {"accuracy": value}})
        for i, values in enumerate(values_of_methods)
        for repeat, value in enumerate(values)
    ]
    task = TaskInfo("task", "custom", "accuracy", True)
    lie = Claim.measured("lie", "what the file says is believed", 2.0, 1.0, half_width=0.1)
    Results("toy", "Toy", "c", DataInfo("d"), [task], methods, runs, claims=[lie]).write(folder)
    return f"{folder / 'toy.py'}:TOY"


SHOWS, DOUBTS, REFUTES = (2.0, 2.1, 2.2), (0.5, 1.0, 2.0), (0.1, 0.2, 0.1)


@pytest.mark.parametrize(
    ("methods", "status", "strict"),
    [([SHOWS], 0, 0), ([SHOWS, DOUBTS], 0, 1), ([SHOWS, REFUTES, DOUBTS], 1, 1), ([], 0, 0), ([(5.0,)], 0, 1)],
)
def test_verify_judges_by_intervals_and_tells_by_its_status(capsys, tmp_path, methods, status, strict):
    """What the file itself says of its claims is not looked at."""
    recipe = toy(tmp_path, *methods)
    before = contents(tmp_path)
    code, out, err = umbel(capsys, "verify", recipe, "--from", tmp_path)
    assert (code, err) == (status, "")
    assert all(f"Method {i} is good" in out for i in range(len(methods))) and "believed" not in out
    assert ("nothing can be shown" in out) == ((len(methods) == 1 and len(methods[0]) == 1) or not methods)
    assert umbel(capsys, "verify", recipe, "--from", tmp_path, "--strict")[0] == strict
    code, out, _ = umbel(capsys, "verify", recipe, f"--from={tmp_path}", "--json")
    assert code == status
    states = {SHOWS: "shown", DOUBTS: "not shown", REFUTES: "refuted", (5.0,): "not shown"}
    assert [c["state"] for c in json.loads(out)] == [states[values] for values in methods]
    assert contents(tmp_path) == before


def test_verify_runs_the_study_when_none_is_given(capsys, tmp_path):
    small = [*SMALL, *["--descents", "pcgrad", "--seeds", "1", "--tuning-trials", "1", "--probes", "0", "--steps", "2"]]
    status, out, _ = umbel(capsys, "verify", "compare", *small, "--out", tmp_path / "study", "--json")
    claims = json.loads(out)
    assert [c["name"] for c in claims] == ["joint-not-worse", "gradients-beat-weights"]
    assert {c["state"] for c in claims} == {"not shown"} and status == 0
    assert (tmp_path / "study" / "report.html").is_file()


def test_verify_refuses_another_study_and_settings_that_change_nothing(capsys, tmp_path, finished):
    other = dataclasses.replace(Results.read(finished[0]), study="contrast")
    other.write(tmp_path)
    assert "holds results of 'contrast', not of 'compare'" in refused(capsys, "verify", "compare", "--from", tmp_path)
    assert "--seeds changes nothing" in refused(capsys, "verify", "compare", "--from", finished[0], "--seeds", "3")


def test_the_page_is_written_again(capsys, tmp_path, finished):
    shutil.copytree(finished[0], tmp_path / "study")
    page = tmp_path / "study" / "report.html"
    before = page.stat().st_size
    page.unlink()
    assert umbel(capsys, "report", tmp_path / "study") == (0, f"{page}\n", "")
    assert page.stat().st_size == pytest.approx(before, rel=0.2)
    page.unlink()
    assert umbel(capsys, "report", tmp_path / "study" / "results.json") == (0, f"{page}\n", "")
    assert page.is_file()


def test_several_studies_share_a_page(capsys, tmp_path, finished):
    other = dataclasses.replace(Results.read(finished[0]), title="A second study")
    other.write(tmp_path / "second")
    status, out, err = umbel(capsys, "report", finished[0], tmp_path / "second", "--out", tmp_path / "both")
    assert (status, err) == (0, "")
    (page,) = (tmp_path / "both").glob("*.html")
    assert out == f"{page}\n"
    assert "A second study" in page.read_text()


def test_the_page_of_one_study_stays_beside_its_pictures(capsys, tmp_path, finished):
    message = refused(capsys, "report", finished[0], "--out", tmp_path / "page")
    assert "--out is for a page of several studies" in message


def test_damaged_results_are_one_line(capsys, tmp_path, finished):
    text = (finished[0] / "results.json").read_text()
    (tmp_path / "results.json").write_text(text[: len(text) // 2])
    for command in (["report", tmp_path], ["verify", "compare", "--from", tmp_path]):
        assert "results.json" in refused(capsys, *command)


# -- recipes of the user's own ----------------------------------------------------------------------

RECIPE = '''
from dataclasses import dataclass
from umbel.recipes import Recipe
from umbel.report import DataInfo, MethodInfo, Results, Run, TaskInfo

@dataclass(frozen=True)
class Settings:
    """Mine."""
    value: float = 0.25
    """A number."""

def study(settings, study):
    study.settle(settings, FIT, None)
    task = TaskInfo("only", "classification", "accuracy", True, "", ("a", "b"), ("accuracy",))
    run = Run("mine", 0, {"only": {"accuracy": settings.value}}, {}, {}, 1, 1.0, 1)
    data, method = DataInfo("none", "None", "", {}), MethodInfo("mine", "Mine")
    return Results("own", "My study", study.command, data, (task,), (method,), (run,))

from umbel.engine.settings import FitSettings
FIT = FitSettings(precision="float32")
OWN = Recipe("own", "My study", Settings, Settings(0.5), study)
NUMBER = 3
'''


@pytest.fixture
def recipe(tmp_path):
    """In a file that is called like a module that everybody needs."""
    path = tmp_path / "json.py"
    path.write_text(RECIPE)
    return path


@pytest.mark.parametrize(("flags", "value"), [([], 0.25), (["--quick"], 0.5), (["--quick", "--value", "0.75"], 0.75)])
def test_a_recipe_of_the_users_own(capsys, tmp_path, recipe, flags, value):
    status, out, err = umbel(capsys, "run", f"{recipe}:OWN", *flags, "--out", tmp_path / "study", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["runs"][0]["metrics"] == {"only": {"accuracy": value}}
    assert umbel(capsys, "verify", f"{recipe}:OWN", "--from", tmp_path / "study")[0] == 0
    assert json.__file__ != str(recipe)
    assert __import__("json") is json


def test_mistakes_with_recipes_of_ones_own(capsys, tmp_path, recipe):
    assert "unknown attribute of" in (text := refused(capsys, "run", f"{recipe}:OWM"))
    assert "did you mean 'OWN'?" in text
    assert "is a int; make it a umbel.recipes.Recipe" in refused(capsys, "run", f"{recipe}:NUMBER")
    assert "there is no file" in refused(capsys, "run", f"{tmp_path / 'no.py'}:OWN")
