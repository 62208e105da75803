"""The preprocessing of a table's columns as nodes of ONNX before a network, so that a file takes the raw columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from umbel.data.cell_values import is_number
from umbel.data.table_description import InputColumn, TableDescription

FEATURES = "columns/features"
"""Name of what the network gets, inside the file. No identifier has a slash."""
PREFIX = "columns"


class _Nodes:
    """Nodes of a graph, one after the other; what they give has names that nothing else has."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.second_axis = self.constant(np.array([1]))

    def add(self, operation: str, *inputs: str, called: str = "", **attributes: Any) -> str:
        """The name of what an operation gives."""
        from onnx import helper  # noqa: PLC0415

        name = called or f"{PREFIX}/{operation}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [name], name=f"{name}/node", **attributes))
        return name

    def constant(self, values: np.ndarray | Sequence[str]) -> str:
        """The name of numbers, or of texts [1, n]."""
        from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

        name = f"{PREFIX}/constant_{len(self.constants)}"
        if isinstance(values, np.ndarray):
            self.constants.append(numpy_helper.from_array(values, name))
        else:
            texts: Any = [text.encode() for text in values]
            self.constants.append(helper.make_tensor(name, TensorProto.STRING, [1, len(texts)], texts))
        return name

    def as_column(self, name: str) -> str:
        """[rows] as [rows, 1]."""
        return self.add("Unsqueeze", name, self.second_axis)

    def as_numbers(self, name: str) -> str:
        from onnx import TensorProto  # noqa: PLC0415

        return self.add("Cast", name, to=TensorProto.FLOAT)


def with_columns(network: Any, table: TableDescription, names: Mapping[str, str]) -> Any:
    """A network that takes raw columns: float64 [rows], NaN where missing, or strings [rows], "" where missing.

    Numbers are centred in double precision. A category is compared with those of the training rows, whose whole
    numbers may end in ".0"; any other text is none of them. What marked missing values in the training rows, a word or
    a number, does so here.

    Args:
        network: `onnx.ModelProto` with the input `FEATURES`, float32 [rows, features]; changed.
        table: How columns become features.
        names: Column -> name of its input.
    """
    from onnx import TensorProto, helper  # noqa: PLC0415

    nodes = _Nodes()
    pieces = _numbers(nodes, table, names)
    for column in table.inputs:
        if column.kind == "category":
            pieces |= _category(nodes, column, names[column.name], table.missing)
    order, width = _places(table, pieces)
    together = nodes.add("Concat", *pieces, axis=1) if len(pieces) > 1 else next(iter(pieces))
    if order != list(range(width)):
        together = nodes.add("Gather", together, nodes.constant(np.array(order)), axis=1)
    nodes.add("Identity", together, called=FEATURES)

    graph = network.graph
    kinds = {"number": TensorProto.DOUBLE, "category": TensorProto.STRING}
    inputs = [helper.make_tensor_value_info(names[c.name], kinds[c.kind], ["batch"]) for c in table.inputs]
    rest = list(graph.node)
    del graph.input[:], graph.node[:]
    graph.input.extend(inputs)
    graph.node.extend([*nodes.nodes, *rest])
    graph.initializer.extend(nodes.constants)
    return network


Pieces = dict[str, list[tuple[str, int]]]
"""Name of a value [rows, n] -> for each of its n columns, the table's column and the place among its inputs."""


def _numbers(nodes: _Nodes, table: TableDescription, names: Mapping[str, str]) -> Pieces:
    """All columns of numbers in standard units, and the marks of their gaps."""
    columns = [column for column in table.inputs if column.kind == "number"]
    if not columns:
        return {}
    apart = [nodes.as_column(names[column.name]) for column in columns]
    values = nodes.add("Concat", *apart, axis=1)
    gaps = nodes.add("IsNaN", values)
    for word in filter(is_number, table.missing):  # as -999
        gaps = nodes.add("Or", gaps, nodes.add("Equal", values, nodes.constant(np.array([float(word)]))))
    centre = nodes.constant(np.array([column.centre for column in columns]))
    scale = nodes.constant(np.array([column.scale or 1.0 for column in columns]))
    standard = nodes.add("Div", nodes.add("Sub", values, centre), scale)
    unvaried = nodes.constant(np.array([column.scale == 0 for column in columns]))
    unused = nodes.add("Or", gaps, unvaried)
    filled = nodes.add("Where", unused, nodes.constant(np.zeros(1)), standard)
    pieces = {nodes.as_numbers(filled): [(column.name, 0) for column in columns]}
    if any(column.flagged for column in columns):
        pieces[nodes.as_numbers(gaps)] = [(column.name, 1) for column in columns]
    return pieces


def _category(nodes: _Nodes, column: InputColumn, name: str, missing: Sequence[str]) -> Pieces:
    """An input for each category, and the mark of a gap."""
    texts, pieces = nodes.as_column(name), {}
    if column.categories:
        same = nodes.add("Equal", texts, nodes.constant(column.categories))
        pointed = _pointed(column.categories)
        if pointed != list(column.categories):
            same = nodes.add("Or", same, nodes.add("Equal", texts, nodes.constant(pointed)))
        pieces[nodes.as_numbers(same)] = [(column.name, place) for place in range(len(column.categories))]
    if column.flagged:
        words = dict.fromkeys(["", *missing, *_pointed(missing)])
        marks = nodes.as_numbers(nodes.add("Equal", texts, nodes.constant([*words])))
        gap = nodes.add("ReduceMax", marks, nodes.second_axis, keepdims=1)
        pieces[gap] = [(column.name, len(column.categories))]
    return pieces


def _pointed(texts: Sequence[str]) -> list[str]:
    """Whole numbers as programs write them in a column with gaps, with ".0" behind them; other texts as they are."""
    return [f"{text}.0" if text.lstrip("+-").isdigit() else text for text in texts]


def _places(table: TableDescription, pieces: Pieces) -> tuple[list[int], int]:
    """Where each of the network's features is among all that the pieces hold side by side, and how many those are."""
    side_by_side = [place for piece in pieces.values() for place in piece]
    where = {place: index for index, place in enumerate(side_by_side)}
    order = []
    for column in table.inputs:
        count = (1 if column.kind == "number" else len(column.categories)) + column.flagged
        order += [where[column.name, place] for place in range(count)]
    return order, len(side_by_side)
