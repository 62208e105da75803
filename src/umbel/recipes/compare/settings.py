"""Settings of the general study."""

from dataclasses import dataclass, field

from umbel.arguments import check_numbers
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError
from umbel.recipes.settings import DataSettings, ModelSettings, check_seeds
from umbel.recipes.teaching_settings import TeachingSettings


@dataclass(frozen=True)
class CompareSettings:
    """Single-task references, joint training with several descents, and a verdict."""

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    descents: str = "equal,uncertainty,dwa,famo,pcgrad,cagrad,upgrad"
    """Ways to settle conflicts, with commas between; `umbel list` shows them. Options follow after colons, as in
    upgrad:engine=sketched."""
    seeds: int = 3
    """Repetitions, with seeds 0, 1, 2, ..."""
    tuning_trials: int = 8
    """Weightings tried (on validation, with a seed of their own) for the tuned fixed weights; 0 leaves them out."""
    tuning_budget: float = 1.0
    """Length of a trial, as a part of a full training."""
    reference_passes: float = 1.0
    """How often a single-task reference sees each labelled sample, relative to joint training."""
    probes: int = 20
    """Measurements of the gradients' cosines over one training; 0 leaves them out."""
    teaching: TeachingSettings = field(default_factory=TeachingSettings)
    fit: FitSettings = field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        check_numbers(self)
        check_seeds(self.seeds, self.fit.seed)
        if not 0 < self.tuning_budget <= 1:
            raise UmbelError(
                f"tuning_budget is {self.tuning_budget}; it is a part of a training, above 0 and at most 1"
            )
        if self.reference_passes <= 0:
            raise UmbelError(f"reference_passes is {self.reference_passes}; it must be greater than 0")


QUICK = CompareSettings(
    descents="equal,pcgrad,upgrad",
    tuning_trials=3,
    probes=10,
    fit=FitSettings(steps=350, learning_rate=3e-3, tensorboard=False),
)
