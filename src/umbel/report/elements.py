"""The parts that pages are made of: tables, claims, figures, charts with their numbers."""

from collections.abc import Sequence
from dataclasses import replace

from umbel.report.chart_grid import chart_grid
from umbel.report.charts import Chart
from umbel.report.claims import count_states
from umbel.report.drawing import Picture
from umbel.report.grid import Entry, Grid, claims_grid, matrix_grid
from umbel.report.html import Markup, join, tag
from umbel.report.listing_grid import listing_grid
from umbel.report.records import Listing
from umbel.report.results import Results


def table(grid: Grid, caption: str = "", style: str = "sortable") -> Markup:
    """A grid as an accessible table that scrolls sideways where there is no room."""
    heads = [
        tag(
            "th",
            tag("span", c.title),
            tag("small", c.subtitle) if c.subtitle else None,
            scope="col",
            class_="number" if c.numeric else None,
        )
        for c in grid.columns
    ]
    rows = [tag("tr", *(_cell(grid, i, entry) for i, entry in enumerate(row))) for row in grid.rows]
    content = tag(
        "table", tag("caption", caption or grid.title), tag("thead", tag("tr", *heads)), tag("tbody", *rows),
        class_=style,
    )  # fmt: skip
    return tag("div", content, class_="scroll", tabindex="0", role="region", aria_label=caption or grid.title)


def _cell(grid: Grid, index: int, entry: Entry) -> Markup:
    classes = ["number"] if grid.columns[index].numeric else []
    classes += ["best"] if entry.best else []
    classes += [entry.mark] if entry.mark else []
    given = {"class_": " ".join(classes) or None, "data_column": grid.columns[index].title}
    if entry.value is not None:
        given["data_value"] = repr(float(entry.value))
    return tag("th", entry.text, scope="row", **given) if index == 0 else tag("td", entry.text, **given)


def claims_table(results: Results) -> Markup:
    """The claims; each says in words, not only in colour, whether it is shown."""
    grid = claims_grid(results)
    rows = [(*row[:-1], replace(row[-1], mark=f"{row[-1].mark} state".strip())) for row in grid.rows]
    caption = f"What the study set out to show: {count_states(results.claims)}"
    return table(Grid(grid.title, grid.columns, tuple(rows)), caption, "claims")


def gallery(pictures: Sequence[Picture], closed_after: int = 1000) -> Markup | None:
    """Figures side by side where there is room; those after the first few in a part that opens."""
    if not pictures:
        return None
    drawn = [tag("figure", *_drawn(picture)) for picture in pictures]
    shown = tag("div", *drawn[:closed_after], class_="figures")
    if not (rest := drawn[closed_after:]):
        return shown
    return join(shown, closed(f"{len(rest)} more", tag("div", *rest, class_="figures")))


def closed(title: str, content: Markup) -> Markup:
    """A part that opens on a click."""
    return tag("details", tag("summary", title), content)


def _drawn(picture: Picture) -> tuple[Markup, Markup]:
    image = tag("img", src=picture.data_uri, alt=picture.alt, loading="lazy")
    return tag("figcaption", picture.title), image


def operating_points(results: Results, pictures: Sequence[Picture]) -> Markup | None:
    """The figures over operating points: the study's charts by section, each with its note and its numbers.

    Args:
        results: Of a study; without charts the pictures are shown as they are.
        pictures: What `figures(results, ("points",))` drew.
    """
    if not results.charts:
        return gallery(pictures)
    pieces = []
    for name in dict.fromkeys(chart.section for chart in sorted(results.charts, key=lambda c: c.section != "")):
        drawn = [_chart(c, p) for c, p in zip(results.charts, pictures, strict=True) if c.section == name]
        pieces += [tag("h3", name) if name else None, tag("div", *drawn, class_="figures")]
    return join(*pieces)


def matrices(results: Results, pictures: Sequence[Picture]) -> Markup | None:
    """The matrices as heat maps, each with its note and its numbers."""
    if not results.matrices:
        return None
    drawn = []
    for matrix, picture in zip(results.matrices, pictures, strict=True):
        note = tag("p", matrix.note, class_="note") if matrix.note else None
        numbers = closed("Numbers", table(matrix_grid(matrix), matrix.title))
        drawn.append(tag("figure", *_drawn(picture), note, numbers))
    return tag("div", *drawn, class_="figures")


def _chart(chart: Chart, picture: Picture) -> Markup:
    note = tag("p", chart.note, class_="note") if chart.note else None
    return tag("figure", *_drawn(picture), note, closed("Numbers", table(chart_grid(chart), chart.title)))


def listed(listing: Listing) -> Markup:
    """A table of the study's own, under its note."""
    note = tag("p", listing.note, class_="note") if listing.note else None
    return join(note, table(listing_grid(listing)))
