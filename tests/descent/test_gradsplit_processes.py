"""Several processes and low precision."""

import pytest
import torch
from gradsplit_cases import assert_close, gradients_of, make_batch, make_learner, one_task_each
from toys import POINT, TwoRanks, train
from two_processes import TwoProcesses, run_in_two_processes, share_of

from umbel.core import SingleProcess
from umbel.descent import GradSplit, WeightedSum
from umbel.nn import ResNetEncoder, synchronise_norms

ONE_WAY = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1]]).bool()


def residual(norm: str = "batch"):
    return make_learner(ResNetEncoder((2, 6, 6), 5, (1, 1), norm, downsample=2))


def in_each_process() -> dict:
    """Batch norm over both; the second task has labels in one process only."""
    runtime, found = TwoProcesses(), {}
    batch = labelled_unevenly()[share_of(runtime.rank)]
    for engine in ("naive", "streams"):
        learner = synchronise_norms(residual())
        found[engine] = gradients_of(GradSplit(ONE_WAY, 0.6, engine), learner, batch, runtime)
    return found


def labelled_unevenly():
    batch = make_batch(count=12)
    batch.targets["t1"][:5] = torch.nan
    return batch


def test_two_processes_with_batch_norm_over_both(tmp_path):
    whole = gradients_of(GradSplit(ONE_WAY, 0.6, "naive"), residual(), labelled_unevenly())
    for found in run_in_two_processes(in_each_process, tmp_path):
        for gradients in found.values():
            assert_close(gradients, whole)


@pytest.mark.parametrize("engine", ["naive", "streams"])
@pytest.mark.parametrize("pieces", [1, 2])
def test_two_processes_train_as_one(engine, pieces):
    batches = [make_batch(count=9, seed=s) for s in range(3)]

    def rank(index, runtime):
        learner, descent = residual("group"), GradSplit(ONE_WAY, 0.6, engine)
        descent.prepare(learner)
        parts = [item[:4] if index == 0 else item[4:] for item in batches]
        return train(descent, learner, parts, runtime), dict(learner.state_dict())

    learner, descent = residual("group"), GradSplit(ONE_WAY, 0.6, "naive")
    descent.prepare(learner)
    log = train(descent, learner, batches)
    for found, state in TwoRanks().run(rank, pieces):
        torch.testing.assert_close(found, log, rtol=1e-10, atol=0)
        assert_close(state, dict(learner.state_dict()))


@pytest.mark.parametrize("engine", ["naive", "streams", "sample_mask"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_low_precision(engine, norm):
    """Gradients of bf16 autocast are float32 and about those of float32; for "all", exactly the plain step's."""
    if engine == "sample_mask" and norm == "batch":
        pytest.skip("batch norm mixes samples")
    runtime = SingleProcess()
    runtime.autocast = lambda: torch.autocast("cpu", torch.bfloat16)
    batch = one_task_each(make_batch(count=8)).map(lambda t: t.float())
    learner = residual(norm).float()
    low = gradients_of(GradSplit(ONE_WAY, 0.6, engine), learner, batch, runtime)
    full = gradients_of(GradSplit(ONE_WAY, 0.6, "naive"), learner, batch)
    naive = gradients_of(GradSplit(ONE_WAY, 0.6, "naive"), learner, batch, runtime)
    for name, value in low.items():
        assert value.dtype == torch.float32
        scale = full[name].norm() + 1e-3 * max(v.norm() for v in full.values())
        assert (value - naive[name]).norm() < 0.05 * scale, name
        assert 0 < (value - full[name]).norm() < scale, name
    plain = gradients_of(WeightedSum(), learner, batch, runtime)
    every = gradients_of(GradSplit("all", 0.6, engine), learner, batch, runtime)
    if engine != "naive":
        assert all(torch.equal(every[name], value) for name, value in plain.items())


def test_float32_is_within_its_rounding():
    learner, batch = residual().float(), make_batch().map(lambda t: t.float())
    naive, streams = (gradients_of(GradSplit(ONE_WAY, 0.6, e), learner, batch) for e in ("naive", "streams"))
    assert_close(streams, naive, tolerance=1e-5)


def test_channels_last_weights_keep_their_layout():
    learner, batch = residual().to(memory_format=torch.channels_last), make_batch()
    batch = batch.map(lambda t: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t)
    naive, streams = (gradients_of(GradSplit(ONE_WAY, 0.6, e), learner, batch) for e in ("naive", "streams"))
    assert_close(streams, naive)


def test_frozen_parts_of_a_step_that_is_not_prepared():
    learner, batch = residual(), make_batch()
    descent = GradSplit("own", 0.6)
    descent(learner, batch, POINT, SingleProcess())  # prepares itself
    again = residual()
    descent(again, batch, POINT, SingleProcess())  # another learner
    found = [{name: p.grad for name, p in taught.named_parameters()} for taught in (learner, again)]
    assert_close(*found, tolerance=0)
