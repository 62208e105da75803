"""The same updates as TorchJD in float64, the expected values of the papers, and its scalarizers."""

from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torchjd import aggregation as tj
from torchjd.autojac import jac_to_grad, mtl_backward
from torchjd.scalarization import DWA, FAMO, UW, GeometricMean

from umbel.core import Batch, Learner, Losses, MultiTaskModel, OperatingPoint, SingleProcess, Task
from umbel.descent import Jacobian, make_descent, minimum_norm_weights, nash_weights, projection_weights
from umbel.descent.aggregation import SOLVERS

POINT = OperatingPoint()
NAMES = ("a", "b", "c")
J2 = torch.tensor([[-4.0, 1, 1], [6, 1, 1]], dtype=torch.float64)
J3 = torch.tensor([[1.0, 2, 0, -1], [-2, 1, 1, 0], [0.5, -1, 2, 1]], dtype=torch.float64)
J3B = torch.tensor([[1.0, 0, 0, 1], [0, 2, 0, 1], [0, 0, 3, 1]], dtype=torch.float64)


def without_missing_solvers(makers: dict) -> list:
    """Cases; those whose solver is not installed (ecos and quadprog are under the GPL) are skipped by name."""
    cases = []
    for name, make in makers.items():
        missing = [module for module in SOLVERS.get(name, ()) if find_spec(module) is None]
        skip = pytest.mark.skip(reason=f"TorchJD's {name} needs {', '.join(missing)}")
        cases.append(pytest.param(name, make, id=name, marks=[skip] if missing else []))
    return cases


AGGREGATORS = {
    "AlignedMTL": tj.AlignedMTL,
    "CAGrad": lambda: tj.CAGrad(c=0.5),
    "ConFIG": tj.ConFIG,
    "Constant": lambda: tj.Constant(torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)),
    "CRMOGM": lambda: tj.GramianWeightedAggregator(tj.CRMOGMWeighting(tj.MGDAWeighting())),
    "DualProj": tj.DualProj,
    "ExcessMTL": tj.ExcessMTL,
    "FairGrad": lambda: tj.FairGrad(alpha=2.0),
    "GradDrop": tj.GradDrop,
    "GradVac": tj.GradVac,
    "IMTLG": tj.IMTLG,
    "Krum": lambda: tj.Krum(n_byzantine=0),
    "Mean": tj.Mean,
    "MGDA": tj.MGDA,
    "NashMTL": lambda: tj.NashMTL(n_tasks=3),
    "PCD": tj.PCD,
    "PCGrad": tj.PCGrad,
    "Random": tj.Random,
    "Sum": tj.Sum,
    "TrimmedMean": lambda: tj.TrimmedMean(trim_number=1),
    "UPGrad": tj.UPGrad,
}
WEIGHTINGS = {
    "AlignedMTL": tj.AlignedMTLWeighting,
    "CAGrad": lambda: tj.CAGradWeighting(c=0.5),
    "CRMOGM": lambda: tj.CRMOGMWeighting(tj.MGDAWeighting()),
    "DualProj": tj.DualProjWeighting,
    "ExcessMTL": tj.ExcessMTLWeighting,
    "FairGrad": lambda: tj.FairGradWeighting(alpha=2.0),
    "GradVac": tj.GradVacWeighting,
    "IMTLG": tj.IMTLGWeighting,
    "Mean": tj.MeanWeighting,
    "MGDA": tj.MGDAWeighting,
    "PCGrad": tj.PCGradWeighting,
    "UPGrad": tj.UPGradWeighting,
}
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def squared(prediction, target):
    return (prediction - target).square()


def net() -> Learner:
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Tanh(), nn.Flatten()
    )
    tasks = [Task(name, 2, squared, {"mse": object}, False) for name in NAMES]
    return Learner(MultiTaskModel(encoder, {name: nn.Linear(16, 2) for name in NAMES}), tasks).double()


def batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(8, 2, 6, 6, generator=generator, dtype=torch.float64)
    return Batch(inputs, {n: torch.randn(8, 2, generator=generator, dtype=torch.float64) for n in NAMES})


def torchjd_step(taught: Learner, aggregator, item: Batch, seed: int) -> None:
    features = taught.model.encoder(item.inputs)
    predictions = taught.model.decode(features, POINT)
    losses = [task.mean_loss(predictions[task.name], task.target_of(item)) for task in taught.tasks]
    mtl_backward(losses, features=features)
    torch.manual_seed(seed)
    jac_to_grad(list(taught.model.encoder.parameters()), aggregator)


def flat(taught: Learner, own: bool) -> torch.Tensor:
    parameters = taught.own_parameters() if own else taught.shared_parameters()
    return torch.cat([p.grad.flatten() for p in parameters])


def compare(ours: Jacobian, theirs) -> None:
    """Three steps, so that state and draws are compared too."""
    one, other = net(), net()
    for step in range(3):
        for taught in (one, other):
            taught.zero_grad()
        ours(one, batch(step), POINT, SingleProcess())
        torchjd_step(other, theirs, batch(step), ours.seed + step)
        for own in (False, True):  # the convolution before BN has a bias whose gradient is rounding: compare by group
            mine, wanted = (flat(taught, own) for taught in (one, other))
            error = (mine - wanted).abs().max() / wanted.abs().max()
            assert error < 1e-10, f"step {step}, own parameters {own}: {error:.2g}"
        with torch.no_grad():
            for p in [*one.parameters(), *other.parameters()]:
                p.sub_(0.05 * p.grad)


@pytest.mark.parametrize(("name", "make"), without_missing_solvers(AGGREGATORS))
def test_the_update_is_that_of_torchjd(name, make):
    compare(Jacobian(make(), seed=11), make())


@pytest.mark.parametrize(("name", "make"), without_missing_solvers(WEIGHTINGS))
def test_a_weighting_gives_the_update_of_its_aggregator(name, make):
    compare(Jacobian(make(), seed=11), AGGREGATORS[name]())


EXACT_IN_TORCHJD = {
    "pcgrad": tj.PCGrad,
    "gradvac": tj.GradVac,
    "imtl-g": tj.IMTLG,
    "aligned-mtl": tj.AlignedMTL,
    "config": tj.ConFIG,
    "mean-jacobian": tj.Mean,
    "graddrop": tj.GradDrop,
}


@pytest.mark.parametrize("name", EXACT_IN_TORCHJD)
def test_a_descent_by_name_gives_the_update_of_torchjd(name):
    """Where TorchJD's own solution is in closed form, so that there is nothing to be more exact about."""
    compare(make_descent(name, seed=11), EXACT_IN_TORCHJD[name]())


class Plane(Learner):
    """Losses J θ: the Jacobian is J."""

    def __init__(self, jacobian: torch.Tensor) -> None:
        model = nn.Module()
        model.encoder = nn.ParameterDict({"theta": nn.Parameter(torch.zeros_like(jacobian[0]))})
        super().__init__(model, [Task(f"t{i}", 1, squared, {"mse": object}, False) for i in range(len(jacobian))])
        self.jacobian = jacobian

    def losses(self, batch, point) -> Losses:
        values = self.jacobian @ self.model.encoder["theta"]
        return Losses({task.name: value for task, value in zip(self.tasks, values, strict=True)})

    def counts(self, batch):
        return {task.name: torch.tensor(len(batch)) for task in self.tasks}


def update(jacobian: torch.Tensor, name: str, **options) -> torch.Tensor:
    taught, descent = Plane(jacobian), make_descent(name, **options)
    descent.prepare(taught)
    descent(taught, Batch(torch.zeros(1, 1)), POINT, SingleProcess())
    return taught.model.encoder["theta"].grad


# Solved in float64 independently of any library.
EXPECTED = {
    ("mean-jacobian", "J2"): [1, 1, 1],
    ("pcgrad", "J2"): [0.584795, 3.801170, 3.801170],
    ("gradvac", "J2"): [0.584795, 3.801170, 3.801170],
    ("mgda", "J2"): [0, 1, 1],
    ("upgrad", "J2"): [0.292398, 1.900585, 1.900585],
    ("dualproj", "J2"): [5 / 9, 10 / 9, 10 / 9],
    ("imtl-g", "J2"): [0.076697, 1, 1],
    ("nash-mtl", "J2"): [0.076584, 0.998533, 0.998533],
    ("fairgrad", "J2"): [0.03127, 0.79082, 0.79082],
    ("aligned-mtl", "J2"): [0.213279, 0.967333, 0.967333],
    ("cagrad", "J2"): [0.183503, 1.204124, 1.204124],
    ("config", "J2"): [0.15881, 2.07061, 2.07061],
    ("mean-jacobian", "J3"): [-0.166667, 0.666667, 1, 0],
    ("pcgrad", "J3"): [0.116667, 2.433333, 3.8, -0.016667],
    ("mgda", "J3"): [0.115028, 0.632653, 0.988868, -0.011132],
    ("upgrad", "J3"): [0.038889, 0.811111, 1.266667, -0.005556],
    ("dualproj", "J3"): [-0.166667, 0.666667, 1, 0],
    ("imtl-g", "J3"): [0.119148, 0.626843, 0.992143, -0.007857],
    ("nash-mtl", "J3"): [-0.025798, 0.949677, 1.448217, -0.010722],
    ("fairgrad", "J3"): [0.03268, 0.74198, 1.1405, -0.01015],
    ("aligned-mtl", "J3"): [-0.016609, 0.601034, 0.919641, -0.005861],
    ("cagrad", "J3"): [0.167296, 0.920126, 1.438202, -0.016190],
    ("config", "J3"): [0.3571, 1.87869, 2.97353, -0.02355],
    ("pcgrad", "J3b"): [1, 2, 3, 3],
    ("graddrop", "J3b"): [1, 2, 3, 3],
    ("upgrad", "J3b"): [1 / 3, 2 / 3, 1, 1],
    ("dualproj", "J3b"): [1 / 3, 2 / 3, 1, 1],
    ("mgda", "J3b"): [0.734694, 0.367347, 0.244898, 1],
    ("imtl-g", "J3b"): [0.436429, 0.635597, 0.737318, 1],
    ("nash-mtl", "J3b"): [0.564171, 0.742547, 0.818687, 1.208340],
    ("aligned-mtl", "J3b"): [0.264582, 0.304325, 0.328074, 0.526103],
    ("cagrad", "J3b"): [0.898527, 0.666667, 1, 1.565194],
}
OPTIONS = {"nash-mtl": {"max_norm": 0.0}}


@pytest.mark.parametrize(("name", "which"), EXPECTED)
def test_expected_values(name, which):
    jacobian = {"J2": J2, "J3": J3, "J3b": J3B}[which]
    expected = torch.tensor(EXPECTED[name, which], dtype=torch.float64)
    tolerance = 3e-5 if name in ("fairgrad", "config") else 1e-6  # printed to five digits, and to six
    assert torch.allclose(update(jacobian, name, **OPTIONS.get(name, {})), expected, atol=tolerance)


@pytest.mark.parametrize("jacobian", [J2, J3, J3B], ids=["J2", "J3", "J3b"])
def test_our_nash_solution_is_that_of_torchjd(jacobian):
    """TorchJD stops at a residual of 1e-3."""
    pytest.importorskip("ecos", reason="TorchJD's NashMTL needs ecos")
    expected = tj.NashMTL(n_tasks=len(jacobian))(jacobian)
    assert torch.allclose(update(jacobian, "nash-mtl"), expected, atol=1e-3)


@pytest.mark.parametrize("seed", range(10))
def test_our_minimum_norm_is_that_of_a_patient_frank_wolfe(seed):
    jacobian = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    gramian = jacobian @ jacobian.T
    patient = tj.MGDAWeighting(epsilon=1e-12, max_iters=3000)(gramian)
    ours = minimum_norm_weights(gramian)
    assert ours @ gramian @ ours <= patient @ gramian @ patient + 1e-9
    assert torch.allclose(ours.sum(), torch.ones(()).double())
    assert (gramian @ ours >= ours @ gramian @ ours - 1e-9).all()  # the optimality condition: no row is closer


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nash_weights_meet_their_condition_whatever_the_lengths(dtype):
    jacobian = torch.randn(6, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    jacobian *= torch.logspace(-4, 3, 6, dtype=torch.float64)[:, None]
    gramian = (jacobian @ jacobian.T).to(dtype)
    weights = nash_weights(gramian)
    assert torch.allclose(weights * (gramian @ weights), torch.ones(6, dtype=dtype), atol=1e-3)


def test_nash_weights_stay_finite_where_there_is_no_solution():
    opposed = torch.tensor([[1.0, 2], [-1, -2], [0, 0]])
    weights = nash_weights(opposed @ opposed.T)
    assert weights.isfinite().all()
    assert weights[2] == 0
    assert (weights @ opposed).norm() < 1e-3


def scalarize(scalarizer, values: torch.Tensor) -> torch.Tensor:
    values = values.clone().requires_grad_()
    return torch.autograd.grad(scalarizer(values), values)[0]


class Levels(Plane):
    """Losses = levels + θ: θ.grad is the weights."""

    def __init__(self) -> None:
        super().__init__(torch.eye(3).double())
        self.levels = torch.ones(3).double()

    def losses(self, batch, point) -> Losses:
        values = self.levels + self.model.encoder["theta"]
        return Losses({task.name: value for task, value in zip(self.tasks, values, strict=True)})


@pytest.mark.parametrize("name", ["famo", "dwa", "uncertainty", "geometric-mean"])
def test_weights_are_those_of_torchjd_over_many_steps(name):
    taught, descent = Levels(), make_descent(name)
    descent.prepare(taught)
    descent.double()
    theirs = {"famo": lambda: FAMO(3), "dwa": DWA, "uncertainty": lambda: UW(3), "geometric-mean": GeometricMean}[
        name
    ]()
    theirs.double()
    generator = torch.Generator().manual_seed(0)
    for step in range(12):
        taught.levels = torch.rand(3, generator=generator, dtype=torch.float64) + 0.2
        taught.zero_grad()
        descent(taught, Batch(torch.zeros(1, 1)), POINT, SingleProcess())
        expected = scalarize(theirs, taught.levels)
        assert torch.allclose(taught.model.encoder["theta"].grad, expected, rtol=1e-6), step
        after = taught.levels * torch.rand(3, generator=generator, dtype=torch.float64)
        taught.levels = after
        descent.after_step(taught, Batch(torch.zeros(1, 1)), POINT, SingleProcess())
        if name == "famo":
            theirs.update(after)
        if name == "uncertainty":
            with torch.no_grad():
                theirs.log_var += 0.1 * step
                descent.weighting.log_variances += 0.1 * step
        if name == "dwa" and step % 3 == 2:
            theirs.step()
            descent.after_epoch()


@pytest.mark.parametrize("seed", range(10))
def test_a_projection_meets_its_optimality_conditions(seed):
    """d = wᵀJ opposes no row, weights were only added, and only where the row stands at right angles to d."""
    jacobian = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    start = torch.rand(5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    weights = projection_weights(jacobian @ jacobian.T, start)
    along, more = jacobian @ (weights @ jacobian), weights - start
    assert bool((along > -1e-9).all()) and bool((more > -1e-12).all())
    assert torch.allclose(along * more, torch.zeros(5).double(), atol=1e-9)


@pytest.mark.parametrize(("name", "theirs"), [("upgrad", "UPGrad"), ("dualproj", "DualProj")])
def test_our_projections_are_those_of_torchjd(name, theirs):
    """TorchJD adds 1e-4 of the largest gradient to the Gramian."""
    pytest.importorskip("quadprog", reason=f"TorchJD's {theirs} needs quadprog")
    for jacobian in (J2, J3, J3B):
        assert torch.allclose(update(jacobian, name), getattr(tj, theirs)()(jacobian), atol=1e-3)
