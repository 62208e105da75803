"""Encoders through `torch.compile`: which sides can go through them at all, and how long the others take."""

import torch
import torch._functorch.config as functorch

from benchmarks.descent_nets import CONV, Setting
from benchmarks.descent_peers import PLAIN, sides_of, told, working
from benchmarks.descents import SHORT, measured
from benchmarks.measure import Note, Row, say

TASKS = (4, 16)


def with_defaults(setting: Setting) -> list[Note]:
    """Which sides raise when nothing is set: torch's compiled backward frees what a second backward would need."""
    torch.compiler.reset()
    sides = sides_of(setting)
    works, notes = working(sides, f"{setting}, torch's defaults", sides)
    return [*notes, Note(f"{setting}, torch's defaults: works", ", ".join(works))]


def measure() -> list[Row | Note]:
    """Times with `donated_buffer` off, which whoever walks a compiled graph more than once has to set."""
    rows: list[Row | Note] = []
    for base in (CONV, SHORT):
        setting = base.but(compiled=True)
        say(f"{setting}: compiling (under a minute)")
        try:
            rows += with_defaults(setting)
            torch.compiler.reset()
            with functorch.patch(donated_buffer=False):
                rows += [row for tasks in TASKS for row in measured(setting.but(tasks=tasks))]
        except torch._dynamo.exc.BackendCompilerFailed as error:
            rows.append(Note(f"{setting}: {PLAIN}", f"cannot be compiled here: {told(error)}"))
    return rows
