"""The trained parameters of a module: torch's own list, found faster."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from umbel.core import trained_parameters


def expected(module):
    return [p for p in module.parameters() if p.requires_grad]


def same(module) -> bool:
    found, wanted = trained_parameters(module), expected(module)
    return len(found) == len(wanted) and all(a is b for a, b in zip(found, wanted, strict=True))


def test_the_order_is_torchs_and_what_is_shared_or_frozen_counts_once_or_not():
    shared = nn.Linear(3, 3)
    net = nn.ModuleDict({
        "a": nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), shared),
        "b": parametrizations.weight_norm(nn.Linear(3, 4)),
        "c": nn.Sequential(shared, nn.ParameterList([nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))])),
    })  # fmt: skip
    net["tied"] = nn.Linear(3, 3)
    net["tied"].weight = shared.weight
    assert same(net)
    net["a"][0].weight.requires_grad_(False)
    assert same(net)
    assert net["a"][0].weight not in set(trained_parameters(net))
    net["b"] = None
    assert same(net)


def test_a_module_with_a_list_of_its_own_is_asked_for_it():
    class Own(nn.Linear):
        def parameters(self, recurse=True):
            return iter([self.bias])

    net = nn.Sequential(nn.Linear(2, 2), Own(2, 2))
    assert [p is net[1].bias for p in trained_parameters(net)] == [False, False, True]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_a_scripted_part_is_seen():
    net = nn.Sequential(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), nn.Linear(2, 1))
    assert len(trained_parameters(net)) == len(expected(net)) == 4
