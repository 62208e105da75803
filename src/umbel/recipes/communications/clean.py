"""The classifier at the ends of a digital link: it sees clean pictures, and has the layers of a learnt transmission."""

import itertools
from collections.abc import Sequence
from typing import Any

from torch import nn

from umbel.core import Learner, MultiTaskModel, Task
from umbel.nn import build_encoder, default_encoder, seeded_start
from umbel.transmission import DenseCode

_FEATURES = 64  # complex numbers between the two halves: far more than a few channel uses, and no noise on them


def clean_classifier(
    input_shape: Sequence[int], task: Task, encoder: str | None = None, *, seed: int = 0, **options: Any
) -> Learner:
    """Encoder, code and decoder as in a transmission without pictures, with nothing lost in between.

    A rival with smaller layers than the network that it is compared with would be no rival.

    Args:
        input_shape: Of one sample.
        task: A classification.
        encoder: One of `umbel.nn.ENCODERS`; None takes the usual one.
        seed: Of the random start; the encoder starts as a transmission's does.
        **options: For the encoder.
    """
    with seeded_start(seed, ""):
        trunk = build_encoder(encoder or default_encoder(input_shape, [task]), input_shape, **options)
    with seeded_start(seed, f"clean {task.name}"):
        code = DenseCode(trunk.feature_shape, _FEATURES)
        sizes = [*code.latent_shape, 256, 128]
        layers: list[nn.Module] = [code]
        for wide, narrow in itertools.pairwise(sizes):
            layers += [nn.Linear(wide, narrow), nn.ReLU(inplace=True)]
        head = nn.Sequential(*layers, nn.Linear(sizes[-1], task.outputs))
    return Learner(MultiTaskModel(trunk, {task.name: head}), [task])
