"""Torch's default generators, which dropout and views draw from: set, or lent at a state of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_default(seed: int, device: torch.device) -> None:
    """Seed the generators that modules draw from by default.

    `torch.manual_seed` also looks for every other device, at about a millisecond a call.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, the default generators start from a seed; afterwards they are as they were.

    Args:
        seed: Of all that is drawn inside.
        device: Where it is drawn, beside the processor.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_default(seed, device)
        yield
