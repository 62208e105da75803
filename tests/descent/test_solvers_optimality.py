"""Every solver's answer meets the conditions that define it, on random Gramians of 2 to 40 rows."""

import pytest
import torch
from scipy.optimize import nnls
from solver_cases import gramian, rows, stretched

from umbel.descent import (
    AlignedComponents,
    AlphaFair,
    ConflictAverse,
    ConflictFree,
    EqualProjections,
    MinimumNorm,
    NashBargaining,
    ProjectedMean,
    ProjectedRows,
    minimum_norm_weights,
    nash_weights,
    projection_weights,
)

SIZES = [(2, 0), (2, 1), (3, 0), (3, 1), (5, 0), (5, 1), (8, 0), (16, 0), (24, 0), (40, 0)]
EPS = 1e-12


def jacobians(tasks: int, seed: int) -> list[torch.Tensor]:
    """Many parameters, about as many as rows, fewer (a singular Gramian), and lengths over six decades."""
    shapes = (500, tasks + 1, max(1, tasks // 2))
    return [rows(tasks, size, seed) for size in shapes] + [stretched(tasks, 3.0, seed)]


def relative(values: torch.Tensor, product: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """G w in units of the terms that it is the sum of: what is below rounding there is rounding."""
    return values / (product.abs() @ weights.abs())


@pytest.mark.parametrize(("tasks", "seed"), SIZES)
def test_minimum_norm(tasks, seed):
    """On the simplex; no row is nearer than the vector itself, and those with weight are as near."""
    for jacobian in jacobians(tasks, seed):
        product = gramian(jacobian)
        weights = MinimumNorm()(product)
        slopes = product @ weights
        above = relative(slopes - weights @ slopes, product, weights)
        assert (weights >= 0).all() and abs(weights.sum() - 1) < EPS
        assert (above > -EPS).all() and (above * weights).abs().max() < EPS
        assert torch.equal(minimum_norm_weights(product), weights)


@pytest.mark.parametrize(("tasks", "seed"), SIZES)
def test_projections(tasks, seed):
    """No row is opposed, weights were only added, and only to rows at right angles to the projection."""
    for jacobian in jacobians(tasks, seed):
        product, start = gramian(jacobian), torch.rand(tasks, generator=torch.Generator().manual_seed(seed)).double()
        for given, weights in (
            (start, projection_weights(product, start)),
            (torch.full((tasks,), 1 / tasks, dtype=torch.float64), ProjectedMean()(product)),
        ):
            along, more = relative(product @ weights, product, weights), weights - given
            assert (along > -EPS).all() and (more >= -EPS * given).all()
            assert (along * more).abs().max() < EPS * weights.abs().max()


@pytest.mark.parametrize(("tasks", "seed"), SIZES)
def test_projected_rows_are_the_sum_of_the_rows_projections(tasks, seed):
    for jacobian in jacobians(tasks, seed):
        product = gramian(jacobian)
        one_by_one = sum(projection_weights(product, row) for row in torch.eye(tasks).double() / tasks)
        weights = ProjectedRows()(product)
        off = weights - one_by_one  # of a singular Gramian only the vector is unique, not its weights
        scale = (product.diagonal().sqrt() * weights).sum()
        assert (off @ product @ off).clamp(min=0).sqrt() < 1e-7 * scale
        assert (relative(product @ weights, product, weights) > -EPS).all()


@pytest.mark.parametrize("seed", range(5))
def test_many_rows_projected_side_by_side_are_those_of_lawson_and_hanson(seed):
    jacobian = rows(32, 200, seed)
    root = torch.linalg.cholesky(gramian(jacobian)).T.numpy()
    added = torch.stack([torch.from_numpy(nnls(root, -column)[0]) for column in root.T])
    expected = (1 + added.sum(0)) / 32
    assert torch.allclose(ProjectedRows()(gramian(jacobian)), expected, rtol=1e-11)


@pytest.mark.parametrize("radius", [0.05, 0.5, 1.0, 4.0])
@pytest.mark.parametrize(("tasks", "seed"), SIZES)
def test_conflict_averse(tasks, seed, radius):
    """Primal and dual meet: min_i g_iᵀd = g_wᵀg_0 + c ‖g_0‖ ‖g_w‖, and d is on the ball's surface."""
    for jacobian in jacobians(tasks, seed):
        product = gramian(jacobian)
        weights = ConflictAverse(radius, norm_eps=0.0)(product)
        added = weights - 1 / tasks
        if not weights.any() or added.sum() < 1e-6:
            continue  # in balance: see the degenerate cases
        shares = added / added.sum()
        assert (shares >= 0).all()
        along = product.mean(0)
        ball = radius * along.mean().sqrt()
        length = (shares @ product @ shares).clamp(min=0).sqrt()
        terms = (product.diagonal().sqrt() @ shares) / length  # how much cancels in g_w
        size = product.diagonal().sqrt().max() * (along.mean().sqrt() + ball)
        gap = shares @ along + ball * length - (product @ weights).min()
        assert gap.abs() < EPS * size * terms
        assert abs(length * added.sum() / ball - 1) < 1e-10 * terms**2


def test_conflict_averse_is_in_balance_only_where_nothing_helps_all():
    """Fewer parameters than rows: often the hull contains 0. From c = 1 on the update is 0 then, and only then."""
    found = []
    for seed in range(30):
        jacobian = rows(4, 2, seed)
        shortest = MinimumNorm()(gramian(jacobian)) @ jacobian
        update = ConflictAverse(1.5)(gramian(jacobian)) @ jacobian
        found.append(bool(shortest.norm() < 1e-6))
        assert bool(update.norm() < 1e-6) == found[-1]
    assert 5 < sum(found) < 25


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize(("tasks", "seed"), SIZES)
def test_alpha_fair(tasks, seed, alpha):
    """G a = a^(-1/α), where no positive weights make the rows cancel."""
    for jacobian in (rows(tasks, 500, seed), rows(tasks, 2 * tasks + 2, seed), stretched(tasks, 2.0, seed)):
        product = gramian(jacobian)
        weights = AlphaFair(alpha)(product)
        assert (weights > 0).all()
        assert torch.allclose(product @ weights, weights ** (-1 / alpha), rtol=1e-9)


@pytest.mark.parametrize(("tasks", "seed"), SIZES)
def test_bargaining(tasks, seed):
    for jacobian in (rows(tasks, 500, seed), rows(tasks, 2 * tasks + 2, seed), stretched(tasks, 4.0, seed)):
        product = gramian(jacobian)
        free = NashBargaining(max_norm=0.0)(product)
        assert torch.allclose(product @ free, 1 / free, rtol=1e-9)
        assert torch.equal(nash_weights(product), free)
        limited = NashBargaining(max_norm=0.7)(product)
        assert torch.allclose(limited, free * 0.7 / tasks**0.5, rtol=1e-9)  # ‖aᵀJ‖² = Σ a_i (G a)_i = T


@pytest.mark.parametrize(("tasks", "seed"), SIZES)
def test_equal_projections(tasks, seed):
    for jacobian in (rows(tasks, 500, seed), rows(tasks, 2 * tasks + 2, seed), stretched(tasks, 5.0, seed)):
        weights = EqualProjections()(gramian(jacobian))
        projections = gramian(jacobian) @ weights / jacobian.norm(dim=1)
        assert torch.allclose(projections, projections[0].expand(tasks), rtol=1e-7)
        assert abs(weights.sum() - 1) < 1e-9


@pytest.mark.parametrize(("tasks", "seed"), SIZES)
def test_conflict_free(tasks, seed):
    """Cosines in the proportions asked for, and the length of the sum of the projections."""
    wanted = torch.rand(tasks, generator=torch.Generator().manual_seed(seed)).double() + 0.1
    for given in (None, wanted):
        for jacobian in (rows(tasks, 500, seed), stretched(tasks, 5.0, seed)):
            update = ConflictFree(given)(gramian(jacobian)) @ jacobian
            cosines = jacobian @ update / jacobian.norm(dim=1) / update.norm()
            shares = cosines / (1 if given is None else given)
            assert torch.allclose(shares, shares[0].expand(tasks), rtol=1e-7) and shares[0] > 0
            assert torch.allclose((jacobian @ update).sum() / update.norm(), update.norm(), rtol=1e-7)


@pytest.mark.parametrize(("tasks", "seed"), SIZES)
@pytest.mark.parametrize("mode", ["min", "median", "rmse"])
def test_aligned_components(tasks, seed, mode):
    """The balanced rows B J are orthogonal and equally long, B symmetric; column i of B comes from p = e_i."""
    jacobian = rows(tasks, 3 * tasks, seed)
    product = gramian(jacobian)
    balance = torch.stack([AlignedComponents(row, mode)(product) for row in torch.eye(tasks).double()])
    eigenvalues = torch.linalg.eigvalsh(product)
    scale = {"min": eigenvalues[0], "median": eigenvalues[(tasks - 1) // 2], "rmse": eigenvalues.mean()}[mode]
    assert torch.allclose(balance @ product @ balance.T, scale * torch.eye(tasks).double(), atol=1e-9 * scale)
    assert torch.allclose(balance, balance.T, atol=1e-10)
    assert torch.allclose(AlignedComponents(scale_mode=mode)(product), balance.mean(0), rtol=1e-9, atol=1e-12)
