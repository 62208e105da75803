"""Detectors from a few words: which one, which classes, which norm."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from umbel.arguments import check_options, names, one_of, seed_number, whole_number
from umbel.core import Task, unknown
from umbel.nn.build import seeded_start
from umbel.nn.detection.detector import Detector
from umbel.nn.detection.dropout import insert_dropout
from umbel.nn.detection.norms import NORMS, with_norm
from umbel.nn.detection.small import small_fasterrcnn
from umbel.nn.detection.weights import load_weights

DETECTORS: MappingProxyType[str, Callable[..., Detector]] = MappingProxyType({"small-fasterrcnn": small_fasterrcnn})
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
        raise unknown("detector", name, DETECTORS)
    where = f"detector {name!r}"
    listed = names(labels, f"{where}: labels")
    side = whole_number(resolution, f"{where}: resolution", least=32)
    norm = one_of(norm, "norm", NORMS)
    check_options(DETECTORS[name], options, where)
    with seeded_start(seed_number(seed, f"{where}: seed"), name):
        made = "group" if norm == "group" else "batch"
        detector = insert_dropout(DETECTORS[name](listed, side, made, heads, **options), dropout)
    if norm == "frozen":
        with_norm(detector.encoder, "frozen")
    if weights is not None:
        load_weights(detector, weights, fresh_classes)
    return detector
