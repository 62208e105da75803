"""Scenarios: what is injected at every bus of a grid in many steps of time."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from umbel.arguments import instance, whole_number
from umbel.errors import UmbelError
from umbel.grids.elements import Elements, Powers, elements_of
from umbel.grids.grid import Grid, Reals, Whole
from umbel.grids.profiles import Profiles
from umbel.grids.settings import ScenarioSettings
from umbel.grids.splitting import GAP_STEPS, split_days


@dataclass(frozen=True, eq=False)
class Injections:
    """What is injected at every bus, generation minus load, in the order of time.

    Attributes:
        p_mw: [rows, buses]; 0 at the slack, which balances.
        q_mvar: Likewise; 0 at the slack and at buses whose |V| a generator holds.
        day: [rows], the day of each row.
        time: [rows], the step of the profiles of each row.
        gap_steps: Steps that must be between rows of two splits; 0 where rows do not follow one another.
        note: What the profiles are and whose.
        warnings: What a reader should know of these rows.
    """

    p_mw: Reals
    q_mvar: Reals
    day: Whole
    time: Whole
    gap_steps: int
    note: str
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.p_mw)

    def chosen(self, rows: Whole) -> "Injections":
        """Some of the rows, by their places or as a mask."""
        return replace(self, p_mw=self.p_mw[rows], q_mvar=self.q_mvar[rows], day=self.day[rows], time=self.time[rows])

    def split(self, shares: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int = 0) -> tuple[Whole, Whole, Whole]:
        """Rows of training, validation and test by whole days, as `split_days` does it."""
        return split_days(self.day, shares, seed, self.gap_steps, self.time)


def injections(
    net: Any,
    grid: Grid,
    profiles: Profiles,
    settings: ScenarioSettings | None = None,
    rows: int | Whole | None = None,
) -> Injections:
    """What is injected into a grid when its loads and renewables follow profiles.

    Generators with positive power, and the slack, share what the net load (loads less renewables) is more or less than
    in the base case, in proportion to their power there. Everything else stays as in the base case.

    Args:
        net: The network that the grid was made from.
        grid: As `grid_of` makes it.
        profiles: As `simbench_year`, `drawn_profiles` or `profiles_from_frames` make them.
        settings: Of the scenarios.
        rows: How many steps, drawn by the seed of the settings; or which, by their numbers; all without it.

    Raises:
        UmbelError: More rows than steps, a network without loads, or profiles of another one.
    """
    settings = ScenarioSettings() if settings is None else settings
    instance(settings, ScenarioSettings, "settings of the scenarios", "ScenarioSettings")
    instance(profiles, Profiles, "profiles", "simbench_year(), drawn_profiles(...) or profiles_from_frames(...)")
    steps = _steps(profiles, rows, settings.scenario_seed)
    elements = elements_of(net, grid)
    powers = profiles.powers(elements, settings, steps)
    p = np.tile(grid.base_p_mw, (len(steps), 1))
    q = np.tile(grid.base_q_mvar, (len(steps), 1))
    _add(p, elements.load_places, elements.load_p_mw - powers.load_p_mw)
    _add(q, elements.load_places, elements.load_q_mvar - powers.load_q_mvar)
    _add(p, powers.more_places, powers.more_mw)
    follow, warnings = _dispatch(elements, powers)
    p += (follow - 1)[:, None] * elements.fleet_mw
    p[:, grid.slack] = 0
    q[:, grid.slack] = 0
    q[:, grid.pv] = 0
    gap = GAP_STEPS if profiles.step_minutes > 0 else 0
    return Injections(p, q, profiles.day[steps], steps, gap, profiles.note, powers.notes + warnings)


def _steps(profiles: Profiles, rows: int | Whole | None, seed: int) -> Whole:
    total = len(profiles)
    if rows is None:
        return np.arange(total)
    if not np.ndim(rows):
        count = whole_number(rows, "rows of the scenarios", least=1)
        if count > total:
            raise UmbelError(
                f"{count:,} rows of scenarios, but the profiles have {total:,} steps; give at most as many"
            )
        return np.sort(np.random.default_rng([seed, 9]).choice(total, count, replace=False))
    steps = np.asarray(rows)
    rising = steps.ndim == 1 and steps.dtype.kind in "iu" and len(steps) and (np.diff(steps) > 0).all()
    if not rising or steps[0] < 0 or steps[-1] >= total:
        raise UmbelError(
            f"rows of the scenarios must be rising numbers of steps from 0 to {total - 1:,}; give such, or how many"
        )
    return steps.astype(np.int64)


def _add(to: Reals, places: Whole, values: Reals) -> None:
    """Add values [rows, elements] to the columns of their buses."""
    for element, place in enumerate(places.tolist()):
        to[:, place] += values[:, element]


def _dispatch(elements: Elements, powers: Powers) -> tuple[Reals, tuple[str, ...]]:
    """The factor of all generators in each row, and what there is to say of it."""
    net_load = powers.load_p_mw.sum(1) - elements.load_p_mw.sum() - powers.more_mw.sum(1)
    fleet = elements.fleet_mw.sum() + max(elements.slack_mw, 0.0)
    if fleet <= 0:
        return np.ones(len(net_load)), ("no generator has power in the base case: the slack balances alone",)
    follow = 1 + net_load / fleet
    low = int((follow < 0).sum())
    notes = (
        (f"in {low:,} of {len(follow):,} rows renewables exceed the load: all generators stand still",) if low else ()
    )
    return np.maximum(follow, 0.0), notes
