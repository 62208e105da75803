"""What the commands write, and where: nothing into folders of the user's own, one line for what cannot be written."""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest
from commands import SMALL, STUDY, contents, finish, refused, start, start_anew, umbel

from umbel.command.report import refuse_foreign
from umbel.control.place import check_place, place_of, put_in_place
from umbel.errors import UmbelError
from umbel.report.combine import combined_path

OWN = {"train.csv": "step,loss\n1,2\n", "table.csv": "my,table\n", "report.html": "<html>mine</html>"}
TRAIN = [*SMALL, "--steps", "2", "--encoder", "conv", "--hidden", "8", "--vector-head", "conv", "--widths", "0.5/1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from umbel.cli import main

    folder = tmp_path_factory.mktemp("made") / "run"
    assert main(["train", *TRAIN, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The current folder, with files of the user's that are called as ours are."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in OWN.items():
        (folder / name).write_text(text)
    monkeypatch.chdir(folder)
    return folder


def writing_commands(run, out):
    return [
        ["train", *SMALL, "--out", out],
        ["train", *SMALL, "--out", out, "--resume"],
        ["run", "compare", *STUDY, "--out", out],
        ["verify", "compare", *STUDY, "--out", out, "--resume"],
        ["export", run, "--point", "full", "--formats", "safetensors", "--out", out],
    ]


def test_a_folder_of_the_users_own_is_never_written_into(capsys, mine, run):
    before = contents(mine)
    for out in (".", mine):
        for command in writing_commands(run, out):
            assert any(text in refused(capsys, *command) for text in ("is not empty", "not an empty folder"))
    assert contents(mine) == before


def test_an_empty_name_is_not_the_current_folder(capsys, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    commands = [*writing_commands(run, ""), ["report", "a", "b", "--out", ""], ["train", *SMALL, "--out="]]
    for command in commands:
        assert "--out is empty; give the path of a folder" in refused(capsys, *command)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_one_line(capsys, tmp_path, run):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = contents(tmp_path)
    places = [tmp_path / "file", tmp_path / "file" / "a", tmp_path / "loop", tmp_path / "loop" / "a"]
    for place in [*places, tmp_path / ("x" * 300), "/proc/a/b"]:
        for command in writing_commands(run, place):
            assert str(place) in refused(capsys, *command) or "Errno" not in command
    assert contents(tmp_path) == before


def test_what_is_read_and_cannot_be_is_one_line(capsys, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", tmp_path / ("x" * 300), "", tmp_path):
        for command in (["evaluate", path], ["search", path, "--budget", "50%"], ["export", path, "--point", "full"]):
            refused(capsys, *command)
        refused(capsys, "report", path)
        refused(capsys, "verify", "compare", "--from", path)


def test_a_report_is_not_written_over_files_of_somebody_else(capsys, tmp_path):
    from test_run_command import SHOWS, toy

    folder = tmp_path / "study"
    folder.mkdir()
    toy(folder, SHOWS)
    assert umbel(capsys, "report", folder)[0] == 0
    assert umbel(capsys, "report", folder)[0] == 0, "its own files are written again"
    for name, text in OWN.items():
        kept = (folder / name).read_bytes() if (folder / name).exists() else b""
        (folder / name).write_text(text)
        if name != "train.csv":
            assert f"{name} was not written by Umbel" in refused(capsys, "report", folder)
            (folder / name).write_bytes(kept)
    page = combined_path(tmp_path / "pages")
    assert page == tmp_path / "pages" / "combined.html" and combined_path("a.html").name == "a.html"
    page.parent.mkdir()
    page.write_text(OWN["report.html"])
    with pytest.raises(UmbelError, match="would be overwritten"):
        refuse_foreign(page)
    assert "combined.html was not written by Umbel" in refused(capsys, "report", folder, folder, "--out", page.parent)


def test_two_trainings_at_once_are_one_and_a_line(tmp_path):
    """Not that both end with exit status 0 and one's weights are lost."""
    flags = [*SMALL, "--steps", "30", "--checkpoint-seconds", "0", "--out", "run"]
    both = [start("train", *flags, folder=tmp_path) for _ in range(2)]
    ended = sorted((finish(process) for process in both), key=lambda one: one[0])
    assert [status for status, _, _ in ended] == [0, 2], ended
    assert ended[1][2].count("\n") == 1
    assert "in use by process" in ended[1][2] or "already holds a run" in ended[1][2]
    assert sorted(path.name[:4] for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["best", "step"]


@pytest.mark.slow
def test_the_processes_of_one_run_do_not_refuse_each_other(tmp_path):
    status, _, err = finish(start_anew("train", *SMALL, "--devices", "2", "--out", tmp_path / "run"))
    assert status == 0, err
    status, _, err = finish(start_anew("train", *SMALL, "--devices", "2", "--out", tmp_path / "run"))
    assert status == 2 and err.count("\n") == 1 and "already holds a run" in err


def test_a_full_output_is_one_line():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "umbel.cli", "list", "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("umbel: the output: No space left on device; ")


def test_an_export_that_was_killed_is_swept_by_the_next(tmp_path):
    left = tmp_path / ".out.umbel-1"
    left.mkdir()
    (left / "model.pt2").write_text("half")
    with place_of(tmp_path / "out") as partial:
        assert not left.exists()
        (partial / "export.json").write_text("{}")
        (partial / "model.pt2").write_text("model")
        put_in_place(partial, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert sorted(contents(tmp_path / "out")) == ["export.json", "model.pt2"]
    with pytest.raises(UmbelError, match="give a new one"):
        check_place(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()
    with contextlib.chdir(tmp_path / "out"), place_of(tmp_path / "out") as partial:
        (partial / "export.json").write_text("{}")
        put_in_place(partial, tmp_path / "out")
        assert os.listdir() == ["export.json"], "the current folder is still the same"
