"""The classifier of the digital rivals."""

import torch

from umbel import tasks
from umbel.channels import make_channel
from umbel.core import OperatingPoint
from umbel.recipes.communications.clean import clean_classifier
from umbel.transmission import Goal, Stage, build_transmission


def test_it_is_no_smaller_than_a_transmission_and_starts_with_its_encoder():
    """A rival that decides by a smaller network would lose for the wrong reason."""
    task, shape = tasks.classification("digit", list("0123456789")), (1, 16, 16)
    clean = clean_classifier(shape, task, "conv", seed=3, widths=(8, 16))
    sent = build_transmission(shape, [Stage(16)], [Goal(task)], make_channel("awgn"), "conv", seed=3, widths=(8, 16))
    assert sum(p.numel() for p in clean.parameters()) >= sum(p.numel() for p in sent.parameters())
    for mine, theirs in zip(clean.model.encoder.parameters(), sent.encoder.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert clean.model(torch.rand(2, *shape), OperatingPoint())["digit"].shape == (2, 10)
