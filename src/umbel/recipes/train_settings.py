"""Settings of `umbel train`, free of torch."""

from dataclasses import dataclass, field

from umbel.engine.settings import FitSettings
from umbel.recipes.settings import DataSettings, TrainedModelSettings
from umbel.recipes.teaching_settings import TeachingSettings


@dataclass(frozen=True)
class TrainSettings:
    """One network for all tasks."""

    data: DataSettings = field(default_factory=DataSettings)
    model: TrainedModelSettings = field(default_factory=TrainedModelSettings)
    descent: str = "equal"
    """How conflicts are settled; `umbel list` shows the choices."""
    descent_options: str = ""
    """Options of the descent: "c=0.4"."""
    task_weights: str = ""
    """Weights of the tasks' losses, for the descent "equal": "depth=2,seg=0.5"; 1 for all others."""
    teaching: TeachingSettings = field(default_factory=TeachingSettings)
    fit: FitSettings = field(default_factory=FitSettings)
