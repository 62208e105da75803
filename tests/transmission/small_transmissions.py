"""Small transmissions of random pictures that several tests use."""

import torch

from umbel import tasks
from umbel.channels import AWGN
from umbel.core import Batch
from umbel.transmission import Goal, Stage, build_transmission

DIGIT = tasks.classification("digit", "0123456789")
PARITY = tasks.classification("parity", ("even", "odd"))
PICTURE = tasks.picture("picture", 1)
SHAPE = (1, 8, 8)
THREE_AND_FOUR = (Stage(3), Stage(4))
FOUR_AND_EIGHT = (Stage(4), Stage(8))
SMALL = {"width": 8, "decoder_width": 8, "decoder_blocks": 1}


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 5, shape=SHAPE, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, *shape, generator=draws(seed))


def batch(count: int = 12) -> Batch:
    label = torch.randint(10, (count,), generator=draws(1))
    return Batch(pictures(count), {"digit": label, "parity": label % 2})


def dense(stages=THREE_AND_FOUR, goals=None, channels=None, **more):
    """Digits after every stage, without pictures: dense codes and decoders."""
    goals = goals or [Goal(DIGIT, stage) for stage in range(1, len(stages) + 1)]
    return build_transmission(SHAPE, stages, goals, channels or AWGN(), "mlp", width=16, decoder_width=16, **more)


def mapped(stages=FOUR_AND_EIGHT, goals=None, channels=None, **more):
    """Digit and picture after every stage: codes and decoders that keep places."""
    each = range(1, len(stages) + 1)
    goals = goals or [Goal(task, stage) for stage in each for task in (DIGIT, PICTURE)]
    return build_transmission(SHAPE, stages, goals, channels or AWGN(), **{**SMALL, **more})
