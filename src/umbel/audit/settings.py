"""Settings of attacks: typed, frozen, and free of torch so that the command's help stays quick."""

from dataclasses import dataclass
from typing import Literal

from umbel.arguments import one_of, whole_number
from umbel.errors import UmbelError

Effort = Literal["quick", "full"]
ATTACKER_NAMES = ("linear", "neighbours", "trees", "mlp", "convolutional")
"""The attackers that there are, the quickest first."""


@dataclass(frozen=True)
class AttackSettings:
    """How hard others' tasks are inferred from features."""

    seeds: int = 3
    """Times that every attacker is trained anew: its first weights, its batches."""
    effort: Effort = "quick"
    """Steps and variants that each attacker tries: quick, or full, which takes about four times as long."""
    attackers: tuple[str, ...] = ATTACKER_NAMES
    """Which are tried; each takes part where it can read the features and answer the task."""
    most: int = 20_000
    """Training samples at most; of validation and test a third of it each."""
    groups: bool = True
    """Also attack from features that several receivers put together."""
    resamples: int = 400
    """Resamples of the test samples and seeds for each interval."""
    seed: int = 0
    """From which all randomness follows."""

    def __post_init__(self) -> None:
        for name, least in (("seeds", 1), ("most", 10), ("resamples", 20), ("seed", 0)):
            whole_number(getattr(self, name), f"attacks: {name}", least=least)
        one_of(self.effort, "effort of attacks", ("quick", "full"))
        if not self.attackers:
            raise UmbelError("attacks: no attacker is chosen; name at least one of " + ", ".join(ATTACKER_NAMES))
        for name in self.attackers:
            one_of(name, "attacker", ATTACKER_NAMES)

    @property
    def most_held(self) -> int:
        """Validation or test samples at most."""
        return max(self.most // 3, 1)
