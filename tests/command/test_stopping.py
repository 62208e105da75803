"""Ctrl-C and kill -9 in the middle of a study, in real processes."""

import signal
import time

from commands import SMALL, finish, results_without_times, start

STUDY = [*SMALL, "--descents", "equal,pcgrad", "--seeds", "1", "--tuning-trials", "0", "--probes", "10"]
LONG = ["--steps", "50", "--validate-every", "25", "--checkpoint-seconds", "0.05"]


def begun(*more):
    return start("run", "compare", *STUDY, *LONG, "--out", "study", *more[1:], folder=more[0])


def when_written(process, path, seconds=300):
    """Wait until a file is there while the process runs."""
    until = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, f"{path} was not written"
        time.sleep(0.005)


def test_stopped_by_ctrl_c_then_killed_then_finished_is_as_never_stopped(tmp_path):
    """Each time in the middle of a network; the first stop is orderly and says how to go on, the second is not."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    status, _, err = finish(begun(whole))
    assert status == 0, err

    stopped = begun(parts)
    when_written(stopped, parts / "study" / "networks" / "equal" / "repeat-0" / "conflict.csv")
    stopped.send_signal(signal.SIGINT)
    status, out, err = finish(stopped)
    assert (status, out) == (130, ""), err
    assert "--resume" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not (parts / "study" / "results.json").exists()
    assert not (parts / "study" / "networks" / "equal" / "repeat-0" / "outcome.json").exists()

    killed = begun(parts, "--resume")
    when_written(killed, parts / "study" / "networks" / "pcgrad" / "repeat-0" / "train.csv")
    killed.kill()
    finish(killed)
    assert not (parts / "study" / "results.json").exists()

    status, _, err = finish(begun(parts, "--resume"))
    assert status == 0, err
    assert results_without_times(parts / "study") == results_without_times(whole / "study")
