"""End-to-end transmission: encoder, codes, channels, receivers. What the methods of communications are made of."""

from umbel.transmission.build import build_transmission
from umbel.transmission.code import DenseCode, MapCode, make_code
from umbel.transmission.decoder import MapDecoder, VectorDecoder, signal_quality
from umbel.transmission.goal import Goal, Stage
from umbel.transmission.learner import SnrRange, StagedLearner
from umbel.transmission.model import Coherence, Combine, Receiver, StagedModel

__all__ = [
    "Coherence",
    "Combine",
    "DenseCode",
    "Goal",
    "MapCode",
    "MapDecoder",
    "Receiver",
    "SnrRange",
    "Stage",
    "StagedLearner",
    "StagedModel",
    "VectorDecoder",
    "build_transmission",
    "make_code",
    "signal_quality",
]
