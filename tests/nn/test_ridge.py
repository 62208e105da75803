"""Closed-form maps against scikit-learn, and the reduced rank against every other map of that rank."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from umbel.core import UmbelError
from umbel.nn import LinearMap, principal_components, ridge


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 6, generator=generator).double()
    w = torch.randn(6, 5, generator=generator).double()
    y = x @ w + 0.3 * torch.randn(300, 5, generator=generator).double() + 2.0
    return x[:200], y[:200], x[200:], y[200:]


def test_ridge_is_that_of_scikit_learn(problem):
    x, y, x_validation, y_validation = problem
    ours = ridge(x, y, x_validation, y_validation, ridges=(3.0,))
    theirs = Ridge(alpha=3.0).fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(ours(x_validation).numpy(), theirs.predict(x_validation.numpy()), atol=1e-10)


def test_the_penalty_is_the_best_on_validation(problem):
    x, y, x_validation, y_validation = problem
    choices = (1e-3, 10.0, 1e5)
    errors = [
        float((ridge(x, y, x_validation, y_validation, ridges=(one,))(x_validation) - y_validation).square().mean())
        for one in choices
    ]
    best = ridge(x, y, x_validation, y_validation, ridges=choices)
    assert float((best(x_validation) - y_validation).square().mean()) == pytest.approx(min(errors), rel=1e-12)


def test_a_reduced_rank_is_the_best_of_its_rank(problem):
    x, y, *validation = problem
    whole = ridge(x, y, *validation, ridges=(1e-9,))
    reduced = ridge(x, y, *validation, rank=2, ridges=(1e-9,))
    assert [matrix.shape for matrix in reduced.matrices] == [(6, 2), (2, 5)]
    error = (reduced(x) - y).square().sum()
    assert error > (whole(x) - y).square().sum()
    matrix = reduced.matrices[0] @ reduced.matrices[1]
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):  # rank-two neighbours
        left, right = (0.02 * torch.randn(part.shape, generator=generator).double() for part in reduced.matrices)
        other = (reduced.matrices[0] + left) @ (reduced.matrices[1] + right)
        centred = x - x.mean(0)
        assert (centred @ other - (y - y.mean(0))).square().sum() > (centred @ matrix - (y - y.mean(0))).square().sum()


def test_a_large_rank_leaves_the_map_whole(problem):
    assert len(ridge(*problem, rank=5).matrices) == 1


def test_principal_components_are_those_of_scikit_learn():
    x = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)).double() @ torch.diag(
        torch.tensor([3.0, 2.0, 1.0, 0.5]).double()
    )
    x = x - x.mean(0)
    ours = principal_components(x, 2)
    theirs = PCA(2).fit(x.numpy())
    lengths = ours.norm(dim=1).numpy()
    np.testing.assert_allclose(lengths, np.sqrt(theirs.explained_variance_ * 499 / 500), rtol=1e-6)
    directions = ours.numpy() / lengths[:, None]
    np.testing.assert_allclose(np.abs((directions * theirs.components_).sum(1)), 1.0, rtol=1e-6)
    assert len(principal_components(x[:3], 4)) == 3


def test_a_map_of_three_matrices_is_refused():
    with pytest.raises(UmbelError, match="give one, or two"):
        LinearMap([torch.eye(2)] * 3, torch.zeros(2))
