import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.core import OperatingPoint, Sweep, UmbelError

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
nested = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
points = st.dictionaries(st.text(max_size=4), nested, max_size=4).map(OperatingPoint)


@given(points)
def test_a_point_survives_json_and_pickle(point):
    assert OperatingPoint(json.loads(json.dumps(point.as_dict()))) == point
    assert pickle.loads(pickle.dumps(point)) == point


@given(points, points)
def test_equal_points_have_equal_hashes_whatever_the_order(first, second):
    backwards = OperatingPoint(dict(reversed(list(first.items()))))
    assert backwards == first and hash(backwards) == hash(first)
    if hash(first) != hash(second):
        assert first != second
    assert len({first, backwards}) == 1


def test_what_made_a_point_can_change_without_changing_it():
    widths = {"depth": [0.5, 1.0]}
    point = OperatingPoint(widths=widths, rounds=2)
    widths["depth"].append(0.25)
    widths["new"] = 1
    assert point["widths"] == {"depth": (0.5, 1.0)}
    with pytest.raises(TypeError):
        point["rounds"] = 3
    with pytest.raises(TypeError):
        point["widths"]["depth"] = 3
    with pytest.raises(AttributeError):
        point.rounds = 3


def test_with_values_replaces_and_leaves_the_first_point_alone():
    point = OperatingPoint(snr_db=7.0, width=0.5)
    other = point.with_values(width=1.0, rounds=3)
    assert dict(other) == {"snr_db": 7.0, "width": 1.0, "rounds": 3}
    assert dict(point) == {"snr_db": 7.0, "width": 0.5}
    assert point.require("snr_db") == 7.0


def test_values_that_cannot_be_a_key_or_json_are_refused():
    with pytest.raises(UmbelError, match="snr_db is NaN"):
        OperatingPoint(snr_db=float("nan"))
    with pytest.raises(UmbelError, match="width is a set"):
        OperatingPoint(width={1, 2})
    with pytest.raises(UmbelError, match="width is a object"):
        OperatingPoint(inner={"width": [object()]})
    with pytest.raises(UmbelError, match="did you mean 'snr_db'"):
        OperatingPoint(snr_db=1.0).require("snr")


def test_a_sweep_visits_every_combination_the_last_axis_fastest():
    sweep = Sweep.grid(snr_db=[0.0, 5.0], width=[0.5, 1.0])
    assert [(p["snr_db"], p["width"]) for p in sweep] == [(0.0, 0.5), (0.0, 1.0), (5.0, 0.5), (5.0, 1.0)]
    assert isinstance(sweep[1:3], Sweep) and [p["snr_db"] for p in sweep[1:3]] == [0.0, 5.0]
    assert list(Sweep()) == [OperatingPoint()] == list(Sweep.grid())
    with pytest.raises(UmbelError, match="at least one"):
        Sweep.grid(width=[])


def test_without_leaves_the_rest_as_it_was():
    point = OperatingPoint(snr_db=7.0, width=0.5, head_widths={"depth": 1.0})
    assert point.without("width", "rounds") == OperatingPoint(snr_db=7.0, head_widths={"depth": 1.0})
    assert point.without() == point and "width" in point
