"""95 % intervals of what a sample of power flows says, by resampling whole days.

Neighbouring quarter-hours are alike: 96 rows of a day say far less than 96 independent ones. Days are drawn with
replacement, always by the same draws. Without days every row counts as independent.
"""

from dataclasses import dataclass

import numpy as np

from umbel.errors import UmbelError
from umbel.grids.grid import Reals, Whole

RESAMPLES = 500
"""How often the days are drawn anew."""
_NORMAL = 1.959964  # the 97.5 % point of the standard normal distribution
_COLUMNS = 256  # of the sample that are looked at together, which bounds the memory


@dataclass(frozen=True, eq=False)
class Estimates:
    """Estimates with the two ends of their 95 % intervals, all of one shape; NaN ends where there is no interval."""

    value: Reals
    low: Reals
    high: Reals


class Resampling:
    """How the rows of a sample depend on each other, and what follows for intervals.

    Args:
        rows: Of the sample.
        days: [rows], the day of each; None where rows are independent.

    Raises:
        UmbelError: Not one day for each row.
    """

    def __init__(self, rows: int, days: Whole | None = None) -> None:
        self.rows = rows
        self.note = f"intervals take all {rows:,} rows as independent"
        if days is None:
            return
        if len(days) != rows:
            raise UmbelError(f"{len(days):,} days for {rows:,} rows; give the day of each row")
        _, self._day, self._sizes = np.unique(days, return_inverse=True, return_counts=True)
        count = len(self._sizes)
        self.note = f"intervals resample {count:,} whole day{'s' * (count > 1)} of {rows:,} rows"
        draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
        self._shares = draws / (draws @ self._sizes)[:, None]  # [resamples, days]: of a sum over a day in the mean
        self._order = np.argsort(self._day, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])

    @property
    def by_days(self) -> bool:
        """Whether rows of one day stay together."""
        return hasattr(self, "_day")

    def _resampled_means(self, values: Reals) -> Reals:
        """The mean of every column in every resample: [resamples, columns]."""
        return self._shares @ np.add.reduceat(values[self._order], self._starts, axis=0)

    def moments(self, values: Reals) -> tuple[Estimates, Estimates]:
        """Mean and standard deviation of every column.

        Args:
            values: [rows, columns].
        """
        mean, std = values.mean(0), values.std(0)
        if not self.by_days:
            centred = values - mean
            fourth = (centred**4).mean(0)
            of_mean = std / np.sqrt(self.rows)
            with np.errstate(divide="ignore", invalid="ignore"):
                of_std = np.where(std > 0, np.sqrt(np.maximum(fourth - std**4, 0) / self.rows) / (2 * std), 0.0)
            return _normal(mean, of_mean), _normal(std, of_std)
        if len(self._sizes) < 2:
            none = np.full_like(mean, np.nan)
            return Estimates(mean, none, none), Estimates(std, none, none)
        centred = values - mean  # before squares are taken, so that they do not cancel
        shift = self._resampled_means(centred)
        spread = np.sqrt(np.maximum(self._resampled_means(centred**2) - shift**2, 0))
        return _between(mean, mean + shift), _between(std, spread)

    def worth(self, events: Reals) -> Reals:
        """How many independent rows the rows are worth, for the share of each column's events.

        Args:
            events: [rows, columns], 0 or 1.

        Returns:
            [columns]: p (1 - p) over the variance of the share; the number of days where an event is seen never or
            always, for then nothing tells that the rows of a day differ.
        """
        share = events.mean(0)
        if not self.by_days:
            return np.full_like(share, self.rows)
        variance = self._resampled_means(events).var(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            rows = np.where(
                (share > 0) & (share < 1) & (variance > 0), share * (1 - share) / variance, len(self._sizes)
            )
        return np.clip(rows, 1, self.rows)

    def probability(self, events: Reals) -> Estimates:
        """The probability of each column's event, with Wilson's interval for the rows that the sample is worth.

        Args:
            events: [rows, columns], 0 or 1.
        """
        return wilson(events.mean(0), self.worth(events))

    def quantiles(self, values: Reals, at: tuple[float, ...]) -> Estimates:
        """Quantiles of every column: [quantiles, columns].

        The interval of the share of rows below a quantile is turned into values of the sample.

        Args:
            values: [rows, columns].
            at: Which, as 0.05.
        """
        starts = range(0, max(values.shape[1], 1), _COLUMNS)  # one part, an empty one, where there is no column
        parts = [self._quantiles(values[:, i : i + _COLUMNS], at) for i in starts]
        return Estimates(*(np.concatenate(ends, 1) for ends in zip(*parts, strict=True)))

    def _quantiles(self, values: Reals, at: tuple[float, ...]) -> tuple[Reals, Reals, Reals]:
        ordered = np.sort(values, axis=0)
        ends = []
        for share in at:
            value = _read(ordered, np.full(values.shape[1], share))
            rows = self.worth((values <= value).astype(np.float64))
            around = wilson(np.full(values.shape[1], share), rows)
            ends.append((value, _read(ordered, around.low), _read(ordered, around.high)))
        value, low, high = (np.stack(each) for each in zip(*ends, strict=True))
        return value, low, high


def wilson(share: Reals, rows: Reals) -> Estimates:
    """Wilson's 95 % interval of a probability of which `share` was seen in independent rows.

    Args:
        share: Any shape, 0 to 1.
        rows: How many; the same shape.
    """
    squared = _NORMAL**2 / rows
    middle = (share + squared / 2) / (1 + squared)
    half = _NORMAL / (1 + squared) * np.sqrt(share * (1 - share) / rows + squared / (4 * rows))
    return Estimates(share, np.clip(middle - half, 0, share), np.clip(middle + half, share, 1))


def _normal(value: Reals, error: Reals) -> Estimates:
    return Estimates(value, value - _NORMAL * error, value + _NORMAL * error)


def _between(value: Reals, resampled: Reals) -> Estimates:
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    return Estimates(value, low, high)


def _read(ordered: Reals, shares: Reals) -> Reals:
    """The quantile at a share of its own for each column of a sorted sample, linear between rows as NumPy's."""
    place = shares * (len(ordered) - 1)
    below = np.floor(place).astype(np.int64)
    above, columns = np.minimum(below + 1, len(ordered) - 1), np.arange(ordered.shape[1])
    lower, upper = ordered[below, columns], ordered[above, columns]
    return lower + (place - below) * (upper - lower)
