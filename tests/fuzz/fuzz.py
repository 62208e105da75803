"""Throw wrong things at the command and see that each is refused in one line, in time.

    python tests/fuzz/fuzz.py --cases 600 --seed 0

Each case runs `umbel.cli.main` in a forked process with a time limit. What counts as a failure: a traceback, a hang, an
exit status of 0 where the case is known to be wrong (a silent acceptance), a refusal of what is right, and a refusal
that is not one line. To add a command, add a line to `READERS` in fuzz_runs.py or a family to `FAMILIES` here.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parent))

from forked import Outcome, called  # noqa: E402
from fuzz_case import Case, Place  # noqa: E402
from fuzz_folders import folder_case  # noqa: E402
from fuzz_options import option_case, word_case  # noqa: E402
from fuzz_rows import rows_case  # noqa: E402
from fuzz_runs import damaged_case, finished_runs, resumed_case, turned_case  # noqa: E402
from fuzz_tables import name_case, table_case  # noqa: E402

FAMILIES: dict[str, tuple[Callable[[Place, random.Random], Case], int]] = {
    "options": (option_case, 4),
    "words": (word_case, 1),
    "tables": (table_case, 4),
    "names": (name_case, 2),
    "rows": (rows_case, 4),
    "damaged files": (damaged_case, 6),
    "resumed": (resumed_case, 1),
    "turned": (turned_case, 1),
    "folders": (folder_case, 2),
}
"""Family -> what makes a case of it, and how many of each 20 cases are of it."""

BAD = ("traceback", "hang", "silent acceptance", "wrong refusal", "not one line")


def verdict(case: Case, outcome: Outcome) -> str:
    """What became of a case: "ok", "refused", or one of `BAD`."""
    if outcome.hung:
        return "hang"
    lines = outcome.stderr.splitlines()
    if outcome.raised or "Traceback (most recent call last)" in outcome.stderr or outcome.status not in (0, 1, 2):
        return "traceback"
    if outcome.status == 2:
        said = [line for line in lines if line.startswith("umbel: ")]
        if len(said) != 1 or lines[-1] != said[0] or not said[0].isprintable() or len(said[0]) > 1500:
            return "not one line"
        return "wrong refusal" if case.expected == "right" else "refused"
    return "silent acceptance" if case.expected == "wrong" else "ok"


def run_case(number: int, seed: int, families: list[str], place: Place, limit: float) -> tuple[Case, Outcome, str]:
    """Make one case of one of the families in a folder of its own below `place.folder`, run it, and clear up."""
    draw = random.Random(f"{seed}/{number}")
    schedule = [name for name in families for _ in range(FAMILIES[name][1])]
    family = schedule[number % len(schedule)]
    folder = place.folder / f"case-{number}"
    folder.mkdir()
    case = FAMILIES[family][0](Place(folder, place.runs), draw)
    outcome = called(case.arguments, folder, limit)
    _writable(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return case, outcome, family


def _writable(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def main(given: Sequence[str] | None = None) -> int:
    """Run the cases, print a table and what failed; 1 when something did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES), metavar="FAMILY")
    parser.add_argument("--only", type=int, help="run this case alone and print all that it said")
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of a case")
    arguments = parser.parse_args(given)
    workshop = Path(tempfile.mkdtemp(prefix="umbel-fuzz-"))
    os.environ["XDG_CACHE_HOME"] = str(workshop / "cache")  # no set of the user's is needed
    began, counts, failures = time.monotonic(), Counter(), []
    try:
        runs = finished_runs(workshop / "runs")
        numbers = range(arguments.cases) if arguments.only is None else [arguments.only]
        for number in numbers:
            place = Place(workshop, runs)
            case, outcome, family = run_case(number, arguments.seed, arguments.families, place, arguments.seconds)
            judged = verdict(case, outcome)
            counts[family, judged] += 1
            if judged in BAD or arguments.only is not None:
                failures.append(f"case {number}, {family}, {judged}: {case.about}\n    {outcome.summary()}")
                print(failures[-1], flush=True)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    _table(counts, time.monotonic() - began)
    return 1 if any(judged in BAD for _, judged in counts) else 0


def _table(counts: Counter, seconds: float) -> None:
    columns = ("ok", "refused", *BAD)
    print(f"\n{'family':<15}" + "".join(f"{column:>19}" for column in columns))
    for family in FAMILIES:
        print(f"{family:<15}" + "".join(f"{counts[family, column]:>19}" for column in columns))
    totals = [sum(count for (_, judged), count in counts.items() if judged == column) for column in columns]
    print(f"{'all':<15}" + "".join(f"{total:>19}" for total in totals))
    print(f"{sum(totals)} cases in {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
