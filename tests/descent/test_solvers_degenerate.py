"""Edges: zero, identical and opposed rows, one row, any scale and precision, bad input; and the laws of symmetry."""

import pytest
import torch
from solver_cases import EVERY, J3, LENGTH_POWER, STEADY, degenerate, gramian, rows, stretched

from umbel.core import UmbelError
from umbel.descent import (
    AlignedComponents,
    AlphaFair,
    ConflictAverse,
    ConflictFree,
    GradientVaccine,
    MinimumNorm,
    NashBargaining,
    ProjectedRows,
    projection_weights,
)


def update(weighting, jacobian: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)  # of those that draw an order
    return weighting(gramian(jacobian)) @ jacobian


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("tasks", [1, 2, 3, 5, 24])
@pytest.mark.parametrize("name", EVERY)
def test_weights_are_finite_and_in_the_gramians_precision(name, tasks, dtype):
    for kind, jacobian in degenerate(tasks).items():
        weights = EVERY[name]()(gramian(jacobian.to(dtype)))
        assert weights.shape == (tasks,) and weights.dtype == dtype and weights.isfinite().all(), kind


NO_CONFLICT = ("mgda", "upgrad", "dualproj", "cagrad-1", "cagrad-3", "nash", "fairgrad-2")


@pytest.mark.parametrize("tasks", [2, 3, 5])
@pytest.mark.parametrize("name", NO_CONFLICT)
def test_nobody_is_opposed_at_the_edges_either(name, tasks):
    for kind, jacobian in degenerate(tasks).items():
        weights = EVERY[name]()(gramian(jacobian))
        along = jacobian @ (weights @ jacobian)
        terms = gramian(jacobian).abs() @ weights.abs()
        # Where rows cancel, their products alone say no more than this; Nash-MTL and FairGrad have a ridge there.
        tolerance = 1e-7 if name in ("nash", "fairgrad-2") else 1e-10
        assert (along >= -tolerance * terms).all(), kind


SAME_WITHOUT_A_ZERO_ROW = ("pcgrad", "gradvac", "imtl-g", "nash", "fairgrad-2", "config", "aligned-min", "upgrad")


@pytest.mark.parametrize("name", SAME_WITHOUT_A_ZERO_ROW)
def test_a_zero_row_changes_nothing_for_the_others(name):
    jacobian = rows(3)
    with_zero = torch.cat([jacobian[:1], 0 * jacobian[:1], jacobian[1:]])
    expected = STEADY[name]()(gramian(jacobian)) if name in STEADY else None
    if expected is None:  # the draws are others: compare with two rows, whose order does not matter
        jacobian, with_zero = jacobian[:2], torch.cat([jacobian[:1], 0 * jacobian[:1], jacobian[1:2]])
        expected = EVERY[name]()(gramian(jacobian))
    got = EVERY[name]()(gramian(with_zero))[[0, *range(2, len(with_zero))]]
    factor = 3 / 4 if name in ("aligned-min", "upgrad") else 1.0  # these average over all rows
    assert torch.allclose(got, factor * expected, rtol=1e-9)


def test_what_a_zero_row_does_to_the_hull_and_to_the_worst_case():
    """The shortest vector is 0. CAGrad's worst case leaves the row out: nothing can help it."""
    jacobian = torch.cat([rows(3), torch.zeros(2, 8).double()])
    assert torch.equal(MinimumNorm()(gramian(jacobian)), torch.tensor([0, 0, 0, 0.5, 0.5]).double())
    weights = ConflictAverse(0.5)(gramian(jacobian))
    assert torch.allclose(weights[3:], torch.full((2,), 0.2).double())
    distance = (weights - 0.2) @ jacobian
    assert torch.allclose(distance.norm(), 0.5 * jacobian.mean(0).norm(), rtol=1e-9)


@pytest.mark.parametrize("name", ["mgda", "upgrad", "dualproj", "pcgrad", "gradvac", "imtl-g", "config", "cagrad-3"])
def test_two_opposed_rows_cancel(name):
    for length in (1.0, 3.0):
        jacobian = torch.cat([J3[:1], -length * J3[:1]])
        assert update(EVERY[name](), jacobian).norm() < 1e-12


@pytest.mark.parametrize("name", EVERY)
def test_identical_rows_give_their_direction(name):
    for tasks in (2, 3, 7):
        jacobian = J3[:1].repeat(tasks, 1)
        got = update(EVERY[name](), jacobian)
        assert torch.allclose(got / got.norm(), J3[0] / J3[0].norm(), atol=1e-7)


ONE_ROW = {"cagrad": 1.5, "cagrad-1": 2.0, "cagrad-3": 4.0, "nash": 6**-0.5, "fairgrad-0.5": 6 ** (-1 / 3)}
ONE_ROW["fairgrad-2"] = 6 ** (-2 / 3)


@pytest.mark.parametrize("name", EVERY)
def test_one_row(name):
    """J3's first row has length √6."""
    assert torch.allclose(EVERY[name]()(gramian(J3[:1])), torch.tensor([ONE_ROW.get(name, 1.0)]).double(), rtol=1e-7)


@pytest.mark.parametrize("factor", [1e-12, 1e-3, 1e12])
@pytest.mark.parametrize("name", EVERY)
def test_scale(name, factor):
    jacobian = rows(5)
    torch.manual_seed(0)
    usual = EVERY[name]()(gramian(jacobian))
    torch.manual_seed(0)
    scaled = EVERY[name]()(gramian(factor * jacobian))
    assert torch.allclose(scaled, usual * factor ** LENGTH_POWER.get(name, 0.0), rtol=1e-8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", STEADY)
def test_permutation(name, seed):
    for tasks in (2, 3, 6, 24):
        product = gramian(rows(tasks, seed=seed))
        order = torch.randperm(tasks, generator=torch.Generator().manual_seed(seed))
        weights = STEADY[name]()(product)
        assert torch.allclose(STEADY[name]()(product[order][:, order]), weights[order], rtol=1e-8, atol=1e-12)


def test_a_quiet_task_counts_whatever_the_loud_ones_are():
    """24 decades between the longest and the shortest row; the conditions hold relative to each row's own terms."""
    jacobian = stretched(6, 12.0)
    product = gramian(jacobian)
    for weighting in (ProjectedRows(), ConflictAverse(1.0, norm_eps=0.0)):
        weights = weighting(product)
        assert (product @ weights > -1e-10 * (product.abs() @ weights.abs())).all()
    shares = NashBargaining(max_norm=0.0)(product)
    assert torch.allclose(product @ shares, 1 / shares, rtol=1e-6)
    quiet = jacobian.norm(dim=1).argmin()
    assert MinimumNorm()(product)[quiet] > 0.99


def test_rounding_below_zero_is_nothing():
    """Single precision makes eigenvalues of near-copies negative; the answer is that of the exact rows, nearly."""
    jacobian = torch.cat([rows(4), rows(4) + 1e-5 * rows(4, seed=9)])
    product = gramian(jacobian).float()
    product = product + 1e-6 * product.diagonal().mean() * torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    product = (product + product.T) / 2
    assert torch.linalg.eigvalsh(product.double())[0] < 0
    for name, tolerance in {"mgda": 0.02, "upgrad": 0.02, "dualproj": 0.02, "cagrad": 0.02, "nash": 0.1}.items():
        exact, rough = (STEADY[name]()(g).double() @ jacobian for g in (gramian(jacobian), product))
        assert (exact - rough).norm() < tolerance * exact.norm(), name


@pytest.mark.parametrize("name", EVERY)
def test_what_is_no_gramian_is_refused(name):
    for value in (torch.nan, torch.inf):
        bad = gramian(J3).clone()
        bad[0, 1] = value
        with pytest.raises(UmbelError, match="Gramian of the gradients is not finite"):
            EVERY[name]()(bad)
    with pytest.raises(UmbelError, match=r"shape \[T, T\].*\[3, 4\]"):
        EVERY[name]()(J3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConflictAverse(-0.1), "cagrad"),
        (lambda: ConflictAverse(0.5, norm_eps=-1e-9), "norm_eps"),
        (lambda: AlphaFair(-1.0), "alpha is -1"),
        (lambda: AlphaFair(float("nan")), "alpha is nan"),
        (lambda: AlphaFair(1.0, max_iters=0), "max_iters"),
        (lambda: NashBargaining(-1.0), "max_norm"),
        (lambda: GradientVaccine(beta=1.1), "beta"),
        (lambda: GradientVaccine(eps=-1e-9), "eps"),
        (lambda: AlignedComponents(scale_mode="test"), "min, median, rmse"),
        (lambda: AlignedComponents(torch.ones(2, 2)), "one for each task"),
        (lambda: ConflictFree([1.0, float("inf")]), "finite"),
        (lambda: ConflictFree([1.0, 1.0])(gramian(J3)), "2 numbers for 3 rows"),
        (lambda: AlignedComponents([1.0])(gramian(J3)), "1 numbers for 3 rows"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(UmbelError, match=message):
        make()


def test_a_newton_method_that_is_stopped_too_early_says_so():
    with pytest.raises(UmbelError, match="no solution of G a"):
        AlphaFair(2.0, max_iters=1)(gramian(stretched(4, 4.0)))


def test_special_cases_that_are_other_methods():
    product = gramian(rows(6))
    mean = torch.full((6,), 1 / 6, dtype=torch.float64)
    assert torch.equal(AlphaFair(0.0)(product), mean)
    assert torch.equal(ConflictAverse(0.0)(product), mean)
    assert torch.allclose(AlphaFair(1.0)(product), NashBargaining(max_norm=0.0)(product), rtol=1e-12)
    assert torch.allclose(projection_weights(product, 2 * mean), 2 * projection_weights(product, mean), rtol=1e-12)
