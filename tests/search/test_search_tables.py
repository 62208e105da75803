"""Tables of configurations: what they refuse, and that files give them back."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from table_examples import table_of, tables

from umbel.core import UmbelError
from umbel.search import COST_KINDS, ConfigurationTable, TaskMetric


def parts(**changed):
    """Arguments of a good table of 2 tasks, 1 encoder width and 2 head widths."""
    good = {
        "encoder_widths": [1.0],
        "head_widths": [0.5, 1.0],
        "tasks": ["depth", "seg"],
        "metrics": {"depth": TaskMetric("rmse", False), "seg": TaskMetric("miou")},
        "quality": [[[0.3, 0.2]], [[0.5, 0.6]]],
        "encoder_costs": {"macs": [10], "latency_ms": [1.5]},
        "head_costs": {"latency_ms": [[[0.1, 0.3]], [[0.1, 0.3]]], "macs": [[[1, 3]], [[1, 3]]]},
        "machine": "a server",
        "batch_size": 4,
    }
    return good | changed


@settings(max_examples=50, deadline=None)
@given(table=tables())
def test_files_give_the_same_table_back(table):
    again = ConfigurationTable.from_json(table.to_json())
    assert again == table
    assert hash(again) == hash(table)
    assert again.to_json() == table.to_json()


def test_a_file_keeps_metrics_machine_and_batch_size():
    table = ConfigurationTable(**parts())
    again = ConfigurationTable.from_json(table.to_json())
    assert again.metrics["depth"] == TaskMetric("rmse", higher_is_better=False)
    assert (again.machine, again.batch_size, again.kinds) == ("a server", 4, ("latency_ms", "macs"))
    assert table != ConfigurationTable(**parts(batch_size=1))


def test_costs_add_up():
    table = ConfigurationTable(**parts())
    assert table.cost("macs", 0, [0, 1]) == 14
    assert table.full_cost("latency_ms") == pytest.approx(2.1)
    assert set(table.kinds) < set(COST_KINDS)
    with pytest.raises(UmbelError, match="has no 'bytes'; it has latency_ms, macs"):
        table.cost("bytes", 0, [0, 0])
    with pytest.raises(UmbelError, match="unknown kind of cost 'mac'"):
        table.require("mac")


def test_relative_quality_has_one_direction():
    table = ConfigurationTable(**parts())
    assert table.relative_quality == pytest.approx(np.array([[[-0.5, 0.0]], [[-1 / 6, 0.0]]]))


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"quality": [[[0.3, math.nan]], [[0.5, 0.6]]]}, r"quality holds NaN or infinity at \[0, 0, 1\]"),
        ({"quality": [[0.3, 0.2]]}, r"quality has shape \[1, 2\]; it must be \[2, 1, 2\]"),
        ({"quality": [[[0.3, 0.2]], [[0.5]]]}, "quality is not a table of numbers"),
        ({"encoder_costs": {"macs": [-1], "latency_ms": [1]}}, r"encoder_costs 'macs' is negative at \[0\]"),
        ({"encoder_costs": {"macs": [1.5], "latency_ms": [1]}}, "'macs' holds fractions"),
        ({"encoder_costs": {"macs": [1e30], "latency_ms": [1]}}, "too large"),
        ({"encoder_costs": {"macs": [1]}}, r"encoder_costs has \['macs'\], head_costs \['latency_ms', 'macs'\]"),
        ({"encoder_costs": {"watts": [1]}, "head_costs": {"watts": [[[1, 3]]] * 2}}, "unknown kind of cost 'watts'"),
        ({"encoder_costs": {}, "head_costs": {}}, "give both the same kinds"),
        ({"head_widths": [1.0, 0.5]}, "widths that increase"),
        ({"head_widths": [0.0, 0.5]}, "positive widths"),
        ({"encoder_widths": []}, "encoder_widths is"),
        ({"tasks": ["seg", "seg"]}, "'seg' appears twice"),
        ({"tasks": []}, "no task"),
        ({"metrics": {"seg": TaskMetric("miou")}}, "no metric for task 'depth'"),
        ({"machine": ""}, "latency without the machine"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
    ],
)
def test_bad_tables_are_one_clear_line(changed, line):
    with pytest.raises(UmbelError, match=line) as caught:
        ConfigurationTable(**parts(**changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda record: record.pop("quality"), "'quality' is missing"),
        (lambda record: record.update(format=2), "not a configuration table of format 1"),
        (lambda record: record.update(tasks="depth"), "'tasks' is not a list"),
        (lambda record: record.update(head_costs=[1]), "'head_costs' is not a mapping"),
        (lambda record: record["metrics"].update(seg="miou"), "a metric lacks"),
        (lambda record: record["quality"][0][0].__setitem__(0, None), "NaN or infinity|not a table of numbers"),
        (lambda record: record["quality"][0][0].__setitem__(0, "good"), "not a table of numbers"),
    ],
)
def test_spoilt_files_are_one_clear_line(spoil, line):
    record = json.loads(ConfigurationTable(**parts()).to_json())
    spoil(record)
    with pytest.raises(UmbelError, match=line) as caught:
        ConfigurationTable.from_json(json.dumps(record), "tables.json")
    assert str(caught.value).startswith("tables.json: ")


def test_a_file_that_is_not_json_is_one_clear_line():
    with pytest.raises(UmbelError, match=r"tables\.json: not JSON"):
        ConfigurationTable.from_json("{", "tables.json")
    with pytest.raises(UmbelError, match="not a configuration table"):
        ConfigurationTable.from_json("[1]")


def test_tables_cannot_be_changed():
    table = table_of([[[0.5, 1.0]]], [1], [[[1, 2]]])
    with pytest.raises(ValueError, match="read-only"):
        table.quality[0, 0, 0] = 2


def test_latency_needs_its_machine_and_counts_do_not():
    table = ConfigurationTable(**parts())
    table.check_machine("a server")
    with pytest.raises(UmbelError, match="measured on 'a server', this is 'a laptop'"):
        table.check_machine("a laptop")
    table_of([[[0.5, 1.0]]], [1], [[[1, 2]]]).check_machine("anything")


def test_quality_at_an_operating_point_is_that_of_its_widths():
    table = table_of([[[0.1, 0.2], [0.3, 0.4]], [[0.5, 0.6], [0.7, 0.8]]], [1, 2], [[[1, 2]] * 2] * 2)
    assert table.quality_at({"width": 0.5, "head_widths": {"task1": 0.5, "task0": 1.0}}) == {"task0": 0.2, "task1": 0.5}
    assert table.quality_at({"width": 1.0, "head_widths": {"task0": 0.5, "task1": 1.0}}) == {"task0": 0.3, "task1": 0.8}
