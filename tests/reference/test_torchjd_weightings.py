"""Our solvers and TorchJD's on the same Gramians, and the numbers that TorchJD's own tests expect."""

from importlib.util import find_spec

import pytest
import torch
from torchjd import aggregation as tj

from umbel.descent import (
    AlignedComponents,
    AlphaFair,
    ConflictAverse,
    ConflictFree,
    EqualProjections,
    GradientSurgery,
    GradientVaccine,
    Jacobian,
    NashBargaining,
    make_descent,
)
from umbel.descent.aggregation import SOLVERS, Aggregation

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
SHAPES = [(2, 3), (3, 10), (5, 6), (9, 40), (16, 200)]
PREFERENCE = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)


def rows(tasks: int, size: int, seed: int = 0) -> torch.Tensor:
    """Float64 [T, P], with a common part that some oppose."""
    generator = torch.Generator().manual_seed(seed)
    jacobian = torch.randn(tasks, size, generator=generator, dtype=torch.float64)
    signs = torch.randint(0, 2, (tasks, 1), generator=generator) * 2 - 1
    return jacobian + 0.5 * signs * torch.randn(size, generator=generator, dtype=torch.float64)


CLOSED = {
    "PCGrad": (GradientSurgery, tj.PCGradWeighting),
    "GradVac": (GradientVaccine, tj.GradVacWeighting),
    "GradVac, other settings": (lambda: GradientVaccine(0.2, 1e-6), lambda: tj.GradVacWeighting(0.2, 1e-6)),
    "IMTLG": (EqualProjections, tj.IMTLGWeighting),
    "AlignedMTL": (AlignedComponents, tj.AlignedMTLWeighting),
    "AlignedMTL, median": (
        lambda: AlignedComponents(scale_mode="median"),
        lambda: tj.AlignedMTLWeighting(scale_mode="median"),
    ),
    "AlignedMTL, rmse": (
        lambda: AlignedComponents(scale_mode="rmse"),
        lambda: tj.AlignedMTLWeighting(scale_mode="rmse"),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CLOSED)
def test_weights_are_those_of_torchjd(name, shape):
    """Four steps from the same generator: orders and averages count."""
    ours, theirs = (make() for make in CLOSED[name])
    for step in range(4):
        jacobian = rows(*shape, seed=step)
        torch.manual_seed(step)
        expected = theirs(jacobian @ jacobian.T)
        torch.manual_seed(step)
        assert torch.allclose(ours(jacobian @ jacobian.T), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_config_is_that_of_torchjd(shape):
    """TorchJD takes the pseudo-inverse of the rows themselves."""
    for seed in range(3):
        jacobian = rows(*shape, seed=seed)
        assert torch.allclose(ConflictFree()(jacobian @ jacobian.T) @ jacobian, tj.ConFIG()(jacobian), rtol=1e-9)


def test_preferences_are_those_of_torchjd():
    jacobian = rows(3, 8)
    product = jacobian @ jacobian.T
    aligned = tj.AlignedMTLWeighting(pref_vector=PREFERENCE)(product)
    for given in (PREFERENCE, PREFERENCE.tolist()):
        assert torch.allclose(AlignedComponents(given)(product), aligned, rtol=1e-10)
        assert torch.allclose(
            ConflictFree(given)(product) @ jacobian, tj.ConFIG(pref_vector=PREFERENCE)(jacobian), rtol=1e-10
        )


def test_aligned_mtl_counts_the_same_directions_of_a_singular_gramian():
    """In the precision of the Gramian: what is rounding there must not become the smallest component."""
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        jacobian = rows(6, 3).to(dtype)
        ours, theirs = (make()(jacobian @ jacobian.T) @ jacobian for make in CLOSED["AlignedMTL"])
        assert torch.allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(6))
def test_cagrad_is_that_of_torchjd_and_no_worse(seed):
    """Clarabel stops at errors of 1e-4 in the weights; ours reaches a higher worst case within the same ball."""
    pytest.importorskip("clarabel", reason="TorchJD's CAGrad needs the extra solvers")
    jacobian = rows(3 + seed, 30, seed)
    product = jacobian @ jacobian.T
    for radius in (0.3, 1.0, 2.5):
        ours, theirs = ConflictAverse(radius)(product), tj.CAGradWeighting(c=radius)(product)
        assert (ours - theirs).norm() < 2e-3 * theirs.norm()
        ball = radius * jacobian.mean(0).norm()
        distance = (ours @ jacobian - jacobian.mean(0)).norm()
        assert distance < ball * (1 + 1e-10)
        assert (product @ ours).min() > (product @ theirs).min() - 1e-9 * product.diagonal().max()


@pytest.mark.parametrize("seed", range(6))
def test_fairgrad_is_that_of_torchjd_and_closer_to_its_equation(seed):
    """SciPy's least squares stop at 1e-8 of their cost, from 1/T."""
    jacobian = 0.3 * rows(2 + seed, 30, seed)
    product = jacobian @ jacobian.T
    for alpha in (0.5, 1.0, 2.0, 4.0):
        ours, theirs = AlphaFair(alpha)(product), tj.FairGradWeighting(alpha=alpha)(product)
        assert torch.allclose(ours, theirs, rtol=1e-3)
        residuals = [(product @ w - w ** (-1 / alpha)).norm() for w in (ours, theirs)]
        assert residuals[0] < 1e-12 * ours.norm() * product.norm()
        assert residuals[0] <= residuals[1] * (1 + 1e-6) + 1e-13


# Facts from TorchJD's tests/unit/aggregation/test_values.py: single precision, compared to 1e-4 there.
BASE = torch.tensor([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
ADVERSARY = torch.tensor([[1.0, 1, 1], [1, 0, 1], [75, -666, 23], [1, 2, 3], [2, 0, 1]])
EXTREME = torch.tensor([[1e11, 3.0], [1.0, -1e11], [-1e10, 1e10], [2.0, 2.0]])
UPDATES = {
    "AlignedMTL": (tj.AlignedMTL, BASE, [0.2133, 0.9673, 0.9673]),
    "CAGrad": (lambda: tj.CAGrad(c=0.5), BASE, [0.1835, 1.2041, 1.2041]),
    "ConFIG": (tj.ConFIG, BASE, [0.1588, 2.0706, 2.0706]),
    "Constant": (lambda: tj.Constant(torch.tensor([1.0, 2.0])), BASE, [8.0, 3.0, 3.0]),
    "DualProj": (tj.DualProj, BASE, [0.5563, 1.1109, 1.1109]),
    "GradDrop": (tj.GradDrop, BASE, [6.0, 2.0, 2.0]),
    "GradVac": (tj.GradVac, BASE, [0.5848, 3.8012, 3.8012]),
    "IMTLG": (tj.IMTLG, BASE, [0.0767, 1.0, 1.0]),
    "Krum": (lambda: tj.Krum(n_byzantine=1, n_selected=4), ADVERSARY, [1.25, 0.75, 1.5]),
    "Mean": (tj.Mean, BASE, [1.0, 1.0, 1.0]),
    "MGDA": (tj.MGDA, BASE, [0.0, 1.0, 1.0]),
    "NashMTL": (lambda: tj.NashMTL(n_tasks=2), BASE, [0.0542, 0.7061, 0.7061]),
    "PCGrad": (tj.PCGrad, BASE, [0.5848, 3.8012, 3.8012]),
    "Random": (tj.Random, BASE, [-2.6229, 1.0, 1.0]),
    "Sum": (tj.Sum, BASE, [2.0, 2.0, 2.0]),
    "TrimmedMean": (lambda: tj.TrimmedMean(trim_number=1), EXTREME, [1.5, 2.5]),
    "UPGrad": (tj.UPGrad, BASE, [0.2929, 1.9004, 1.9004]),
}
WEIGHTS = {
    "AlignedMTL": (tj.AlignedMTLWeighting, BASE, [0.5591, 0.4083]),
    "CAGrad": (lambda: tj.CAGradWeighting(c=0.5), BASE, [0.7041, 0.5]),
    "Constant": (lambda: tj.ConstantWeighting(torch.tensor([1.0, 2.0])), BASE, [1.0, 2.0]),
    "DualProj": (tj.DualProjWeighting, BASE, [0.6109, 0.5]),
    "GradVac": (tj.GradVacWeighting, BASE, [2.2222, 1.5789]),
    "IMTLG": (tj.IMTLGWeighting, BASE, [0.5923, 0.4077]),
    "Krum": (lambda: tj.KrumWeighting(1, 4), ADVERSARY, [0.25, 0.25, 0.0, 0.25, 0.25]),
    "Mean": (tj.MeanWeighting, BASE, [0.5, 0.5]),
    "MGDA": (tj.MGDAWeighting, BASE, [0.6, 0.4]),
    "PCGrad": (tj.PCGradWeighting, BASE, [2.2222, 1.5789]),
    "Random": (tj.RandomWeighting, BASE, [0.8623, 0.1377]),
    "Sum": (tj.SumWeighting, BASE, [1.0, 1.0]),
    "UPGrad": (tj.UPGradWeighting, BASE, [1.1109, 0.7894]),
}
BY_NAME = {
    "aligned-mtl": "AlignedMTL",
    "cagrad": "CAGrad",
    "config": "ConFIG",
    "dualproj": "DualProj",
    "graddrop": "GradDrop",
    "gradvac": "GradVac",
    "imtl-g": "IMTLG",
    "mean-jacobian": "Mean",
    "mgda": "MGDA",
    "nash-mtl": "NashMTL",
    "pcgrad": "PCGrad",
    "upgrad": "UPGrad",
}


def made(name: str, make):
    """The aggregator, or a skip that names the solver which it needs and which is not installed."""
    missing = [module for module in SOLVERS.get(name, ()) if find_spec(module) is None]
    if missing:
        pytest.skip(f"TorchJD's {name} needs {', '.join(missing)}")
    torch.manual_seed(0)  # as TorchJD's tests start
    return make()


@pytest.mark.parametrize("name", UPDATES)
def test_updates_that_torchjds_tests_expect_come_through_our_path(name):
    make, jacobian, expected = UPDATES[name]
    found = Aggregation(made(name, make))(jacobian)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_torchjds_tests_expect_come_through_our_path(name):
    make, jacobian, expected = WEIGHTS[name]
    found = Aggregation(made(name, make)).weights(jacobian @ jacobian.T)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", BY_NAME)
def test_descents_by_name_give_the_updates_that_torchjds_tests_expect(name):
    expected = torch.tensor(UPDATES[BY_NAME[name]][2])
    torch.manual_seed(0)
    found = Aggregation(make_descent(name).aggregator)(BASE)
    # TorchJD adds 1e-4 of the trace to the Gramian before it projects; ours does not.
    tolerance = 1e-3 if name in ("upgrad", "dualproj") else 1e-4
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_our_nash_solution_needs_no_ecos():
    """TorchJD's NashMTL, where ECOS is installed, gives the same numbers as ours does everywhere."""
    found = Aggregation(NashBargaining())(BASE)
    torch.testing.assert_close(found, torch.tensor([0.0542, 0.7061, 0.7061]), rtol=0, atol=1e-4)
    assert Jacobian(NashBargaining()).aggregator.max_norm == 1.0
