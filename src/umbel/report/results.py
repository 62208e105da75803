"""What a study measured, as one file: `results.json`. Its form is described in docs/results-schema.md."""

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import umbel
from umbel.core import UmbelError, unknown
from umbel.files import reading, write_atomically
from umbel.report.charts import Chart
from umbel.report.claims import Claim
from umbel.report.records import (
    Conflict,
    Curve,
    DataInfo,
    Listing,
    Matrix,
    MethodInfo,
    Profile,
    Record,
    Run,
    SampleSheet,
    TaskInfo,
)
from umbel.report.schema import Point, build, contains, plain

SCHEMA = 3
"""Version of the form of results.json."""
_READ = (1, 2, 3)
REPEATS = ("seeds", "folds")
"""What the repetitions of a study are: trainings with other seeds, or other parts of the data held out."""
FILE_NAME = "results.json"


def _laid_out(value: Any) -> str:
    """JSON of one part of the results; in a list, every record has a line of its own."""
    if not isinstance(value, list) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    lines = (json.dumps(item, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for item in value)
    return "[\n" + ",\n".join(lines) + "\n]"


def _newest(record: dict[str, Any]) -> dict[str, Any]:
    """The record of an older schema as one of this: repetitions were called seeds, and claims had no state."""
    if record["schema"] < SCHEMA:
        for part in ("runs", "curves"):
            for entry in record.get(part) or []:
                if isinstance(entry, dict) and "seed" in entry:
                    entry["repeat"] = entry.pop("seed")
    return {**record, "schema": SCHEMA}


@dataclass(frozen=True)
class Results(Record):
    """Everything that a study measured.

    Attributes:
        study: Its name on the command line.
        title: Its name for people.
        command: The exact command that made it.
        data: The data set.
        tasks: The tasks.
        methods: The arms, in the order of the tables.
        runs: One for each method, repeat and operating point. Claims, charts and verdict follow from these and from
            the records below them; see `umbel.study.Findings`.
        reference: Key of the method (single-task networks) that delta-m compares with; None when there is none.
        settings: Resolved settings, nested.
        environment: See `umbel.report.environment`.
        curves: What was measured over training.
        conflicts: Agreement of gradients.
        samples: Pictures beside the file.
        matrices: Numbers between named things.
        profiles: Numbers along something that is no operating point.
        facts: What the sentences need beside numbers: the strength chosen on validation, the most frequent class.
        repeats: What the repetitions are: "seeds" or "folds". Folds share data, so their numbers are dependent, and
            the main table's intervals are corrected for it; see `test_to_train`.
        claims: What the study set out to show, and whether it did.
        charts: Figures over operating points; without any, the page draws each task over each value that varies.
        listings: Tables of the study's own.
        headline: Operating points that the main table shows, each perhaps only some of its values; empty: all. A
            run at a point without values is always shown.
        verdict: Plain sentences, the most important first.
        warnings: What a reader must know before trusting the numbers.
        version: Version of Umbel.
        created: Date and time in UTC, ISO 8601.
        schema: Version of this form.
    """

    study: str
    title: str
    command: str
    data: DataInfo
    tasks: tuple[TaskInfo, ...]
    methods: tuple[MethodInfo, ...]
    runs: tuple[Run, ...]
    reference: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    samples: tuple[SampleSheet, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    profiles: tuple[Profile, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    repeats: str = "seeds"
    claims: tuple[Claim, ...] = ()
    charts: tuple[Chart, ...] = ()
    listings: tuple[Listing, ...] = ()
    headline: tuple[Point, ...] = ()
    verdict: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    version: str = umbel.__version__
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        super().__post_init__()
        for what, names in (("task", [t.name for t in self.tasks]), ("method", [m.key for m in self.methods])):
            if repeated := {name for name in names if names.count(name) > 1}:
                raise UmbelError(f"results of {self.study!r}: two {what}s are called {min(repeated)!r}")
        if self.repeats not in REPEATS:
            raise unknown("kind of repeats", self.repeats, REPEATS)
        keys = {m.key for m in self.methods}
        named = [r.method for r in self.runs] + [r.method for r in self.curves]
        named += [r.method for r in self.conflicts] + [r.method for r in self.samples]
        named += [r.method for r in self.profiles]
        for key in [*named, *([self.reference] if self.reference is not None else [])]:
            if key not in keys:
                raise unknown("method", key, keys)
        if self.runs and not any(self.in_headline(run.point) for run in self.runs):
            raise UmbelError(f"results of {self.study!r}: no run is at a point of the headline {list(self.headline)}")

    def in_headline(self, point: Point) -> bool:
        """Whether the main table shows an operating point."""
        return not self.headline or not point or any(contains(point, part) for part in self.headline)

    @property
    def repeat_numbers(self) -> tuple[int, ...]:
        """The numbers of the repetitions of all runs, in order."""
        return tuple(sorted({run.repeat for run in self.runs}))

    @property
    def test_to_train(self) -> float:
        """What intervals over the repetitions are corrected by; see `umbel.metrics.confidence_interval`.

        0 for seeds; for folds test samples by training samples, NaN (no interval) where their numbers are not known.
        """
        if self.repeats != "folds":
            return 0.0
        test, train = (self.data.sizes.get(split, 0) for split in ("test", "train"))
        return test / train if test and train else math.nan

    @property
    def repeats_text(self) -> str:
        """How many repetitions of which kind: "3 seeds", "1 seed", "5 folds"."""
        count = len(self.repeat_numbers)
        return f"{count} {self.repeats if count != 1 else self.repeats.removesuffix('s')}"

    def method(self, key: str) -> MethodInfo:
        """The method of that key.

        Raises:
            UmbelError: There is none.
        """
        for method in self.methods:
            if method.key == key:
                return method
        raise unknown("method", key, [m.key for m in self.methods])

    def to_json(self) -> str:
        """The whole as JSON text. Numbers that are not finite become "NaN", "Infinity" and "-Infinity"."""
        record = plain(self)
        ordered = {"schema": record.pop("schema"), **record}
        entries = (f" {json.dumps(name)}: {_laid_out(value)}" for name, value in ordered.items())
        return "{\n" + ",\n".join(entries) + "\n}\n"

    @classmethod
    def from_json(cls, text: str, where: str = FILE_NAME) -> "Results":
        """Read what `to_json` wrote, in this version or in an older one; the results are of the newest schema.

        Args:
            text: The JSON.
            where: Name of the file, for errors.

        Raises:
            UmbelError: Not JSON, another version of the schema, or a key that is missing or of another type.
        """
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UmbelError(f"{where} is not valid JSON ({error}); it is damaged, or not a results file") from error
        if not isinstance(record, dict) or "schema" not in record:
            raise UmbelError(f"{where}: schema is missing; this is not a results file of Umbel")
        if record["schema"] not in _READ:
            raise UmbelError(
                f"{where}: schema is {record['schema']!r}, this version reads {' and '.join(map(str, _READ))}; "
                "use the version of Umbel that wrote it, or run the study again"
            )
        try:
            return build(cls, _newest(record), f"{where}: ")
        except UmbelError as error:
            raise error if str(error).startswith(where) else UmbelError(f"{where}: {error}") from error

    def write(self, folder: Path | str) -> Path:
        """Write `results.json` into a folder, whole or not at all; returns its path."""
        return write_atomically(Path(folder) / FILE_NAME, self.to_json())

    @classmethod
    def read(cls, path: Path | str) -> "Results":
        """Read a results file, or the one in a folder.

        Raises:
            UmbelError: No such file, or it cannot be read as results.
        """
        path = Path(path)
        with reading(path, "give a folder that `umbel run` made, or its results.json"):
            file = path / FILE_NAME if path.is_dir() else path
            if not file.exists():
                raise UmbelError(f"no results at {file}; give a folder that `umbel run` made")
            text = file.read_text(encoding="utf-8")
        return cls.from_json(text, str(file))
