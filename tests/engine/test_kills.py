"""Runs that are killed, interrupted or out of space, in real processes; see toy_kills.py."""

import json
import signal
from pathlib import Path

import pytest
import toy_kills
from own_process import OwnProcess
from toy_kills import DESCENTS


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """(folder of the runs, what was found)."""
    folder = tmp_path_factory.mktemp("kills")
    process = OwnProcess(toy_kills.main, folder)
    _, said = process.communicate()
    assert process.returncode == 0, said[-3000:]
    return folder, json.loads((folder / "found.json").read_text())


def results(run: Path) -> dict[str, bytes]:
    """Everything that a run leaves and that does not name its folder."""
    names = ("train.csv", "validation.csv")
    weights = {
        path.relative_to(run).as_posix(): path.read_bytes() for path in run.glob("checkpoints/*/weights.safetensors")
    }
    return weights | {name: (run / name).read_bytes() for name in names}


def assert_same_run(run: Path, whole: Path) -> None:
    one, other = results(run), results(whole)
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
    left = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert len(left) == 2 and left[0].startswith("best-") and left[1] == "step-00000024"


@pytest.mark.slow
@pytest.mark.parametrize("descent", [*DESCENTS, "equal"])
def test_a_run_killed_while_it_saves_ends_like_one_that_was_not(killed, descent):
    folder, found = killed
    *killings, last = found[f"saving-{descent}"]
    assert set(killings) == {-signal.SIGKILL} and last == 0, found
    assert_same_run(folder / f"saving-{descent}", folder / f"whole-{descent}")


@pytest.mark.slow
def test_a_run_killed_at_any_time_ends_like_one_that_was_not(killed):
    folder, found = killed
    *killings, last = found["any-dwa"]
    assert len(killings) >= 2 and set(killings) == {-signal.SIGKILL} and last == 0
    assert_same_run(folder / "any-dwa", folder / "whole-dwa")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ctrl-c", "terminated"])
def test_an_interrupted_run_says_how_to_go_on(killed, name):
    folder, found = killed
    code, text = found[name]
    assert code == 3
    assert text == f"Interrupted: stopped at step 8 of 24; the state is in {name}, go on with --resume"
    assert found[f"{name}-resumed"] == [0, ""]
    assert_same_run(folder / name, folder / "whole-dwa")


@pytest.mark.slow
def test_a_second_ctrl_c_is_obeyed_at_once(killed):
    folder, found = killed
    assert found["twice"] == [4, ""]
    assert not (folder / "twice" / "checkpoints").exists()


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint(killed):
    folder, found = killed
    code, text = found["full"]
    assert code == 3
    assert text.startswith("UmbelError: no space left to write full/checkpoints/")
    assert "full/checkpoints/step-00000009 is untouched" in text and "--resume" in text
    assert found["full-left"] == ["best-00000008", "step-00000009"]
    assert found["full-resumed"] == [0, ""]
    assert_same_run(folder / "full", folder / "whole-dwa")


@pytest.mark.slow
def test_a_log_that_cannot_be_written_is_a_clear_error(killed):
    _, found = killed
    code, text = found["full-log"]
    assert code == 3
    assert text.startswith("UmbelError: cannot write full-log/") and "File too large" in text
