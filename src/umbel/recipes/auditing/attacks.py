"""The attacks of an audit with its settings: inference, reconstruction, and what noise guarantees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from umbel.audit import EFFORTS, AttackSettings, Inference, Observed, Reconstruction, infer, rebuild
from umbel.core import Task
from umbel.engine.progress import Reporter
from umbel.recipes.auditing.attacked import Attacked, Cell
from umbel.recipes.auditing.settings import AuditSettings


def inferred(
    settings: AuditSettings,
    splits: Mapping[str, Observed],
    cell: Cell,
    tasks: Sequence[Task],
    wanted: Sequence[str] | None,
    reporter: Reporter,
) -> Sequence[Inference]:
    """What the wanted tasks (None: all) are told from the features of a cell; all tasks' labels make the floors."""
    how = AttackSettings(settings.seeds, settings.effort, settings.tried, most=settings.most)
    train, validation, test = splits.values()
    return infer(train, validation, test, tasks, how, cell, reporter, wanted)


@dataclass(frozen=True)
class KeptPictures:
    """What is remembered of the attacks on the input.

    Attributes:
        entries: For each receiver, and for all together.
        notes: What a reader must know.
    """

    entries: tuple[Reconstruction, ...] = ()
    notes: tuple[str, ...] = ()


def rebuilt(settings: AuditSettings, seen: Attacked, file: Path, reporter: Reporter) -> KeptPictures:
    """How well inputs are rebuilt; draws the best reconstructions into a file."""
    train, validation, test = seen.observed.values()
    different = len({id(features) for features in test.features.values()})
    reporter.begin("rebuilding the input", different + (different > 1))  # each alone, and all together
    begun = count()

    def tell(line: str) -> None:
        reporter.step(next(begun), {})

    how = {"effort": EFFORTS[settings.effort], "seeds": settings.seeds, "device": seen.runtime.device}
    made = rebuild(train, validation, test, tell=tell, **how)
    made.draw(file)
    reporter.end()
    return KeptPictures(made.entries, made.notes)
