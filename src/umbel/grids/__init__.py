"""Electric grids: networks as numbers, their exact equations, a solver, and what is injected into them over a year.

Nothing here imports pandapower, lightsim2grid or SimBench before a function needs them.
"""

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
