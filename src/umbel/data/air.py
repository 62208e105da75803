"""Forecasting with gaps: two years of hourly air quality in Beijing."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from umbel.core import Batch
from umbel.data.find import need
from umbel.data.pictures import subset
from umbel.data.source import MultiTaskData, TensorSource
from umbel.errors import UmbelError, unknown
from umbel.tasks import regression

STATIONS = (
    "Aotizhongxin",
    "Changping",
    "Dingling",
    "Dongsi",
    "Guanyuan",
    "Gucheng",
    "Huairou",
    "Nongzhanguan",
    "Shunyi",
    "Tiantan",
    "Wanliu",
    "Wanshouxigong",
)
POLLUTANTS = ("PM2.5", "PM10", "SO2", "NO2", "CO", "O3")
WEATHER = ("TEMP", "PRES", "DEWP", "RAIN", "WSPM")

_NOTE = (
    "UCI Beijing Multi-Site Air Quality, hourly, CC BY 4.0. Cite: Zhang et al., Cautionary tales on air-quality"
    " improvement in Beijing, Proc. R. Soc. A 2017. Split by time; the test hours are the last ones, so they are"
    " not of all seasons."
)
_UNIT = "µg/m³"


class WindowSource:
    """Windows cut from long series when a batch asks for them: a `Source` that never holds all windows.

    The order of the windows is that of a `TensorSource` of the same length.

    Args:
        series: What windows are cut from, float [S, N, F]: S series of N steps.
        starts: Series and first step of each window, int64 [n, 2].
        length: T, steps in a window.
        targets: Task name -> target [n, ...].
    """

    def __init__(self, series: Tensor, starts: Tensor, length: int, targets: dict[str, Tensor]) -> None:
        self.series = series
        self.length = length
        self.windows = TensorSource(Batch(starts, targets, starts[:, 0]))

    def __len__(self) -> int:
        return len(self.windows)

    def steps(self, batch_size: int) -> int:
        """Training batches in one epoch."""
        return self.windows.steps(batch_size)

    def train_batches(
        self, batch_size: int, seed: int, epoch: int, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """One epoch in a random order; see `Source`."""
        for batch in self.windows.train_batches(batch_size, seed, epoch, start, rank, world_size):
            yield self._cut(batch)

    def batches(self, batch_size: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Every window once, in order; see `Source`."""
        for batch in self.windows.batches(batch_size, rank, world_size):
            yield self._cut(batch)

    def select(self, index: Tensor) -> "WindowSource":
        """The windows that `index` (int64 or bool) picks."""
        chosen = self.windows.samples[index]
        return WindowSource(self.series, chosen.inputs, self.length, dict(chosen.targets))

    def _cut(self, batch: Batch) -> Batch:
        which, first = batch.inputs.unbind(1)
        return replace(batch, inputs=self.series[which[:, None], first[:, None] + torch.arange(self.length)])


@dataclass(frozen=True)
class _Hours:
    """Hourly values, S stations of N hours: pollutants and weather [S, N, 11] with NaN for gaps, hour of day [N]."""

    values: np.ndarray
    hour_of_day: np.ndarray


def air_quality(
    stations: Sequence[str] | str = ("Aotizhongxin",),
    history_hours: int = 24,
    horizon_hours: int = 6,
    every_hours: int = 1,
    size: int | None = None,
) -> MultiTaskData:
    """Six pollutants, some hours ahead, from the last hours of pollutants and weather at the same station.

    An input is [T, 24]: 11 standardised series (gaps hold 0, the training mean), 11 that are 1 where a value is
    missing, and sine and cosine of the hour of day. A target is the concentration `horizon_hours` after the last hour
    of the input, in µg/m³, NaN where it was not measured. A window and its target lie wholly in the first 70 % of the
    hours (training), the next 15 % or the last 15 %: no hour is in two splits. Means and scales are those of the
    training hours.

    Args:
        stations: Names from `STATIONS`, or "all". Each is a domain of the batch.
        history_hours: T.
        horizon_hours: How far ahead.
        every_hours: Hours between the starts of two windows.
        size: Number of training windows to use, drawn at random; None for all.

    Raises:
        UmbelError: Unknown station, a length that is not positive or too long, or the files are not there.
    """
    stations = STATIONS if stations == "all" else (stations,) if isinstance(stations, str) else tuple(stations)
    for name, value in (("history", history_hours), ("horizon", horizon_hours), ("distance", every_hours)):
        if value < 1:
            raise UmbelError(f"air quality: the {name} is {value} hours; it must be at least 1")
    hours = _read(stations)
    bounds = [0, round(0.7 * hours.values.shape[1]), round(0.85 * hours.values.shape[1]), hours.values.shape[1]]
    series = _features(hours, bounds[1])
    splits = [
        _windows(hours, series, span, history_hours, horizon_hours, every_hours) for span in itertools.pairwise(bounds)
    ]
    splits[0] = splits[0].select(subset(len(splits[0]), size))
    known = [splits[0].windows.samples.targets[name].double() for name in POLLUTANTS]
    tasks = [
        regression(name, centre=float(t.nanmean()), scale=float(np.nanstd(t.numpy())), unit=_UNIT)
        for name, t in zip(POLLUTANTS, known, strict=True)
    ]
    return MultiTaskData(
        name="air-quality",
        title=f"Beijing air quality, {horizon_hours} hours ahead, {_places(stations)}",
        tasks=tuple(tasks),
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        input_shape=(history_hours, series.shape[2]),
        note=_NOTE,
    )


def _places(stations: Sequence[str]) -> str:
    return f"station {stations[0]}" if len(stations) == 1 else f"{len(stations)} stations"


def _read(stations: Sequence[str]) -> _Hours:
    if not stations:
        raise UmbelError("air quality: no station; name at least one")
    tables = []
    for station in stations:
        if station not in STATIONS:
            raise unknown("station", station, STATIONS)
        hint = "get 'Beijing Multi-Site Air Quality' from the UCI repository and unpack it into `tables`"
        path = need("air-quality", f"tables/beijing_air_{station}.csv", f"tables/PRSA_Data_{station}_*.csv", hint=hint)
        tables.append(_station(path))
    if lengths := {len(table) for table in tables} - {len(tables[0])}:
        raise UmbelError(f"air quality: stations have {len(tables[0])} and {min(lengths)} hours; use files of one kind")
    values = np.stack([table[[*POLLUTANTS, *WEATHER]].to_numpy(np.float64) for table in tables])
    return _Hours(values, tables[0]["hour"].to_numpy(np.float64))


def _station(path: Path) -> pd.DataFrame:
    """One station's hours. The publisher's files have a column `hour`; a file without it starts at midnight."""
    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise UmbelError(f"{path}: cannot be read as CSV ({' '.join(str(error).split())})") from None
    if absent := [name for name in (*POLLUTANTS, *WEATHER) if name not in table.columns]:
        raise UmbelError(f"{path}: no column {absent[0]!r}; is it a file of Beijing Multi-Site Air Quality?")
    return table if "hour" in table.columns else table.assign(hour=np.arange(len(table)) % 24)


def _features(hours: _Hours, train_hours: int) -> Tensor:
    """Inputs for every hour, float [S, N, 24], standardised with the first `train_hours`."""
    known = hours.values[:, :train_hours]
    centre, scale = np.nanmean(known, (0, 1)), np.nanstd(known, (0, 1))
    gap = np.isnan(hours.values)
    standard = np.where(gap, 0.0, (hours.values - centre) / np.where(scale > 0, scale, 1.0))
    angle = 2 * math.pi / 24 * np.broadcast_to(hours.hour_of_day, gap.shape[:2])
    return torch.tensor(np.concatenate([standard, gap, np.stack([np.sin(angle), np.cos(angle)], 2)], 2)).float()


def _windows(
    hours: _Hours, series: Tensor, span: tuple[int, int], history_hours: int, horizon_hours: int, every_hours: int
) -> WindowSource:
    """The windows that lie in `span` (first hour, hour after the last), target included."""
    ahead = history_hours - 1 + horizon_hours
    first = torch.arange(span[0], max(span[0], span[1] - ahead), every_hours)
    if not len(first):
        raise UmbelError(
            f"air quality: {history_hours} hours of history and {horizon_hours} ahead do not fit into"
            f" {span[1] - span[0]} hours of a split; lower them"
        )
    starts = torch.cartesian_prod(torch.arange(len(series)), first)
    aims = torch.tensor(hours.values[..., : len(POLLUTANTS)])[starts[:, 0], starts[:, 1] + ahead].float()
    starts, aims = starts[~aims.isnan().all(1)], aims[~aims.isnan().all(1)]
    targets = {name: aims[:, i : i + 1] for i, name in enumerate(POLLUTANTS)}
    return WindowSource(series, starts, history_hours, targets)
