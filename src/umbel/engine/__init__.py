"""Training, evaluation, checkpoints and processes. Names load when they are first used (torch is slow to import)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umbel.core import Evaluation
    from umbel.engine.checkpoint import Checkpoint, load_checkpoint, load_weights, resolve
    from umbel.engine.evaluation import (
        Predictions,
        decoded_predictions,
        evaluate,
        evaluating,
        metrics_of,
        predict_split,
    )
    from umbel.engine.loop import Interrupted
    from umbel.engine.memory import peak_bytes
    from umbel.engine.monitor import Monitor, check_monitor
    from umbel.engine.progress import Silent, TerminalReporter
    from umbel.engine.runtime import FabricRuntime, fastest_precision, open_runtime
    from umbel.engine.settings import FitSettings
    from umbel.engine.starting import warm_start
    from umbel.engine.training import Fitted, fit, resolve_settings

_HOME = {
    "Checkpoint": "checkpoint",
    "Evaluation": "evaluation",
    "FabricRuntime": "runtime",
    "FitSettings": "settings",
    "Fitted": "training",
    "Interrupted": "loop",
    "Monitor": "monitor",
    "Predictions": "evaluation",
    "Silent": "progress",
    "TerminalReporter": "progress",
    "check_monitor": "monitor",
    "decoded_predictions": "evaluation",
    "evaluate": "evaluation",
    "evaluating": "evaluation",
    "fastest_precision": "runtime",
    "fit": "training",
    "load_checkpoint": "checkpoint",
    "load_weights": "checkpoint",
    "metrics_of": "evaluation",
    "open_runtime": "runtime",
    "peak_bytes": "memory",
    "predict_split": "evaluation",
    "resolve": "checkpoint",
    "resolve_settings": "training",
    "warm_start": "starting",
}

__all__ = [
    "Checkpoint",
    "Evaluation",
    "FabricRuntime",
    "FitSettings",
    "Fitted",
    "Interrupted",
    "Monitor",
    "Predictions",
    "Silent",
    "TerminalReporter",
    "check_monitor",
    "decoded_predictions",
    "evaluate",
    "evaluating",
    "fastest_precision",
    "fit",
    "load_checkpoint",
    "load_weights",
    "metrics_of",
    "open_runtime",
    "peak_bytes",
    "predict_split",
    "resolve",
    "resolve_settings",
    "warm_start",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"umbel.engine.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
