"""Run `umbel` inside the test or as a real process."""

import json
import os
import subprocess
import sys

from own_process import OwnProcess

from umbel.cli import main

_FLAGS = """--data digits --tasks digit,loops --steps 6 --batch-size 32 --precision float32 --encoder-options widths=4/8
--validate-every 3 --log-every 2 --no-tensorboard"""
SMALL = _FLAGS.split()
STUDY = [*SMALL, "--descents", "equal,pcgrad", "--seeds", "2", "--tuning-trials", "2", "--probes", "2"]


def umbel(capsys, *arguments):
    """(exit status, stdout, stderr) of the command, run in this process."""
    capsys.readouterr()
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as end:
        status = end.code or 0
    out, err = capsys.readouterr()
    return status, out, err


def refused(capsys, *arguments):
    """The one line of an error."""
    status, out, err = umbel(capsys, *arguments)
    assert status == 2, (out, err)
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("umbel: ")
    return err


def start(*arguments, folder=None, **variables):
    """The command as a process of its own, with one thread; one that starts processes itself needs `start_anew`."""
    return OwnProcess(main, [str(a) for a in arguments], folder=folder, **variables)


def start_anew(*arguments):
    """The command as a user starts it: Fabric starts the other processes by calling the same command again."""
    return subprocess.Popen(
        [sys.executable, "-m", "umbel.cli", *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, seconds=300):
    """(exit status, stdout, stderr) of a process that ends by itself."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def contents(folder):
    """Every file below a folder, with what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def results_without_times(folder):
    """results.json without what differs between two runs of the same study."""

    def timeless(value):
        if isinstance(value, dict):
            times = {"seconds", "seconds_per_step", "created", "command"}
            return {k: timeless(v) for k, v in value.items() if k not in times}
        return [timeless(v) for v in value] if isinstance(value, list) else value

    return timeless(json.loads((folder / "results.json").read_text()))
