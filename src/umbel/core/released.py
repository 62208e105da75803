"""What leaves a network's shared part, and whom it serves: what an observer could take to infer something else."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Released:
    """Features of a batch as one receiver gets them, before any of its own layers.

    Attributes:
        features: A tensor [B, ...], or several in a mapping or sequence, each with the samples along its first axis.
        serves: Names of the tasks that they are meant for; empty where nobody said.
    """

    features: Any
    serves: tuple[str, ...] = ()
