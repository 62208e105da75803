"""Settings of one training run: typed, frozen, and free of torch so that the command's help stays quick."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from umbel.arguments import check_numbers
from umbel.errors import UmbelError, unknown

Precision = Literal["auto", "float32", "bf16"]
Schedule = Literal["cosine", "one-cycle", "constant"]
Optimizer = Literal["adamw", "sgd"]

_WHOLE = ("epochs", "steps", "batch_size", "accumulate", "validate_every", "log_every")
_CHOICES = {"precision": Precision, "schedule": Schedule, "optimizer": Optimizer}


@dataclass(frozen=True)
class FitSettings:
    """How one network is trained."""

    epochs: int = 20
    """Passes over the training set."""
    least_steps: int = 500
    """At least so many steps, however few samples there are; more passes then."""
    steps: int | None = None
    """Optimizer steps; takes the place of epochs and least_steps."""
    batch_size: int = 128
    """Samples in a step, of all processes together; more than there are means all of them."""
    accumulate: int = 1
    """Pieces that each batch is computed in, to save memory; the update stays that of the whole batch."""
    optimizer: Optimizer = "adamw"
    """AdamW, or SGD with momentum 0.9."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 1e-4
    """Decoupled for AdamW, L2 for SGD."""
    schedule: Schedule = "cosine"
    """Cosine to zero after the warm-up, one-cycle (30 % rise), or constant."""
    warmup: float = 0.05
    """Part of the steps in which the learning rate rises linearly (cosine and constant)."""
    clip_norm: float | None = None
    """Largest norm of the whole gradient; none by default."""
    precision: Precision = "auto"
    """float32, bf16 autocast, or auto: whichever a short measurement at the start finds clearly faster."""
    channels_last: bool | None = None
    """Memory format of pictures and convolutions; unset: together with bf16, or on an accelerator."""
    compile: bool = False
    """Compile the encoder with torch.compile."""
    validate_every: int | None = None
    """Steps between validations; unset: once an epoch, but at most 50 times."""
    checkpoint_seconds: float = 60.0
    """Least time between checkpoints to resume from."""
    monitor: str = "improvement"
    """What chooses the best checkpoint: "improvement" (mean over tasks, relative to the references or to the
    best validation before), "loss" (sum of validation losses), "task/metric", or a score that the learner offers."""
    log_every: int = 20
    """Steps between rows of the log."""
    tensorboard: bool = True
    """TensorBoard curves beside the CSV log."""
    seed: int = 0
    """Seed of initialisation, order, augmentation, points and noise."""

    def __post_init__(self) -> None:
        check_numbers(self, dict.fromkeys(_WHOLE, 1))
        for name in ("learning_rate", "clip_norm"):
            if getattr(self, name) == 0:
                raise UmbelError(f"{name} is 0; it must be greater than 0")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise unknown(name, str(getattr(self, name)), get_args(choices))
        if not 0 <= self.warmup < 1:
            raise UmbelError(f"warmup is {self.warmup}; it is a part of the steps, at least 0 and below 1")

    def total_steps(self, epoch_steps: int) -> int:
        """Length of a run whose epochs have `epoch_steps` steps."""
        return self.steps or max(self.epochs * epoch_steps, self.least_steps)

    def replace(self, **changes: Any) -> "FitSettings":
        """The settings with some changed."""
        return dataclasses.replace(self, **changes)
