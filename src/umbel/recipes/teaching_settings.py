"""Settings of what is taught how much, and what a network starts from. Free of torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TeachingSettings:
    """Where a network starts, and how fast its parts learn."""

    start_from: str = ""
    """Begin with the weights of a run, a checkpoint or a safetensors file, as far as they fit."""
    freeze: str = ""
    """Parts that stay as they are, with commas between: "encoder.stages.0,heads.depth"."""
    rates: str = ""
    """Parts that learn at a multiple of the learning rate: "encoder=0.1,heads.depth=2"."""
