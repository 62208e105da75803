"""New rows for a trained run: what it may be given, and what it must refuse."""

import csv
import io
import random
from collections.abc import Callable
from pathlib import Path

from fuzz_case import Case, Place
from fuzz_tables import Rows, clean_table

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
_BYTES: dict[str, bytes] = {
    "that is empty": b"",
    "of noise": bytes(range(256)) * 3,
    "in UTF-16": "a,b,colour\n1,2,red\n".encode("utf-16"),
    "with a zero byte": b"a,b,colour\n1,\x00,red\n",
}
_FLAGS = [
    *(["--keep", "nothing"], ["--batch-size", "0"], ["--batch-size", "nan"], ["--point", "width=0.5"]),
    *(["--out", "new.csv"], ["--out", ""], ["--out", "there.csv"], ["--out", "no/such/.csv/x.txt"], ["--out", "."]),
    *(["--data", "nothing.csv"], ["--data", "."], ["--data", ""], ["--data", "new.csv", "--split", "test"]),
]


def new_rows_case(place: Place, draw: random.Random) -> Case:
    """Predictions for a new file, or metrics on it."""
    path, run = place.folder / "new.csv", str(place.runs["table"])
    rows = clean_table(path, draw)
    choice = draw.choice(["right", "right", "wrong", "wrong", "wrong", "bytes", "flags", "evaluate"])
    command = ["predict", run, "--data", "new.csv", "--out", "predictions.csv"]
    if choice == "bytes":
        about = draw.choice(list(_BYTES))
        path.write_bytes(_BYTES[about])
        return Case(command, f"predict, a file {about}", "wrong")
    if choice == "flags":
        flags = draw.choice(_FLAGS)
        (place.folder / "there.csv").write_text("mine\n")
        kept = command[:2] if flags[0] == "--data" else command[:4]
        return Case([*kept, *flags], f"predict {' '.join(flags)}", "wrong")
    changes = _RIGHT if choice in ("right", "evaluate") else _WRONG
    about = draw.choice(list(changes))
    _written(path, changes[about](rows, draw))
    if choice == "evaluate":  # rows without labels cannot be judged
        expected = "wrong" if about == "without targets" else "either" if about == "of one row" else "right"
        return Case(["evaluate", run, "--data", "new.csv"], f"evaluate, rows {about}", expected)
    return Case(command, f"predict, rows {about}", "right" if choice == "right" else "wrong")


def _written(path: Path, rows: Rows) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
