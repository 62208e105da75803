"""Electric grids: networks as numbers, their exact equations, a solver, and what is injected into them over a year."""

from umbel.grids.grid import Branches, Grid

__all__ = ["Branches", "Grid"]
