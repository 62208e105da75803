"""A detector adapted to pictures without labels, without the source's data: self-training and adversarial alignment.

Source: Chu, Li, Chen, Li, Li, "Adversarial alignment for source free object detection", AAAI 2023, arXiv 2301.04265.

    target pictures ─► detection variance ─► source-similar | source-dissimilar          (`variance_scores`, `divide`)

    all, or similar ─► weak view ──► teacher ──► boxes as labels ┐
                  └──► strong view ─► student ──► detections ────┴► the detector's own losses    stage "alignment"
    similar, dissimilar ─► weak views ─► student's encoder ─► gradient reversal ─► discriminators

    all ────────► weak views ─► teacher ──► boxes ┐
              └─► strong views ─► mosaics ─────────┴► student: the detector's own losses        stage "simulation"

    teacher <- decay teacher + (1 - decay) student
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from umbel.arguments import one_of, real_number
from umbel.core import (
    Batch,
    Evaluation,
    Losses,
    OperatingPoint,
    ParameterGroup,
    Runtime,
    Task,
    UmbelError,
    sizes_of,
)
from umbel.core.scores import Score
from umbel.data.mosaic import mosaics
from umbel.data.views import Flips, flipped, strong_view
from umbel.methods.source_free_alignment import Alignment, Discriminators
from umbel.methods.source_free_target import DISSIMILAR, SIMULATED
from umbel.methods.source_free_watch import Alarm, Signals, Watch, with_drift
from umbel.nn import ExponentialMovingAverage
from umbel.nn.detection import (
    PICTURE,
    DetectionLearner,
    Detector,
    PseudoLabels,
    pseudo_labels,
)
from umbel.nn.ema import Buffers

Answer = Literal["teacher", "student"]
Taught = Literal["all", "similar"]
STABILITY = "stability"
"""Name of the score that chooses the best step without labels."""


@dataclass(frozen=True)
class SelfTraining:
    """How a teacher's boxes teach the student.

    Attributes:
        thresholds: From which score on a box is a label: one for all classes, or one for each.
        least: From which share of its threshold on a box that is none is ignored, below it is background.
        most_per_class: At most so many labels of a class in a picture.
        decay: Of the teacher, whenever it moves.
        every: It moves at every so many steps.
        buffers: What becomes of its batch norms' statistics; see `ExponentialMovingAverage`.
        flips: How weak views are mirrored.
        taught: Whether all pictures teach boxes, or, as in the paper, those that are similar to the source alone.
    """

    thresholds: tuple[float, ...] = (0.4,)
    least: float = 0.25
    most_per_class: int | None = 20
    decay: float = 0.998
    every: int = 1
    buffers: Buffers = "average"
    flips: Flips = "horizontal"
    taught: Taught = "all"


class SourceFreeLearner(DetectionLearner):
    """A student that learns from a slow teacher's boxes, with features that look alike for two kinds of pictures.

        L = L_det(student(strong view), teacher's boxes)
            + weight [ 1/2 FL(D(f_s), 0) + 1/2 FL(D(f_d), 1) + 1/2 mean D_p(g_s)^2 + 1/2 mean (1 - D_p(g_d))^2 ]

    with features behind a gradient reversal; in the stage of simulation L = L_det of mosaics alone. Boxes are one row
    for any descent, the two losses of discriminators are auxiliary. `predict` answers with the adapted detector, which
    is the teacher unless said otherwise.

    Differs from the paper: all pictures teach boxes, not the similar ones alone (`SelfTraining.taught`); boxes that
    the teacher is unsure of are ignored instead of learnt as background; thresholds can differ by class; the teacher
    moves a little at every step instead of a lot at every 2500th; mosaics are made of strong views in RGB (the code
    casts standardised ones to bytes); classes, levels, weights and speeds are arguments.

    Args:
        detector: Starts as student and as teacher.
        tasks: The task of boxes, with the detector's classes.
        teaching: How boxes teach.
        alignment: How features are aligned; None: not at all.
        watch: Looks at the teacher without labels, for the score "stability" and the alarm; None: neither is there.
        alarm: When to stop.
        seed: Of the discriminators' start.
        answer: Whether the teacher or the student is the adapted detector.

    Attributes:
        teacher: `ExponentialMovingAverage` of the student.
        history: What was seen at each validation, the first before any step where `look` was called.

    Raises:
        UmbelError: As `DetectionLearner`; a number of thresholds that is not that of the classes; no such module.
    """

    def __init__(
        self,
        detector: Detector,
        tasks: Sequence[Task],
        teaching: SelfTraining | None = None,
        alignment: Alignment | None = None,
        watch: Watch | None = None,
        alarm: Alarm | None = None,
        seed: int = 0,
        answer: Answer = "teacher",
    ) -> None:
        super().__init__(detector, tasks)
        self.teaching = teaching or SelfTraining()
        self.watch, self.alarm = watch, alarm or Alarm()
        self.thresholds = per_class(self.teaching.thresholds, detector.labels)
        self.teacher = ExponentialMovingAverage(
            detector, self.teaching.decay, self.teaching.every, self.teaching.buffers
        )
        self.answer = one_of(answer, "answer", get_args(Answer))
        self.history: list[dict[str, float]] = []
        self.alarmed = ""
        self._start = {name: value.detach().cpu().clone() for name, value in detector.named_parameters()}
        self.discriminators = None if alignment is None else Discriminators(detector, alignment, seed)

    # -- a step ------------------------------------------------------------------------------------------------

    def losses(self, batch: Batch, point: OperatingPoint) -> Losses:
        """Of the boxes the detector's own losses on the teacher's labels; what the discriminators lose beside them."""
        domain = _domain(batch)
        sizes = [tuple(size) for size in sizes_of(batch.inputs, PICTURE)[:, -2:].tolist()]
        weak = flipped(batch.inputs[PICTURE], sizes, self.teaching.flips)
        inputs = {**batch.inputs, PICTURE: weak}
        taught = self._teaching(domain)
        simulated = bool((domain == SIMULATED).any())
        sizes = [size for size, chosen in zip(sizes, taught.tolist(), strict=True) if chosen]
        losses = {self.boxes.name: self._taught(_only(inputs, taught), sizes, simulated)}
        if self.discriminators is not None:
            aligned = dict.fromkeys(self.discriminators.names, self._nothing())
            losses |= aligned if simulated else self.discriminators(self.model, inputs, domain)
        return Losses(losses)

    def _taught(self, inputs: Mapping[str, Tensor], sizes: list[tuple[int, int]], simulated: bool) -> Tensor:
        """The detector's losses on strong views of pictures, or on mosaics of them; 0 without a picture."""
        if not sizes:
            return self._nothing()
        labels = self.labels_for(inputs)
        strong, target, ignored = strong_view(inputs[PICTURE], sizes), labels.target, labels.ignored
        if simulated:
            strong, target = mosaics(strong, target, sizes)
            whole = torch.tensor([*strong.shape[1:]], device=strong.device).expand(len(strong), -1)
            inputs, ignored = {**inputs, f"{PICTURE}/size": whole}, None
        seen = self.model.features({**inputs, PICTURE: strong})
        return sum(self.model.detection_losses(seen, target, ignored).values())

    def labels_for(self, inputs: Mapping[str, Tensor]) -> PseudoLabels:
        """What the teacher says of pictures, as labels.

        Args:
            inputs: `{"picture": [B, 3, H, W], "picture/size": [B, 3]}`.
        """
        teaching = self.teaching
        return pseudo_labels(
            self.teacher(inputs)["boxes"].float(), self.thresholds, teaching.least, teaching.most_per_class
        )

    def _nothing(self) -> Tensor:
        """0, with a graph."""
        return next(p for p in self.model.parameters() if p.requires_grad).sum() * 0

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many pictures teach boxes; see `Learner.counts`."""
        return {self.boxes.name: self._teaching(_domain(batch)).sum()}

    def _teaching(self, domain: Tensor) -> Tensor:
        """Which pictures teach boxes: bool [B]."""
        return torch.ones_like(domain, dtype=torch.bool) if self.teaching.taught == "all" else domain != DISSIMILAR

    @property
    def adapted(self) -> Detector:
        """The detector that adaptation gives."""
        return self.teacher.teacher if self.answer == "teacher" else self.model

    def predict(self, batch: Batch, point: OperatingPoint) -> dict[str, Tensor]:
        """The adapted detector's boxes."""
        return {self.boxes.name: self.adapted(batch.inputs)["boxes"]}

    def after_step(self) -> None:
        """Move the teacher."""
        self.teacher.update(self.model)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The discriminators at their own rate."""
        groups = super().parameter_groups()
        if self.discriminators is not None and self.discriminators.alignment.rate != 1:
            groups.append(ParameterGroup(self.discriminators.parameters(), self.discriminators.alignment.rate))
        return groups

    # -- without labels ----------------------------------------------------------------------------------------

    def look(self) -> Signals:
        """Look at the adapted detector, and remember what was seen.

        Raises:
            UmbelError: The learner has nothing to look at it with.
        """
        if self.watch is None:
            raise UmbelError("this learner has no `watch`; give it one to judge it without labels")
        signals = with_drift(self.watch.look(self.adapted), self._start, self.adapted)
        self.history.append(asdict(signals))
        return signals

    def scores(self) -> dict[str, Score]:
        """The usual ones and "stability": how well the detector's boxes of two views of a picture agree.

        -inf once the alarm has sounded.
        """
        return super().scores() | ({STABILITY: self._stability} if self.watch is not None else {})

    def _stability(self, evaluation: Evaluation, runtime: Runtime) -> float:
        now = self.look()
        self.alarmed = self.alarmed or self.alarm.sounds(Signals(**self.history[0]), now)
        return -math.inf if self.alarmed else now.stability

    def is_done(self) -> bool:
        """Whether the alarm has sounded."""
        return bool(self.alarmed)

    def get_extra_state(self) -> dict[str, Any]:
        """What was seen so far, and why the alarm sounded."""
        return {"history": list(self.history), "alarmed": self.alarmed}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take up what was seen; of a state that is behind this one (the best step's), nothing is forgotten."""
        if len(state["history"]) >= len(self.history):
            self.history, self.alarmed = list(state["history"]), state["alarmed"]


def per_class(thresholds: Sequence[float], labels: Sequence[str]) -> tuple[float, ...]:
    """A threshold for each class, of one or of as many.

    Raises:
        UmbelError: Another number of them, or one that is no score.
    """
    given = tuple(real_number(value, "threshold") for value in thresholds)
    if len(given) not in (1, len(labels)):
        raise UmbelError(f"{len(given)} thresholds for {len(labels)} classes; give one, or one for each")
    for value in given:
        if not 0 < value < 1:
            raise UmbelError(f"threshold {value:g} is no score of a box; give a number between 0 and 1")
    return given if len(given) == len(labels) else given * len(labels)


def _domain(batch: Batch) -> Tensor:
    """What each picture is; all similar where nothing is said."""
    if batch.domain is not None:
        return batch.domain
    return torch.zeros(len(batch), dtype=torch.int64)


def _only(inputs: Mapping[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    return {name: value[chosen] for name, value in inputs.items()}
