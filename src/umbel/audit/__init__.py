"""What others could learn from the features that a network releases: attacks, each retrained on the frozen network.

Names load when they are first used (torch is slow to import).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umbel.audit.encoder import EncoderLearner
    from umbel.audit.floors import blind_floor, label_floor
    from umbel.audit.inference import infer, receivers_of
    from umbel.audit.kept import audits_of
    from umbel.audit.observed import Observed, observe
    from umbel.audit.problem import Attacker, Problem
    from umbel.audit.records import Audit, Inference, Reconstruction
    from umbel.audit.settings import AttackSettings

_HOME = {
    "AttackSettings": "settings",
    "Attacker": "problem",
    "Audit": "records",
    "EncoderLearner": "encoder",
    "Inference": "records",
    "Observed": "observed",
    "Problem": "problem",
    "Reconstruction": "records",
    "audits_of": "kept",
    "blind_floor": "floors",
    "infer": "inference",
    "label_floor": "floors",
    "observe": "observed",
    "receivers_of": "inference",
}

__all__ = [
    "AttackSettings",
    "Attacker",
    "Audit",
    "EncoderLearner",
    "Inference",
    "Observed",
    "Problem",
    "Reconstruction",
    "audits_of",
    "blind_floor",
    "infer",
    "label_floor",
    "observe",
    "receivers_of",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"umbel.audit.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
