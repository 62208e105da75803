"""What others could learn from the features that a network releases: attacks, each retrained on the frozen network."""

from umbel.audit.membership import FALSE_ALARMS, Membership, likelihood_ratios, membership
from umbel.audit.observed import Observed, observe
from umbel.audit.records import Audit, Inference
from umbel.audit.shadows import attack_membership, label_confidence, membership_of_trainings

__all__ = [
    "FALSE_ALARMS",
    "Audit",
    "Inference",
    "Membership",
    "Observed",
    "attack_membership",
    "label_confidence",
    "likelihood_ratios",
    "membership",
    "membership_of_trainings",
    "observe",
]
