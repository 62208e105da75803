"""What a case is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SMALL = ["--steps", "2", "--batch-size", "16", "--precision", "float32", "--no-tensorboard"]
"""Flags of a training that takes no time."""
DIGITS = [
    *["--data", "digits", "--tasks", "digit,loops", "--train-size", "64", "--encoder-options", "widths=4/8"],
    *SMALL,
]
"""Those of one on the embedded digits."""


@dataclass(frozen=True)
class Place:
    """Where a case is made.

    Attributes:
        folder: Empty, of this case alone; the command runs in it.
        runs: Kind -> the folder of a finished run, which must not be changed; make a copy.
    """

    folder: Path
    runs: dict[str, Path]


@dataclass(frozen=True)
class Case:
    """A call of the command.

    Attributes:
        arguments: Of the command.
        about: For the report of a failure.
        expected: "right" must be done, "wrong" must be refused, "either" may be both.
    """

    arguments: list[str]
    about: str
    expected: Literal["right", "wrong", "either"] = "either"
