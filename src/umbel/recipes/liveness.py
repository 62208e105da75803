"""What a detector of presentation attacks takes from validation: calibration, and the threshold it is judged at."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from umbel.core import Learner, Task, UmbelError
from umbel.data import MultiTaskData, Source
from umbel.engine import FabricRuntime, predict_split
from umbel.files import read_json, write_atomically
from umbel.metrics import AttackErrors, PlattScaling, attack_errors, by_video, eer_threshold, fit_platt
from umbel.report.schema import plain
from umbel.tasks import LIVE

VIDEO = "video"
"""Target with the number of the video that a frame is of, int64 [B]; frames of one are judged together."""
_FILE = "liveness.json"
_BATCH_SIZE = 256


@dataclass(frozen=True)
class KeptLiveness:
    """What validation says of a trained detector; kept beside its checkpoint.

    Attributes:
        task: Whose.
        threshold: Of the calibrated probability of live, of a frame or of the mean over a video: where validation has
            its equal error rate.
        eer: That rate.
        scale: Of the Platt scaling.
        shift: Likewise.
        samples: How many frames of validation were known to be live or attacks.
        videos: How many videos they were of; 0 where frames are judged by themselves.
    """

    task: str
    threshold: float
    eer: float
    scale: float
    shift: float
    samples: int
    videos: int = 0

    def probability(self, logits: Tensor) -> Tensor:
        """The calibrated probability of live, float64, of raw predictions of any shape."""
        return PlattScaling(self.scale, self.shift).probability(logits)

    def sentence(self, errors: AttackErrors) -> str:
        """What a reader must know of errors at this threshold."""
        of = f"{self.videos:,} videos" if self.videos else f"{self.samples:,} samples"
        types = ", ".join(f"{label} {value:.4g}" for label, value in errors.apcer_by_type.items())
        return (
            f"{self.task}: threshold {self.threshold:.4g} of the calibrated probability of live, where the {of} of "
            f"validation have an equal error rate of {self.eer:.4g}. APCER by type of attack: {types or 'no attack'}."
        )


def decision(probability: float, threshold: float) -> str:
    """What a probability of live is taken for: "live" from the threshold on, else "attack"."""
    return LIVE if probability >= threshold else "attack"


def liveness_task(tasks: Sequence[Task]) -> Task | None:
    """The task of kind "liveness"; None where there is none.

    Raises:
        UmbelError: There are several.
    """
    own = [task for task in tasks if task.kind == "liveness"]
    if len(own) > 1:
        raise UmbelError(f"tasks {own[0].name!r} and {own[1].name!r} are both of liveness; learn one with --tasks")
    return own[0] if own else None


def check_liveness(data: MultiTaskData) -> None:
    """Refuse a validation split from which no threshold can be taken, before hours of training.

    Raises:
        UmbelError: It has no live sample or no attack, or there are several tasks of liveness.
    """
    task = liveness_task(data.tasks)
    if task is None:
        return
    live = attacks = False
    for batch in data.validation.batches(_BATCH_SIZE):
        target = task.target_of(batch)
        live, attacks = live or bool((target == 0).any()), attacks or bool((target > 0).any())
        if live and attacks:
            return
    only = "live samples" if live else "attacks" if attacks else "samples without a label"
    raise UmbelError(
        f"{data.name}, validation split: only {only} in task {task.name!r}; its threshold is taken from there "
        "and needs live samples and attacks"
    )


def measure_liveness(learner: Learner, source: Source, runtime: FabricRuntime) -> KeptLiveness | None:
    """Calibration and threshold by the labels of a split; None of a learner without a task of liveness.

    Args:
        learner: With its best weights.
        source: The validation split.
        runtime: Device and precision.

    Raises:
        UmbelError: Only live samples or only attacks, or predictions that are not finite.
    """
    task = liveness_task(learner.tasks)
    if task is None:
        return None
    logits, kinds, videos = _judged(task, learner, source, runtime)
    platt = fit_platt(logits, kinds)
    scores, joined = _scores(platt.probability(logits), kinds, videos)
    chosen = eer_threshold(scores, joined)
    count = int((kinds >= 0).sum())
    return KeptLiveness(task.name, *chosen, platt.scale, platt.shift, count, 0 if videos is None else len(joined))


def liveness_errors(kept: KeptLiveness, learner: Learner, source: Source, runtime: FabricRuntime) -> AttackErrors:
    """Errors of a split at the threshold that was kept; of its videos where the kept one is of videos.

    Raises:
        UmbelError: The learner has no such task, or the split does not say which videos its frames are of.
    """
    task = liveness_task(learner.tasks)
    if task is None or task.name != kept.task:
        raise UmbelError(f"a threshold is kept for task {kept.task!r}, which this network does not have; train again")
    logits, kinds, videos = _judged(task, learner, source, runtime)
    if kept.videos and videos is None:
        raise UmbelError(
            f"the threshold of task {kept.task!r} is of videos, and these samples have no target {VIDEO!r}; add it, or "
            "train again without it"
        )
    scores, joined = _scores(kept.probability(logits), kinds, videos if kept.videos else None)
    return attack_errors(scores, joined, kept.threshold, task.labels)


def kept_errors(errors: AttackErrors) -> dict[str, float]:
    """The numbers that are printed beside the task's own metrics, by name."""
    values = {"HTER": errors.hter, "APCER": errors.apcer, "BPCER": errors.bpcer, "ACER": errors.acer}
    return {f"{name} at validation's threshold": value for name, value in values.items()}


def keep_liveness(out: Path, learner: Learner, data: MultiTaskData, runtime: FabricRuntime) -> None:
    """Write beside a training what validation says of its detector of attacks; nothing of another network."""
    kept = measure_liveness(learner, data.validation, runtime)
    if kept is not None and runtime.is_main:
        write_atomically(out / _FILE, json.dumps(plain(asdict(kept)), indent=1))
    runtime.barrier()


def kept_liveness(checkpoint: Path) -> KeptLiveness | None:
    """What is kept beside the training that a checkpoint is of; None where there is nothing.

    Raises:
        UmbelError: Its file is damaged.
    """
    for folder in (checkpoint, *list(checkpoint.parents)[:2]):
        if (file := folder / _FILE).is_file():
            try:
                return _read(read_json(file, "train again"))
            except (AttributeError, KeyError, TypeError, ValueError):
                raise UmbelError(f"{file} is damaged; train again, or remove it") from None
    return None


def _read(said: dict[str, object]) -> KeptLiveness:
    kept = KeptLiveness(**said)  # type: ignore[arg-type]
    numbers = (kept.threshold, kept.eer, kept.scale, kept.shift, kept.samples, kept.videos)
    if not isinstance(kept.task, str) or not all(math.isfinite(number) for number in numbers):
        raise ValueError
    return kept


def _judged(
    task: Task, learner: Learner, source: Source, runtime: FabricRuntime
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits [n], kinds [n] and which video each is of [n], of a whole split."""
    said = predict_split(learner, source, runtime, batch_size=_BATCH_SIZE, tasks=[task.name])
    if VIDEO not in next(iter(source.batches(1))).targets:
        return said.raw[task.name][:, 0], said.targets[task.name], None
    videos = torch.cat([batch.targets[VIDEO] for batch in source.batches(_BATCH_SIZE)])
    return said.raw[task.name][:, 0], said.targets[task.name], videos


def _scores(probability: Tensor, kinds: Tensor, videos: Tensor | None) -> tuple[Tensor, Tensor]:
    return (probability, kinds) if videos is None else by_video(probability, kinds, videos)
