"""Electric grids: networks as numbers, their exact equations, a solver, and what is injected into them over a year."""

from umbel.grids.chord import ChordSteps
from umbel.grids.equations import Flows, GridEquations, jacobian
from umbel.grids.grid import Branches, Grid

__all__ = ["Branches", "ChordSteps", "Flows", "Grid", "GridEquations", "jacobian"]
