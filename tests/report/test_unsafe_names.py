"""Names that come from data: refused before anything is trained, or safe wherever they are shown."""

import csv
import io
import random
from dataclasses import replace

import pytest
from fakes import small
from rich.console import Console

from umbel import tasks
from umbel.arguments import LONGEST_NAME, plain_name
from umbel.cli import main
from umbel.core.task import RESERVED_NAMES
from umbel.data import from_table
from umbel.engine.log import append_row, read
from umbel.errors import UmbelError
from umbel.report import csv_table, print_report
from umbel.report.figures import figures
from umbel.spreadsheets import plain_cell, safe_cell, safe_value
from umbel.study.job import safe_name

SAFE = [
    "..",
    "a/b",
    "a.b",
    "-lead",
    "$x_1$ $",
    "[/x]",
    "[bold]x",
    "=1+1",
    "@SUM",
    "é😀",
    "👩‍👧",
    "नाम",
    "a|b`*<i>",
    "%2e",
    "A",
]
UNSAFE = ["a\nb", "a\rb", "a\tb", "a\x1b[31mb", "a\0b", "\u202eabc", "a\u2028b", "\ufeffa", "x" * (LONGEST_NAME + 1)]


def table(folder, column, classes=("a", "b")):
    draw = random.Random(0)
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["x", column])
        for _ in range(60):
            x = draw.random()
            rows.writerow([f"{x:.3f}", classes[int(2 * x)]])
    return path


@pytest.mark.parametrize("name", UNSAFE, ids=ascii)
def test_unsafe_names_are_refused_in_one_printable_line(tmp_path, name):
    with pytest.raises(UmbelError) as of_column:
        from_table(table(tmp_path, name), [name])
    with pytest.raises(UmbelError) as of_class:
        from_table(table(tmp_path, "y", ("fine", f"x{name}")), ["y"])
    for caught in (of_column, of_class):
        assert str(caught.value).isprintable()
    with pytest.raises(UmbelError):
        tasks.regression(name)


def test_a_file_with_an_unsafe_name_is_refused_in_one_printable_line(tmp_path, capsys):
    path = table(tmp_path, "y").rename(tmp_path / "a\n\x1b[2Jb.csv")
    for file in (path, f"{path}.missing.csv"):
        assert main(["train", "--data", str(file), "--targets", "y", "--out", str(tmp_path / "run")]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("umbel: ") and said.isprintable()
    assert not (tmp_path / "run").exists()
    assert main(["evaluate", "x/" * 3000]) == 2
    assert len(capsys.readouterr().err.splitlines()[-1]) < 1500


@pytest.mark.parametrize("name", SAFE)
def test_safe_names_train_and_are_shown_as_they_are(tmp_path, capsys, name):
    path = table(tmp_path, name, (f"{name}1", f"{name}2"))
    train = [
        "train",
        "--data",
        str(path),
        f"--targets={name}",
        "--steps",
        "2",
        "--precision",
        "float32",
        "--no-tensorboard",
    ]
    assert main([*train, "--out", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert name in capsys.readouterr().out
    assert set(read(tmp_path / "run" / "train.csv")[0]) == {"step", name, "learning_rate"}


@pytest.mark.parametrize("name", RESERVED_NAMES)
def test_names_of_log_columns_are_refused_as_targets_and_taken_as_inputs(tmp_path, name):
    path = table(tmp_path, name)
    with pytest.raises(UmbelError, match=f"cannot be called '{name}'"):
        from_table(path, [name])
    text = path.read_text().replace(f"x,{name}", f"{name},y", 1)
    path.write_text(text)
    assert from_table(path, ["y"]).input_shape == (1,)


def test_names_of_any_script_are_plain():
    assert [plain_name(name, "it") for name in SAFE] == SAFE
    with pytest.raises(UmbelError, match="it is 3; give a text"):
        plain_name(3, "it")


def test_a_page_draws_and_prints_any_name():
    """Warnings are errors here: a font without emoji must not warn."""
    results = small(2)
    names = dict(zip([task.name for task in results.tasks], ["$\\frac$", "😀[/x]", "=1+1"], strict=True))

    def renamed(by_task):
        return {names[name]: value for name, value in by_task.items()}

    runs = [replace(r, metrics=renamed(r.metrics), validation=renamed(r.validation)) for r in results.runs]
    tasks_ = [replace(task, name=names[task.name]) for task in results.tasks]
    curves = [replace(curve, task=names[curve.task]) for curve in results.curves]
    results = replace(results, runs=runs, tasks=tasks_, curves=curves, conflicts=[])
    drawn = figures(results)
    assert drawn["improvement"] and drawn["curves"]
    said = io.StringIO()
    print_report(results, Console(file=said, width=300))
    assert "😀[/x]" in said.getvalue()
    cells = {row["task"] for row in csv.DictReader(io.StringIO(csv_table(results)))}
    assert "'=1+1" in cells and "=1+1" not in cells


@pytest.mark.parametrize(
    "text", ["=1", "+a", "-a", "@a", "\ta", "\ra", "'=a", "''=a", "-1.5", "'a", "a", "", "+1e5", "－1"]
)
def test_cells_come_back_and_are_no_formulas(text):
    cell = safe_cell(text)
    assert plain_cell(cell) == text
    assert not cell.startswith(("=", "@", "\t", "\r")) and (cell[:1] not in ("+", "-") or float(cell) is not None)


def test_the_log_of_a_run_is_safe_and_read_back(tmp_path):
    append_row(tmp_path / "train.csv", 1, {"=HYPERLINK()": 0.5})
    assert (tmp_path / "train.csv").read_text().startswith("step,'=HYPERLINK()\n")
    assert read(tmp_path / "train.csv") == [{"step": 1.0, "=HYPERLINK()": 0.5}]


def test_folders_of_long_names_differ_and_fit():
    names = [safe_name("😀" * 150 + end) for end in "ab"]
    assert len({*names}) == 2 and max(map(len, names)) <= 200


def test_only_texts_are_made_safe():
    assert list(map(safe_value, ["=1+1", "north", -1.5, 3, None])) == ["'=1+1", "north", -1.5, 3, None]
