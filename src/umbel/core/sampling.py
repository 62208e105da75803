"""How a training draws its batches: what a descent may have to know of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sampling:
    """How a training draws its batches.

    Attributes:
        samples: Of the training split.
        batch_size: Samples in a batch of all processes and pieces together, at most `samples`; on average, where
            samples come independently.
        steps: Batches of the whole training.
        independent: Whether each sample is in a batch with the same probability, by itself (Poisson sampling).
    """

    samples: int
    batch_size: int
    steps: int
    independent: bool

    @property
    def probability(self) -> float:
        """How likely a sample is to be in a batch."""
        return self.batch_size / self.samples
