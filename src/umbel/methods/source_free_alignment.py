"""Discriminators behind a gradient reversal: two kinds of pictures are made alike to a detector's encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from umbel.core import Inputs, Taps
from umbel.core.modes import modes_kept
from umbel.losses import focal_cross_entropy, least_squares_domain
from umbel.methods.source_free_target import DISSIMILAR, SIMILAR
from umbel.nn import reversed_gradient, seeded_start
from umbel.nn.detection import PICTURE, Detector, GlobalDiscriminator, LocalDiscriminator

LOCAL, GLOBAL = "local alignment", "global alignment"
"""Names of what the discriminators lose."""


@dataclass(frozen=True)
class Alignment:
    """How two domains' features are made alike.

    Attributes:
        local_at: Module of the student whose fine maps the local discriminator reads, by its name in `named_modules`;
            empty: none.
        global_at: Likewise of coarse maps, for the global one; "" for none.
        weight: Of both losses, for the encoder and the discriminators alike.
        gamma: Of the focal loss of the global one.
        rate: Of the discriminators' learning rate, as a multiple of the student's.
    """

    local_at: str = ""
    global_at: str = "encoder"
    weight: float = 0.1
    gamma: float = 3.0
    rate: float = 1.0


class Discriminators(nn.Module):
    """A local and a global discriminator, and what they lose.

        weight [ 1/2 FL(D(f_s), 0) + 1/2 FL(D(f_d), 1) + 1/2 mean D_p(g_s)^2 + 1/2 mean (1 - D_p(g_d))^2 ]

    f are coarse maps, g fine ones, both behind a gradient reversal: one descent teaches the discriminators to tell the
    kinds apart, and the encoder to make them alike.

    Args:
        detector: Whose maps are read.
        alignment: Where and how.
        seed: Of their start.

    Raises:
        UmbelError: No such module.
    """

    def __init__(self, detector: Detector, alignment: Alignment, seed: int = 0) -> None:
        super().__init__()
        self.alignment = alignment
        self.places = {n: p for n, p in ((LOCAL, alignment.local_at), (GLOBAL, alignment.global_at)) if p}
        channels = _channels(detector, tuple(self.places.values()))
        kinds = {LOCAL: LocalDiscriminator, GLOBAL: GlobalDiscriminator}
        made = []
        for name, place in self.places.items():
            with seeded_start(seed, name):
                made.append(kinds[name](channels[place]))
        self.parts = nn.ModuleList(made)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the losses."""
        return tuple(self.places)

    def forward(self, detector: Detector, inputs: Inputs, domain: Tensor) -> dict[str, Tensor]:
        """What each of them loses: half the mean over either kind of pictures, times the weight.

        Args:
            detector: The student.
            inputs: Pictures of both kinds.
            domain: int64 [B], SIMILAR or DISSIMILAR. A kind that is not there adds nothing.
        """
        maps = maps_at(detector, inputs, tuple(self.places.values()))
        lost = {}
        for part, (name, place) in zip(self.parts, self.places.items(), strict=True):
            logits = part(reversed_gradient(maps[place]))
            local = name == LOCAL
            each = (
                least_squares_domain(logits, domain)
                if local
                else focal_cross_entropy(logits, domain, self.alignment.gamma)
            )
            halves = [_mean(each, domain == kind) for kind in (SIMILAR, DISSIMILAR)]
            lost[name] = self.alignment.weight * 0.5 * (halves[0] + halves[1])
        return lost


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return values[chosen].sum() / chosen.sum().clamp(min=1)


def maps_at(detector: Detector, inputs: Inputs, places: Sequence[str]) -> dict[str, Tensor]:
    """What the named modules give for pictures; the coarsest level where one gives several.

    Args:
        detector: Has the modules.
        inputs: Pictures.
        places: Names of modules, as `named_modules` calls them; empty ones are passed over.
    """
    with Taps(detector, [place for place in dict.fromkeys(places) if place]) as taps:
        detector.features(inputs)
    return {name: _maps(taps[name]) for name in dict.fromkeys(places) if name}


def _maps(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else list(value.values())[-1]


def _channels(detector: Detector, places: Sequence[str]) -> dict[str, int]:
    """Channels of what the named modules give, found with a small picture."""
    side = 64
    inputs = {PICTURE: torch.zeros(1, 3, side, side), f"{PICTURE}/size": torch.tensor([[3, side, side]])}
    device = next(detector.parameters()).device
    with torch.no_grad(), modes_kept(detector):
        detector.eval()
        maps = maps_at(detector, {name: value.to(device) for name, value in inputs.items()}, places)
    return {name: value.shape[1] for name, value in maps.items()}
