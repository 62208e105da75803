"""A run whose record of its data is damaged is refused in one line, whatever stands in its place."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from umbel.core import UmbelError
from umbel.engine.same_run import check_same_data

NOW = {"record": {"splits": {"train": {"samples": 3}}}}


@pytest.mark.parametrize("kept", [{"record": -1.5}, {"record": None}, {"record": {"splits": 3}}, {"splits": "x"}])
def test_what_is_no_record_is_said_to_be_damaged(kept):
    with pytest.raises(UmbelError, match="is damaged"):
        check_same_data(SimpleNamespace(path=Path("run"), settings=kept), NOW)


def test_a_run_without_a_record_goes_on():
    check_same_data(SimpleNamespace(path=Path("run"), settings={}), NOW)
