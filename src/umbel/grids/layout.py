"""Where to draw the buses of a grid: its own coordinates, or places that keep distances along branches."""

import json
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from umbel.grids.grid import Branches, Reals

_PIVOTS = 50
_REFINED_UP_TO = 2000  # buses: refining needs distances between all pairs


def coordinates(value: Any) -> tuple[float, float] | None:
    """(x, y) of a bus from a cell with GeoJSON, as pandapower keeps it; None where there is no usable point."""
    try:
        place = json.loads(value) if isinstance(value, str) else value
        x, y = place["coordinates"][:2]
        return (float(x), float(y)) if np.isfinite([x, y]).all() else None
    except (ValueError, TypeError, KeyError, IndexError):
        return None


def drawn(branches: Branches, buses: int) -> Reals:
    """[buses, 2] places whose distances are about the numbers of branches between the buses; always the same.

    Multidimensional scaling of the distances to some far-apart buses (pivot MDS, Brandes and Pich 2006), which is then
    refined by majorising the stress (Gansner et al. 2004) where the grid is small enough.
    """
    if buses <= 2:
        return np.array([[0.0, 0.0], [1.0, 0.0]])[:buses]
    weights = np.ones(len(branches))
    links = coo_array((weights, (branches.from_bus, branches.to_bus)), shape=(buses, buses)).tocsr()
    distances = dijkstra(links, directed=False, unweighted=True, indices=_pivots(links, buses))
    squared = distances.T**2
    centred = squared - squared.mean(0) - squared.mean(1, keepdims=True) + squared.mean()
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = left[:, :2] * np.sqrt(sizes[:2])
    return _refined(places, dijkstra(links, directed=False, unweighted=True)) if buses <= _REFINED_UP_TO else places


def _pivots(links: Any, buses: int) -> list[int]:
    """Buses that are far from each other: each the farthest from those before."""
    pivots, nearest = [0], np.full(buses, np.inf)
    while len(pivots) < min(_PIVOTS, buses):
        nearest = np.minimum(nearest, dijkstra(links, directed=False, unweighted=True, indices=pivots[-1]))
        pivots.append(int(nearest.argmax()))
    return pivots


def _refined(places: Reals, distances: Reals, rounds: int = 60) -> Reals:
    """Places of lower stress: sum of (|x_i - x_j| / d_ij - 1)^2 over all pairs."""
    np.fill_diagonal(distances, 1.0)
    weights = distances**-2.0
    np.fill_diagonal(weights, 0.0)
    laplacian = np.diag(weights.sum(1)) - weights
    inverse = np.linalg.inv(laplacian + 1 / len(places))  # the constant, which moves the whole, is taken away below
    # Pivot MDS puts buses with the same distances on one another; a small fixed shift lets them part.
    places = places + 1e-3 * np.random.default_rng(0).standard_normal(places.shape)
    wanted = weights * distances
    for _ in range(rounds):
        squares = (places**2).sum(1)
        apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * places @ places.T, 1e-12))
        pull = wanted / apart
        places = inverse @ (pull.sum(1)[:, None] * places - pull @ places)
        places = places - places.mean(0)
    return places
