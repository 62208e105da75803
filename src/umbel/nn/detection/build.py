"""Detectors from a few words: which one, which classes, which norm."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torchvision.models import get_model
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet

from umbel.arguments import check_options, names, one_of, seed_number, whole_number
from umbel.core import Task, UmbelError, unknown
from umbel.nn.build import seeded_start
from umbel.nn.detection.dense import FCOSDetector, RetinaNetDetector
from umbel.nn.detection.detector import Detector
from umbel.nn.detection.dropout import insert_dropout
from umbel.nn.detection.norms import NORMS, with_norm
from umbel.nn.detection.regions import RegionDetector
from umbel.nn.detection.small import small_fasterrcnn
from umbel.nn.detection.weights import load_weights

_OURS = ("backbone", "num_classes", "kwargs", "self")  # of torchvision's classes, what is no option


def _torchvision(
    name: str, kind: type, labels: Sequence[str], resolution: int, norm: str, heads: Sequence[Task] = (), **options: Any
) -> Detector:
    """A detector of torchvision, from scratch; its class tells the options."""
    classes = len(labels) + (kind is FasterRCNN)  # which counts the background
    try:
        model = get_model(name, weights=None, weights_backbone=None, num_classes=classes, **options)
    except (TypeError, ValueError, AssertionError) as error:
        raise UmbelError(f"detector {name!r}: {str(error).splitlines()[0]}") from error
    with_norm(model.backbone, norm)
    if kind is FasterRCNN:
        return RegionDetector(model.backbone, model.rpn, model.roi_heads, labels, resolution, heads=heads)
    return (RetinaNetDetector if kind is RetinaNet else FCOSDetector)(model, labels, resolution, heads=heads)


_TORCHVISION = {
    "fasterrcnn_resnet50_fpn": FasterRCNN,
    "fasterrcnn_resnet50_fpn_v2": FasterRCNN,
    "fasterrcnn_mobilenet_v3_large_fpn": FasterRCNN,
    "fasterrcnn_mobilenet_v3_large_320_fpn": FasterRCNN,
    "retinanet_resnet50_fpn": RetinaNet,
    "retinanet_resnet50_fpn_v2": RetinaNet,
    "fcos_resnet50_fpn": FCOS,
}

DETECTORS: Mapping[str, Callable[..., Detector]] = MappingProxyType(
    {"small-fasterrcnn": small_fasterrcnn, **{n: partial(_torchvision, n, kind) for n, kind in _TORCHVISION.items()}}
)
"""The detectors that can be chosen by name."""


def build_detector(
    name: str,
    labels: Sequence[str],
    resolution: int,
    *,
    norm: str = "batch",
    weights: str | Path | None = None,
    fresh_classes: bool = False,
    dropout: float = 0.5,
    heads: Sequence[Task] = (),
    seed: int = 0,
    **options: Any,
) -> Detector:
    """A detector by name, with dropout in its heads.

    Args:
        name: One of `DETECTORS`. "small-fasterrcnn" is for CPUs and pictures of about 160 x 120.
        labels: Names of the classes.
        resolution: The longer side of pictures, in pixels.
        norm: Of the backbone: "batch" (can be estimated anew on other pictures), "group", or "frozen" (batch norms
            that stay as the weights have them).
        weights: A file of safetensors; see `load_weights`. None starts from scratch.
        fresh_classes: The weights are of other classes; the last layers of the boxes start from scratch.
        dropout: Rate in the heads; see `insert_dropout`.
        heads: Tasks with one answer for the whole picture.
        seed: Of the start.
        **options: Of the detector: see `small_fasterrcnn`, or the arguments of torchvision's class.

    Raises:
        UmbelError: No such detector or option, or weights that do not fit.
    """
    if name not in DETECTORS:
        raise UmbelError(
            f"{unknown('detector', name, DETECTORS)}; another family is a class of yours derived from "
            "umbel.nn.detection.Detector"
        )
    where = f"detector {name!r}"
    listed = names(labels, f"{where}: labels")
    side = whole_number(resolution, f"{where}: resolution", least=32)
    norm = one_of(norm, "norm", NORMS)
    _check_options(name, options)
    with seeded_start(seed_number(seed, f"{where}: seed"), name):
        made = "group" if norm == "group" else "batch"
        detector = insert_dropout(DETECTORS[name](listed, side, made, heads, **options), dropout)
    if norm == "frozen":
        with_norm(detector.encoder, "frozen")
    if weights is not None:
        load_weights(detector, weights, fresh_classes)
    return detector


def _check_options(name: str, options: Mapping[str, object]) -> None:
    """Refuse options that the detector does not have, or of another kind.

    Raises:
        UmbelError: Names the option.
    """
    maker = _TORCHVISION.get(name, DETECTORS[name])
    known = [
        option
        for option, parameter in inspect.signature(maker).parameters.items()
        if option not in _OURS and (name in _TORCHVISION or parameter.kind is parameter.KEYWORD_ONLY)
    ]
    for option in options:
        if option not in known:
            raise unknown(f"option of detector {name!r}", option, known)
    check_options(DETECTORS[name], options, f"detector {name!r}")
