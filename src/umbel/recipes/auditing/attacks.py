"""The attacks of an audit with its settings: inference, reconstruction, and what noise guarantees."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from umbel.audit import EFFORTS, AttackSettings, Inference, Reconstruction, infer, rebuild
from umbel.core import OperatingPoint
from umbel.engine.progress import Reporter
from umbel.recipes.auditing.attacked import Attacked, Cell
from umbel.recipes.auditing.settings import AuditSettings
from umbel.recipes.auditing.subject import Subject


def inferred(
    settings: AuditSettings, subject: Subject, seen: Attacked, cell: Cell, reporter: Reporter
) -> Sequence[Inference]:
    """What every task is told from the features of a cell."""
    how = AttackSettings(settings.seeds, settings.effort, settings.tried, most=settings.most)
    train, validation, test = seen.observed.values()
    return infer(train, validation, test, subject.learner.tasks, how, cell, reporter)


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
    train, validation, test = seen.without_input.values()
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


def guarantees_of(settings: AuditSettings, subject: Subject, point: OperatingPoint, releases: int) -> Sequence[str]:
    """Sentences of what the releases at a point guarantee."""
    return ()
