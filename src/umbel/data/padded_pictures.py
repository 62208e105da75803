"""Inputs that are pictures of different shapes in one tensor: all that a run must know to read new ones."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaddedPictures:
    """Colour pictures at their own aspect ratio, each in the upper left corner of its place, zeros behind its end.

    Attributes:
        shape: Of a place: (3, H, W), as the detector was built for. New pictures may need a larger one.
        resolution: Pixels of the longer side of new pictures after resizing; None: they keep their size.
    """

    shape: tuple[int, ...]
    resolution: int | None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one place, as the network gets it."""
        return self.shape
