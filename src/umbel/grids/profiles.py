"""Profiles: what loads and renewables do over time, of the usual kinds of consumers."""

import importlib.util
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from umbel.errors import UmbelError
from umbel.grids.elements import Elements, Powers
from umbel.grids.extra import from_extra
from umbel.grids.grid import Reals, Whole
from umbel.grids.settings import ScenarioSettings

_BLOCK = 96
_SIMBENCH = "networks/1-complete_data-mixed-all-1-sw"
_NOTE = (
    "profiles of SimBench's year 2016, 35,136 quarter-hours of 96 kinds of load and 20 of sun and wind; the data are "
    "under the Open Database License (ODbL) 1.0, https://simbench.de"
)


@dataclass(frozen=True, eq=False)
class Profiles(ABC):
    """Steps of time, and what the elements of a network do in them.

    Attributes:
        day: [steps], number of the day (or other block) of each, which a split does not divide.
        step_minutes: Between two steps; 0 where steps do not follow one another.
        note: What these are and whose, for reports.
    """

    day: Whole
    step_minutes: float
    note: str

    def __len__(self) -> int:
        return len(self.day)

    @abstractmethod
    def powers(self, elements: Elements, settings: ScenarioSettings, steps: Whole) -> Powers:
        """What loads and renewables do in some steps; but for rounding, no step depends on which others are asked."""


@dataclass(frozen=True, eq=False)
class KindProfiles(Profiles):
    """Kinds of consumers and of renewables; each load is a mixture of some kinds.

    Attributes:
        load_p: [steps, kinds], over its own peak.
        load_q: Likewise, reactive; a kind may have none.
        renewable: [steps, kinds], over its capacity.
        names: Of the kinds of load.
        renewable_names: Of the kinds of renewables.
    """

    load_p: Reals
    load_q: Reals
    renewable: Reals
    names: tuple[str, ...]
    renewable_names: tuple[str, ...]

    def powers(self, elements: Elements, settings: ScenarioSettings, steps: Whole) -> Powers:
        """Mix kinds for each load, scale the year to its peak, add noise, and put renewables beside some loads.

        Raises:
            UmbelError: More kinds to mix than there are.
        """
        kinds, loads = len(self.names), len(elements.load_rows)
        if settings.mix > kinds:
            raise UmbelError(f"mix is {settings.mix}, but there are {kinds} kinds of load; give at most as many")
        generator = np.random.default_rng([settings.scenario_seed, 0])
        weights = np.zeros((kinds, loads))
        for load in range(loads):
            weights[generator.choice(kinds, settings.mix, replace=False), load] = generator.dirichlet(
                np.ones(settings.mix)
            )
        base_p, base_q = elements.load_p_mw, elements.load_q_mvar
        total = self.load_p @ (weights @ base_p)
        scale = settings.peak * settings.load * base_p.sum() / total.max()
        noise = varied(settings.scenario_seed, 1, steps, 2 * loads, "standard_normal") * settings.noise + 1
        p = self.load_p[steps] @ (weights * base_p * scale) * noise[:, :loads]
        q = self.load_q[steps] @ (weights * base_q * scale) * noise[:, loads:]
        sites, capacity = placed(elements, settings, generator)
        columns = generator.integers(len(self.renewable_names), size=len(sites))
        return Powers(p, q, self.renewable[np.ix_(steps, columns)] * capacity, elements.load_places[sites], ())


def placed(elements: Elements, settings: ScenarioSettings, generator: np.random.Generator) -> tuple[Whole, Reals]:
    """Loads that get a renewable site, and its capacity in MW: so much that all together are `penetration` of the load.

    Were every load chosen with the same chance, each site would have penetration / sites times its load.
    """
    loads = len(elements.load_rows)
    count = max(1, int(settings.sites * loads)) if settings.penetration > 0 and settings.sites > 0 else 0
    sites = np.sort(generator.choice(loads, count, replace=False))
    share = settings.penetration / settings.sites if count else 0.0
    return sites, share * np.abs(elements.load_p_mw[sites])


def varied(seed: int, stream: int, steps: Whole, width: int, distribution: str) -> Reals:
    """[steps, width] random numbers; those of a step depend on seed, stream and the step, and on nothing else."""
    values = np.empty((len(steps), width))
    blocks = steps // _BLOCK
    for block in np.unique(blocks):
        here = np.flatnonzero(blocks == block)
        generator = np.random.default_rng([seed, stream, int(block)])
        values[here] = getattr(generator, distribution)((_BLOCK, width))[steps[here] % _BLOCK]
    return values


def simbench_year() -> KindProfiles:
    """The year of quarter-hours that comes with the package `simbench`: real loads, sun and wind of 2016.

    Raises:
        UmbelError: The package is not installed, or its files are not those that are known.
    """
    return _simbench_year()


@cache
def _simbench_year() -> KindProfiles:
    place = importlib.util.find_spec("simbench")  # importing it would load all of pandapower
    if place is None or place.origin is None:
        from_extra("simbench", "SimBench's year of profiles")
        raise UmbelError("the package simbench has no files; install it again")
    folder = Path(place.origin).parent / _SIMBENCH
    loads, renewables = _table(folder / "LoadProfile.csv"), _table(folder / "RESProfile.csv")
    names = [name.removesuffix("_pload") for name in loads if name.endswith("_pload")]
    sources = [name for name in renewables if name.startswith(("PV", "WP"))]
    p = loads[[f"{name}_pload" for name in names]].to_numpy(float)
    q = loads[[f"{name}_qload" for name in names]].to_numpy(float)
    peaks = np.abs(q).max(0)
    return KindProfiles(
        day=_in_order(loads["time"].str.slice(0, 10)),
        step_minutes=15.0,
        note=_NOTE,
        load_p=p / p.max(0),
        load_q=q / np.where(peaks > 0, peaks, 1),
        renewable=renewables[sources].to_numpy(float),
        names=tuple(names),
        renewable_names=tuple(sources),
    )


def _in_order(day: Any) -> Whole:
    """Numbers of days in the order in which they come."""
    import pandas  # noqa: PLC0415 - heavy, and needed for files only

    return np.asarray(pandas.factorize(day)[0], np.int64)


def _table(path: Path) -> Any:
    import pandas  # noqa: PLC0415

    try:
        return pandas.read_csv(path, sep=";")
    except (OSError, ValueError) as error:
        raise UmbelError(
            f"SimBench's profiles cannot be read from {path}; install simbench 1.6.3 or newer again"
        ) from error
