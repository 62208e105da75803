"""How a detector is adapted to pictures without labels. Free of torch, so that the command's help stays quick."""

from dataclasses import dataclass, field
from typing import Literal

from umbel.arguments import check_numbers
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError
from umbel.recipes.settings import numbers

USUAL_THRESHOLD = 0.5
"""The score from which on a box teaches, of a detector that does not say its own."""


@dataclass(frozen=True)
class AdaptationSettings:
    """How a detector is adapted to pictures without labels."""

    norms: bool = True
    """Whether the statistics of batch norms (that are not frozen) are first taken from the new pictures."""
    threshold: str = ""
    """Score from which on a box of the teacher is a label: one number, or one for each class with / between; unset: the
    detector's own (best F1 on its validation), or 0.5."""
    least: float = 0.25
    """Boxes below their threshold and above this share of it are ignored instead of learnt as background."""
    most_per_class: int = 40
    """At most so many labels of a class in a picture."""
    decay: float = 0.998
    """Of the teacher, a moving average of the student."""
    every: int = 1
    """The teacher moves at every so many steps."""
    flips: Literal["none", "horizontal", "both"] = "horizontal"
    """How pictures are mirrored: both where they have no top, as cells and satellites."""
    share: float = 0.5
    """Part of the pictures that counts as similar to the source: those that dropout moves most."""
    variance: Literal["sum", "mean", "per-object"] = "sum"
    """How a picture's number is made of its candidates' variances; sum is the paper's and grows with the objects."""
    passes: int = 20
    """Passes with dropout that the variance is taken over."""
    taught: Literal["all", "similar"] = "all"
    """Which pictures teach boxes while features are aligned; similar alone is the paper's."""
    align: float = 0.01
    """Weight of the discriminators; 0 aligns nothing."""
    local_at: str = ""
    """Module whose fine maps the local discriminator reads; unset: one that suits the backbone; none: no such one."""
    global_at: str = "encoder"
    """Module whose coarse maps the global discriminator reads; none: no such one."""
    simulate: float = 0.4
    """Last part of the steps, in which mosaics of four pictures teach."""

    def __post_init__(self) -> None:
        check_numbers(self, {"most_per_class": 1, "every": 1, "passes": 2})
        for name in ("least", "decay", "simulate"):
            if not 0 <= getattr(self, name) <= 1:
                raise UmbelError(f"{name} is {getattr(self, name):g}; give a number from 0 to 1")
        if not 0 < self.share < 1:
            raise UmbelError(f"share is {self.share:g}; give a number above 0 and below 1")
        if self.align < 0:
            raise UmbelError(f"align is {self.align:g}; give a weight of at least 0")
        for value in self.thresholds:
            if not 0 < value < 1:
                raise UmbelError(f"--threshold {self.threshold}: {value:g} is no score of a box; between 0 and 1")

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Those that were given, none where the detector's own are taken."""
        return tuple(numbers(self.threshold, "--threshold")) if self.threshold else ()


@dataclass(frozen=True)
class SubjectSettings:
    """Which detector is adapted, and to what."""

    images: str = ""
    """Folder of the pictures to adapt to; no labels are needed, and none are read."""
    model: str = ""
    """Instead of a run: which detector, as fasterrcnn_resnet50_fpn or small-fasterrcnn."""
    weights: str = ""
    """Its weights: a file of safetensors, ours or torchvision's state dict."""
    labels: str = ""
    """Names of its classes in their order, with commas between (the background is none)."""
    model_options: str = ""
    """Its options: "norm=batch,dropout=0.5"."""
    resolution: int | None = None
    """Longer side of pictures in pixels; unset: as it was trained, or 320."""

    def __post_init__(self) -> None:
        check_numbers(self, {"resolution": 32})


FIT = FitSettings(
    steps=400,
    batch_size=4,
    learning_rate=3e-4,
    clip_norm=5.0,
    validate_every=50,
    monitor="stability",
    schedule="constant",
    precision="float32",
    tensorboard=False,
)
"""How a detector is adapted: in float32, since bf16 is slower for few small pictures on CPUs."""


@dataclass(frozen=True)
class AdaptSettings:
    """One detector and one folder of pictures."""

    run: str = ""
    """Folder of a training of a detector, or a checkpoint."""
    subject: SubjectSettings = field(default_factory=SubjectSettings)
    adaptation: AdaptationSettings = field(default_factory=AdaptationSettings)
    fit: FitSettings = FIT

    def __post_init__(self) -> None:
        if not self.subject.images:
            raise UmbelError("--images: say which folder of pictures to adapt to")
        if self.fit.steps is None:
            raise UmbelError("an adaptation wants --steps, since its stages are parts of them")
        if self.fit.monitor != FIT.monitor:
            raise UmbelError(
                f"monitor {self.fit.monitor!r} needs labels, and an adaptation has none; leave it at {FIT.monitor!r}"
            )
