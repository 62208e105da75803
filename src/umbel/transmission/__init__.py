"""End-to-end transmission: encoder, codes, channels, receivers. What the methods of communications are made of."""

from umbel.transmission.build import build_transmission
from umbel.transmission.code import DenseCode, MapCode, make_code
from umbel.transmission.decoder import MapDecoder, VectorDecoder, signal_quality
from umbel.transmission.goal import Goal, Stage
from umbel.transmission.learner import SnrRange, StagedLearner
from umbel.transmission.listener import Listener
from umbel.transmission.model import Coherence, Combine, Receiver, StagedModel
from umbel.transmission.rounds import RoundPredictions, ages, fit_temperatures
from umbel.transmission.stopping import (
    at_stop,
    check_feedback,
    check_thresholds,
    confidence_of,
    delay_of,
    escalation,
    feedback_flips,
    independent_stop,
    stop_round,
)
from umbel.transmission.thresholds import candidate_thresholds, choose_thresholds, threshold_at_delay

__all__ = [
    "Coherence",
    "Combine",
    "DenseCode",
    "Goal",
    "Listener",
    "MapCode",
    "MapDecoder",
    "Receiver",
    "RoundPredictions",
    "SnrRange",
    "Stage",
    "StagedLearner",
    "StagedModel",
    "VectorDecoder",
    "ages",
    "at_stop",
    "build_transmission",
    "candidate_thresholds",
    "check_feedback",
    "check_thresholds",
    "choose_thresholds",
    "confidence_of",
    "delay_of",
    "escalation",
    "feedback_flips",
    "fit_temperatures",
    "independent_stop",
    "make_code",
    "signal_quality",
    "stop_round",
    "threshold_at_delay",
]
