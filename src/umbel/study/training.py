"""What a job is made of: how its network is trained, what is measured of it, and what that becomes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from umbel.core import Descent, Learner
from umbel.data import MultiTaskData
from umbel.engine import FabricRuntime, FitSettings, evaluate
from umbel.engine.plan import Observer
from umbel.report import Profile
from umbel.study.folder import Outcome
from umbel.study.job import Job


@dataclass(frozen=True)
class Training:
    """How the network of a job is trained; what is left out is the bench's.

    Attributes:
        learner: Fresh.
        descent: What teaches it.
        data: What it learns from.
        fit: How; its seed is replaced by the job's repeat unless `fit` is given.
        references: Jobs done before, whose main metrics on validation are what "improvement" is relative to.
        describe: Kept in the checkpoints, so that the network can be built again.
        observe: See `umbel.engine.fit`.
    """

    learner: Learner
    descent: Descent | None = None
    data: MultiTaskData | None = None
    fit: FitSettings | None = None
    references: tuple[Job, ...] = ()
    describe: Mapping[str, object] | None = None
    observe: Observer | None = None


@dataclass(frozen=True)
class Trained:
    """What a job gave, to be measured.

    Attributes:
        job: Which one.
        model: The learner with its best weights; or whatever a job without a `Training` gave.
        outcome: Of the training; None where there was none.
        data: What it learnt from.
        runtime: Device and precision of evaluations.
    """

    job: Job
    model: Any
    outcome: Outcome | None
    data: MultiTaskData
    runtime: FabricRuntime


@dataclass(frozen=True)
class Measurement:
    """Metrics of a job's network at one operating point; it becomes a run.

    Attributes:
        test: Task -> metric -> value on the test split.
        point: The operating point, as plain values.
        validation: The same on the validation split.
        settings: What was chosen on validation for this.
        arm: Key of the arm that it belongs to; empty: the job's.
    """

    test: dict[str, dict[str, float]]
    point: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, dict[str, float]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    arm: str = ""


@dataclass(frozen=True)
class Measured:
    """What is remembered of a job."""

    measurements: tuple[Measurement, ...] = ()
    profiles: tuple[Profile, ...] = ()


Make = Callable[[Job], Training | Callable[[], Any]]
"""Job -> how to train its network; or a function that gives something that needs no training loop."""
Measure = Callable[[Trained], Iterable[Measurement | Profile]]


def on_test_split(trained: Trained) -> list[Measurement]:
    """All metrics of a learner on the test split, at the first point of its sweep, once."""
    metrics = evaluate(trained.model, trained.data.test, trained.runtime).metrics
    return [Measurement(metrics, validation=trained.outcome.validation if trained.outcome else {})]
