"""The short form of `make fuzz`; and that the judge can see each kind of failure."""

from pathlib import Path

import fuzz
import pytest
from forked import Outcome
from fuzz_case import Case
from own_process import OwnProcess


def test_a_tenth_of_the_cases_ends_without_surprises(tmp_path):
    """A process of its own: it forks, which processes with threads must not."""
    process = OwnProcess(fuzz.main, ["--cases", "40", "--seed", "1"], folder=tmp_path)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert "40 cases" in out


@pytest.mark.parametrize(
    ("expected", "status", "stderr", "raised", "hung", "judged"),
    [
        ("right", 0, "", "", False, "ok"),
        ("either", 1, "", "", False, "ok"),
        ("wrong", 2, "columns\numbel: no such file\n", "", False, "refused"),
        ("wrong", 0, "", "", False, "silent acceptance"),
        ("right", 2, "umbel: no\n", "", False, "wrong refusal"),
        ("wrong", 2, "umbel: no\nmore\n", "", False, "not one line"),
        ("wrong", 2, "umbel: no\x1b[2J\n", "", False, "not one line"),
        ("either", 0, "", "KeyError", False, "traceback"),
        ("either", -11, "", "", False, "traceback"),
        ("either", 2, "Traceback (most recent call last)\numbel: no\n", "", False, "traceback"),
        ("either", -9, "", "", True, "hang"),
    ],
)
def test_each_failure_is_seen(expected, status, stderr, raised, hung, judged):
    assert fuzz.verdict(Case([], "", expected), Outcome(status, "", stderr, raised, hung)) == judged


def test_every_family_has_cases():
    assert Path(fuzz.__file__).name == "fuzz.py"
    assert all(weight > 0 for _, weight in fuzz.FAMILIES.values())
