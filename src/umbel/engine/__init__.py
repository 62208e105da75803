"""Training, evaluation, checkpoints and processes. Names load when they are first used (torch is slow to import)."""

from importlib import import_module

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
    "load": "checkpoint",
    "load_weights": "checkpoint",
    "metrics_of": "evaluation",
    "open_runtime": "runtime",
    "peak_bytes": "memory",
    "predict_split": "evaluation",
    "resolve": "checkpoint",
    "resolve_settings": "training",
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
    "load",
    "load_weights",
    "metrics_of",
    "open_runtime",
    "peak_bytes",
    "predict_split",
    "resolve",
    "resolve_settings",
]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"umbel.engine.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
