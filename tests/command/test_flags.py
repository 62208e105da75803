"""The flags are a promise to the user: a change of them must be meant.

After a change that is meant, `python tests/command/test_flags.py` writes the lists again.
"""

import contextlib
import io
import re
import runpy
import sys
from pathlib import Path

import pytest

from umbel.cli import main

COMMANDS = {
    "run-broadcast": ["run", "broadcast"],
    "run-compare": ["run", "compare"],
    "run-controllable": ["run", "controllable"],
    "run-gradsplit": ["run", "gradsplit"],
    "run-multires_jscc": ["run", "multires_jscc"],
    "run-multi_receiver": ["run", "multi_receiver"],
    "run-multi_round": ["run", "multi_round"],
    "run-physical_proxies": ["run", "physical_proxies"],
    "run-power_flow": ["run", "power_flow"],
    "run-source_free_detection": ["run", "source_free_detection"],
    "train": ["train"],
    "evaluate": ["evaluate"],
    "predict": ["predict"],
    "serve": ["serve"],
    "search": ["search"],
    "audit": ["audit"],
    "adapt": ["adapt"],
    "prepare": ["prepare"],
    "export": ["export"],
}


def flags(arguments):
    """One line for each flag, with what it takes."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([*arguments, "--help"])
    text = re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue())
    found = re.findall(r"^\W*((?:-\w, )?--[a-z][a-z-]*(?: [A-Z{][^\s]*)?)(?:\s|$)", text, re.MULTILINE)
    return sorted(found)


def kept(name):
    return Path(__file__).with_name(f"flags-{name}.txt")


@pytest.mark.parametrize("name", COMMANDS)
def test_flags_are_those_that_were_promised(name):
    assert flags(COMMANDS[name]) == kept(name).read_text().splitlines(), f"if this is meant: python {__file__}"


def test_the_list_is_not_empty():
    """Else the test above would hold for a help that it cannot read."""
    assert {"--seeds INT", "--resume", "--optimizer {adamw,sgd}", "-h, --help"} <= set(flags(["run", "compare"]))


def test_the_package_runs_as_a_module(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["umbel", "--version"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("umbel", run_name="__main__")
    assert not left.value.code and capsys.readouterr().out.strip()


if __name__ == "__main__":
    for each, command in COMMANDS.items():
        kept(each).write_text("\n".join(flags(command)) + "\n")
