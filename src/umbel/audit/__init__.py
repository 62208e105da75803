"""What others could learn from the features that a network releases: attacks, each retrained on the frozen network."""

from umbel.audit.observed import Observed, observe
from umbel.audit.records import Audit, Inference

__all__ = ["Audit", "Inference", "Observed", "observe"]
