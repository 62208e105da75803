"""Matrices of named things as heat maps."""

import numpy

from umbel.report.drawing import Picture, finished, heat, new_axes, short
from umbel.report.records import Matrix
from umbel.report.results import Results

_MANY = 12  # with more names than this on a side the numbers are left to the table


def matrix_figures(results: Results) -> list[Picture]:
    """One heat map for each matrix, in their order; its numbers are in it where there is room for them."""
    return [_drawn(matrix) for matrix in results.matrices]


def _drawn(matrix: Matrix) -> Picture:
    rows, columns = len(matrix.rows), len(matrix.columns)
    few = max(rows, columns) <= _MANY
    side = 0.62 if few else 0.34
    figure, axes = new_axes(min(8.0, 1.6 + side * rows), min(9.0, max(4.2, 2.4 + side * columns)))
    values = numpy.array(matrix.values, dtype=float).reshape(rows, columns)
    image = heat(axes, values, 0.0, ".2g" if few else "", 8, centre=matrix.centre)
    axes.set_yticks(range(rows), [short(name, 20) for name in matrix.rows])
    axes.set_xticks(range(columns), [short(name, 20) for name in matrix.columns], rotation=35, ha="right")
    axes.tick_params(length=0)
    axes.set_ylabel(matrix.row_title)
    axes.set_xlabel(matrix.column_title)
    figure.colorbar(image, ax=axes, label=matrix.unit, shrink=0.8)
    told = f"{matrix.title}: {rows} rows ({', '.join(matrix.rows[:8])}) and {columns} columns"
    return finished(figure, matrix.title, f"{told}; the numbers are in the table below.")
