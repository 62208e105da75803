"""The attacks of an audit with its settings: inference, reconstruction, and what noise guarantees."""

from collections.abc import Sequence
from pathlib import Path

from umbel.audit import AttackSettings, Inference, Reconstruction, infer
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


def rebuilt(settings: AuditSettings, seen: Attacked, file: Path, reporter: Reporter) -> Sequence[Reconstruction]:
    """How well inputs are rebuilt, with a picture of the best reconstructions."""
    return ()


def guarantees_of(
    settings: AuditSettings, subject: Subject, point: OperatingPoint, releases: int
) -> Sequence[str]:
    """Sentences of what the releases at a point guarantee."""
    return ()
