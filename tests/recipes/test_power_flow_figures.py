"""Pictures of power flows: what is drawn, and that a wrong shape is refused."""

import numpy as np
import pytest
from PIL import Image

from umbel.core import UmbelError
from umbel.grids import Branches, Grid
from umbel.recipes.power_flow.figures import (
    error_against,
    flow_scatter,
    quantile_bands,
    save,
    standardised_distance,
    violation_map,
)

BUSES, ROWS = 5, 200


@pytest.fixture(scope="module")
def grid():
    """A chain of five buses; the last is held by a generator."""
    ends = np.arange(BUSES - 1), np.arange(1, BUSES)
    port = np.full(BUSES - 1, 1.0 - 10.0j)
    names = tuple(f"line {k}" for k in range(BUSES - 1))
    limits = np.array([0.5, np.nan, 0.5, 0.5])
    branches = Branches(*ends, port, -port, -port, port, limits, ("line",) * 4, np.arange(4), names)
    places = np.stack([np.arange(BUSES), np.zeros(BUSES)], axis=1).astype(float)
    nothing, buses = np.zeros(BUSES), np.arange(BUSES)
    return Grid(
        "chain", 100.0, tuple(f"bus {k}" for k in range(BUSES)), buses, np.full(BUSES, 110.0), nothing.astype(complex),
        branches, 0, np.array([4]), np.array([1, 2, 3]), np.ones(BUSES, complex), nothing, nothing, places,
    )  # fmt: skip


@pytest.fixture(scope="module")
def magnitudes():
    """|V| that varies at buses 1 to 3 only, highest at bus 1."""
    drawn = np.random.default_rng(0).standard_normal((ROWS, BUSES))
    return 1.0 + np.array([0, 0.03, 0, -0.02, 0.01]) + np.array([0, 0.01, 0.01, 0.01, 0]) * drawn


def heights(axes):
    return {line.get_label(): line.get_ydata() for line in axes.get_lines()}


def test_bands_are_of_buses_that_vary_in_order_of_their_median(grid, magnitudes, tmp_path):
    predicted = magnitudes + 0.001
    predicted[0] = np.nan  # a row that was not solved
    figure = quantile_bands(grid, predicted, magnitudes, low=0.94, high=1.06)
    axes = figure.axes[0]
    drawn = heights(axes)
    order = [3, 2, 1]
    assert drawn["surrogate, 1 and 99 %"] == pytest.approx(np.quantile(predicted[1:, order], 0.01, axis=0))
    assert drawn["surrogate, 5 and 95 %"] == pytest.approx(np.quantile(predicted[1:, order], 0.05, axis=0))
    assert [band.get_label() for band in axes.collections] == ["solver, 1 to 99 %", "solver, 5 to 95 %"]
    assert [0.94, 0.94] in [list(line.get_ydata()) for line in axes.get_lines()]
    with Image.open(save(figure, tmp_path / "new" / "bands.png")) as picture:
        assert picture.format == "PNG" and 700 < picture.width < 1200
    assert 5_000 < (tmp_path / "new" / "bands.png").stat().st_size < 300_000


def test_flows_are_set_against_each_other_with_their_error(grid, tmp_path):
    solved = np.random.default_rng(0).normal(0, 50, (3000, BUSES - 1))
    figure = flow_scatter(grid, solved + 2.0, solved)
    left, right = figure.axes
    places = np.asarray(left.collections[0].get_offsets())
    assert len(places) == 4000  # of 12,000
    assert places[:, 1] - places[:, 0] == pytest.approx(2.0)
    assert "RMSE 2 MW" in right.get_title(loc="left")
    assert sum(bar.get_height() for bar in right.patches) == solved.size
    assert save(figure, tmp_path / "flows.png").stat().st_size < 300_000


def test_the_map_colours_what_is_violated(grid, tmp_path):
    by_bus, by_branch = np.array([0, 0.2, 0, 0.1, 0]), np.array([0.4, np.nan, 0, 0.1])
    figure = violation_map(grid, by_bus, by_branch)
    grey, over, calm, marks = figure.axes[0].collections
    assert (len(grey.get_paths()), len(over.get_paths())) == (2, 2)
    assert over.get_array().tolist() == pytest.approx([40, 10]) and marks.get_array().tolist() == pytest.approx(
        [20, 10]
    )
    assert marks.get_offsets().tolist() == [[1.0, 0.0], [3.0, 0.0]] and len(calm.get_offsets()) == 3
    assert marks.norm.vmax == over.norm.vmax == 40
    assert "2 of 5 buses; ever overloaded: 2 of 3 branches" in figure.axes[0].get_title(loc="left")
    assert save(figure, tmp_path / "map.png").stat().st_size < 300_000
    save(violation_map(grid, np.zeros(BUSES), np.full(4, np.nan)), tmp_path / "calm.png")  # nothing is violated


def test_errors_are_marked_by_where_they_come_from(tmp_path):
    rng = np.random.default_rng(0)
    groups = {name: (rng.random(100), rng.random(100)) for name in ("test days", "load +20 %", "outage")}
    groups["test days"][1][:10] = np.nan
    figure = error_against(groups, "distance", "error, pu", log_x=True)
    axes = figure.axes[0]
    assert [one.get_label() for one in axes.collections] == list(groups)
    assert [len(one.get_offsets()) for one in axes.collections] == [90, 100, 100]
    assert len({tuple(one.get_facecolor()[0]) for one in axes.collections}) == 3
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_xlabel()) == ("log", "log", "distance")
    assert axes.yaxis.get_major_formatter()(0.01) == "0.01"  # no mathematics, which the look of figures leaves as it is
    assert save(figure, tmp_path / "errors.png").stat().st_size < 300_000


def test_distance_is_1_for_what_is_like_training():
    rng = np.random.default_rng(0)
    scale = np.array([1.0, 100.0, 0.0])
    training, more = (5 + scale * rng.standard_normal((4000, 3)) for _ in range(2))
    assert np.sqrt((standardised_distance(training, more) ** 2).mean()) == pytest.approx(1.0, abs=0.05)
    away = training.mean(0) + 3 * training.std(0)
    assert standardised_distance(training, away[None]) == pytest.approx([3.0])


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda g, m: quantile_bands(g, m[:, :4], m), r"\[rows, 5\]"),
        (lambda g, m: quantile_bands(g, m, np.full_like(m, np.nan)), "without NaN"),
        (lambda g, m: quantile_bands(g, m, np.ones_like(m)), "no voltage varies"),
        (lambda g, m: flow_scatter(g, m[:10, :4], m[:9, :4]), "the same rows"),
        (lambda g, m: flow_scatter(g, m, m), "give"),
        (lambda g, m: violation_map(g, np.zeros(4), np.zeros(4)), "5 buses"),
        (lambda g, m: violation_map(g, np.zeros(5), np.full(4, 1.5)), "above 1"),
        (lambda g, m: error_against({}, "x", "y"), "at least one group"),
        (lambda g, m: error_against({"a": (m[0], m[0, :3])}, "x", "y"), "'a'"),
        (lambda g, m: standardised_distance(m, m[:, :2]), "same columns"),
    ],
)
def test_what_does_not_fit_is_refused(grid, magnitudes, draw, says):
    with pytest.raises(UmbelError, match=says) as caught:
        draw(grid, magnitudes)
    assert "\n" not in str(caught.value)
