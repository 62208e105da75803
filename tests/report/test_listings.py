"""A study's own tables: kept in the file, on the page and in Markdown, sorted by their numbers."""

import dataclasses

import fakes
import pytest

from umbel.core import UmbelError
from umbel.report import Listing, Results, markdown_report, write_page
from umbel.report.listing_grid import listing_grid

LEAKS = Listing("Who | what", ["seen", "score"], [["<left>", "−0.2 [−0.3, 0.1]"], ["right", "–"]], ["score"], "0: none")


def test_listings_are_kept_and_shown(tmp_path):
    results = dataclasses.replace(fakes.small(1), listings=(LEAKS,))
    assert Results.from_json(results.to_json()).listings == (LEAKS,)
    page = write_page(results, tmp_path).read_text()
    assert '<a href="#listing-0">Who | what</a>' in page and "&lt;left&gt;" in page and "0: none" in page
    assert "## Who \\| what" in markdown_report(results) and "−0.2" in markdown_report(results)


def test_cells_are_sorted_by_the_number_that_they_begin_with():
    grid = listing_grid(LEAKS)
    assert [[entry.value for entry in row] for row in grid.rows] == [[None, -0.2], [None, None]]
    assert [column.numeric for column in grid.columns] == [False, True]
    short = LEAKS.without(["score", "other"])
    assert (short.columns, short.rows, short.numbers) == (("seen",), (("<left>",), ("right",)), ())


def test_listings_that_do_not_fit_are_refused():
    with pytest.raises(UmbelError, match="every row needs 2 texts"):
        Listing("t", ("a", "b"), (("1",),))
    with pytest.raises(UmbelError, match="unknown column of listing 't' 'c'"):
        Listing("t", ("a",), (("1",),), ("c",))
