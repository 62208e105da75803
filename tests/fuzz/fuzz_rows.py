"""New rows for a trained run: malformed ones, those that do not fit, and predictions asked for in the wrong way."""

import random
import shutil
from collections.abc import Callable

from fuzz_case import Case, Place
from fuzz_tables import BYTES, CELLS, Expected, Rows, clean_table, write_rows

Change = Callable[[Rows, random.Random], Rows]


def _without(rows: Rows, *columns: str) -> Rows:
    kept = [i for i, name in enumerate(rows[0]) if name not in columns]
    return [[row[i] for i in kept] for row in rows]


def _cell(text: str, column: str = "a") -> Change:
    """A change of one cell."""

    def change(rows: Rows, draw: random.Random) -> Rows:
        draw.choice(rows[1:])[rows[0].index(column)] = text
        return rows

    return change


def _shuffled(rows: Rows, draw: random.Random) -> Rows:
    order = draw.sample(range(len(rows[0])), len(rows[0]))
    return [[row[i] for i in order] for row in rows]


_RIGHT: dict[str, Change] = {
    "as in training": lambda rows, draw: rows,
    "without targets": lambda rows, draw: _without(rows, "kind", "size"),
    "in another order": _shuffled,
    "with a column more": lambda rows, draw: [[*row, "more" if i else "extra"] for i, row in enumerate(rows)],
    "with a blank number": _cell(""),
    "with a blank category": _cell("", "colour"),
    "with NA": _cell("NA"),
    "with an unseen category": _cell("violet", "colour"),
    "with a large number": _cell("1e20"),
    "of one row": lambda rows, draw: rows[:2],
}
_WRONG: dict[str, Change] = {
    "without an input": lambda rows, draw: _without(rows, draw.choice(["a", "b", "colour"])),
    "with a word among numbers": _cell("many"),
    "with an infinite number": _cell("inf"),
    "with a number beyond all bounds": _cell("1e300"),
    "with a decimal comma": _cell("1,5"),
    "of a header alone": lambda rows, draw: rows[:1],
    "with two columns of one name": lambda rows, draw: [[*row, "a" if i == 0 else "1"] for i, row in enumerate(rows)],
    "with a short row": lambda rows, draw: [*rows[:5], rows[5][:-1], *rows[6:]],
    "with a long row": lambda rows, draw: [*rows[:5], [*rows[5], "1"], *rows[6:]],
    "with names that cannot be shown": lambda rows, draw: [
        [*row, "\x1b[2J" if i == 0 else "1"] for i, row in enumerate(rows)
    ],
}

_INPUTS = (
    "a ragged row",
    "a word among numbers",
    "infinity",
    "huge numbers everywhere",
    "two columns of one name",
    "no name",
)
_ASKED: list[tuple[list[str], Expected]] = [
    ([], "right"),
    (["--keep", "kind"], "wrong"),
    (["--keep", "nothing"], "wrong"),
    (["--keep", "a,colour"], "right"),
    (["--out", "new.csv", "--overwrite"], "wrong"),
    (["--out", "answers.csv"], "right"),
    (["--out", "answers.npz"], "right"),
    (["--out", "answers.npz", "--keep", "a"], "wrong"),
    (["--out", "answers.txt"], "wrong"),
    (["--out", "run"], "wrong"),
    (["--out", "run/answers.csv/x.csv"], "either"),
    (["--out", ""], "wrong"),
    (["--point", "width=0.5"], "wrong"),
    (["--point", "x"], "wrong"),
    (["--batch-size", "0"], "wrong"),
    (["--batch-size", "1", "--json"], "right"),
]
_DATA = ("", "nothing.csv", ".", "run", "run/run.json", "nothing", "new.npy")


def rows_case(place: Place, draw: random.Random) -> Case:
    """Rows for `umbel predict` or `umbel evaluate --data`, one thing wrong with them or with the call."""
    shutil.copytree(place.runs["table"], place.folder / "run")
    path = place.folder / "new.csv"
    rows = clean_table(path, draw)
    what = draw.choice(["fits", "does not fit", "cells", "bytes", "flags", "data"])
    if what == "flags":
        flags, expected = draw.choice(_ASKED)
        return Case(["predict", "run", "--data", "new.csv", *flags], f"predict {' '.join(flags)}", expected)
    command = draw.choice(["predict", "evaluate"])
    if what == "data":
        data = draw.choice(_DATA)
        return Case([command, "run", "--data", data], f"{command} --data {data!r}", "wrong")
    if what in ("fits", "does not fit"):
        return _changed(place, rows, command, what == "fits", draw)
    if what == "cells":
        which = draw.choice(list(CELLS))
        CELLS[which][0](rows, draw)
        write_rows(path, rows)
        expected = "wrong" if which in _INPUTS else "either"
    else:
        which = draw.choice(list(BYTES))
        path.write_bytes(BYTES[which][0](path.read_bytes(), draw))
        expected = BYTES[which][1]
    return Case([command, "run", "--data", "new.csv"], f"{command}, new rows: {which}", expected)


def _changed(place: Place, rows: Rows, command: str, fits: bool, draw: random.Random) -> Case:
    """Rows that fit what was learnt from, or clearly do not."""
    changes = _RIGHT if fits else _WRONG
    about = draw.choice(list(changes))
    write_rows(place.folder / "new.csv", changes[about](rows, draw))
    expected: Expected = "right" if fits else "wrong"
    if command == "evaluate" and about == "without targets":
        expected = "wrong"  # rows without labels cannot be judged
    return Case([command, "run", "--data", "new.csv"], f"{command}, rows {about}", expected)
