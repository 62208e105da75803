"""A run's folder: whose it is, one process at a time, and nothing else is written into."""

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from own_process import OwnProcess
from toy_learners import pictures

from umbel.engine import fit, open_runtime, resolve
from umbel.engine.folder import Claim, alone_in, check_folder, claimed, is_run, output_folder
from umbel.errors import UmbelError

HERE = Path(__file__).parent
ALONE = open_runtime()


def train(out, resume=False, **changes):
    torch.manual_seed(0)
    toy = pictures()
    settings = toy.settings.replace(**{"steps": 4, "channels_last": False, **changes})
    return fit(toy.learner, toy.descent, toy.train, toy.validation, settings, out=out, resume=resume)


def train_long(out):
    train(out, resume=True, steps=100_000, validate_every=1, checkpoint_seconds=0.05)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(function, message):
    with pytest.raises(UmbelError, match=message) as caught:
        function()
    assert "\n" not in str(caught.value)


def test_a_run_has_a_marker_and_leaves_no_lock(tmp_path):
    train(tmp_path / "a" / "run")
    assert json.loads((tmp_path / "a" / "run" / "run.json").read_text()) == {"umbel": "run", "format": 1}
    assert is_run(tmp_path / "a" / "run") and not is_run(tmp_path / "a")
    left = {path.name for path in (tmp_path / "a" / "run").iterdir()}
    assert left == {"run.json", "checkpoints", "train.csv", "validation.csv"}


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_the_users_own_is_never_written_into(tmp_path, resume):
    """A table called as a log is, which begins as one: it was emptied once."""
    (tmp_path / "train.csv").write_text("step,loss\n1,2\n")
    (tmp_path / "run.json").write_text('{"runs": 3}')
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-1.pt").write_text("somebody else's")
    before = contents(tmp_path)
    refused(lambda: train(tmp_path, resume), "is not empty and holds no run of Umbel; choose another folder")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("damage", [None, "{", "[]"])
def test_a_run_is_known_by_its_checkpoints_where_its_marker_is_lost(tmp_path, damage):
    train(tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    if damage:
        (tmp_path / "run" / "run.json").write_text(damage)
    assert train(tmp_path / "run", resume=True).steps == 4


@pytest.mark.parametrize("out", ["", None, 3])
def test_a_path_must_be_given(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(lambda: output_folder(out), "give the path of a folder")
    if out is not None:
        refused(lambda: train(out), "out is .*; give the path of a folder")
    assert list(tmp_path.iterdir()) == []


def test_the_current_folder_will_do_where_it_is_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(".")
    assert resolve(tmp_path).name.startswith("best-")
    assert train(".", resume=True).steps == 4


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").write_text("{}")
    before = contents(tmp_path)
    for path, message in (
        (tmp_path / "file", "is a file, not a folder"),
        (tmp_path / "file" / "run", "cannot write .*Not a directory"),
        (tmp_path / "loop", "is a symbolic link to nothing"),
        (tmp_path / "study", "holds a study, not a training"),
        (tmp_path / ("x" * 300), "cannot read .*File name too long"),
    ):
        refused(lambda p=path: train(p), message)
    assert contents(tmp_path) == before


def test_an_error_before_anything_was_written_leaves_nothing(tmp_path):
    refused(lambda: train(tmp_path / "a" / "b", monitor="nothing"), "unknown monitor")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "a" / "b", "run", ALONE, False):
        (tmp_path / "a" / "b" / "notes").write_text("something")
        raise ZeroDivisionError
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["notes", "run.json"]


def begun(folder):
    """A training in a process of its own, which has written a checkpoint."""
    process = OwnProcess(train_long, folder)
    until = time.monotonic() + 120
    while not list(folder.glob("checkpoints/step-*/manifest.json")):
        assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
        time.sleep(0.02)
    return process


def test_a_second_process_is_refused_at_once_and_goes_on_when_the_first_is_killed(tmp_path):
    process = begun(tmp_path / "run")
    try:
        busy = rf"run is in use by process {process.pid} on .*; wait until it ends"
        for resume in (True, False):
            refused(lambda r=resume: train(tmp_path / "run", r), busy if resume else "already holds a run")
        refused(lambda: check_folder(tmp_path / "run", "run", ALONE, True), busy)
        refused(lambda: alone_in(tmp_path / "run").__enter__(), busy)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    partial = tmp_path / "run" / "checkpoints" / ".step-00000001.umbel-1"
    partial.mkdir()
    (tmp_path / "run" / ".train.csv.umbel-abc").write_text("half")
    check_folder(tmp_path / "run", "run", ALONE, True)
    assert partial.exists()
    train(tmp_path / "run", resume=True, steps=1, validate_every=1)
    left = {path.name for path in (tmp_path / "run").rglob(".*")}
    assert left == set()


class Second:
    """Not the main one of two processes; `said` is what the main one found."""

    is_main = False

    def __init__(self, said=""):
        self.said = said

    def broadcast(self, value):
        return self.said


def test_of_several_processes_the_main_one_claims_and_all_hear_what_it_found(tmp_path):
    first = Claim(tmp_path / "run", "run", ALONE, False)
    second = Claim(tmp_path / "run", "run", Second(), False)
    second.release()
    refused(lambda: Claim(tmp_path / "run", "run", Second("it is taken"), False), "^it is taken$")
    assert (tmp_path / "run" / ".umbel.lock").exists()
    first.release()
    first.release()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]
