"""Very different methods through the one loop: they learn, repeat, resume, and run in two processes."""

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_contracts import ALL, make
from toy_pairs import CASES, train

from umbel.engine import Fitted, Interrupted, evaluate, fit, open_runtime

HERE = Path(__file__).parent


def state(toy) -> dict[str, torch.Tensor]:
    """All tensors of learner and descent, also those of an optimizer that a descent owns."""
    return flat({"learner": toy.learner.state_dict(), "descent": toy.descent.state_dict()})


def flat(value, name="") -> dict[str, torch.Tensor]:
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: tensor for part, inner in parts for key, tensor in flat(inner, f"{name}.{part}").items()}
    return {name: value.clone() if isinstance(value, torch.Tensor) else torch.tensor(0 if value is None else value)}


def assert_identical(one, other) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("name", ALL)
def test_learns_repeats_and_resumes(name, tmp_path):
    runtime = open_runtime()

    def run(out, stop_at=None):
        toy = make(name)
        before = evaluate(toy.learner, toy.validation, runtime)

        def observe(step, *_):
            if step == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

        try:
            fitted = fit(
                toy.learner, toy.descent, toy.train, toy.validation, toy.settings,
                out=out, resume=stop_at is None, observe=observe, runtime=runtime,
            )  # fmt: skip
        except Interrupted:
            return None
        return toy, before, fitted

    toy, before, fitted = run(tmp_path / "whole")
    task, bar = toy.bar
    higher = next(t.higher_is_better for t in toy.learner.tasks if t.name == task)
    reached = fitted.best.main()[task]
    assert reached > bar if higher else reached < bar, reached
    assert fitted.best.losses[task] < 0.7 * before.losses[task]
    assert fitted.steps == toy.settings.steps

    assert run(tmp_path / "parts", stop_at=27) is None  # in the middle of an epoch of 6, between rows of the log
    again, _, resumed = run(tmp_path / "parts")
    assert_identical(state(toy), state(again))
    assert (resumed.best, resumed.best_step) == (fitted.best, fitted.best_step)
    for log in ("train.csv", "validation.csv"):
        assert (tmp_path / "parts" / log).read_bytes() == (tmp_path / "whole" / log).read_bytes()
    assert isinstance(resumed, Fitted) and not math.isnan(resumed.seconds_per_step)


def launch(arguments: list[str], folder: Path) -> list[dict]:
    finished = subprocess.run(
        arguments, capture_output=True, text=True, cwd=folder, timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-3000:]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> list[dict]:
    """All cases in one launch of two processes that the script starts itself."""
    folder = tmp_path_factory.mktemp("pair")
    return launch([sys.executable, str(HERE / "toy_pairs.py"), str(folder)], folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_what_one_trains(name, pair):
    first, second = pair
    assert first["processes"] == second["processes"] == 2
    assert_identical(first[name], second[name])
    case = CASES[name]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in first[name].values())
    if not make(case.toy).exact:
        return
    alone = train(replace(case, accumulate=1), None)
    single = any(tensor.dtype == torch.float32 for key, tensor in alone.items() if key.startswith("model."))
    tolerance = 1e-4 if single else 1e-9
    for key, tensor in alone.items():
        limit = 1e-6 if key.startswith("validation") else tolerance  # metrics and their losses are float32
        assert torch.allclose(first[name][key], tensor, rtol=limit, atol=limit), key


@pytest.mark.slow
def test_evaluation_in_two_processes_is_that_of_one(pair):
    together, toy = pair[0]["together"], make("mean teacher")
    assert repr(together) == repr(pair[1]["together"])
    for size in (256, 10):  # with 256 the second process has nothing to do
        alone = evaluate(toy.learner, toy.validation, open_runtime(), batch_size=size)
        for task, values in alone.metrics.items():
            assert together[f"metrics {size}"][task] == pytest.approx(values, rel=1e-6)
        assert together[f"losses {size}"] == pytest.approx(alone.losses, rel=1e-6)
    samples = toy.validation.samples
    samples.targets["side"][10:] = -1
    alone = evaluate(toy.learner, toy.validation, open_runtime(), batch_size=10)
    for task, values in alone.metrics.items():
        assert together["uneven"][task] == pytest.approx(values, rel=1e-6)


@pytest.mark.slow
def test_two_processes_sum_rows_and_join_their_columns(pair):
    for result in pair:
        assert result["together"]["rows"] == (3 * torch.arange(10.0).view(2, 5)).tolist()


@pytest.mark.slow
def test_two_processes_agree_on_what_is_wrong(pair):
    for result in pair:
        together = result["together"]
        assert "batch size 33 does not divide by 2 processes" in together["odd batch"]
        assert "step 1" in together["one is NaN"] and "value is nan" in together["one is NaN"]
        assert "the processes hold different weights at step 0" in together["own weights"]
        assert "monitor 'sureness' is 0 and 1 on the processes" in together["own scores"]
        assert together["frozen"] == [0, 0, 0, 0]  # a norm in evaluation mode, after the steps up to a validation


@pytest.mark.slow
def test_two_processes_stop_and_resume_together(pair):
    for result in pair:
        together = result["together"]
        assert together["interrupted"].startswith("Interrupted: stopped at step 10 of 18")
        assert_identical(together["resumed"], together["uninterrupted"])


@pytest.mark.slow
def test_torchrun_starts_the_processes_too(pair, tmp_path):
    names = ["two sets", "famo, 2 pieces"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    launched = launch([*torchrun, str(HERE / "toy_pairs.py"), str(tmp_path), *names], tmp_path)
    for name in names:
        assert_identical(launched[0][name], pair[0][name])
        assert_identical(launched[1][name], pair[0][name])
