"""The command as a whole: what it answers, how it fails, how quickly it starts."""

import subprocess
import sys

import pytest

import umbel
from umbel import cli
from umbel.errors import UmbelError


def called(capsys, *arguments):
    status = cli.main(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(capsys, arguments):
    status, out, err = called(capsys, *arguments)
    assert (status, err) == (0, "")
    for command in ("run", "train", "evaluate", "adapt", "verify", "report", "list"):
        assert f"  umbel {command}" in out
    assert max(map(len, out.splitlines())) <= 120


def test_version(capsys):
    assert called(capsys, "--version") == (0, f"umbel {umbel.__version__}\n", "")


def test_an_unknown_command_gets_the_nearest_in_one_line(capsys):
    assert called(capsys, "rnu") == (2, "", "umbel: unknown command 'rnu'; did you mean 'run'?\n")


def test_debug_shows_the_traceback_wherever_it_stands():
    for arguments in (["--debug", "rnu"], ["rnu", "--debug"]):
        with pytest.raises(UmbelError, match="unknown command"):
            cli.main(arguments)


def test_a_traceback_is_shown_only_with_debug():
    plain, debug = (
        subprocess.run([sys.executable, "-m", "umbel.cli", "rnu", *more], capture_output=True, text=True, check=False)
        for more in ([], ["--debug"])
    )
    assert (plain.returncode, plain.stdout) == (2, "")
    assert plain.stderr == "umbel: unknown command 'rnu'; did you mean 'run'?\n"
    assert debug.returncode != 0
    assert "Traceback" in debug.stderr


def test_only_the_main_process_complains(capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert called(capsys, "rnu") == (2, "", "")


HELPS = ["--help", "--version", "run", "run --help", "run compare --help", "verify compare --help", "train --help"]
HELPS += [
    "evaluate --help",
    "adapt --help",
    "report --help",
    "list --help",
    "rnu",
    "run comapre",
    "run compare --stepz 3",
]
_PROGRAM = """
import sys
from umbel.cli import main
for line in sys.argv[1:]:
    try:
        main(line.split())
    except SystemExit:
        pass
    heavy = sorted({"torch", "numpy", "pandas", "matplotlib", "sklearn"} & set(sys.modules))
    assert not heavy, f"umbel {line} imports {heavy}"
"""


def test_help_and_mistakes_answer_without_importing_torch():
    run = subprocess.run([sys.executable, "-c", _PROGRAM, *HELPS], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_ctrl_c_between_the_steps_is_status_130(capsys, monkeypatch):
    monkeypatch.setattr(cli, "_dispatch", lambda arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    assert called(capsys, "list") == (130, "", "umbel: stopped\n")


def test_a_closed_pipe_is_no_error():
    """`umbel list | head -1`."""
    program = f"{sys.executable} -m umbel.cli list | head -1; exit ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.strip() == "Methods"
