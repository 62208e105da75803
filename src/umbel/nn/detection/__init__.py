"""Detectors: torchvision's parts behind one interface, with dropout, ignored boxes and shared features."""

from umbel.nn.detection.build import DETECTORS, build_detector
from umbel.nn.detection.dense import DenseDetector, FCOSDetector, RetinaNetDetector
from umbel.nn.detection.detector import PICTURE, BoxSamples, Detector, Seen
from umbel.nn.detection.discriminators import GlobalDiscriminator, LocalDiscriminator
from umbel.nn.detection.dropout import dropout_alone, insert_dropout
from umbel.nn.detection.learner import DetectionLearner
from umbel.nn.detection.matching import overlapping, pairwise_overlaps
from umbel.nn.detection.norms import NORMS, live_norms, reestimate_norms, with_norm
from umbel.nn.detection.pooling import RegionPool
from umbel.nn.detection.pseudo_labels import PseudoLabels, pseudo_labels
from umbel.nn.detection.regions import RegionDetector
from umbel.nn.detection.small import SmallBackbone, small_fasterrcnn
from umbel.nn.detection.variance import detection_variances, picture_scores, variance_scores
from umbel.nn.detection.weights import load_weights, save_weights

__all__ = [
    "DETECTORS",
    "NORMS",
    "PICTURE",
    "BoxSamples",
    "DenseDetector",
    "DetectionLearner",
    "Detector",
    "FCOSDetector",
    "GlobalDiscriminator",
    "LocalDiscriminator",
    "PseudoLabels",
    "RegionDetector",
    "RegionPool",
    "RetinaNetDetector",
    "Seen",
    "SmallBackbone",
    "build_detector",
    "detection_variances",
    "dropout_alone",
    "insert_dropout",
    "live_norms",
    "load_weights",
    "overlapping",
    "pairwise_overlaps",
    "picture_scores",
    "pseudo_labels",
    "reestimate_norms",
    "save_weights",
    "small_fasterrcnn",
    "variance_scores",
    "with_norm",
]
