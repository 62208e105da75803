"""How soon the command answers."""

import subprocess
import sys

from benchmarks.measure import Row, compare, interleaved

COMMANDS = ("--help", "run compare --help")
TURNS, LIMIT_SECONDS = 9, 0.5


def measure() -> list[Row]:
    rows = []
    for command in COMMANDS:

        def ours(command: str = command) -> None:
            subprocess.run([sys.executable, "-m", "umbel.cli", *command.split()], check=True, capture_output=True)

        def python() -> None:
            subprocess.run([sys.executable, "-c", "pass"], check=True)

        mine, theirs = interleaved(ours, python, TURNS, 2)
        row = compare(f"umbel {command}", mine, theirs, "python -c pass", None, 1e3, "ms")
        rows.append(row)
        slow = row.ours > 1e3 * LIMIT_SECONDS
        limit = compare(
            f"umbel {command} against 500 ms", mine, [LIMIT_SECONDS] * len(mine), "the limit", 1.0, 1e3, "ms"
        )
        rows.append(limit)
        if slow:
            print(f"umbel {command} takes {row.ours:.0f} ms, more than {1e3 * LIMIT_SECONDS:.0f}")
    return rows
