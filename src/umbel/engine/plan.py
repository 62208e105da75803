"""What a training run is given, and how far it is."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from umbel.core import Batch, Descent, Evaluation, Learner, OperatingPoint
from umbel.data import Source
from umbel.engine.progress import Reporter
from umbel.engine.runtime import FabricRuntime
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError

Observer = Callable[[int, Learner, Batch, OperatingPoint], None]
"""Called before each step with (step, learner, batch, point); must leave everything as it is."""


@dataclass(frozen=True)
class Plan:
    """What a run is given; see `umbel.engine.fit`."""

    learner: Learner
    descent: Descent
    train: Source
    validation: Source
    settings: FitSettings
    runtime: FabricRuntime
    out: Path | None
    references: Mapping[str, float] | None
    reporter: Reporter
    label: str
    describe: Mapping[str, object]
    observe: Observer | None


@dataclass
class Progress:
    """How far a run is: saved with every checkpoint, beside the weights, the optimizer and the descent.

    Attributes:
        step: Optimizer steps done.
        best_step: Step of the best validation.
        best_score: Its monitored number.
        best: Its evaluation.
        interval: Sum of the losses since the last row of the log, [T].
        interval_steps: Steps in that sum.
    """

    step: int = 0
    best_step: int = 0
    best_score: float = -math.inf
    best: Evaluation | None = None
    interval: torch.Tensor | None = None
    interval_steps: int = 0

    def state(self) -> dict[str, Any]:
        """Plain values and tensors."""
        best = {"metrics": self.best.metrics, "losses": self.best.losses} if self.best else None
        return {**self.__dict__, "best": best}

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Progress":
        """The progress that `state` was taken from; older ones hold more.

        Raises:
            UmbelError: It lacks something.
        """
        try:
            state = {field.name: state[field.name] for field in dataclasses.fields(cls)}
            return cls(**{**state, "best": Evaluation(**state["best"]) if state["best"] else None})
        except (KeyError, TypeError) as error:
            raise UmbelError(f"the checkpoint does not say how far the training was ({error}); use another") from error
