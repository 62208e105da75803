"""New rows for a trained run: malformed ones, those that do not fit, and predictions asked for in the wrong way."""

import random
import shutil

from fuzz_case import Case, Place
from fuzz_tables import BYTES, CELLS, Expected, clean_table, write_rows

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
    what = draw.choice(["cells", "bytes", "flags", "data"])
    if what == "flags":
        flags, expected = draw.choice(_ASKED)
        return Case(["predict", "run", "--data", "new.csv", *flags], f"predict {' '.join(flags)}", expected)
    command = draw.choice(["predict", "evaluate"])
    if what == "data":
        data = draw.choice(_DATA)
        return Case([command, "run", "--data", data], f"{command} --data {data!r}", "wrong")
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
