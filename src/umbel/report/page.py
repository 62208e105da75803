"""A study's page: one HTML file that needs nothing but itself."""

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from umbel.files import write_atomically
from umbel.report.claims import count_states
from umbel.report.drawing import Picture
from umbel.report.elements import claims_table, closed, gallery, listed, matrices, operating_points, table
from umbel.report.figures import figures
from umbel.report.grid import (
    DASH,
    MANY_TASKS,
    Column,
    Entry,
    Grid,
    every_point_grid,
    fixed,
    full_grid,
    metrics_grid,
    relative_grid,
    short_grid,
)
from umbel.report.html import Markup, join, tag
from umbel.report.results import Results
from umbel.report.tables import csv_table

FILE_NAME = "report.html"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'"
_FOLDS = (
    "Folds share most of the data that they learn from, so that their numbers are dependent; intervals are widened for "
    "it (Nadeau and Bengio: the variance times 1/k + test/training samples instead of 1/k)."
)


def write_page(results: Results, folder: Path | str) -> Path:
    """Write `report.html` into a folder: tables, figures, pictures, settings, command.

    Args:
        results: What the study measured.
        folder: The folder of its results; sample pictures are read from there and become part of the page.

    Returns:
        The path of the page.
    """
    folder = Path(folder)
    parts = sections(results, folder)
    head = join(_lead(results), _contents([(name, title) for name, title, _ in parts]))
    body = join(*(section(name, title, content) for name, title, content in parts))
    return write_atomically(folder / FILE_NAME, document(results.title, head, body, _foot(results)))


def document(title: str, head: Markup, body: Markup, foot: Markup) -> str:
    """A whole page with style and script in it, and a policy that forbids it to fetch anything."""
    here = files("umbel.report")
    style, script = (Markup((here / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    top = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", style),
    )
    content = tag("body", tag("header", head), tag("main", body), tag("footer", foot), tag("script", script))
    return "<!doctype html>\n" + tag("html", top, content, lang="en") + "\n"


def section(name: str, title: str, content: Markup) -> Markup:
    """A section with its heading, which links can point to."""
    return tag("section", tag("h2", title, id=name), content)


def sections(results: Results, folder: Path | None) -> list[tuple[str, str, Markup]]:
    """(Anchor, heading, content) of each part that has something to show."""
    drawn = figures(results)
    parts = [
        ("results", "Results", _tables(results)),
        *((f"listing-{i}", one.title, listed(one)) for i, one in enumerate(results.listings)),
        ("claims", "Claims", claims_table(results) if results.claims else None),
        ("improvement", "What joint training changes", gallery(drawn["improvement"])),
        ("points", "Over operating points", operating_points(results, drawn["points"])),
        ("matrices", "Between tasks", matrices(results, drawn["matrices"])),
        ("conflicts", "Do the tasks pull together?", _conflicts(results, drawn["conflicts"])),
        ("samples", "Sample pictures", _samples(results, folder) if folder is not None else None),
        ("curves", "Over training", gallery(drawn["curves"], closed_after=2 * MANY_TASKS)),
        ("methods", "Methods", _methods(results)),
        ("settings", "Settings and environment", _settings(results)),
        ("command", "Command", tag("pre", tag("code", results.command))),
        ("reading", "How to read the table", _reading(results)),
    ]
    return [(name, title, content) for name, title, content in parts if content]


def _lead(results: Results) -> Markup:
    data = results.data
    sizes = ", ".join(f"{count:,} {split}" for split, count in data.sizes.items())
    facts = [data.title or data.name, sizes, f"{len(results.tasks)} tasks", f"{len(results.methods)} methods"]
    facts.append(results.repeats_text)
    if results.claims:
        facts.append(f"claims: {count_states(results.claims)}")
    verdict = tag("div", *(tag("p", sentence) for sentence in results.verdict), class_="verdict")
    return join(
        tag("h1", results.title),
        tag("p", " · ".join(fact for fact in facts if fact), class_="meta"),
        verdict if results.verdict else None,
        *(tag("p", tag("strong", "Note: "), warning, class_="warning") for warning in results.warnings),
    )


def _contents(parts: Sequence[tuple[str, str]]) -> Markup:
    links = (tag("a", title, href=f"#{name}") for name, title in parts)
    return tag("nav", *links, aria_label="Contents")


def _foot(results: Results) -> Markup:
    return tag("p", f"Study {results.study} of Umbel {results.version}, {results.created}. Numbers: results.json.")


def _tables(results: Results) -> Markup:
    pieces = [table(short_grid(results))]
    if len(results.tasks) > MANY_TASKS:
        pieces.append(closed("Every task and method", table(full_grid(results))))
    if (relative := relative_grid(results)) is not None:
        pieces.append(closed("Improvement for each task, in percent", table(relative)))
    if (further := metrics_grid(results)) is not None:
        pieces.append(closed("Further metrics", table(further)))
    if (every := every_point_grid(results)) is not None:
        pieces.append(closed(every.title, table(every)))
    address = "data:text/csv;base64," + base64.b64encode(csv_table(results).encode()).decode("ascii")
    link = tag("a", "Download all numbers as CSV", href=address, download=f"{results.study}.csv")
    return join(*pieces, tag("p", link, class_="download"))


def _conflicts(results: Results, pictures: Sequence[Picture]) -> Markup | None:
    if not results.conflicts and not pictures:
        return None
    text = (
        "The cosine between the gradients of two tasks, at the parameters they share. Above zero, a step for one "
        "helps the other; below zero, they pull in opposite directions."
    )
    cells = []
    for c in results.conflicts:
        quartiles = " / ".join(fixed(q, 2, True) for q in c.quartiles)
        names = (results.method(c.method).title, f"{c.first} / {c.second}")
        values = (Entry(fixed(c.mean, 2, True), value=c.mean), Entry(quartiles, value=c.quartiles[1]))
        negative = Entry(f"{100 * c.fraction_negative:.0f} %", value=c.fraction_negative)
        cells.append((*map(Entry, names), *values, negative))
    named = (Column("method", numeric=False), Column("pair", numeric=False))
    columns = (*named, Column("mean cosine"), Column("quartiles", "25 / 50 / 75 %"), Column("negative", "of steps"))
    numbers = table(Grid("Gradient cosines over training", columns, tuple(cells)))
    details = closed(f"All {len(cells)} pairs in numbers", numbers) if cells else None
    return join(tag("p", text), gallery(pictures, closed_after=8), details)


def _samples(results: Results, folder: Path) -> Markup | None:
    pieces = []
    for sheet in results.samples:
        method = results.method(sheet.method).title
        title = f"{method}: {sheet.title}" if sheet.title else method
        path = folder / sheet.file
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            pieces.append(join(tag("h3", title), tag("p", f"The picture {sheet.file} is not there.", class_="note")))
            continue
        kind = "jpeg" if path.suffix.lower() in (".jpg", ".jpeg") else "png"
        address = f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode("ascii")
        image = tag("img", src=address, alt=sheet.alt or f"Inputs, targets and predictions of {title}", loading="lazy")
        scroll = tag("div", image, class_="scroll sheet", tabindex="0", role="region", aria_label=title)
        pieces.append(tag("figure", tag("figcaption", title), scroll))
    return join(*pieces) if pieces else None


def _methods(results: Results) -> Markup:
    pairs = []
    for method in results.methods:
        text = method.description or DASH
        if method.costs:
            text += f" ({'; '.join(f'{name}: {_cost_text(cost)}' for name, cost in method.costs.items())})"
        if method.key == results.reference:
            text += " The others are compared with this one."
        pairs += [tag("dt", method.title), tag("dd", text)]
    return tag("dl", *pairs)


def _cost_text(cost: float) -> str:
    """Large numbers whole, small ones with four digits."""
    return f"{cost:,.0f}" if abs(cost) >= 1000 else f"{cost:.4g}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names and text."""
    flat = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat += _flat(value, f"{prefix}{name}.")
        else:
            flat.append((prefix + name, DASH if value in (None, "", {}) else str(value)))
    return flat


def _list(values: Mapping[str, Any]) -> Markup:
    return tag("dl", *(piece for n, v in _flat(values) for piece in (tag("dt", n), tag("dd", v))))


def _settings(results: Results) -> Markup:
    data = {"name": results.data.name, "title": results.data.title, "note": results.data.note}
    data.update({f"{split} samples": f"{count:,}" for split, count in results.data.sizes.items()})
    chosen = {
        f"{results.method(run.method).title}, {results.repeats.removesuffix('s')} {run.repeat}": ", ".join(
            f"{n} {v}" for n, v in _flat(run.settings)
        )
        for run in results.runs
        if run.settings
    }
    return join(
        tag("h3", "Data"), _list(data), tag("h3", "Environment"), _list(results.environment),
        tag("h3", "Settings"), _list(results.settings),
        join(tag("h3", "Chosen on validation"), _list(chosen)) if chosen else None,
    )  # fmt: skip


def _reading(results: Results) -> Markup:
    texts = [
        f"Each number is the mean over {results.repeats} on the test split, ± the half-width of its 95 % confidence "
        "interval (Student's t). With one repeat there is no interval, shown as ± –; a dash alone means not measured. "
        "Checkpoints are chosen on the validation split.",
        *([_FOLDS] if results.repeats == "folds" else []),
        "↑ means higher is better, ↓ lower. Bold is the best mean of a column (at the same operating point); "
        "overlapping intervals mean that the order may be chance.",
    ]
    if results.reference is not None:
        title = results.method(results.reference).title
        texts.append(
            f"Δm is the mean over tasks of the relative change of the main metric against “{title}” with the same "
            "seed, in percent, with the sign turned so that positive is better. “Helped” and “hurt” count tasks by "
            "the sign of their mean; in brackets those whose whole interval is on that side of zero."
        )
    return join(*(tag("p", text) for text in texts))
