import math

import fakes
import pytest

from umbel.report import DataInfo, MethodInfo, Results, Run, TaskInfo, summary

UP = TaskInfo("up", "classification", "accuracy", True, "", (), ("accuracy", "macro F1"))
DOWN = TaskInfo("down", "regression", "RMSE", False, "", (), ("RMSE",))
METHODS = (MethodInfo("single", "Single", "", 10, (0.1, 0.3)), MethodInfo("joint", "Joint", "", 5))


def _run(method, seed, up, down, point=None):
    return Run(method, seed, {"up": {"accuracy": up, "macro F1": up / 2}, "down": {"RMSE": down}}, point or {})


def _results(*runs, reference="single"):
    return Results("s", "t", "c", DataInfo("d"), (UP, DOWN), METHODS, runs, reference)


def test_delta_m_is_taken_per_seed_and_then_averaged():
    single, joint = summary(
        _results(
            _run("single", 0, 0.5, 2.0), _run("single", 1, 0.8, 4.0),
            _run("joint", 1, 0.6, 3.0), _run("joint", 0, 0.6, 1.0),
        )
    )  # fmt: skip
    # seed 0: +20 %, +50 % -> 35; seed 1: -25 %, +25 % -> 0; t(1) = 12.706
    assert joint.delta_m.mean == pytest.approx(17.5)
    assert joint.delta_m.half_width == pytest.approx(12.706 * 17.5, rel=1e-3)
    assert joint.relative["up"].mean == pytest.approx(-2.5)
    assert joint.relative["down"].mean == pytest.approx(37.5)
    assert joint.metrics["down"].mean == pytest.approx(2.0)
    assert joint.others["up"]["macro F1"].mean == pytest.approx(0.3)
    assert single.is_reference and single.delta_m.mean == 0
    assert single.milliseconds_per_step.mean == pytest.approx(200)


def test_a_seed_without_reference_is_left_out_of_delta_m_only():
    _, joint = summary(_results(_run("single", 0, 0.5, 2.0), _run("joint", 0, 0.6, 2.0), _run("joint", 7, 0.9, 2.0)))
    assert joint.delta_m.mean == pytest.approx(10)
    assert joint.delta_m.count == 1 and not joint.delta_m.has_interval
    assert joint.metrics["up"].mean == pytest.approx(0.75)


@pytest.mark.parametrize("up", [math.nan, math.inf])
def test_delta_m_is_unknown_when_a_metric_is_not_finite(up):
    _, joint = summary(_results(_run("single", 0, 0.5, 2.0), _run("joint", 0, up, 2.0)))
    assert not joint.delta_m.known and not joint.metrics["up"].known
    assert joint.relative["down"].mean == 0


def test_delta_m_is_unknown_when_the_reference_is_zero_or_absent():
    _, joint = summary(_results(_run("single", 0, 0.0, 2.0), _run("joint", 0, 0.5, 2.0)))
    assert not joint.delta_m.known
    (joint,) = summary(_results(_run("joint", 0, 0.5, 2.0), reference=None))
    assert not joint.delta_m.known and joint.relative == {}


def test_points_are_compared_with_the_reference_at_the_same_point():
    low, high = {"snr_db": 0.0}, {"snr_db": 10.0}
    rows = summary(
        _results(
            _run("single", 0, 0.5, 2, low), _run("single", 0, 0.8, 2, high), _run("joint", 0, 0.55, 2, low),
            _run("joint", 0, 0.8, 2, high),
        )
    )  # fmt: skip
    assert [(r.method.key, r.point["snr_db"]) for r in rows] == [
        ("single", 0), ("single", 10), ("joint", 0), ("joint", 10)
    ]  # fmt: skip
    assert [round(r.delta_m.mean, 6) for r in rows] == [0, 0, 5, 0]


def test_a_reference_at_one_point_serves_all():
    rows = summary(_results(_run("single", 0, 0.5, 2), _run("joint", 0, 0.6, 2, {"width": 0.5})))
    assert rows[1].delta_m.mean == pytest.approx(10)


def test_clear_sign_needs_the_interval_on_one_side():
    rows = summary(fakes.small(3))
    for row in rows:
        for estimate in row.relative.values():
            low, high = estimate.mean - estimate.half_width, estimate.mean + estimate.half_width
            assert estimate.clear_sign == (1 if low > 0 else -1 if high < 0 else 0)
    assert all(e.clear_sign == 0 for row in summary(fakes.small(1)) for e in row.relative.values())
