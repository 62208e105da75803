"""What others could learn from the features that a network releases: attacks, each retrained on the frozen network."""

from umbel.audit.decoder_networks import EFFORTS, Effort
from umbel.audit.guarantees import delta_below, noise_for_epsilon, release_guarantees
from umbel.audit.observed import Observed, observe
from umbel.audit.reconstruction import Rebuilt, are_pictures, rebuild
from umbel.audit.records import Audit, Inference, Reconstruction

__all__ = [
    "EFFORTS",
    "Audit",
    "Effort",
    "Inference",
    "Observed",
    "Rebuilt",
    "Reconstruction",
    "are_pictures",
    "delta_below",
    "noise_for_epsilon",
    "observe",
    "rebuild",
    "release_guarantees",
]
