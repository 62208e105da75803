"""Recipes of the user's own that fail: one line each, with file and line number."""

import pytest
from commands import contents, refused, umbel

from umbel.cli import main
from umbel.command.users_recipe import users_recipe
from umbel.recipes.recipe import function_of

GOOD = """
from dataclasses import dataclass
from umbel.recipes import Recipe
from umbel.report import DataInfo, MethodInfo, Results, Run, TaskInfo
from umbel.study import Findings

@dataclass(frozen=True)
class Settings:
    value: float = 0.25

def study(settings, study):
    {study}
    task = TaskInfo("only", "classification", "accuracy", True, "", ("a", "b"), ("accuracy",))
    run = Run("mine", 0, {{"only": {{"accuracy": settings.value}}}}, {{}}, {{}}, 1, 1.0, 1)
    return Results("own", "Mine", study.command, DataInfo("none"), (task,), (MethodInfo("mine", "Mine"),), (run,))

def findings(results):
    {findings}
    return Findings()

OWN = Recipe("own", "Mine", {settings}, Settings(), {function}, findings=findings)
"""


def recipe(folder, study="pass", findings="pass", settings="Settings", function="study"):
    file = folder / "mine.py"
    file.write_text(GOOD.format(study=study, findings=findings, settings=settings, function=function))
    return f"{file}:OWN"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def (:\n", r"mine.py, line 1: SyntaxError: "),
        ("if True:\nx = 1\n", r"mine.py, line 2: IndentationError: "),
        ("\nimport no_such_module_anywhere\n", r"mine.py, line 2: ModuleNotFoundError: No module named"),
        ("import sys\nsys.exit(3)\n", r"mine.py, line 2: it called sys.exit(3)"),
        ("def f():\n    return 1 / 0\nf()\n", r"mine.py, line 2: ZeroDivisionError: division by zero"),
        ("raise ValueError('one\\ntwo')\n", r"mine.py, line 1: ValueError: one two"),
        ("OWN = 3\n", "is a int; make it a umbel.recipes.Recipe"),
        ("open('no such file')\n", "line 1: FileNotFoundError: "),
    ],
)
def test_a_file_that_fails_is_one_line(capsys, tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    for verb in ("run", "verify"):
        assert message in refused(capsys, verb, f"{tmp_path / 'mine.py'}:OWN", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"study": "return None"}, "gave None; it must return umbel.report.Results"),
        ({"study": "return {}"}, "gave a dict; it must return umbel.report.Results"),
        ({"study": "raise SystemExit('enough')"}, "mine.py, line 12: it called sys.exit('enough')"),
        ({"study": "{}['a']"}, "mine.py, line 12: KeyError: 'a'"),
        ({"findings": "return None"}, "gave None; they must return umbel.study.Findings"),
        ({"findings": "[][1]"}, "mine.py, line 18: IndexError: "),
        ({"function": "'nowhere:nothing'"}, "ModuleNotFoundError: No module named 'nowhere'"),
        ({"settings": "dict"}, "its settings must be a dataclass"),
    ],
)
def test_a_study_that_fails_is_one_line_and_leaves_nothing(capsys, tmp_path, parts, message):
    named = recipe(tmp_path, **parts)
    assert message in refused(capsys, "run", named, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_debug_shows_where_it_came_from(capsys, tmp_path):
    with pytest.raises(Exception, match="KeyError") as caught:
        main(["run", recipe(tmp_path, study="{}['a']"), "--out", str(tmp_path / "out"), "--debug"])
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_study_that_claims_nothing_does_not_write_into_a_foreign_folder(capsys, tmp_path):
    """It did not ask whose the folder is; the command does."""
    named = recipe(tmp_path)
    before = contents(tmp_path)
    assert "is not empty and holds no study" in refused(capsys, "run", named, "--out", tmp_path)
    assert contents(tmp_path) == before
    assert umbel(capsys, "run", named, "--out", tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "results.json").is_file()
    assert users_recipe(named).name == "own" and function_of("json:dumps")([1]) == "[1]"
