"""What others could learn from the features that a network releases: attacks, each retrained on the frozen network.

Names load when they are first used (torch is slow to import).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umbel.audit.decoder_networks import EFFORTS, Effort
    from umbel.audit.encoder import EncoderLearner
    from umbel.audit.floors import blind_floor, label_floor
    from umbel.audit.guarantees import delta_below, noise_for_epsilon, release_guarantees
    from umbel.audit.inference import infer, receivers_of
    from umbel.audit.kept import audits_of
    from umbel.audit.observed import Observed, observe
    from umbel.audit.problem import Attacker, Problem
    from umbel.audit.reconstruction import Rebuilt, are_pictures, rebuild
    from umbel.audit.records import Audit, Inference, Reconstruction
    from umbel.audit.settings import AttackSettings

_HOME = {
    "EFFORTS": "decoder_networks",
    "AttackSettings": "settings",
    "Attacker": "problem",
    "Audit": "records",
    "Effort": "decoder_networks",
    "EncoderLearner": "encoder",
    "Inference": "records",
    "Observed": "observed",
    "Problem": "problem",
    "Rebuilt": "reconstruction",
    "Reconstruction": "records",
    "are_pictures": "reconstruction",
    "audits_of": "kept",
    "blind_floor": "floors",
    "delta_below": "guarantees",
    "infer": "inference",
    "label_floor": "floors",
    "noise_for_epsilon": "guarantees",
    "observe": "observed",
    "rebuild": "reconstruction",
    "receivers_of": "inference",
    "release_guarantees": "guarantees",
}

__all__ = [
    "EFFORTS",
    "AttackSettings",
    "Attacker",
    "Audit",
    "Effort",
    "EncoderLearner",
    "Inference",
    "Observed",
    "Problem",
    "Rebuilt",
    "Reconstruction",
    "are_pictures",
    "audits_of",
    "blind_floor",
    "delta_below",
    "infer",
    "label_floor",
    "noise_for_epsilon",
    "observe",
    "rebuild",
    "receivers_of",
    "release_guarantees",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"umbel.audit.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
