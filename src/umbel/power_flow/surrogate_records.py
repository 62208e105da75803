"""Settings of a surrogate, and what is known of it and of its runs."""

from dataclasses import dataclass, field
from typing import Literal

from umbel.arguments import check_numbers
from umbel.engine import FitSettings
from umbel.grids import ScenarioSettings
from umbel.power_flow.guard import Guarding, GuardLimit

_FIT = FitSettings(
    epochs=40, learning_rate=3e-3, batch_size=256, monitor="loss", clip_norm=1.0, precision="float32", tensorboard=False
)


@dataclass(frozen=True)
class SurrogateSettings:
    """How a surrogate is fitted.

    Attributes:
        rows: Power flows that are solved, at most as many as the profiles have steps.
        linear: Linear part: ridge, or the equations made linear at the mean state, quicker on large grids.
        modes: That the network speaks through.
        width: Of its layers.
        depth: How many there are.
        corrections: Chord steps of the exact equations behind it.
        bar_pu: An accepted row is right if no |V| is off by more.
        coverage: The share of accepted validation rows that must be right.
        descent: How the conflicts of magnitudes, angles and their differences are settled.
        scenarios: How profiles become loads, renewables and dispatch.
        fit: How the network is trained.

    Raises:
        UmbelError: Numbers out of range.
    """

    rows: int = 20_000
    linear: Literal["ridge", "sensitivities"] = "ridge"
    modes: int = 64
    width: int = 256
    depth: int = 2
    corrections: int = 1
    bar_pu: float = 1e-3
    coverage: float = 0.99
    descent: str = "equal"
    scenarios: ScenarioSettings = field(default_factory=ScenarioSettings)
    fit: FitSettings = _FIT

    def __post_init__(self) -> None:
        check_numbers(self, {"rows": 1, "modes": 1, "width": 1, "depth": 1})


@dataclass(frozen=True)
class SurrogateFacts:
    """What is known of a surrogate since it was fitted.

    Attributes:
        label_seconds: Of the solver, for training and validation rows.
        train_seconds: Of all that was fitted to them.
        rows: That were solved or tried, test rows included.
        unsolved: Those among them without a solution.
        limit: Of the guard, chosen on validation.
        test: What the guard did on the test days.
        note: Where the injections come from.
    """

    label_seconds: float
    train_seconds: float
    rows: int
    unsolved: int
    limit: GuardLimit
    test: Guarding
    note: str


@dataclass(frozen=True)
class NetworkRun:
    """How the results of a run came about.

    Attributes:
        solved: Whether the solver had to take over.
        corrections: Chord steps of the prediction, in all.
        mismatch_mva: Of the state that is in the tables.
    """

    solved: bool
    corrections: int
    mismatch_mva: float
