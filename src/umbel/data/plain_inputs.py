"""Inputs that are one array for each sample, as those of most sets: all that a run must know to get new ones."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PlainInputs:
    """An array for each sample, without columns of a table behind it.

    Attributes:
        shape: Of one sample.
        pictures: Whether it is a picture [C, H, W] in grey or RGB, whose bytes 0 to 255 become 0 to 1.
    """

    shape: tuple[int, ...]
    pictures: bool

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> "PlainInputs":
        """Those of samples of this shape."""
        return cls(tuple(shape), len(shape) == 3 and shape[0] in (1, 3))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one sample, as the network gets it."""
        return self.shape
