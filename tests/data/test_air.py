"""Windows of the air-quality series: split by time without overlap, real gaps, exact cuts."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import requires_set

from umbel.core import Batch
from umbel.data import TensorSource
from umbel.data.air import POLLUTANTS, STATIONS, WEATHER, air_quality
from umbel.errors import UmbelError

HOURS = 400


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two small stations: in the first, every value is the number of its hour; the second has gaps."""
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "tables").mkdir()
    write(tmp_path, STATIONS[0], np.repeat(np.arange(HOURS, dtype=float)[:, None], 11, 1))
    values = np.random.default_rng(0).normal(50, 9, (HOURS, 11))
    values[np.random.default_rng(1).random((HOURS, 11)) < 0.2] = np.nan
    values[100:110, :6] = np.nan
    write(tmp_path, STATIONS[1], values)
    return tmp_path


def write(folder, station, values):
    frame = pd.DataFrame(values, columns=[*POLLUTANTS, *WEATHER])
    frame.to_csv(folder / "tables" / f"beijing_air_{station}.csv", index=False)


def whole(source) -> Batch:
    return next(source.batches(len(source)))


def hours_used(data, history, ahead):
    """All hours (inputs and aims) that a split touches, from the station whose values are the hours."""
    used = {}
    for split in ("train", "validation", "test"):
        aims = whole(getattr(data, split)).targets["CO"][:, 0].long()
        used[split] = {int(a) - lag for a in aims for lag in (0, *range(ahead, ahead + history))}
    return used


def test_no_hour_is_in_two_splits_and_time_goes_on(folder):
    used = hours_used(air_quality(history_hours=12, horizon_hours=5), 12, 5)
    assert max(used["train"]) < min(used["validation"]) <= max(used["validation"]) < min(used["test"])
    assert min(used["train"]) == 0
    assert max(used["test"]) == HOURS - 1


def test_a_window_ends_the_horizon_before_its_target(folder):
    data = air_quality(history_hours=12, horizon_hours=5)
    known = np.arange(0.7 * HOURS)
    for split in (data.train, data.test):
        batch = whole(split)
        assert batch.inputs.shape[1:] == data.input_shape == (12, 24)
        hours = batch.inputs[:, :, 0] * known.std() + known.mean()
        torch.testing.assert_close(hours.diff(dim=1), torch.ones(len(split), 11), rtol=0, atol=1e-3)
        torch.testing.assert_close(hours[:, -1] + 5, batch.targets["PM2.5"][:, 0], rtol=0, atol=1e-3)
        angle = 2 * np.pi * (batch.targets["PM2.5"] - 5) / 24
        torch.testing.assert_close(
            batch.inputs[:, -1, 22:], torch.cat([angle.sin(), angle.cos()], 1), rtol=0, atol=1e-4
        )


def test_gaps_are_flagged_filled_and_missing_in_targets(folder):
    data = air_quality([STATIONS[1]], history_hours=6, horizon_hours=2)
    frame = pd.read_csv(folder / "tables" / f"beijing_air_{STATIONS[1]}.csv").to_numpy()
    known = frame[:280]
    standard = np.nan_to_num((frame - np.nanmean(known, 0)) / np.nanstd(known, 0))
    firsts = [s for s in range(280 - 7) if not np.isnan(frame[s + 7, :6]).all()]
    batch = whole(data.train)
    assert len(batch) == len(firsts) < 273  # ten hours were measured nowhere: no window aims at them
    expected = np.stack([np.concatenate([standard[s : s + 6], np.isnan(frame[s : s + 6])], 1) for s in firsts])
    np.testing.assert_allclose(batch.inputs[..., :22].numpy(), expected, rtol=1e-4, atol=1e-5)
    aims = torch.cat([batch.targets[name] for name in POLLUTANTS], 1).numpy()
    np.testing.assert_allclose(aims, frame[np.array(firsts) + 7, :6], rtol=1e-6, equal_nan=True)


def test_nothing_is_learnt_from_later_hours(folder):
    first = air_quality(STATIONS[:2])
    for station in STATIONS[:2]:
        path = folder / "tables" / f"beijing_air_{station}.csv"
        frame = pd.read_csv(path).astype(float)
        frame.iloc[int(0.7 * HOURS) :] = 1e6
        frame.to_csv(path, index=False)
    second = air_quality(STATIONS[:2])
    assert torch.equal(whole(first.train).inputs, whole(second.train).inputs)
    for one, two in zip(first.tasks, second.tasks, strict=True):
        assert torch.equal(one.decode(torch.ones(1, 1)), two.decode(torch.ones(1, 1)))


def test_windows_cut_on_demand_equal_windows_in_memory(folder):
    source = air_quality(STATIONS[:2], every_hours=3).train
    held = TensorSource(whole(source))
    assert source.steps(16) == held.steps(16)
    for rank in (0, 1):
        lazy = source.train_batches(16, 7, 2, start=1, rank=rank, world_size=2)
        for one, two in zip(lazy, held.train_batches(16, 7, 2, 1, rank, 2), strict=True):
            assert torch.equal(one.inputs, two.inputs)
            assert torch.equal(one.domain, two.domain)
            torch.testing.assert_close(one.targets["CO"], two.targets["CO"], rtol=0, atol=0, equal_nan=True)


def test_stations_are_domains_and_windows_stay_within_one(folder):
    data = air_quality(STATIONS[:2], history_hours=6, horizon_hours=2)
    batch = whole(data.train)
    assert batch.domain.unique().tolist() == [0, 1]
    smooth = batch[batch.domain == 0].inputs[:, :, 0].diff(dim=1)
    torch.testing.assert_close(smooth, smooth[:1, :1].expand_as(smooth), rtol=0, atol=1e-4)


def test_distance_and_size_thin_the_windows(folder):
    every, third = air_quality().train, air_quality(every_hours=3).train
    assert len(third) == -(-len(every) // 3)
    assert len(air_quality(size=10).train) == 10
    assert len(air_quality(size=10).test) == len(air_quality().test)


def test_the_publishers_own_files_are_read(folder):
    frame = pd.read_csv(folder / "tables" / f"beijing_air_{STATIONS[1]}.csv")
    frame.insert(0, "hour", (np.arange(HOURS) + 3) % 24)
    frame["wd"], frame["station"] = "NNW", STATIONS[2]
    frame.to_csv(folder / "tables" / f"PRSA_Data_{STATIONS[2]}_20130301-20170228.csv", index=False)
    first = air_quality([STATIONS[2]], history_hours=3).train.series[0, 0, 22:]
    torch.testing.assert_close(first, torch.tensor([np.sin(np.pi / 4), np.cos(np.pi / 4)]).float())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stations": ["Dongsy"]}, "unknown station 'Dongsy'; did you mean 'Dongsi'"),
        ({"stations": []}, "no station"),
        ({"stations": [STATIONS[5]]}, f"beijing_air_{STATIONS[5]}.csv"),
        ({"history_hours": 0}, "the history is 0 hours"),
        ({"horizon_hours": -1}, "the horizon is -1 hours"),
        ({"every_hours": 0}, "the distance is 0 hours"),
        ({"history_hours": 100}, "100 hours of history and 6 ahead do not fit into 60 hours"),
    ],
)
def test_mistakes_are_one_clear_line(folder, options, message):
    with pytest.raises(UmbelError, match=message) as caught:
        air_quality(**options)
    assert "\n" not in str(caught.value)


def test_another_file_of_that_name_is_refused(folder):
    (folder / "tables" / f"beijing_air_{STATIONS[3]}.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UmbelError, match=r"no column 'PM2\.5'"):
        air_quality([STATIONS[3]])


def test_the_real_station():
    requires_set("air-quality", "tables/beijing_air_Aotizhongxin.csv")
    data = air_quality()
    batch = next(data.train.train_batches(256, 0, 0))
    assert torch.isfinite(batch.inputs).all()
    assert batch.inputs[..., :11].std() == pytest.approx(1, abs=0.5)
    assert len(data.train) + len(data.validation) + len(data.test) > 16000
    assert [task.unit for task in data.tasks] == ["µg/m³"] * 6
