"""What is said of a picture or a film by a network that tells live faces from attacks: probability, decision, means."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from umbel.core import UmbelError
from umbel.files import reading
from umbel.inference.answers import answer_columns, row_values
from umbel.inference.predictor import Predictor
from umbel.recipes.liveness import decision

_TABLE = "frames.csv"  # of a prepared folder


class Judge:
    """Reads the answers of a run with a task of liveness.

    Args:
        predictor: The run.
        threshold: From which probability on a picture is taken for live; None: what validation gave, if it was kept.

    Attributes:
        task: Name of the task.
        threshold: As used; None where there is none, and then nothing is decided.
        calibrated: Whether probabilities are calibrated.
        of_films: Whether the threshold is that of means over several frames of a film.
        columns: What `row` has, in its order.

    Raises:
        UmbelError: The run has no such task, or the threshold is no probability.
    """

    def __init__(self, predictor: Predictor, threshold: float | None = None) -> None:
        record = next((one for one in predictor.tasks if one.kind == "liveness"), None)
        if record is None:
            raise UmbelError(f"{predictor.path} has no task of liveness; give it rows with --data")
        if threshold is not None and not 0 <= threshold <= 1:
            raise UmbelError(f"the threshold is {threshold}; give a probability of live from 0 to 1")
        kept = predictor.calibration()
        kept = kept if kept is not None and kept.task == record.name else None
        self.task = record.name
        self.calibrated = kept is not None
        self.of_films = kept is not None and 0 < kept.videos < kept.samples and threshold is None
        self.threshold = threshold if threshold is not None or kept is None else kept.threshold
        self._path = predictor.path
        self._records = [record, *(one for one in predictor.tasks if one is not record and one.output == "vector")]
        self._names = answer_columns(self._records)
        self._probability = next(iter(self._names[record.name].values()))
        self._decision = [f"{self.task}: decision"] if self.threshold is not None else []
        further = [name for one in self._records[1:] for name in self._names[one.name].values()]
        self.columns = [self._probability, *self._decision, *further]

    def probability(self, answers: Mapping[str, np.ndarray]) -> float:
        """Of live, by the answers for a picture."""
        return float(answers[self.task].reshape(-1)[0])

    def decision(self, probability: float) -> str:
        """What it is taken for, "live" or "attack"; "" where there is no threshold."""
        return "" if self.threshold is None else decision(probability, self.threshold)

    def row(self, answers: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Column -> value, for one picture.

        Args:
            answers: Task -> decoded answer.
        """
        values: dict[str, Any] = {}
        for record in self._records:
            values |= row_values(record, self._names[record.name], answers[record.name])
        for name in self._decision:
            values[name] = self.decision(values[self._probability])
        return {name: values[name] for name in self.columns}

    def words(self, answers: Mapping[str, np.ndarray]) -> list[str]:
        """Probability and decision, as they are written under a picture."""
        probability = self.probability(answers)
        how = "calibrated" if self.calibrated else "not calibrated"
        first = f"live {probability:.3f} ({how})"
        if self.threshold is None:
            return [first]
        return [f"{self.decision(probability)}: {first}", f"live from {self.threshold:.3g} on"]

    @property
    def notes(self) -> list[str]:
        """What a reader must know of probabilities and decisions."""
        if not self.calibrated:
            given = "" if self.threshold is not None else " and there is no decision; give --threshold, or train it"
            return [
                f"{self._path}: no calibration is kept beside it (umbel train keeps one): the probability is the "
                f"network's own{given or '; the decision is at --threshold'}"
            ]
        if self.of_films:
            return ["the threshold is that of means over films: a decision about one picture says less"]
        return []


@dataclass(frozen=True)
class Mean:
    """What is said of a film, or of a folder of frames.

    Attributes:
        of: Which.
        frames: How many frames there are.
        probability: Mean over them, of live.
        decision: Of that mean; "" without a threshold.
    """

    of: str
    frames: int
    probability: float
    decision: str

    @property
    def sentence(self) -> str:
        """For a reader."""
        decided = f": {self.decision}" if self.decision else ""
        frames = f"{self.frames:,} frame{'' if self.frames == 1 else 's'}"
        return f"{self.of}: mean probability of live over {frames} {self.probability:.3f}{decided}"


class Means:
    """Adds probabilities up by film.

    Args:
        judge: Decides.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._sums: dict[str, tuple[int, float]] = {}

    def add(self, of: str, probability: float) -> None:
        """A frame of a film; "" is none."""
        if of:
            count, summed = self._sums.get(of, (0, 0.0))
            self._sums[of] = count + 1, summed + probability

    def all(self) -> list[Mean]:
        """The means, in the order in which the films came."""
        means = [(of, count, summed / count) for of, (count, summed) in self._sums.items()]
        return [Mean(of, count, mean, self._judge.decision(mean)) for of, count, mean in means]


class FilmsOf:
    """Says of which film a picture of a folder is: by the folder's frames.csv (column video), else by its subfolder.

    Args:
        given: What pictures were asked for; only of one folder films are known.

    Raises:
        UmbelError: frames.csv cannot be read, or has no columns file and video.
    """

    def __init__(self, given: tuple[str, ...]) -> None:
        self._folder = Path(given[0]).expanduser() if len(given) == 1 else None
        if self._folder is not None and not self._folder.is_dir():
            self._folder = None
        table = self._folder / _TABLE if self._folder is not None else None
        self._video = _videos(table) if table is not None and table.is_file() else None

    def __call__(self, name: str) -> str:
        """The film of a picture that is named by its path below the folder; "" where it is of none."""
        if self._folder is None:
            return ""
        if self._video is not None:
            return self._video.get(name, "")
        parent = PurePosixPath(name).parent.as_posix()
        return "" if parent == "." else parent


def _videos(table: Path) -> dict[str, str]:
    with reading(table, "make it with umbel prepare"), table.open(encoding="utf-8-sig", newline="") as file:
        try:
            rows = csv.DictReader(file)
            if missing := [name for name in ("file", "video") if name not in (rows.fieldnames or ())]:
                raise UmbelError(f"{table}: no column {missing[0]!r}; it needs file and video, or remove it")
            return {PurePosixPath(row["file"] or "").as_posix(): row["video"] or "" for row in rows}
        except csv.Error as error:
            raise UmbelError(f"{table}: cannot be read as CSV ({error}); remove it") from None
