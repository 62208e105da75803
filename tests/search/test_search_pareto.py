"""Metrics of control against counting, sampling and scipy."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from umbel.core import UmbelError
from umbel.search import (
    ControlResponse,
    budget_error,
    control_response,
    group_losses,
    hypervolume,
    pareto_front,
    uniformity,
)


@st.composite
def grid_points(draw):
    """Up to 6 points in 1 to 6 dimensions with whole coordinates 0 to 4, often equal or outside."""
    dimensions = draw(st.sampled_from([1, 2, 3, 3, 4, 4, 5, 6]))
    point = st.lists(st.integers(0, 4), min_size=dimensions, max_size=dimensions)
    return dimensions, draw(st.lists(point, max_size=6))


@settings(max_examples=300, deadline=None)
@given(grid_points())
def test_hypervolume_equals_counting_unit_cells(drawn):
    dimensions, points = drawn
    cells = np.array(list(itertools.product(range(3), repeat=dimensions)))
    covered = np.zeros(len(cells), dtype=bool)
    for point in points:
        covered |= (cells >= np.array(point)).all(1)
    assert hypervolume(points, [3] * dimensions) == pytest.approx(covered.sum())


@pytest.mark.parametrize("dimensions", [2, 3, 4, 5, 6])
def test_hypervolume_agrees_with_sampling(dimensions):
    generator = np.random.default_rng(dimensions)
    directions = generator.dirichlet(np.ones(dimensions), 12)
    points = directions / np.linalg.norm(directions, axis=1, keepdims=True) * generator.uniform(0.3, 0.6, (12, 1))
    samples = generator.uniform(0, 1, (40_000, dimensions))
    inside = (samples[:, None] >= points).all(-1).any(1).mean()
    deviation = math.sqrt(inside * (1 - inside) / len(samples))
    assert hypervolume(points, np.ones(dimensions)) == pytest.approx(inside, abs=4 * deviation)


def test_hypervolume_refuses_what_it_cannot_do():
    assert hypervolume([], [1, 1]) == 0
    with pytest.raises(UmbelError, match="points have 3 coordinates, the reference 2"):
        hypervolume([[0, 0, 0]], [1, 1])
    with pytest.raises(UmbelError, match="NaN"):
        hypervolume([[0, math.nan]], [1, 1])
    with pytest.raises(UmbelError, match="in 20 dimensions; use 1 to 8"):
        hypervolume(np.zeros((1, 20)), np.ones(20))


@given(grid_points(), st.data())
def test_a_front_is_what_nothing_dominates(drawn, data):
    dimensions, points = drawn
    directions = data.draw(st.lists(st.sampled_from(["max", "min"]), min_size=dimensions, max_size=dimensions))
    signed = [[-x if way == "max" else x for x, way in zip(p, directions, strict=True)] for p in points]
    expected = []
    for i, point in enumerate(signed):
        beaten = any(
            all(a <= b for a, b in zip(other, point, strict=True)) and (other != point or j < i)
            for j, other in enumerate(signed)
        )
        expected += [] if beaten else [i]
    assert pareto_front(points, directions) == expected


def test_fronts_refuse_unknown_directions():
    with pytest.raises(UmbelError, match="direction 'up'"):
        pareto_front([[1, 2]], ["max", "up"])


def test_losses_of_groups_by_hand():
    """Each task's loss as a part of its own reference, so that scales of tasks do not matter."""
    losses, references = {"a": 0.2, "b": 30.0, "c": 0.5}, {"a": 0.1, "b": 10.0, "c": 1.0}
    assert group_losses(losses, references, [["c"], ["b", "a"]]) == pytest.approx([0.5, 2.5])


def test_uniformity():
    # Losses in inverse proportion to the preferences are what the preferences ask for.
    assert uniformity([0.2, 0.1, 0.4], [2, 4, 1]) == pytest.approx(1)
    assert uniformity([0.3, 0.1], [0.2, 0.8]) == pytest.approx(uniformity([3, 1], [2, 8]))
    shares = np.array([0.06, 0.08]) / 0.14
    assert uniformity([0.3, 0.1], [0.2, 0.8]) == pytest.approx(1 - (shares * np.log(2 * shares)).sum())
    assert uniformity([1, 0, 0], [1, 1, 1]) == pytest.approx(1 - math.log(3))
    assert uniformity([0, 0], [1, 1]) == 1
    with pytest.raises(UmbelError, match="2 losses and 1 preferences"):
        uniformity([1, 1], [1])
    with pytest.raises(UmbelError, match="0 or more"):
        uniformity([1, -1], [1, 1])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12))
def test_the_rank_correlation_is_that_of_scipy(pairs):
    asked, got = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    response = control_response(asked, got)
    assert isinstance(response, ControlResponse)
    if len(set(asked)) == 1 or len(set(got)) == 1:
        assert math.isnan(response.spearman)
    else:
        assert response.spearman == pytest.approx(spearmanr(asked, got).statistic)


def test_the_range_is_between_the_extreme_preferences():
    response = control_response([0.1, 0.9, 0.5, 0.9], [0.6, 0.8, 0.95, 0.7])
    assert response.range == pytest.approx(0.15)
    with pytest.raises(UmbelError, match="two or more"):
        control_response([1], [1])
    with pytest.raises(UmbelError, match="NaN"):
        control_response([1, 2], [1, math.nan])


def test_budget_error():
    assert budget_error(3.5, 4) == budget_error(4.5, 4) == 0.125
    with pytest.raises(UmbelError, match="above 0"):
        budget_error(1, 0)
