"""`umbel adapt`: from a detector and a folder of pictures to an adapted detector, and what was seen on the way."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from umbel.core import Batch, UmbelError
from umbel.data import TensorSource, UnlabelledPictures, pictures_folder
from umbel.data.fingerprint import fingerprint
from umbel.descent import WeightedSum
from umbel.engine import FabricRuntime, fit, load_checkpoint, resolve
from umbel.engine import checkpoint as checkpoints
from umbel.engine.folder import check_folder, claimed
from umbel.engine.progress import Reporter
from umbel.files import write_atomically
from umbel.methods.source_free_detection import SourceFreeLearner
from umbel.methods.source_free_target import TargetPictures
from umbel.methods.source_free_watch import Signals
from umbel.nn.detection import DetectionLearner, Detector, save_weights
from umbel.recipes.adapting.learner import Adaptation, adaptation
from umbel.recipes.adapting.pictures import BEFORE_AFTER, ENDS, draw_adaptation
from umbel.recipes.adapting.settings import AdaptSettings
from umbel.recipes.adapting.subject import Subject, subject_of
from umbel.recipes.boxes import write_thresholds
from umbel.report.schema import plain

REPORT, WEIGHTS = "adaptation.json", "detector.safetensors"
"""Files beside the checkpoints."""
_FILES = {"weights": WEIGHTS, "report": REPORT, "before and after": BEFORE_AFTER, "split": ENDS}
_TOLD = 3


@dataclass(frozen=True)
class Adapted:
    """What `umbel adapt` prints.

    Attributes:
        checkpoint: Of the adapted detector: an ordinary run for `umbel predict` and `umbel export`.
        pictures: How many taught it.
        skipped: A line for each picture that could not be read.
        before: What was seen of the source's detector.
        after: What was seen of the adapted one.
        step: The step that was chosen.
        steps: Steps done.
        alarm: Why it was stopped; empty where all was well.
        thresholds: Class -> from which score on a box taught.
        files: What lies in the folder.
    """

    checkpoint: str
    pictures: int
    skipped: tuple[str, ...]
    before: Signals
    after: Signals
    step: int
    steps: int
    alarm: str
    thresholds: dict[str, float]
    files: dict[str, str]


def adapt(settings: AdaptSettings, runtime: FabricRuntime, out: Path, resume: bool, reporter: Reporter) -> Adapted:
    """Adapt a detector.

    Raises:
        UmbelError: No detector, no pictures, nothing found on any of them, ...; before anything is trained.
    """
    check_folder(out, "run", runtime, resume)
    subject, found, made = _prepared(settings, reporter)
    with claimed(out, "run", runtime, resume):
        fitted = fit(
            made.learner,
            WeightedSum(),
            made.pictures,
            _watched(made.pictures),
            settings.fit,
            out=out,
            resume=resume,
            runtime=runtime,
            reporter=reporter,
            label=f"adapting to {_pictures(len(found))}",
            describe={"adaptation": plain(dataclasses.asdict(settings)), "pictures": fingerprint(made.pictures)},
        )
        start, after = Signals(**made.learner.history[0]), _best_seen(made.learner)
        better = after.stability > start.stability
        detector = made.learner.adapted if better else made.start
        checkpoint = _made_ready(out, detector, subject, fitted.best_step, runtime)
        told = Adapted(
            checkpoint=str(checkpoint),
            pictures=len(found),
            skipped=found.skipped,
            before=start,
            after=after if better else start,
            step=fitted.best_step if better else 0,
            steps=fitted.steps,
            alarm=made.learner.alarmed,
            thresholds=dict(zip(subject.task.labels, made.learner.thresholds, strict=True)),
            files={name: str(out / file) for name, file in _FILES.items()},
        )
        if runtime.is_main:
            _write(out, told, subject, detector, found, made)
        runtime.barrier()
    return told


def _prepared(settings: AdaptSettings, reporter: Reporter) -> tuple[Subject, UnlabelledPictures, Adaptation]:
    """The detector, the pictures, and the learner, which has looked at them once."""
    subject = subject_of(settings.run, settings.subject)
    found = pictures_folder(settings.subject.images, subject.resolution)
    for note in (*subject.notes, *_skipped(found)):
        reporter.say(f"Note: {note}")
    steps = settings.fit.steps
    assert steps is not None, "checked by the settings"
    how = " with dropout" if settings.adaptation.align else ""
    reporter.say(f"looking at {_pictures(len(found))}{how}")
    thresholds = settings.adaptation.thresholds or subject.thresholds
    task, samples = subject.task, Batch(found.inputs)
    made = adaptation(subject.detector, task, samples, settings.adaptation, thresholds, steps, settings.fit.seed)
    _check_finds(made.learner.look(), made, settings)
    return subject, found, made


def _best_seen(learner: SourceFreeLearner) -> Signals:
    """What was seen of the step that was chosen; of the start where none was, since the alarm came first."""
    start, *later = learner.history
    if learner.alarmed:
        later = later[:-1]  # it may look very stable: a detector that has collapsed agrees with itself
    return Signals(**max(later or [start], key=lambda seen: seen["stability"]))


def _skipped(found: UnlabelledPictures) -> list[str]:
    """What is said of pictures that could not be read: how many, and the first few."""
    if not found.skipped:
        return []
    more = f", and {len(found.skipped) - _TOLD} more" if len(found.skipped) > _TOLD else ""
    few, verb = "; ".join(found.skipped[:_TOLD]), "is" if len(found.skipped) == 1 else "are"
    return [f"{_pictures(len(found.skipped))} cannot be read and {verb} left out: {few}{more}"]


def _pictures(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"


def _check_finds(start: Signals, made: Adaptation, settings: AdaptSettings) -> None:
    """A detector that finds nothing has nothing to teach.

    Raises:
        UmbelError: There is not one box above the thresholds.
    """
    if start.boxes == 0:
        limits = ", ".join(f"{value:g}" for value in made.learner.thresholds)
        norms = ", or try --no-norms" if settings.adaptation.norms else ""
        raise UmbelError(
            f"{settings.subject.images}: the detector finds nothing in these pictures, not one box with a score of at "
            f"least {limits}, so it has nothing to learn from; lower --threshold, or check that --resolution makes "
            f"objects as large as those that it was trained on{norms}"
        )


def _watched(pictures: TargetPictures) -> TensorSource:
    """What is evaluated at each validation: one picture, since nothing is labelled; the watch looks at all of them."""
    return TensorSource(pictures.samples[slice(0, 1)])


def _made_ready(out: Path, detector: Detector, subject: Subject, step: int, runtime: FabricRuntime) -> Path:
    """Keep the adapted detector as an ordinary one, which is what the path of the run means from then on."""
    folder = out / "checkpoints"
    learner = DetectionLearner(detector, [subject.task])
    if runtime.is_main:
        weights, extra = checkpoints.split_state(learner)
        trained = load_checkpoint(resolve(out))
        settings = {**subject.about, "fit": trained.settings["fit"], "adaptation": trained.settings["adaptation"]}
        checkpoints.save(folder, "ready", step, weights, {"learner_extra": extra}, settings)
    runtime.barrier()
    return resolve(out)


def _write(
    out: Path, told: Adapted, subject: Subject, detector: Detector, found: UnlabelledPictures, made: Adaptation
) -> None:
    """The weights alone, what was seen, and the pictures."""
    save_weights(detector, out / WEIGHTS)
    write_thresholds(out, told.thresholds)
    own = made.variances
    split = {
        name: {"similar": bool(made.similar[number])} | ({} if own is None else {"variance": float(own[number])})
        for number, name in enumerate(found.names)
    }
    report = {**dataclasses.asdict(told), "history": made.learner.history, "split": split}
    write_atomically(out / REPORT, json.dumps(plain(report), indent=1))
    draw_adaptation(out, {"before": subject.detector, "after": detector}, made, found)
