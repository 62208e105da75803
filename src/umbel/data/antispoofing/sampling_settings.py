"""What is taken of each recording. Free of torch, so that the command's help stays quick."""

from dataclasses import dataclass

from umbel.arguments import check_numbers
from umbel.errors import UmbelError

_LARGEST, _MOST = 4096, 100_000


@dataclass(frozen=True)
class Sampling:
    """What is taken of each recording."""

    frames: int = 20
    """Frames of each video, evenly in time; fewer where it has fewer."""
    resolution: int = 128
    """Height and width of the pictures that are written."""
    margin: float = 0.3
    """How much is added around the face, in parts of its longer side."""

    def __post_init__(self) -> None:
        check_numbers(self, {"frames": 1, "resolution": 16, "margin": 0})
        if self.resolution > _LARGEST or self.frames > _MOST:
            raise UmbelError(f"at most {_MOST:,} frames of a video, of at most {_LARGEST:,} pixels; give fewer")
