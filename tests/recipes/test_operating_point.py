"""Configurations as text: what is read, what is written, what is refused."""

import json

import pytest

from umbel.errors import UmbelError
from umbel.recipes.operating_point import parse_point, point_text

TASKS = ("depth", "seg")


@pytest.mark.parametrize(
    ("text", "width", "heads"),
    [
        ("full", 1.0, {"depth": 1.0, "seg": 1.0}),
        ("width=0.5", 0.5, {"depth": 1.0, "seg": 1.0}),
        ("heads=0.25", 1.0, {"depth": 0.25, "seg": 0.25}),
        ("width=0.5, heads=0.25, seg=1", 0.5, {"depth": 0.25, "seg": 1.0}),
        ("seg=0.75", 1.0, {"depth": 1.0, "seg": 0.75}),
    ],
)
def test_what_is_not_named_has_full_width(text, width, heads):
    point = parse_point(text, TASKS)
    assert point.as_dict() == {"width": width, "head_widths": heads}
    assert parse_point(point_text(point), TASKS) == point


def test_an_answer_of_the_search_is_read_from_a_file(tmp_path):
    file = tmp_path / "choice.json"
    file.write_text(json.dumps({"point": {"width": 0.5, "head_widths": {"depth": 0.25, "seg": 1.0}}}))
    assert parse_point(str(file), TASKS) == parse_point("width=0.5,depth=0.25", TASKS)
    file.write_text(json.dumps({"point": {"width": 0.5, "head_widths": {"other": 1.0}}}))
    with pytest.raises(UmbelError, match=r"unknown task in .* 'other'"):
        parse_point(str(file), TASKS)
    file.write_text("[]")
    with pytest.raises(UmbelError, match="not what `umbel search --json` prints"):
        parse_point(str(file), TASKS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width=half", "not of the form name=number"),
        ("depht=0.5", "unknown task in --point 'depht'; did you mean 'depth'"),
        ("seg=1,seg=0.5", "names 'seg' twice"),
        ("nothing.json", "is missing; give widths .* or a file"),
    ],
)
def test_other_text_is_refused(text, message):
    with pytest.raises(UmbelError, match=message):
        parse_point(text, TASKS)
