"""Whether a run's training samples can be told from others: networks trained as it was, on random halves."""

from umbel.audit import Membership, attack_membership
from umbel.core import Descent, Learner, UmbelError
from umbel.data import TensorSource
from umbel.engine import FabricRuntime, FitSettings
from umbel.engine.progress import Reporter
from umbel.recipes.auditing.settings import AuditSettings
from umbel.recipes.auditing.subject import Subject
from umbel.recipes.build import Described, make_learner
from umbel.recipes.teaching import prepare, weighed_descent
from umbel.recipes.teaching_settings import TeachingSettings
from umbel.report.schema import build


def check_membership(settings: AuditSettings, subject: Subject) -> None:
    """Refuse an attack on the membership of samples where the training cannot be repeated.

    Raises:
        UmbelError: As said.
    """
    if not settings.membership:
        return
    if subject.made is None or not {"descent", "teaching", "fit"} <= set(subject.made):
        raise UmbelError(
            "--membership trains as the network was trained, on halves of its data, which is known of runs of `umbel "
            "train` only; leave it out"
        )
    if not isinstance(subject.data.train, TensorSource):
        raise UmbelError("--membership needs training samples that are in memory; this set is streamed")


def attacked_members(
    settings: AuditSettings, subject: Subject, runtime: FabricRuntime, reporter: Reporter
) -> Membership:
    """What an attacker with so many networks finds out."""
    made, data = dict(subject.made or {}), subject.data
    described = Described.read(made, subject.title)
    teaching = build(TeachingSettings, made["teaching"], "teaching: ")
    fit = build(FitSettings, made["fit"], "fit: ")

    def fresh(seed: int) -> Learner:
        learner = make_learner(described.model, data, seed, described.maps)
        prepare(learner, teaching, start=True)
        return learner

    def descent() -> Descent:
        chosen = dict(made["descent"])
        name, weights = chosen.pop("name"), chosen.pop("task_weights")
        return weighed_descent(name, chosen, weights, data)

    train, validation = data.train, data.validation
    return attack_membership(fresh, descent, train, validation, fit, settings.membership, runtime, reporter=reporter)
