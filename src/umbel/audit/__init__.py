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
    from umbel.audit.lira import FALSE_ALARMS, Membership, likelihood_ratios, membership
    from umbel.audit.observed import Observed, observe
    from umbel.audit.problem import Attacker, Problem
    from umbel.audit.reconstruction import Rebuilt, are_pictures, rebuild
    from umbel.audit.records import Audit, Inference, Reconstruction
    from umbel.audit.settings import AttackSettings
    from umbel.audit.shadows import attack_membership, label_confidence, membership_of_trainings

_HOME = {
    "EFFORTS": "decoder_networks",
    "FALSE_ALARMS": "lira",
    "AttackSettings": "settings",
    "Attacker": "problem",
    "Audit": "records",
    "Effort": "decoder_networks",
    "EncoderLearner": "encoder",
    "Inference": "records",
    "Membership": "lira",
    "Observed": "observed",
    "Problem": "problem",
    "Rebuilt": "reconstruction",
    "Reconstruction": "records",
    "are_pictures": "reconstruction",
    "attack_membership": "shadows",
    "audits_of": "kept",
    "blind_floor": "floors",
    "delta_below": "guarantees",
    "infer": "inference",
    "label_confidence": "shadows",
    "label_floor": "floors",
    "likelihood_ratios": "lira",
    "membership": "lira",
    "membership_of_trainings": "shadows",
    "noise_for_epsilon": "guarantees",
    "observe": "observed",
    "rebuild": "reconstruction",
    "receivers_of": "inference",
    "release_guarantees": "guarantees",
}

__all__ = [
    "EFFORTS",
    "FALSE_ALARMS",
    "AttackSettings",
    "Attacker",
    "Audit",
    "Effort",
    "EncoderLearner",
    "Inference",
    "Membership",
    "Observed",
    "Problem",
    "Rebuilt",
    "Reconstruction",
    "are_pictures",
    "attack_membership",
    "audits_of",
    "blind_floor",
    "delta_below",
    "infer",
    "label_confidence",
    "label_floor",
    "likelihood_ratios",
    "membership",
    "membership_of_trainings",
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
