"""Electric grids: networks as numbers, their exact equations, a solver, and what is injected into them over a year.

Nothing here imports pandapower, lightsim2grid or SimBench before a function needs them.
"""

from umbel.grids.agreement import cross_check
from umbel.grids.chord import ChordSteps
from umbel.grids.equations import Flows, GridEquations, jacobian
from umbel.grids.grid import Branches, Grid
from umbel.grids.networks import Magnetising, bus_places, grid_of, open_network, same_topology
from umbel.grids.sensitivities import Sensitivities
from umbel.grids.solver import Solved, Solver
from umbel.grids.states import Predict, States

__all__ = [
    "Branches",
    "ChordSteps",
    "Flows",
    "Grid",
    "GridEquations",
    "Magnetising",
    "Predict",
    "Sensitivities",
    "Solved",
    "Solver",
    "States",
    "bus_places",
    "cross_check",
    "grid_of",
    "jacobian",
    "open_network",
    "same_topology",
]
