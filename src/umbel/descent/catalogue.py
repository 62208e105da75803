"""Descents by name, for the command line."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from umbel.arguments import check_options, one_of
from umbel.core import Descent, UmbelError, unknown
from umbel.descent.aggregation import SOLVERS, need_solver
from umbel.descent.famo import FAMO
from umbel.descent.gradsplit import GradSplit
from umbel.descent.gramian import ENGINES
from umbel.descent.jacobian import Jacobian
from umbel.descent.private import DPSGD
from umbel.descent.solvers import (
    AlignedComponents,
    AlphaFair,
    ConflictAverse,
    ConflictFree,
    EqualProjections,
    GradientSurgery,
    GradientVaccine,
    MinimumNorm,
    NashBargaining,
    ProjectedMean,
    ProjectedRows,
)
from umbel.descent.weighted import WeightedSum
from umbel.descent.weightings import DynamicWeightAverage, Fixed, GeometricMean, RandomWeights, Uncertainty


@dataclass(frozen=True)
class Entry:
    """A descent that can be asked for by name.

    Attributes:
        make: Makes it; its keyword arguments are the options.
        summary: One line.
        passes: Backward passes in a step: "1" or "T", the number of tasks.
        options: Names of those options; None for TorchJD's aggregators: see `option_names`.
        modules: Packages that it needs.
        extra: What installs them, as in `pip install "umbel[solvers]"`; empty when nothing is needed.
        aggregator: Its name in `torchjd.aggregation`; empty for ours.
    """

    make: Callable[..., Descent]
    summary: str
    passes: str
    options: tuple[str, ...] | None
    modules: tuple[str, ...] = ()
    extra: str = ""
    aggregator: str = ""


_OF_JACOBIAN = ("seed", "engine", "directions")
"""Options of `Jacobian`, whatever the aggregator."""


def _sum(weighting: Callable[..., Any], summary: str) -> Entry:
    def make(**options: Any) -> Descent:
        return WeightedSum(weighting(**options))

    return Entry(make, summary, "1", _named(weighting))


def _jacobian(aggregator: Callable[..., Any], options: dict[str, Any]) -> Jacobian:
    """The descent of an aggregator, each of the two with its own options."""
    taken = {name: options.pop(name) for name in _OF_JACOBIAN if name in options}
    engine = taken.get("engine", "auto")
    if "directions" in taken and engine in ENGINES and engine not in ("auto", "sketched"):
        raise UmbelError(f"directions are of the engine sketched; with engine {engine} leave them out")
    return Jacobian(aggregator(**options), **taken)


def _own(weighting: Callable[..., Any], summary: str) -> Entry:
    def make(**options: Any) -> Descent:
        return _jacobian(weighting, options)

    return Entry(make, summary, "T", (*_named(weighting), *_OF_JACOBIAN))


def _torchjd(name: str, summary: str) -> Entry:
    """An aggregator of TorchJD, imported only when it is made."""

    def make(**options: Any) -> Descent:
        aggregator = _class(name)
        own = {key: _tensor(value) for key, value in options.items() if key not in _OF_JACOBIAN}
        check_options(aggregator, own, f"aggregator {name}")
        return _jacobian(aggregator, options | own)

    modules = SOLVERS.get(name, ())
    return Entry(make, summary, "T", None, modules, "solvers" if modules else "", name)


def _tensor(value: object) -> object:
    """Several numbers as the tensor that TorchJD wants, which the command cannot write."""
    numbers = isinstance(value, Sequence) and value and all(isinstance(one, int | float) for one in value)
    return torch.tensor(value, dtype=torch.float32) if numbers else value


def _class(name: str) -> Any:
    module = importlib.import_module("torchjd.aggregation")
    if not hasattr(module, name):
        raise UmbelError(f"the installed torchjd has no {name}; run: pip install --upgrade torchjd")
    return getattr(module, name)


def _named(function: Callable[..., Any]) -> tuple[str, ...]:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(n for n, p in inspect.signature(function).parameters.items() if p.kind not in variadic)


DESCENTS: Mapping[str, Entry] = MappingProxyType(
    {
        "equal": _sum(Fixed, "sum of the losses, or with weights of one's own"),
        "uncertainty": _sum(Uncertainty, "learnt noise of each task (Kendall 2018)"),
        "dwa": _sum(DynamicWeightAverage, "more weight for losses that stopped falling (Liu 2019)"),
        "famo": _sum(FAMO, "all losses fall at the same relative rate; one more forward pass (Liu 2023)"),
        "random-weights": _sum(RandomWeights, "new random weights in every step (Lin 2022)"),
        "geometric-mean": _sum(GeometricMean, "geometric mean of the losses (Chennupati 2019)"),
        "gradsplit": Entry(
            GradSplit,
            "each group of filters learns only from the tasks that it accepts; option accept (Deng 2023)",
            "1",
            _named(GradSplit),
        ),
        "dp-sgd": Entry(
            DPSGD,
            "private training data: clipped gradients of single samples and noise; option epsilon (Abadi 2016)",
            "1",
            _named(DPSGD),
            ("dp_accounting",),
            "privacy",
        ),
        "mean-jacobian": _torchjd("Mean", "mean of the tasks' gradients: the Jacobian path without any settling"),
        "pcgrad": _own(GradientSurgery, "take out what opposes another task; sums rows (Yu 2020)"),
        "gradvac": _own(GradientVaccine, "pull gradients towards their usual angle; keeps state (Wang 2021)"),
        "graddrop": _torchjd("GradDrop", "keep one sign for each parameter, at random (Chen 2020)"),
        "mgda": _own(MinimumNorm, "shortest vector in the gradients' hull, solved exactly (Sener 2018)"),
        "cagrad": _own(ConflictAverse, "near the mean, best for the worst task; option c (Liu 2021)"),
        "nash-mtl": _own(NashBargaining, "bargaining solution, solved exactly (Navon 2022)"),
        "imtl-g": _own(EqualProjections, "equal projections on all gradients (Liu 2021)"),
        "aligned-mtl": _own(AlignedComponents, "gradients made orthogonal and equally long (Senushkin 2023)"),
        "upgrad": _own(ProjectedRows, "project each gradient so that it harms no task, then mean (Quinton 2024)"),
        "dualproj": _own(ProjectedMean, "project the mean so that it harms no task (Lopez-Paz 2017)"),
        "fairgrad": _own(AlphaFair, "alpha-fair progress of the tasks; option alpha (Ban 2024)"),
        "config": _own(ConflictFree, "equal cosine with all gradients (Liu 2024)"),
    }
)
"""Name -> entry, in the order in which they are listed."""


def make_descent(name: str, **options: Any) -> Descent:
    """The descent called `name`.

    Args:
        name: A key of `DESCENTS`.
        **options: Of that descent, as `c` for cagrad, `alpha` for fairgrad, `weights` for equal.

    Raises:
        UmbelError: Unknown name or option (with the nearest), a bad value, or a solver that is not installed.
    """
    entry = DESCENTS[one_of(name, "descent", DESCENTS)]
    need_solver(f"descent {name!r}", entry.modules)
    known = option_names(name)
    for option in options:
        if option not in known:
            raise unknown(f"option of descent {name!r}", option, known)
    try:
        return entry.make(**options)
    except (TypeError, ValueError, ImportError) as error:
        raise UmbelError(f"descent {name!r}: {error}") from error


def option_names(name: str) -> tuple[str, ...]:
    """The options that `make_descent(name, ...)` takes; importing TorchJD for its aggregators."""
    entry = DESCENTS[one_of(name, "descent", DESCENTS)]
    return entry.options if entry.options is not None else (*_named(_class(entry.aggregator)), *_OF_JACOBIAN)
