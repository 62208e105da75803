"""What turns a Jacobian into one vector: TorchJD's aggregators and weightings, or one's own Gramian weighting."""

import importlib
import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from umbel.core import UmbelError
from umbel.descent.solvers import GramianWeighting

SOLVERS = {
    "NashMTL": ("cvxpy", "ecos"),
    "CAGrad": ("cvxpy", "clarabel"),
    "FairGrad": ("scipy",),
    "UPGrad": ("qpsolvers", "quadprog"),
    "DualProj": ("qpsolvers", "quadprog"),
}
"""TorchJD aggregator -> the packages that its solver needs."""

_EXTRA = ("cvxpy", "clarabel")  # in the extra `solvers`; the others are under the GPL or come with Umbel
_TWO_BATCHES = ("MoDoWeighting", "SDMGradWeighting")
_NASH_TOLERANCE = 0.05


def need_solver(name: str, modules: Iterable[str]) -> None:
    """Import the packages of a solver.

    Raises:
        UmbelError: One of them is missing or broken; says how to install it.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            package = '"umbel[solvers]"' if module in _EXTRA else module
            raise UmbelError(f"{name} needs the package {module!r}; run: pip install {package}") from error


class Aggregation:
    """One aggregator in its three possible forms, checked when it is made.

    Args:
        aggregator: A `torchjd.aggregation.Aggregator` (J [T, P] -> [P]), a `torchjd.aggregation.Weighting`
            (G [T, T] or J -> weights [T]) or a `GramianWeighting` (G -> weights).

    Raises:
        UmbelError: It is none of these, its solver is missing, or it needs gradients of two batches.
    """

    def __init__(self, aggregator: nn.Module) -> None:
        from torchjd.aggregation import Aggregator, Weighting  # noqa: PLC0415

        self.name = type(aggregator).__name__
        if not isinstance(aggregator, Aggregator | Weighting | GramianWeighting):
            raise UmbelError(f"{self.name} is not an aggregator; give one of torchjd.aggregation or a GramianWeighting")
        names = {type(module).__name__ for module in aggregator.modules()}
        for two in _TWO_BATCHES:
            if two in names:
                raise UmbelError(f"{two} needs gradients of two independent batches in each step; not supported")
        for name, modules in SOLVERS.items():
            if {name, f"{name}Weighting"} & names:
                need_solver(name, modules)
        self.aggregator = aggregator
        self.whole = isinstance(aggregator, Aggregator)
        self.stateful = any(hasattr(module, "reset") for module in aggregator.modules())
        self._warned = False

    def __call__(self, jacobian: Tensor) -> Tensor:
        """[T, P] -> [P].

        Raises:
            UmbelError: The aggregator failed, or its result is not finite.
        """
        solves = self._nash_solves()
        try:
            vector = self._combine(jacobian)
        except UmbelError:
            raise
        except Exception as error:
            raise UmbelError(f"{self.name} failed on a Jacobian of {len(jacobian)} rows: {error}") from error
        if not bool(torch.isfinite(vector).all()):
            raise UmbelError(
                f"{self.name} gave an update that is not finite; lower the learning rate or choose another"
            )
        if solves:
            self._check_nash(jacobian)
        return vector.detach()

    def _combine(self, jacobian: Tensor) -> Tensor:
        with torch.no_grad():
            if self.whole:
                return self.aggregator(jacobian)
            weights = self.aggregator(jacobian @ jacobian.T if takes_gramian(self.aggregator) else jacobian)
            return weights.to(jacobian) @ jacobian

    def _nash_solves(self) -> bool:
        weighting = getattr(self.aggregator, "weighting", None)
        return self.name == "NashMTL" and weighting.step % weighting.update_weights_every == 0

    def _check_nash(self, jacobian: Tensor) -> None:
        """TorchJD's NashMTL keeps its last weights, silently, when ECOS fails: look at what it solved for."""
        weights = torch.as_tensor(self.aggregator.weighting.prvs_alpha, dtype=torch.float64)
        gramian = (jacobian @ jacobian.T).double().cpu()
        balance = weights * (gramian @ weights)
        error = float((balance / balance.mean() - 1).abs().max())
        if not error < _NASH_TOLERANCE and not self._warned:
            self._warned = True
            warnings.warn(
                f"NashMTL: its solver did not reach G a = 1/a (off by {error:.0%}); weights of an earlier step are "
                'in use; make_descent("nash-mtl") solves it exactly',
                RuntimeWarning,
                stacklevel=3,
            )


def takes_gramian(weighting: nn.Module) -> bool:
    """Whether a weighting's argument is the Gramian [T, T] (True) or the Jacobian [T, P].

    TorchJD tells the two apart by (private) base classes; a weighting of one's own takes the Gramian.
    """
    bases = {base.__name__ for base in type(weighting).__mro__}
    if "CRMOGMWeighting" in bases:
        return takes_gramian(weighting.weighting)
    return not bases & {"_MatrixWeighting", "_Composition"}
