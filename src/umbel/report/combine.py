"""One page over several studies."""

from collections.abc import Sequence
from pathlib import Path

from umbel.core import UmbelError
from umbel.files import write_atomically
from umbel.report.claims import SHOWN
from umbel.report.elements import claims_table, closed, gallery, operating_points, table
from umbel.report.figures import figures
from umbel.report.grid import DASH, Column, Entry, Grid, full_grid, number, short_grid
from umbel.report.html import Markup, join, tag
from umbel.report.page import document, section
from umbel.report.results import Results
from umbel.report.summary import Row, headline_rows

FILE_NAME = "combined.html"


def write_combined(results: Sequence[Results], out: Path | str) -> Path:
    """Write one page that compares several studies: delta-m of every method on every set, all claims, each in short.

    Args:
        results: One or more.
        out: The file to write, or a folder, which gets `combined.html`.

    Returns:
        The path of the page.

    Raises:
        UmbelError: No results.
    """
    if not results:
        raise UmbelError("no results to combine; name at least one folder that `umbel run` made")
    path = combined_path(out)
    names = _names(results)
    title = _title(results)
    links = [tag("a", name, href=f"#study-{i}") for i, name in enumerate(names)]
    head = join(tag("h1", title), tag("nav", *links, aria_label="Contents"))
    body = join(
        section("overview", "Overview", table(_overview(results, names))),
        *(_study(i, name, one) for i, (name, one) in enumerate(zip(names, results, strict=True))),
    )
    made = "; ".join(sorted({f"Umbel {r.version}" for r in results}))
    return write_atomically(path, document(title, head, body, tag("p", f"{len(results)} studies, {made}.")))


def combined_path(out: Path | str) -> Path:
    """The file that `write_combined` writes."""
    return path if (path := Path(out)).suffix == ".html" else path / FILE_NAME


def _title(results: Sequence[Results]) -> str:
    studies = {r.study for r in results}
    counted = f"{len(results)} result{'s' if len(results) != 1 else ''}"
    return f"{min(studies)}: {counted}" if len(studies) == 1 else f"Umbel: {counted}"


def _names(results: Sequence[Results]) -> list[str]:
    """A different name for each: its data set, its title, or both with a number where that is not enough."""
    data = [r.data.title or r.data.name for r in results]
    studies = [f"{r.study}: {name}" for r, name in zip(results, data, strict=True)]
    same_study = len({r.study for r in results}) == 1
    for names in (data if same_study else studies, [r.title for r in results]):
        if len(set(names)) == len(names):
            return names
    return [f"{i + 1}. {name}, {r.created[:10]}" for i, (r, name) in enumerate(zip(results, studies, strict=True))]


def _overview(results: Sequence[Results], names: Sequence[str]) -> Grid:
    """Rows: studies. Columns: size, claims, and delta-m of each method."""
    rows_of = [[r for r in headline_rows(one) if not r.is_reference] for one in results]
    labels = list(dict.fromkeys(row.label for rows in rows_of for row in rows))
    columns = [Column("results", numeric=False), Column("tasks"), Column("repeats"), Column("claims", "shown / all")]
    columns += [Column(label, "Δm in % ↑") for label in labels]
    cells = []
    for one, name, rows in zip(results, names, rows_of, strict=True):
        shown = sum(claim.state == SHOWN for claim in one.claims)
        start = [Entry(name), Entry(str(len(one.tasks)), value=len(one.tasks))]
        start += [Entry(one.repeats_text, value=len(one.repeat_numbers))]
        start += [Entry(f"{shown} / {len(one.claims)}" if one.claims else DASH, value=shown)]
        cells.append((*start, *_deltas(rows, labels)))
    return Grid("Improvement over single-task training (Δm), mean ± 95 % interval", tuple(columns), tuple(cells))


def _deltas(rows: Sequence[Row], labels: Sequence[str]) -> list[Entry]:
    known = {row.label: row.delta_m for row in rows if row.delta_m.known}
    best = max(known, key=lambda label: known[label].mean) if len(known) > 1 else None
    entries = []
    for label in labels:
        if label not in known:
            entries.append(Entry(DASH))
            continue
        mark = {1: "good", -1: "bad", 0: ""}[known[label].clear_sign]
        entries.append(Entry(number(known[label], 2, True), label == best, known[label].mean, mark))
    return entries


def _study(index: int, name: str, results: Results) -> Markup:
    verdict = tag("div", *(tag("p", sentence) for sentence in results.verdict), class_="verdict")
    short = short_grid(results)
    full = full_grid(results)
    drawn = figures(results, ("improvement", "points"))
    content = join(
        verdict if results.verdict else None,
        *(tag("p", tag("strong", "Note: "), warning, class_="warning") for warning in results.warnings),
        table(short),
        closed("Every task and method", table(full)) if short != full else None,
        claims_table(results) if results.claims else None,
        gallery(drawn["improvement"]),
        operating_points(results, drawn["points"]),
        tag("pre", tag("code", results.command)),
    )
    return section(f"study-{index}", name, content)
