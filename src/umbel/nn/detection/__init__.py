"""Detectors: torchvision's parts behind one interface, with dropout, ignored boxes and shared features."""

from umbel.nn.detection.build import DETECTORS, build_detector
from umbel.nn.detection.dense import DenseDetector, FCOSDetector, RetinaNetDetector
from umbel.nn.detection.detector import BoxSamples, Detector, Seen
from umbel.nn.detection.dropout import dropout_alone, insert_dropout
from umbel.nn.detection.learner import DetectionLearner
from umbel.nn.detection.matching import overlapping, pairwise_overlaps
from umbel.nn.detection.norms import NORMS, with_norm
from umbel.nn.detection.pooling import RegionPool
from umbel.nn.detection.regions import RegionDetector
from umbel.nn.detection.small import SmallBackbone, small_fasterrcnn
from umbel.nn.detection.weights import load_weights, save_weights

__all__ = [
    "DETECTORS",
    "NORMS",
    "BoxSamples",
    "DenseDetector",
    "DetectionLearner",
    "Detector",
    "FCOSDetector",
    "RegionDetector",
    "RegionPool",
    "RetinaNetDetector",
    "Seen",
    "SmallBackbone",
    "build_detector",
    "dropout_alone",
    "insert_dropout",
    "load_weights",
    "overlapping",
    "pairwise_overlaps",
    "save_weights",
    "small_fasterrcnn",
    "with_norm",
]
