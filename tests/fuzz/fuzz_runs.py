"""Finished runs, their files damaged in every way, and commands that read them."""

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from forked import called
from fuzz_case import DIGITS, SMALL, Case, Place
from fuzz_tables import clean_table

STUDY = ["run", "compare", "--descents", "equal", "--seeds", "1", "--tuning-trials", "0", "--probes", "0", *DIGITS]
WIDE = [*DIGITS, "--encoder", "conv", "--widths", "0.5/1"]
READERS: dict[str, tuple[str, Callable[[str], list[str]]]] = {
    "evaluate": ("plain", lambda run: ["evaluate", run]),
    "evaluate a table's": ("table", lambda run: ["evaluate", run]),
    "evaluate a wide one": ("wide", lambda run: ["evaluate", run, "--point", "width=0.5"]),
    "search": ("wide", lambda run: ["search", run, "--budget", "60%"]),
    "export": ("wide", lambda run: ["export", run, "--point", "full", "--formats", "safetensors", "--out", "exported"]),
    "export a table's": ("table", lambda run: ["export", run, "--formats", "safetensors", "--out", "exported"]),
    "predict": ("table", lambda run: ["predict", run, "--data", "table.csv", "--out", "predictions.csv"]),
    "serve": ("table", lambda run: ["serve", run, "--port", "-1"]),  # refused at the latest at its port
    "resume": ("plain", lambda run: ["train", *DIGITS, "--resume", "--out", run]),
    "resume a study": ("study", lambda run: [*STUDY, "--resume", "--out", run]),
    "report": ("study", lambda run: ["report", run]),
    "verify": ("study", lambda run: ["verify", "compare", "--from", run]),
}
"""What reads a finished run -> which kind of run, and the command. A new command is a line here."""


def finished_runs(folder: Path) -> dict[str, Path]:
    """One finished run of each kind, made anew."""
    folder.mkdir(parents=True)
    clean_table(folder / "table.csv", random.Random(0))
    makers = {
        "plain": ["train", *DIGITS],
        "wide": ["train", *WIDE],
        "table": ["train", "--data", str(folder / "table.csv"), "--targets", "kind,size", *SMALL],
        "study": STUDY,
    }
    for kind, arguments in makers.items():
        outcome = called([*arguments, "--out", str(folder / kind)], folder, 300)
        if outcome.status or outcome.raised:
            sys.exit(f"cannot make the run {kind!r}: {outcome.summary()}")
    return {kind: folder / kind for kind in makers}


def damaged_case(place: Place, draw: random.Random) -> Case:
    """One file of a finished run is damaged, then the run is read."""
    reader = draw.choice(list(READERS))
    kind, command = READERS[reader]
    run = place.folder / "run"
    shutil.copytree(place.runs[kind], run)
    shutil.copy(place.runs[kind].parent / "table.csv", place.folder)
    files = sorted(path for path in run.rglob("*") if path.is_file())
    file, damage = draw.choice(files), draw.choice(list(_DAMAGES))
    _DAMAGES[damage](file, draw)
    return Case(command("run"), f"{reader}, {file.relative_to(run)} {damage}")


_TURNED = [
    *("search --budget nan%", "search --budget -3%", "search --budget 0%", "search --budget 4", "search --budget inf%"),
    *("search --budget 1e-9%", "search --budget 4ms --batch-size 0", "search --budget 4ms --batch-size -1"),
    *("search --budget 60% --prefer digit=nan", "search --budget 60% --prefer digit=-1", "search --budget x"),
    *("search --budget 60% --prefer digit=0,loops=0", "search --budget 60% --prefer nothing=1", "search"),
    *("search --budget 60% --prefer digit", "search --budget 60% --prefer digit=1,digit=2"),
    *("export --point width=0.3", "export --point width=nan", "export --point full --budget 3%", "export --point x"),
    *("export --point full --formats x", "export --point full --formats ,", "export --point width=0.5,digit=2"),
    *("export --point width=0.5,width=1", "export --point nothing.json", "export --point ."),
    *("evaluate --point width=0.3", "evaluate --point nothing=1", "evaluate --split all", "evaluate --devices 0"),
]


def turned_case(place: Place, draw: random.Random) -> Case:
    """A network that can be turned is asked for what cannot be."""
    command, *flags = draw.choice(_TURNED).split()
    return Case([command, str(place.runs["wide"]), *flags], " ".join([command, *flags]), "wrong")


def resumed_case(place: Place, draw: random.Random) -> Case:
    """A finished training goes on with other settings."""
    shutil.copytree(place.runs["plain"], place.folder / "run")
    same = not draw.randrange(6)
    changed = [
        ["--descent", "pcgrad"],
        ["--descent", "equal", "--descent-options", "weights=1/2"],
        ["--train-size", "48"],
        ["--learning-rate", "0.5"],
        ["--batch-size", "8"],
        ["--seed", "7"],
        ["--encoder-options", "widths=4/4"],
        ["--tasks", "loops,digit"],
        ["--tasks", "digit"],
        ["--data", "overlay-digits", "--tasks", "left,right"],
        ["--weight-decay", "0.5"],
        ["--hidden", "8"],
    ]
    flags = [] if same else draw.choice(changed)
    about = f"train --resume with {' '.join(flags) or 'the same settings'}"
    return Case(["train", *DIGITS, *flags, "--resume", "--out", "run"], about, "right" if same else "wrong")


def _truncate(file: Path, draw: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(len(content) or 1)])


def _flip(file: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(draw.choice([1, 1, 4, 40])):
        if content:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(bytes(content))


def _folder(file: Path, draw: random.Random) -> None:
    file.unlink()
    file.mkdir()


def _value(file: Path, draw: random.Random) -> None:
    file.write_text(
        draw.choice(["null", "[]", "{}", "3", '"text"', "NaN", "[" * 5000, '{"fit": null}', '{"schema": 3}'])
    )


def _loop(file: Path, draw: random.Random) -> None:
    file.unlink()
    file.symlink_to(file.name)


_DAMAGES: dict[str, Callable[[Path, random.Random], object]] = {
    "truncated": _truncate,
    "with flipped bits": _flip,
    "emptied": lambda file, draw: file.write_bytes(b""),
    "removed": lambda file, draw: file.unlink(),
    "replaced by a folder": _folder,
    "replaced by another value": _value,
    "replaced by noise": lambda file, draw: file.write_bytes(draw.randbytes(300)),
    "replaced by a loop of links": _loop,
}
