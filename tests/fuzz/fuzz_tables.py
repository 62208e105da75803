"""Tables: malformed ones, values that cannot be learnt, columns asked for in the wrong way, and unsafe names."""

import csv
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from fuzz_case import SMALL, Case, Place

Rows = list[list[str]]
Expected = Literal["right", "wrong", "either"]


def clean_table(
    path: Path, draw: random.Random, header: tuple[str, ...] = ("a", "b", "colour", "kind", "size")
) -> Rows:
    """A table of 60 rows that can be learnt; the last two columns are targets."""
    rows = [list(header)]
    for _ in range(60):
        a, b = draw.random(), draw.gauss(0, 5)
        rows.append([f"{a:.3f}", f"{b:.3f}", draw.choice(["red", "blue"]), "yes" if a > 0.5 else "no", f"{a + b:.3f}"])
    write_rows(path, rows)
    return rows


def write_rows(path: Path, rows: Rows) -> None:
    """Write rows, the header first, as a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8", errors="surrogatepass", newline="")


def _train(path: str, *more: str, targets: str = "kind,size") -> list[str]:
    return ["train", "--data", path, f"--targets={targets}", *SMALL, "--out", "run", *more]


def table_case(place: Place, draw: random.Random) -> Case:
    """A table with one thing wrong with it."""
    path = place.folder / "table.csv"
    rows = clean_table(path, draw)
    which = draw.choice(list(CELLS) + list(BYTES) + list(_ASKED))
    if which in CELLS:
        change, expected = CELLS[which]
        change(rows, draw)
        write_rows(path, rows)
        return Case(_train("table.csv"), f"table: {which}", expected)
    if which in BYTES:
        change_bytes, expected = BYTES[which]
        path.write_bytes(change_bytes(path.read_bytes(), draw))
        return Case(_train("table.csv"), f"table: {which}", expected)
    flags, expected = _ASKED[which]
    return Case(_train("table.csv", *flags) if "--targets" not in " ".join(flags) else _asked(flags), which, expected)


def _asked(flags: list[str]) -> list[str]:
    return ["train", "--data", "table.csv", *flags, *SMALL, "--out", "run"]


def _everywhere(column: int, *values: str) -> Callable[[Rows, random.Random], None]:
    """Every cell of a column becomes one of some values."""

    def change(rows: Rows, draw: random.Random) -> None:
        for row in rows[1:]:
            row[column] = draw.choice(values)

    return change


def _once(column: int, *values: str) -> Callable[[Rows, random.Random], None]:
    """One cell of a column becomes one of some values."""

    def change(rows: Rows, draw: random.Random) -> None:
        rows[draw.randrange(1, len(rows))][column] = draw.choice(values)

    return change


def _ragged(rows: Rows, draw: random.Random) -> None:
    row = rows[draw.randrange(1, len(rows))]
    row.append("9") if draw.random() < 0.5 else row.pop()


def _numbered(rows: Rows, draw: random.Random) -> None:
    for number, row in enumerate(rows[1:]):
        row[3] = f"class {number}"


CELLS: dict[str, tuple[Callable[[Rows, random.Random], None], Expected]] = {
    "as it is": (lambda rows, draw: None, "right"),
    "gaps": (_everywhere(4, "", "1.5", "2.5", "NA"), "right"),
    "one gap in an input": (_once(0, ""), "right"),
    "a ragged row": (_ragged, "wrong"),
    "a word among numbers": (_once(0, "much", "1,5", "0x10"), "wrong"),
    "infinity": (_once(1, "inf", "-inf", "1e999", "1e40"), "wrong"),
    "infinity in a target": (_once(4, "inf", "-Infinity", "1e300"), "wrong"),
    "huge numbers everywhere": (_everywhere(0, "1e31", "2e35", "-9e99"), "wrong"),
    "whole numbers beyond 2^53": (_everywhere(4, *(str(2**60 + i) for i in range(40))), "wrong"),
    "one value in a target": (_everywhere(4, "3"), "wrong"),
    "one class": (_everywhere(3, "yes"), "wrong"),
    "no label": (_everywhere(4, ""), "wrong"),
    "as many classes as rows": (_numbered, "wrong"),
    "a constant input": (_everywhere(0, "7"), "right"),
    "numbers written for people": (_everywhere(1, "1,234", "2,500", "17,000"), "wrong"),
    "percent": (_everywhere(1, "12%", "7 %", "99%"), "wrong"),
    "a line break in a class": (_everywhere(3, "yes\nno", "maybe"), "wrong"),
    "control codes in a class": (_everywhere(3, "\x1b[31mred", "blue"), "wrong"),
    "formulas in a class": (_everywhere(3, "=1+1", "@SUM(A1)"), "right"),
    "subnormal numbers": (_everywhere(0, "1e-310", "5e-324", "2e-308"), "either"),
    "few rows": (lambda rows, draw: rows.__delitem__(slice(draw.randrange(1, 19), None)), "wrong"),
    "two columns of one name": (lambda rows, draw: rows[0].__setitem__(1, "a"), "wrong"),
    "no name": (lambda rows, draw: rows[0].__setitem__(1, ""), "right"),
}
BYTES: dict[str, tuple[Callable[[bytes, random.Random], bytes], Expected]] = {
    "empty file": (lambda content, draw: b"", "wrong"),
    "header alone": (lambda content, draw: content.split(b"\n")[0], "wrong"),
    "noise": (lambda content, draw: draw.randbytes(500), "wrong"),
    "UTF-16": (lambda content, draw: content.decode().encode("utf-16"), "wrong"),
    "Latin-1": (lambda content, draw: content.replace(b"red", "r\xe4d".encode("latin-1")), "wrong"),
    "semicolons": (lambda content, draw: content.replace(b",", b";"), "wrong"),
    "an open quote": (lambda content, draw: content.replace(b"red", b'"red', 1), "wrong"),
    "a NUL": (lambda content, draw: content.replace(b"red", b"r\0d", 1), "either"),
    "a mark of byte order": (lambda content, draw: b"\xef\xbb\xbf" + content, "right"),
    "lines of Windows": (lambda content, draw: content.replace(b"\n", b"\r\n"), "right"),
    "cut off": (lambda content, draw: content[: draw.randrange(len(content))], "either"),
    "a cell of 200,000 characters": (lambda content, draw: content.replace(b"red", b"x" * 200_000, 1), "either"),
}
_ASKED: dict[str, tuple[list[str], Expected]] = {
    " ".join(flags): (flags, expected)
    for flags, expected in [
        (["--targets", "nothing"], "wrong"),
        (["--targets", "kind,kind"], "wrong"),
        (["--targets", ","], "wrong"),
        (["--targets", "kind", "--kinds", "kind=number"], "wrong"),
        (["--targets", "kind", "--kinds", "size"], "wrong"),
        (["--targets", "kind", "--kinds", "size=colour"], "wrong"),
        (["--targets", "kind", "--ignore", "kind"], "wrong"),
        (["--targets", "kind", "--ignore", "a,b,colour,size"], "wrong"),
        (["--targets", "kind", "--split-column", "colour"], "wrong"),
        (["--targets", "kind", "--split-column", "nothing"], "wrong"),
        (["--targets", "kind", "--image-column", "colour"], "wrong"),
        (["--targets", "kind", "--resolution", "8"], "wrong"),
        (["--targets", "kind", "--pictures-anywhere"], "wrong"),
        (["--targets", "kind", "--tasks", "size"], "wrong"),
        (["--targets", "kind", "--train-size", "0"], "wrong"),
        (["--targets", "kind", "--options", "size=3"], "wrong"),
        (["--targets", "kind", "--encoder", "conv"], "wrong"),
        (["--targets", "size", "--kinds", "size=classification"], "wrong"),
        (["--targets", "kind", "--encoder", "mlp", "--encoder-options", "width=8"], "right"),
        (["--targets", "size,kind", "--descent", "upgrad"], "right"),
    ]
}

_SAFE = ("a b", "a.b", "a/b", "..", "-x", "$x$", "[/b]", "=1+1", "é😀", "नाम", "%s{}", "'q'", '"', "\\", "<b>", "width")
_UNSAFE = ("a\nb", "\x1b[2J", "a\0", "\u202ex", "a\u2028", "x" * 400, "step", "learning_rate", "loss", "\x7f")


def name_case(place: Place, draw: random.Random) -> Case:
    """A column to predict, or a class, with a name that is safe or not."""
    safe = draw.random() < 0.5
    name = draw.choice(_SAFE if safe else _UNSAFE)
    path = place.folder / "table.csv"
    if draw.random() < 0.6 or name in ("step", "learning_rate", "loss"):
        clean_table(path, draw, ("a", "b", "colour", name, "size"))
        target = name.strip()
    else:
        rows = clean_table(path, draw)
        for row in rows[1:]:
            row[3] = f"{name}." if row[3] == "yes" else "no"
        write_rows(path, rows)
        target = "kind"
    expected: Expected = "right" if safe else "wrong"
    return Case(_train("table.csv", targets=target), f"name {ascii(name)[:50]}, target {ascii(target)[:20]}", expected)
