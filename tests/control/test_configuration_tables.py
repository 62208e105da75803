"""Tables of all configurations: against each configuration evaluated by itself."""

import numpy as np
import pytest
import torch

from umbel import tasks
from umbel.control import (
    Latency,
    calibrate,
    configuration_table,
    grid_points,
    main_metrics,
    quality_table,
    training_inputs,
    with_latency,
    with_quality,
)
from umbel.core import Batch, Learner, UmbelError
from umbel.data import TensorSource
from umbel.engine import evaluate, open_runtime
from umbel.methods.controllable import controllable
from umbel.nn import build_model, model_cost

KINDS = (tasks.classification("side", "ab"), tasks.regression("height", 1))
WIDTHS = (0.5, 1.0)


@pytest.fixture(scope="module")
def source():
    generator = torch.Generator().manual_seed(0)
    side = torch.randint(0, 2, (40,), generator=generator)
    side[::3] = -1
    height = torch.rand(40, 1, generator=generator)
    height[:30] = torch.nan  # two whole batches of 15 have no label for this task
    return TensorSource(Batch(torch.rand(40, 1, 8, 8, generator=generator), {"side": side, "height": height}))


@pytest.fixture(scope="module")
def learner(source):
    made = controllable((1, 8, 8), KINDS, "conv", hidden=16, vector_head="conv", grid=WIDTHS)
    calibrate(made, source, open_runtime(), samples=32, batch_size=16)
    return made


def test_quality_is_that_of_every_configuration_evaluated_by_itself(learner, source):
    runtime = open_runtime()
    table = quality_table(learner, source, runtime, batch_size=15)
    assert table.shape == (2, 2, 2)
    for we, width in enumerate(WIDTHS):
        for wd, heads in enumerate(WIDTHS):
            alone = evaluate(learner, source, runtime, learner.point(width, heads), batch_size=15).main()
            assert table[:, we, wd] == pytest.approx([alone["side"], alone["height"]], abs=1e-6)


def test_costs_are_those_of_the_dense_networks(learner, source):
    table = configuration_table(learner, source, open_runtime())
    for we, width in enumerate(WIDTHS):
        for heads in ([0, 0], [0, 1], [1, 1]):
            by_task = dict(zip(table.tasks, (WIDTHS[h] for h in heads), strict=True))
            total = model_cost(learner.model, learner.point(width, by_task)).total
            for kind in ("macs", "parameters", "bytes"):
                assert table.cost(kind, we, heads) == getattr(total, kind)
    assert table.metrics["side"].higher_is_better
    assert not table.metrics["height"].higher_is_better


def test_measured_times_and_another_splits_quality_take_their_places(learner, source):
    table = configuration_table(learner, source, open_runtime())
    latency = Latency(np.array([1.0, 2.0]), np.full((2, 2, 2), 0.5), "here", 4, "torch")
    timed = with_latency(table, latency)
    assert (timed.full_cost("latency_ms"), timed.machine, timed.batch_size) == (3.0, "here", 4)
    assert timed.full_cost("macs") == table.full_cost("macs")
    other = with_quality(timed, table.quality + 1)
    assert np.array_equal(other.quality, table.quality + 1)
    assert other.cost("latency_ms", 0, [0, 0]) == timed.cost("latency_ms", 0, [0, 0])


def test_calibration_measures_every_configuration_and_keeps_the_full_one(source):
    made = controllable((1, 8, 8), KINDS, "conv", hidden=16, vector_head="conv", grid=WIDTHS)
    with pytest.raises(UmbelError, match="no batch-norm statistics"):
        quality_table(made, source, open_runtime())
    before = {name: value.clone() for name, value in made.state_dict().items() if "running" in name}
    calibrate(made, source, open_runtime())
    assert all(bool(value.all()) for name, value in made.state_dict().items() if name.endswith("calibrated"))
    assert before
    assert all(torch.equal(value, made.state_dict()[name]) for name, value in before.items())


def test_ordinary_networks_are_measured_at_their_one_point_and_have_no_grid(source):
    plain = Learner(build_model((1, 8, 8), KINDS, "conv"), KINDS)
    values = main_metrics(plain, source, open_runtime(), [[plain.sweep()[0]]])
    assert values[:, 0, 0] == pytest.approx(list(evaluate(plain, source, open_runtime()).main().values()), abs=1e-6)
    with pytest.raises(UmbelError, match="not trained with widths"):
        grid_points(plain)


def test_statistics_are_measured_on_whole_batches_that_never_change(source):
    runtime = open_runtime()
    one, other = (training_inputs(source, runtime, samples=20, batch_size=16) for _ in range(2))
    assert [len(batch) for batch in one] == [16, 16]
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert [len(batch) for batch in training_inputs(source, runtime, samples=1000)] == [40]


def test_a_task_without_any_label_is_not_measured(learner, source):
    targets = {**source.samples.targets, "height": torch.full((40, 1), torch.nan)}
    blank = TensorSource(Batch(source.samples.inputs, targets))
    table = quality_table(learner, blank, open_runtime())
    assert np.isnan(table[1]).all()
    assert np.isfinite(table[0]).all()
