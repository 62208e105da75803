"""What turns a Jacobian into one vector: TorchJD's aggregators and weightings, or one's own Gramian weighting."""

import importlib
import warnings
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from umbel.core import UmbelError
from umbel.descent.solvers import GramianWeighting
from umbel.descent.torch_internals import has_forward_hooks

SOLVERS = {
    "NashMTL": ("cvxpy", "ecos"),
    "CAGrad": ("cvxpy", "clarabel"),
    "FairGrad": ("scipy",),
    "UPGrad": ("qpsolvers", "quadprog"),
    "DualProj": ("qpsolvers", "quadprog"),
}
"""TorchJD aggregator -> the packages that its solver needs. The catalogue's own weightings need none of them."""

_EXTRAS = {"cvxpy": "solvers", "clarabel": "solvers", "dp_accounting": "privacy"}  # the others: see pyproject.toml
_SHAPE_ONLY = ("MeanWeighting", "SumWeighting", "RandomWeighting", "ConstantWeighting")
_TWO_BATCHES = ("MoDoWeighting", "SDMGradWeighting")
_NASH_TOLERANCE = 0.05


def need_solver(name: str, modules: Iterable[str]) -> None:
    """Import the packages that a descent needs.

    Raises:
        UmbelError: One of them is missing or broken; says how to install it.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            package = f'"umbel[{_EXTRAS[module]}]"' if module in _EXTRAS else module
            raise UmbelError(f"{name} needs the package {module!r}; run: pip install {package}") from error


class Aggregation:
    """One aggregator in its possible forms, checked when it is made.

    Args:
        aggregator: A `torchjd.aggregation.Aggregator` (J [T, P] -> [P]), a `torchjd.aggregation.Weighting`
            (G [T, T] or J -> weights [T]) or a `GramianWeighting` (G -> weights).

    Attributes:
        name: Of the aggregator's class, for messages.
        stateful: Whether it keeps something for each row from step to step.

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
        self.stateful = any(hasattr(module, "reset") for module in aggregator.modules())
        self._whole = isinstance(aggregator, Aggregator)
        self._weighting = inner_weighting(aggregator) if self._whole else aggregator
        self._looks_at = "rows" if self._weighting is None else looks_at(self._weighting)
        self._warned = False

    def check_tasks(self, tasks: Sequence[str], more_losses: bool) -> None:
        """Refuse an aggregator that was given one number for each of other tasks (a preference, a leak).

        Args:
            tasks: Of the learner.
            more_losses: Whether the learner may add losses of its own, which are rows too.

        Raises:
            UmbelError: Too few numbers, or too many.
        """
        for name in ("pref_vector", "leak"):
            given = getattr(self.aggregator, name, None)
            count = len(given) if isinstance(given, Sized) else len(tasks)
            if count < len(tasks) or (count > len(tasks) and not more_losses):
                raise UmbelError(
                    f"{self.name}: {name} has {count} numbers for {len(tasks)} tasks ({', '.join(tasks)}); give one "
                    "for each, in this order"
                )

    @property
    def needs_rows(self) -> bool:
        """Whether the gradients themselves must be known.

        False when the update is Σ w_t g_t with weights from G = J Jᵀ alone: `weights` then says all. It is True while
        a TorchJD aggregator has hooks of its own, which want to see the Jacobian.
        """
        return self._looks_at == "rows" or self._is_watched()

    @property
    def needs_gramian(self) -> bool:
        """Whether the weights depend on the gradients at all; False where the number of rows decides (Mean, Random)."""
        return self.needs_rows or self._looks_at != "shape"

    def weights(self, gramian: Float[Tensor, "T T"]) -> Float[Tensor, " T"]:
        """The weights of the rows from G = J Jᵀ; of an aggregator with `needs_gramian` False, whatever G's values.

        Raises:
            UmbelError: The aggregator needs rows, or it failed, or its weights are not finite.
        """
        if self.needs_rows:
            raise UmbelError(f"{self.name} needs the gradients themselves, not only their products")
        assert self._weighting is not None, "without one the rows are needed"
        with self._named(f"a Gramian of {len(gramian)} rows"), torch.no_grad():
            weights: Tensor = self._weighting(gramian).to(gramian)
        if weights.shape != gramian.shape[:1]:
            raise UmbelError(f"{self.name} gave weights of shape {list(weights.shape)} for {len(gramian)} rows")
        return self._finite(weights, "weights that are not finite").detach()

    def __call__(self, jacobian: Float[Tensor, "T P"]) -> Float[Tensor, " P"]:
        """The update from the rows.

        Raises:
            UmbelError: The aggregator failed, or its result is not finite.
        """
        jacobian = jacobian.detach()
        if self.needs_rows:
            vector = self._of_rows(jacobian)
        else:
            empty = jacobian.new_zeros(len(jacobian), len(jacobian))
            vector = self.weights(jacobian @ jacobian.T if self.needs_gramian else empty) @ jacobian
        return self._finite(vector, "an update that is not finite")

    def _of_rows(self, jacobian: Tensor) -> Tensor:
        solves = self._nash_solves()
        with self._named(f"a Jacobian of {len(jacobian)} rows"), torch.no_grad():
            result: Tensor = self.aggregator(jacobian)
            vector = result if self._whole else result.to(jacobian) @ jacobian
        if solves and bool(torch.isfinite(vector).all()):
            self._check_nash(jacobian)
        return vector.detach()

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Errors inside name the aggregator and what it was given."""
        try:
            yield
        except UmbelError:
            raise
        except Exception as error:
            raise UmbelError(f"{self.name} failed on {what}: {error}") from error

    def _finite(self, values: Tensor, otherwise: str) -> Tensor:
        if not bool(torch.isfinite(values).all()):
            raise UmbelError(f"{self.name} gave {otherwise}; lower the learning rate or choose another")
        return values

    def _is_watched(self) -> bool:
        """Whether hooks want to see what calling the weighting inside an aggregator would not show them."""
        if not self._whole:
            return False
        passed_over = [self.aggregator, getattr(self.aggregator, "weighting", None)]
        return any(
            module is not self._weighting and has_forward_hooks(module)
            for module in passed_over
            if isinstance(module, nn.Module)
        )

    def _nash_solves(self) -> bool:
        if self.name != "NashMTL":
            return False
        weighting: Any = self.aggregator.weighting
        return bool(weighting.step % weighting.update_weights_every == 0)

    def _check_nash(self, jacobian: Tensor) -> None:
        """TorchJD's NashMTL keeps its last weights, silently, when ECOS fails: look at what it solved for."""
        weighting: Any = self.aggregator.weighting
        weights = torch.as_tensor(weighting.prvs_alpha, dtype=torch.float64)
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


def inner_weighting(aggregator: nn.Module) -> nn.Module | None:
    """What gives a TorchJD aggregator its weights: from G, or of the number of rows; None where it is more than that.

    An aggregator that combines rows in its own way is left alone.
    """
    from torchjd.aggregation import GramianWeightedAggregator, WeightedAggregator  # noqa: PLC0415

    if not isinstance(aggregator, WeightedAggregator):
        return None
    kind = type(aggregator)
    if kind.forward is not WeightedAggregator.forward or kind._combine is not WeightedAggregator._combine:
        return None
    if isinstance(aggregator, GramianWeightedAggregator):
        return aggregator.gramian_weighting
    return aggregator.weighting


def looks_at(weighting: nn.Module) -> Literal["shape", "gramian", "rows"]:
    """What a weighting takes from its argument: the number of rows, the Gramian [T, T], or the Jacobian [T, P].

    TorchJD tells the last two apart by (private) base classes; a weighting of one's own takes the Gramian.
    """
    if type(weighting).__name__ in _SHAPE_ONLY and type(weighting).__module__.startswith("torchjd."):
        return "shape"
    bases = {base.__name__ for base in type(weighting).__mro__}
    if "CRMOGMWeighting" in bases:
        return looks_at(weighting.get_submodule("weighting"))
    return "rows" if bases & {"_MatrixWeighting", "_Composition"} else "gramian"
