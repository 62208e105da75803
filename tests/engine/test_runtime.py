"""Processes, precision, progress."""

import time

import pytest
import torch
from torch import nn

from umbel.core import Runtime
from umbel.engine import Silent, TerminalReporter, fastest_precision, open_runtime
from umbel.engine.log import append_row, read
from umbel.engine.progress import short
from umbel.errors import UmbelError


@pytest.mark.parametrize(("devices", "words"), [(99, "has"), (0, "at least 1"), (-1, "at least 1")])
def test_devices_that_are_not_there_are_a_clear_error(devices, words):
    with pytest.raises(UmbelError) as caught:
        open_runtime(devices)
    assert str(caught.value).startswith(f"--devices {'is ' if devices < 1 else ''}{devices}")
    assert words in str(caught.value)
    if devices > 1:
        assert "use --devices" in str(caught.value)


def test_one_process_is_a_runtime():
    runtime = open_runtime()
    assert isinstance(runtime, Runtime)
    assert (runtime.rank, runtime.world_size, runtime.is_main, runtime.accumulate) == (0, 1, True, 1)
    value = torch.ones(3)
    assert runtime.sum(value) is value and runtime.broadcast("x") == "x"
    rows = torch.ones(2, 3)
    assert runtime.sum_scattered(rows) is rows and torch.equal(runtime.gather(value, 3), value)
    with pytest.raises(UmbelError, match="does not make up 4 columns"):
        runtime.gather(value, 4)
    runtime.barrier()
    runtime.check_replicas(nn.Linear(1, 1), "now")


def test_precision_is_a_setting_of_the_forward_pass_alone():
    layer, x = nn.Linear(4, 4), torch.ones(2, 4)
    for precision, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        runtime = open_runtime().with_settings(precision, accumulate=3)
        with runtime.autocast():
            assert layer(x).dtype == dtype
        assert runtime.accumulate == 3
    assert layer(x).dtype == torch.float32


def test_the_precision_is_measured():
    precision, ratio = fastest_precision(torch.device("cpu"), repeats=1)
    assert precision == ("bf16" if ratio > 1.3 else "float32") and ratio > 0


# -- progress ------------------------------------------------------------------------------------------------------


def test_many_losses_are_told_in_a_few_words():
    assert short({"left": 0.4111, "right": 12.0}) == "left 0.411 · right 12"
    many = {f"t{i}": float(i) for i in range(6)}
    assert short(many) == "t0 0 · t1 1 · t2 2 · t3 3 · 2 more, mean 4.5"
    assert short({}) == ""


def test_without_a_terminal_there_is_a_line_every_ten_seconds(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with TerminalReporter(runs=1) as reporter:
        reporter.begin("both [tasks], seed 1", 100, done=20)
        for done in range(21, 61):
            now[0] += 0.5
            reporter.step(done, {"side": 0.5})
        reporter.end()
        reporter.say("done [all]")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "both [tasks], seed 1: step 40/100, 30 s left, side 0.5",
        "both [tasks], seed 1: step 60/100, 20 s left, side 0.5",
        "done [all]",
    ]


def test_quiet_and_silent_say_nothing(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for reporter in (TerminalReporter(quiet=True), Silent()):
        reporter.expect(2)
        reporter.begin("x", 10)
        now[0] += 60
        reporter.step(5, {"a": 1.0})
        reporter.end()
        reporter.say("nothing")
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""


# -- the log -------------------------------------------------------------------------------------------------------


def test_a_row_comes_back_as_it_was_written(tmp_path):
    file = tmp_path / "train.csv"
    assert read(file) == []
    append_row(file, 1, {"a, b": 1 / 3, 'c "d"': float("inf")})
    append_row(file, 2, {"a, b": 1e-12, 'c "d"': float("nan")})
    first, second = read(file)
    assert first == {"step": 1.0, "a, b": pytest.approx(1 / 3, rel=1e-8), 'c "d"': float("inf")}
    assert second["a, b"] == 1e-12 and second['c "d"'] != second['c "d"']
    assert b"\r" not in file.read_bytes()
