"""Large numbers that differ little: the right error in natural units, or a refusal that names the column."""

import numpy as np
import pandas as pd
import pytest
import torch

from umbel.data.split_rules import ColumnSplit
from umbel.data.tables import from_table
from umbel.engine import metrics_of
from umbel.errors import UmbelError
from umbel.tasks import regression

ROWS = 200
STEPS = np.random.default_rng(0).permutation(ROWS)
SPLIT = ["train"] * 140 + ["val"] * 30 + ["test"] * 30
LARGE = {
    "Unix time": 1_700_000_000 + 10 * STEPS.astype(object),
    "milliseconds": 1_700_000_000_000 + 250 * STEPS.astype(object),
    "nanoseconds": 1_700_000_000_000_000_000 + 1_000_000_000 * STEPS.astype(object),
    "northing": 5_812_345.25 + 0.5 * STEPS,
    "1e8 + 3a": 100_000_000 + 3 * STEPS.astype(object),
    "small": 0.001 * STEPS,
}


def table(folder, values, name="table.csv"):
    frame = pd.DataFrame({"x": STEPS / 7, "value": values, "part": SPLIT})
    path = folder / name
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
        frame["value"] = pd.to_numeric(frame["value"])
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("file", ["table.csv", "table.parquet"])
def test_errors_of_large_targets_are_right(tmp_path, kind, file):
    data = from_table(table(tmp_path, LARGE[kind], file), ["value"], split=ColumnSplit("part"))
    task, target = data.tasks[0], data.test.samples.targets["value"]
    train, test = (LARGE[kind][part].astype(float) for part in (slice(0, 140), slice(170, 200)))
    mean_only = torch.zeros(30, 1)
    offset = float(np.mean(train - train[0]))
    wanted = np.sqrt(np.mean((test - train[0] - offset) ** 2))
    assert metrics_of(task, mean_only, target)["RMSE"] == pytest.approx(wanted, rel=1e-5)
    perfect = torch.from_numpy((test - train[0] - offset) / np.std(train - train[0])).float()[:, None]
    assert metrics_of(task, perfect, target)["RMSE"] < 1e-5 * wanted
    assert task.mean_loss(mean_only, target).item() == pytest.approx(wanted**2 / np.var(train - train[0]), rel=1e-5)


def test_the_loss_is_in_single_precision_and_has_gradients(tmp_path):
    data = from_table(table(tmp_path, LARGE["Unix time"]), ["value"], split=ColumnSplit("part"))
    prediction = torch.zeros(140, 1, requires_grad=True)
    loss = data.tasks[0].mean_loss(prediction, data.train.samples.targets["value"])
    loss.backward()
    assert loss.dtype == prediction.grad.dtype == torch.float32
    standard = (STEPS[:140] - STEPS[:140].mean()) / STEPS[:140].std()
    np.testing.assert_allclose(prediction.grad[:, 0], -2 * standard / 140, rtol=1e-4, atol=1e-7)


def test_missing_labels_of_large_targets_teach_nothing(tmp_path):
    values = [None if i % 3 == 0 else v for i, v in enumerate(LARGE["nanoseconds"])]
    data = from_table(table(tmp_path, values), ["value"], split=ColumnSplit("part"))
    prediction = torch.zeros(140, 1, requires_grad=True)
    data.tasks[0].mean_loss(prediction, data.train.samples.targets["value"]).backward()
    assert (prediction.grad[::3] == 0).all()
    assert prediction.grad.isfinite().all()


@pytest.mark.parametrize("kind", LARGE)
def test_large_inputs_keep_their_differences(tmp_path, kind):
    frame = pd.DataFrame({"value": LARGE[kind], "y": STEPS / 3, "part": SPLIT})
    frame.to_csv(tmp_path / "table.csv", index=False)
    inputs = from_table(tmp_path / "table.csv", ["y"], split=ColumnSplit("part")).train.samples.inputs[:, 0]
    standard = (STEPS[:140] - STEPS[:140].mean()) / STEPS[:140].std()
    np.testing.assert_allclose(inputs, standard, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1e20, *range(1, ROWS)], "has 140 different values .* tell only 2 apart; subtract an offset"),
        ([0.3, 0.1 + 0.2] * 100, "varies by rounding errors only"),
        ([1e-200 * i for i in range(ROWS)], "varies by rounding errors only"),
    ],
)
@pytest.mark.parametrize("target", ["value", "x"])
def test_what_cannot_be_told_apart_is_refused_with_its_name(tmp_path, values, message, target):
    with pytest.raises(UmbelError, match=f"column 'value' {message}"):
        from_table(table(tmp_path, values), [target], split=ColumnSplit("part"))


def test_centre_and_scale_are_kept_in_double(tmp_path):
    data = from_table(table(tmp_path, LARGE["nanoseconds"]), ["value"], split=ColumnSplit("part"))
    description = data.reading
    (target,) = description.targets
    train = LARGE["nanoseconds"][:140].astype(float)
    assert (target.centre, target.scale) == (train.mean(), train.std())
    assert data.tasks[0].decode(torch.zeros(1, 1)).item() == target.centre


def test_predictions_near_zero_stay_in_single_precision():
    near, far = regression("a", centre=33.0, scale=20.0), regression("a", centre=1.7e9, scale=577.0)
    assert near.decode(torch.zeros(1, 1)).dtype == torch.float32
    assert far.decode(torch.ones(1, 1)).tolist() == [[1.7e9 + 577.0]]


def test_a_loss_of_doubles_stays_double():
    task = regression("a", centre=2.0, scale=0.5)
    prediction, target = torch.zeros(1, 1, dtype=torch.float64), torch.tensor([[3.0]], dtype=torch.float64)
    assert task.mean_loss(prediction, target).dtype == torch.float64
    assert task.mean_loss(prediction, target).item() == 4.0
