"""A study's own tables as grids, for any renderer."""

import math

from umbel.report.grid import Column, Entry, Grid
from umbel.report.records import Listing


def listing_grid(listing: Listing) -> Grid:
    """The listing as a table that can be sorted by its numbers."""
    columns = tuple(Column(name, numeric=name in listing.numbers) for name in listing.columns)
    rows = [
        tuple(
            Entry(text, value=_number(text) if column.numeric else None)
            for text, column in zip(row, columns, strict=True)
        )
        for row in listing.rows
    ]
    return Grid(listing.title, columns, tuple(rows))


def _number(text: str) -> float | None:
    """The number that a text begins with; None where there is none."""
    try:
        value = float(text.split(maxsplit=1)[0].replace("−", "-"))
    except (IndexError, ValueError):
        return None
    return value if math.isfinite(value) else None
