"""A tiny detector and pictures of coloured rectangles: what tests of an adaptation start from."""

import torch
from detection_cases import rectangles

from umbel import tasks
from umbel.core import Batch
from umbel.methods import Alignment, SelfTraining, SourceFreeLearner
from umbel.nn.detection import Detector, build_detector

LABELS = ["red", "blue"]
THRESHOLD = 0.2  # an untrained detector is no surer
PLACES = {"local_at": "encoder.blocks.0", "global_at": "encoder"}
ALIGNED = Alignment(**PLACES, weight=0.1)


def small(seed: int = 0, dropout: float = 0.5) -> Detector:
    """A detector from scratch."""
    options = {"anchors": (40,), "widths": (4, 8), "strides": (2, 2), "hidden": 16, "proposals": 20}
    return build_detector("small-fasterrcnn", LABELS, 64, seed=seed, dropout=dropout, **options)


def learner(alignment: Alignment | None = ALIGNED, **settings) -> SourceFreeLearner:
    """Of that detector."""
    teaching = settings.pop("teaching", SelfTraining(thresholds=(THRESHOLD,), decay=0.9, taught="similar"))
    return SourceFreeLearner(small(), [tasks.boxes("boxes", LABELS)], teaching, alignment, **settings)


def pictures(domain: list[int], seed: int = 0) -> Batch:
    """Unlabelled pictures of these kinds."""
    made = rectangles(len(domain), seed=seed)
    return Batch(made.inputs, {"boxes": torch.full((len(domain), 1, 5), torch.nan)}, torch.tensor(domain))


def without_chance(one: SourceFreeLearner) -> SourceFreeLearner:
    """Nothing is drawn in a step but views: no dropout, no choice of candidates, no flips; norms keep statistics."""
    for part in (one.model.rpn, one.model.roi_heads):
        part.fg_bg_sampler.batch_size_per_image = 20000
    for part in one.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return one.eval()
