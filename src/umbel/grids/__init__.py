"""Electric grids: networks as numbers, their exact equations, a solver, and what is injected into them over a year.

Names are imported when they are first used: settings stay quick to load, and nothing here imports pandapower,
lightsim2grid or SimBench before a function needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umbel.grids.agreement import cross_check
    from umbel.grids.chord import ChordSteps
    from umbel.grids.equations import Flows, GridEquations, jacobian
    from umbel.grids.given_profiles import DrawnProfiles, ElementProfiles, drawn_profiles, profiles_from_frames
    from umbel.grids.grid import Branches, Grid
    from umbel.grids.networks import Magnetising, bus_places, grid_of, open_network, same_topology
    from umbel.grids.profiles import KindProfiles, Profiles, simbench_year
    from umbel.grids.scenarios import Injections, injections
    from umbel.grids.sensitivities import Sensitivities
    from umbel.grids.settings import ScenarioSettings
    from umbel.grids.solver import Solved, Solver
    from umbel.grids.splitting import split_days
    from umbel.grids.states import Predict, States

__all__ = [
    "Branches",
    "ChordSteps",
    "DrawnProfiles",
    "ElementProfiles",
    "Flows",
    "Grid",
    "GridEquations",
    "Injections",
    "KindProfiles",
    "Magnetising",
    "Predict",
    "Profiles",
    "ScenarioSettings",
    "Sensitivities",
    "Solved",
    "Solver",
    "States",
    "bus_places",
    "cross_check",
    "drawn_profiles",
    "grid_of",
    "injections",
    "jacobian",
    "open_network",
    "profiles_from_frames",
    "same_topology",
    "simbench_year",
    "split_days",
]

_FILES = {
    "agreement": ("cross_check",),
    "chord": ("ChordSteps",),
    "equations": (
        "Flows",
        "GridEquations",
        "jacobian",
    ),
    "given_profiles": (
        "DrawnProfiles",
        "ElementProfiles",
        "drawn_profiles",
        "profiles_from_frames",
    ),
    "grid": (
        "Branches",
        "Grid",
    ),
    "networks": (
        "Magnetising",
        "bus_places",
        "grid_of",
        "open_network",
        "same_topology",
    ),
    "profiles": (
        "KindProfiles",
        "Profiles",
        "simbench_year",
    ),
    "scenarios": (
        "Injections",
        "injections",
    ),
    "sensitivities": ("Sensitivities",),
    "settings": ("ScenarioSettings",),
    "solver": (
        "Solved",
        "Solver",
    ),
    "splitting": ("split_days",),
    "states": (
        "Predict",
        "States",
    ),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
    globals()[name] = value
    return value
