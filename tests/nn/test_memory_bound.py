"""Networks that fit into no memory: refused before it is asked for; options of encoders of the wrong kind."""

import pytest
import torch
from torch import nn

from umbel import tasks
from umbel.core import UmbelError
from umbel.core.machine import machine_bytes
from umbel.nn import build_encoder, build_model
from umbel.nn.memory_bound import MOST_TENSORS, memory_bound


def test_the_sum_of_the_weights_counts():
    """Two layers of 4000 bytes each and their biases."""
    with memory_bound("net", limit=9000):
        nn.Linear(10, 100), nn.Linear(100, 10)
    with pytest.raises(UmbelError, match="net needs at least 0 GiB"), memory_bound("net", limit=8000):
        nn.Linear(10, 100), nn.Linear(100, 10)
    with pytest.raises(UmbelError, match="3 times its weights"), memory_bound("net", copies=3, limit=9000):
        nn.Linear(10, 100)


def test_nothing_changes_inside():
    torch.manual_seed(0)
    plain = nn.Linear(5, 5).weight
    torch.manual_seed(0)
    with memory_bound("net"):
        assert torch.equal(plain, nn.Linear(5, 5).weight)


def test_memory_is_known():
    assert 2**28 < machine_bytes() < 2**50


def test_too_many_layers_end_soon():
    with pytest.raises(UmbelError, match=f"more than {MOST_TENSORS:,} tensors"), memory_bound("net"):
        for _ in range(MOST_TENSORS + 1):
            torch.empty(1)


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        ("conv", (1, 8, 8), {"widths": (8, 10**9)}, "needs at least 268 GiB"),
        ("conv", (1, 8, 8), {"widths": (8, 0)}, "each at least 1"),
        ("conv", (1, 8, 8), {"widths": 8}, "widths is 8; give a list of whole numbers"),
        ("conv", (1, 8, 8), {"widths": (8, 1.5)}, "give a list of whole numbers"),
        ("conv", (1, 8, 8), {"std": float("nan")}, "std is nan; give a number or a list"),
        ("conv", (1, 8, 8), {"std": 0.0}, "every std a positive one"),
        ("conv", (1, 8, 8), {"mean": (0.1, 0.2, 0.3)}, "mean has 3 numbers for 1 channels"),
        ("resnet", (3, 8, 8), {"width": 10**9}, "GiB of memory"),
        ("pixel", (3, 8, 8), {"downsample": 1000}, "the pictures have 8×8 pixels"),
        ("mlp", (4,), {"width": True}, "width is True; give a whole number"),
        ("gru", (9, 4), {"width": 10**9}, "GiB of memory"),
        ("torchvision-resnet18", (3, 32, 32), {"weights": 1}, "weights is 1; give a text or None"),
    ],
)
def test_wrong_options_of_encoders_are_one_line(name, shape, options, message):
    with pytest.raises(UmbelError, match=message):
        build_encoder(name, shape, **options)


def test_a_head_that_is_too_wide():
    with pytest.raises(UmbelError, match="the head of task 'age' needs at least"):
        build_model((4,), [tasks.regression("age")], hidden=10**12)
