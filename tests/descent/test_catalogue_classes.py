"""The catalogue's names stand for classes that one can use directly, and for one's own."""

import pytest
import torch
from toys import POINT, Plane, batch, learner

from umbel.core import SingleProcess
from umbel.descent import (
    DESCENTS,
    FAMO,
    AlignedComponents,
    AlphaFair,
    ConflictAverse,
    ConflictFree,
    DynamicWeightAverage,
    Entry,
    EqualProjections,
    Fixed,
    GeometricMean,
    GradientSurgery,
    GradientVaccine,
    Jacobian,
    MinimumNorm,
    NashBargaining,
    ProjectedMean,
    ProjectedRows,
    RandomWeights,
    TaskWeighting,
    Uncertainty,
    WeightedSum,
    Weighting,
    make_descent,
)

WEIGHTINGS = {
    "equal": Fixed,
    "uncertainty": Uncertainty,
    "dwa": DynamicWeightAverage,
    "famo": FAMO,
    "random-weights": RandomWeights,
    "geometric-mean": GeometricMean,
}


def gradient(descent, taught):
    descent.prepare(taught)
    descent(taught, batch(), POINT, SingleProcess())
    return torch.cat([p.grad.reshape(-1) for p in taught.parameters()])


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_name_and_its_class_give_the_same_update(name):
    assert isinstance(make_descent(name).weighting, WEIGHTINGS[name])
    by_name, by_class = gradient(make_descent(name), learner()), gradient(WeightedSum(WEIGHTINGS[name]()), learner())
    assert torch.equal(by_name, by_class)


SOLVED = {
    "pcgrad": GradientSurgery,
    "gradvac": GradientVaccine,
    "mgda": MinimumNorm,
    "cagrad": ConflictAverse,
    "nash-mtl": NashBargaining,
    "imtl-g": EqualProjections,
    "aligned-mtl": AlignedComponents,
    "upgrad": ProjectedRows,
    "dualproj": ProjectedMean,
    "fairgrad": AlphaFair,
    "config": ConflictFree,
}


@pytest.mark.parametrize(("name", "kind"), SOLVED.items())
def test_our_own_solvers_stand_behind_their_names(name, kind):
    assert torch.equal(gradient(make_descent(name), learner()), gradient(Jacobian(kind()), learner()))


def test_minimum_norm_and_nash_on_a_plane():
    jacobian = torch.tensor([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]], dtype=torch.float64)
    shortest = gradient(Jacobian(MinimumNorm()), Plane(jacobian))
    torch.testing.assert_close(shortest, torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64))
    bargained = gradient(Jacobian(NashBargaining(max_norm=0.0)), Plane(jacobian))
    gramian = jacobian @ jacobian.T
    weights = torch.linalg.solve(gramian, jacobian @ bargained)
    torch.testing.assert_close(gramian @ weights, 1 / weights)  # the bargaining solution's own equation


class FirstOnly(TaskWeighting):
    def task_weights(self, values, present):
        return torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)


class ByRank(Weighting):
    needs_values = True

    def forward(self, names, values, present):
        return values.argsort().argsort().to(values) + 1


@pytest.mark.parametrize("weighting", [FirstOnly, ByRank])
def test_a_weighting_of_ones_own(weighting):
    taught = learner()
    found = gradient(WeightedSum(weighting()), taught)
    losses = taught.losses(batch(), POINT).stack()
    weights = torch.tensor([1.0, 0, 0]).double() if weighting is FirstOnly else losses.argsort().argsort() + 1.0
    expected = torch.autograd.grad((weights.detach() * losses).sum(), list(taught.parameters()))
    torch.testing.assert_close(found, torch.cat([g.reshape(-1) for g in expected]))


def test_every_entry_says_what_it_costs():
    for name, entry in DESCENTS.items():
        assert isinstance(entry, Entry)
        assert entry.passes in ("1", "T") and entry.summary, name
