"""Settings of `umbel train`, free of torch."""

from dataclasses import dataclass, field

from umbel.engine.settings import FitSettings
from umbel.recipes.settings import ControllableModelSettings, DataSettings


@dataclass(frozen=True)
class TrainSettings:
    """One network for all tasks."""

    data: DataSettings = field(default_factory=DataSettings)
    model: ControllableModelSettings = field(default_factory=ControllableModelSettings)
    descent: str = "equal"
    """How conflicts are settled; `umbel list` shows the choices."""
    descent_options: str = ""
    """Options of the descent: "c=0.4"."""
    fit: FitSettings = field(default_factory=FitSettings)
