"""Profiles of the user: tables over time for each element, or a distribution to draw from."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from umbel.arguments import one_of, real_number, seed_number, whole_number
from umbel.errors import UmbelError, shown
from umbel.grids.elements import Elements, Powers
from umbel.grids.grid import Reals, Whole
from umbel.grids.profiles import Profiles, placed, varied
from umbel.grids.settings import ScenarioSettings

_MINUTES_OF_A_DAY = 1440


@dataclass(frozen=True, eq=False)
class DrawnProfiles(Profiles):
    """Loads that vary by themselves around the base case; every step is a block of its own.

    Attributes:
        spread: Standard deviation of each load, relative.
        shape: "normal" or "uniform".
        seed: Of what is drawn.
    """

    spread: float
    shape: str
    seed: int

    def powers(self, elements: Elements, settings: ScenarioSettings, steps: Whole) -> Powers:
        """Draw active and reactive power of each load, and of each renewable site between nothing and its capacity."""
        loads = len(elements.load_rows)
        around = self._around(steps, 2 * loads) * self.spread + 1
        factor = settings.peak * settings.load
        sites, capacity = placed(elements, settings, np.random.default_rng([settings.scenario_seed, 0]))
        output = varied(self.seed, 3, steps, len(sites), "random")
        return Powers(
            factor * elements.load_p_mw * around[:, :loads],
            factor * elements.load_q_mvar * around[:, loads:],
            output * capacity,
            elements.load_places[sites],
            (),
        )

    def _around(self, steps: Whole, width: int) -> Reals:
        """[steps, width], mean 0 and standard deviation 1."""
        if self.shape == "normal":
            return varied(self.seed, 2, steps, width, "standard_normal")
        return np.sqrt(12.0) * (varied(self.seed, 2, steps, width, "random") - 0.5)


def drawn_profiles(
    rows: int, spread: float = 0.1, seed: int = 0, shape: Literal["normal", "uniform"] = "normal"
) -> DrawnProfiles:
    """Parametric uncertainty: each load independent, around the base case.

    Args:
        rows: How many steps.
        spread: Standard deviation of each load, relative.
        seed: Of what is drawn.
        shape: "normal" or "uniform".

    Raises:
        UmbelError: Arguments out of range.
    """
    steps = whole_number(rows, "rows of drawn profiles", least=1)
    relative = real_number(spread, "spread of drawn profiles")
    one_of(shape, "shape", ("normal", "uniform"))
    if relative < 0:
        raise UmbelError(f"spread of drawn profiles is {relative}; give a number from 0")
    note = f"{steps:,} independent draws, {shape} with a standard deviation of {relative:.3g} around the base case"
    return DrawnProfiles(np.arange(steps), 0.0, note, relative, shape, seed_number(seed, "seed of drawn profiles"))


@dataclass(frozen=True, eq=False)
class ElementProfiles(Profiles):
    """Power of each element over time, as the user's tables have it.

    Attributes:
        load_rows: [columns], indices in `net.load`.
        load_p_mw: [steps, columns].
        load_q_mvar: Likewise; NaN throughout where the power factor of the base case is kept.
        sgen_rows: [columns], indices in `net.sgen`.
        sgen_p_mw: [steps, columns].
    """

    load_rows: Whole
    load_p_mw: Reals
    load_q_mvar: Reals
    sgen_rows: Whole
    sgen_p_mw: Reals

    def powers(self, elements: Elements, settings: ScenarioSettings, steps: Whole) -> Powers:
        """Take the tables as they are; `settings.load` applies, its other numbers do not. Other loads stay.

        Raises:
            UmbelError: A column names an element that the network does not have in service.
        """
        own = _columns(self.load_rows, elements.load_rows, "load")
        p = np.tile(elements.load_p_mw, (len(steps), 1))
        q = np.tile(elements.load_q_mvar, (len(steps), 1))
        base_p, base_q = elements.load_p_mw[own], elements.load_q_mvar[own]
        p[:, own] = self.load_p_mw[steps]
        factor = np.divide(p[:, own], base_p, out=np.ones((len(steps), len(own))), where=base_p != 0)
        given = self.load_q_mvar[steps]
        q[:, own] = np.where(np.isnan(given), base_q * factor, given)
        sgens = _columns(self.sgen_rows, elements.sgen_rows, "sgen")
        more = self.sgen_p_mw[steps] - elements.sgen_p_mw[sgens]
        still = len(elements.load_rows) - len(own)
        notes = (
            (f"{still} of {len(elements.load_rows)} loads have no profile: they stay as in the base case",)
            if still
            else ()
        )
        return Powers(p * settings.load, q * settings.load, more, elements.sgen_places[sgens], notes)


def profiles_from_frames(
    load_p: Any, load_q: Any = None, renewable: Any = None, step_minutes: float = 15.0
) -> ElementProfiles:
    """Profiles from tables of pandas, as pandapower's time series have them.

    Args:
        load_p: MW; a row for each step, a column for each load, named by its index in `net.load`.
        load_q: MVAr, likewise; without it, or without a load's column, its power factor stays.
        renewable: MW, a column for each element of `net.sgen` that varies.
        step_minutes: Between two rows, where the tables' index is no time.

    Raises:
        UmbelError: Other kinds of tables, other rows, columns that are no indices, or gaps.
    """
    load_rows, p = _frame(load_p, "load_p")
    rows, some_q = _frame(load_q, "load_q", like=load_p) if load_q is not None else (np.zeros(0, np.int64), p[:, :0])
    q = np.full(p.shape, np.nan)
    q[:, _columns(rows, load_rows, "load", "load_p")] = some_q
    sgen_rows, sgens = (
        _frame(renewable, "renewable", like=load_p) if renewable is not None else (np.zeros(0, np.int64), p[:, :0])
    )
    day, step = _days(load_p.index, real_number(step_minutes, "step_minutes"))
    note = (
        f"{len(p):,} steps of {step:g} minutes of {len(load_rows)} loads and {len(sgen_rows)} static generators, given"
    )
    return ElementProfiles(day, step, note, load_rows, p, q, sgen_rows, sgens)


def _frame(frame: Any, what: str, like: Any = None) -> tuple[Whole, Reals]:
    """Columns and values of a table that has no gaps."""
    import pandas  # noqa: PLC0415 - heavy, and there already where there is a table

    if not isinstance(frame, pandas.DataFrame):
        raise UmbelError(f"{what} is {shown(frame)}; give a pandas.DataFrame with a column for each element")
    if not len(frame):
        raise UmbelError(f"{what} has no rows; give one for each step of time")
    try:
        rows = np.array([int(column) for column in frame.columns], np.int64)
        values = frame.to_numpy(float)
    except (TypeError, ValueError) as error:
        raise UmbelError(
            f"{what}: columns are not indices of elements, or values not numbers; mend the table"
        ) from error
    gaps = ~np.isfinite(values)
    if gaps.any():
        raise UmbelError(
            f"{what}: {gaps.sum():,} values are missing, the first of element {rows[gaps.any(0)][0]}; fill them in"
        )
    if len(set(rows.tolist())) < len(rows):
        raise UmbelError(f"{what} has several columns for one element; leave one")
    if like is not None and not frame.index.equals(like.index):
        raise UmbelError(f"{what} has other rows than load_p; give the same times in the same order")
    return rows, values


def _columns(rows: Whole, known: Whole, table: str, where: str = "the network") -> Whole:
    """Places of indices among those that are known."""
    place = {row: number for number, row in enumerate(known.tolist())}
    missing = [row for row in rows.tolist() if row not in place]
    if missing:
        raise UmbelError(
            f"profiles name {table} {missing[0]}, which {where} does not have in service; leave its column out"
        )
    return np.array([place[row] for row in rows.tolist()], np.int64)


def _days(index: Any, step_minutes: float) -> tuple[Whole, float]:
    """The day of each step, and the minutes between steps."""
    import pandas  # noqa: PLC0415

    if isinstance(index, pandas.DatetimeIndex):
        if not index.is_monotonic_increasing:
            raise UmbelError("times of the profiles are not in order; sort the tables by their index")
        steps = np.diff(index.to_numpy()).astype("timedelta64[s]").astype(float) / 60
        day = pandas.factorize(index.normalize())[0]
        return np.asarray(day, np.int64), float(np.median(steps)) if len(steps) else step_minutes
    if step_minutes <= 0:
        raise UmbelError(f"step_minutes is {step_minutes}; give the minutes between two rows")
    return (np.arange(len(index)) * step_minutes // _MINUTES_OF_A_DAY).astype(np.int64), step_minutes
