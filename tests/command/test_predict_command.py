"""`umbel predict`: rows in, rows out, in their order, as files and through pipes."""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from commands import contents, refused, umbel
from inference.small_runs import flats, picture_run, table_run

from umbel.inference import load, row_names, table_bytes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return table_run(tmp_path_factory.mktemp("flats"))


@pytest.fixture
def new(tmp_path):
    path = tmp_path / "new.csv"
    flats(9, 1).drop(columns=["rent", "balcony"]).to_csv(path, index=False)
    return path


def test_standard_output_has_a_line_for_each_row(capsys, run, new):
    status, out, err = umbel(capsys, "predict", run, "--data", new)
    assert (status, err) == (0, "")
    table = pd.read_csv(io.StringIO(out))
    expected = load(run).predict(new)
    assert list(table.columns) == ["row", *expected.columns]
    assert table["row"].tolist() == list(range(1, 10))
    pd.testing.assert_frame_equal(table.drop(columns="row"), expected, rtol=1e-15, check_dtype=False)


def test_columns_are_kept_word_for_word(capsys, run, tmp_path):
    frame = flats(4, 1).assign(id=["007", "=1+1", "-5", None])
    frame.to_csv(tmp_path / "new.csv", index=False)
    status, out, _ = umbel(capsys, "predict", run, "--data", tmp_path / "new.csv", "--keep", "id, code")
    assert status == 0
    lines = [line.split(",")[:2] for line in out.splitlines()]
    assert lines == [["id", "code"], ["007", "007"], ["'=1+1", "7"], ["-5", "12"], ["", "007"]]
    for wrong, message in (("name", "unknown column in --keep 'name'"), ("rent", "--keep rent: a column of the pred")):
        assert message in refused(capsys, "predict", run, "--data", tmp_path / "new.csv", "--keep", wrong)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_file_is_written_once(capsys, run, new, tmp_path, ending):
    pytest.importorskip("pyarrow")
    out = tmp_path / f"predictions{ending}"
    command = ["predict", run, "--data", new, "--out", out]
    assert umbel(capsys, *command)[:2] == (0, f"{out}: predictions for 9 rows\n")
    table = pd.read_parquet(out) if ending == ".parquet" else pd.read_csv(out)
    np.testing.assert_allclose(table["rent"], load(run).predict(new)["rent"], rtol=1e-15)
    before = contents(tmp_path)
    assert "exists already; give another name, or --overwrite" in refused(capsys, *command)
    assert contents(tmp_path) == before
    assert umbel(capsys, *command, "--overwrite", "--batch-size", "2")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["new.csv", out.name])


def test_the_table_itself_is_never_written_over(capsys, run, new, tmp_path):
    before = new.read_bytes()
    (tmp_path / "link.csv").symlink_to(new)
    for out in (new, tmp_path / "link.csv"):
        message = refused(capsys, "predict", run, "--data", new, "--out", out, "--overwrite")
        assert "is the table that is read" in message
    assert new.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--out", "p.txt"], "--out p.txt: give a name that ends in .csv or .parquet"),
        (["--out", "there.csv"], "--out there.csv is a folder"),
        (["--point", "width=0.5"], "has one width only"),
        (["--batch-size", "0"], "the batch size is 0"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(capsys, run, new, tmp_path, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").mkdir()
    before = contents(tmp_path)
    assert message in refused(capsys, "predict", run, "--data", new, *more)
    assert contents(tmp_path) == before


def test_a_bad_row_is_told_before_anything_is_written(capsys, run, new, tmp_path):
    lines = new.read_text().splitlines()
    lines[3] = lines[3].replace("flat 2,", "flat 2,about ")
    new.write_text("\n".join(lines))
    message = refused(capsys, "predict", run, "--data", new, "--out", tmp_path / "p.csv")
    assert "column 'metres' holds numbers, but 'about" in message
    assert "in row 3" in message
    assert not (tmp_path / "p.csv").exists()


def test_json_holds_the_same(capsys, run, new, tmp_path):
    made = json.loads(umbel(capsys, "predict", run, "--data", new, "--json")[1])
    expected = load(run).predict(new)
    assert made["rows"] == 9
    assert made["notes"] == []
    assert [row["rent"] for row in made["predictions"]] == expected["rent"].tolist()
    assert [row["balcony"] for row in made["predictions"]] == expected["balcony"].tolist()
    made = json.loads(umbel(capsys, "predict", run, "--data", new, "--json", "--out", tmp_path / "p.csv")[1])
    assert made["out"] == str(tmp_path / "p.csv")
    assert "predictions" not in made


def test_notes_go_to_standard_error(capsys, run, new):
    frame = pd.read_csv(new, dtype=str).assign(code="new")
    frame.to_csv(new, index=False)
    status, out, err = umbel(capsys, "predict", run, "--data", new)
    assert status == 0
    assert len(out.splitlines()) == 10
    assert err == (
        "umbel: column 'code': 9 cells are of a category that no training row had ('new'); taken as none of the known "
        "ones\n"
    )


def test_new_labelled_rows_are_evaluated_as_what_they_are(capsys, run, tmp_path):
    longer = pd.concat([flats(), flats(30, seed=1).assign(balcony=None)])
    longer.iloc[90:].to_csv(tmp_path / "more.csv", index=False)
    status, out, err = umbel(capsys, "evaluate", run, "--data", tmp_path / "more.csv", "--json")
    made = json.loads(out)
    assert (status, made["split"], made["samples"]) == (0, f"new rows of {tmp_path / 'more.csv'}", 60)
    assert list(made["metrics"]) == ["rent", "balcony"]
    assert re.fullmatch(r"umbel: \d\d of 60 rows have the same inputs as rows that it was trained on\n", err)
    longer.iloc[120:].to_csv(tmp_path / "new.csv", index=False)
    status, out, err = umbel(capsys, "evaluate", run, "--data", tmp_path / "new.csv")
    assert "not the run's own splits" in " ".join(out.split())
    assert "accuracy" not in out
    assert err == "umbel: task 'balcony' has no label in these rows\n"
    assert "leave --split" in refused(capsys, "evaluate", run, "--data", tmp_path / "new.csv", "--split", "train")


def test_rows_go_through_a_pipe(run, new):
    command = [sys.executable, "-m", "umbel.cli", "predict", str(run), "--data", "-", "--keep", "id"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, input=b"\xef\xbb\xbf" + new.read_bytes(), capture_output=True, env=environment)
    assert (ended.returncode, ended.stderr) == (0, b"")
    table = pd.read_csv(io.BytesIO(ended.stdout))
    assert table["id"].tolist() == [f"flat {i}" for i in range(9)]
    np.testing.assert_allclose(table["rent"], load(run).predict(new)["rent"], rtol=1e-12)


def test_a_folder_of_pictures_is_named_by_its_files(capsys, tmp_path):
    run = picture_run(tmp_path)
    status, out, err = umbel(capsys, "predict", run, "--data", tmp_path / "pictures")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "file,warm,warm: no,warm: yes"
    assert lines[1].startswith("0.png,no,")
    assert len(lines) == 41
    inputs = load(run).read(tmp_path / "pictures")
    assert list(row_names(inputs, ["file"])) == ["file'"]


def test_formulas_are_no_formulas_in_spreadsheets():
    table = pd.DataFrame({"=task": ["=1+1", None], "value": [-1.5, 1e-300]})
    assert table_bytes(table).decode() == "'=task,value\n'=1+1,-1.5\n,1e-300\n"
