"""Detection variance: how much dropout moves what a detector says of the same candidates."""

from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor

from umbel.arguments import one_of, whole_number
from umbel.core import Inputs, UmbelError
from umbel.core.modes import modes_kept
from umbel.core.seeding import own_randomness
from umbel.nn.detection.detector import BoxSamples, Detector

PictureScore = Literal["sum", "mean", "per-object"]


def detection_variances(samples: BoxSamples) -> tuple[Tensor, Tensor]:
    """The variance of the classes' probabilities and that of the boxes, of each candidate r over T passes.

        u_c(r) = mean_t |p_t(r)|^2 - |mean_t p_t(r)|^2      (the trace of the covariance), u_l(r) likewise of offsets

    Source: Chu et al., AAAI 2023 (`source_free_detection`), as their code computes it.
    Differs from their code: the first pass is counted once.

    Args:
        samples: Of `Detector.box_samples`, T at least 2.

    Returns:
        u_c [R] and u_l [R], both at least 0.

    Raises:
        UmbelError: One pass only.
    """
    if len(samples.probabilities) < 2:
        raise UmbelError("the variance of one pass is nothing; give at least 2 passes")
    return _trace(samples.probabilities), _trace(samples.deltas)


def _trace(passes: Tensor) -> Tensor:
    """The trace of the covariance of [T, R, D] over T (divided by T): [R]."""
    return passes.double().var(0, correction=0).sum(1).float()


def picture_scores(samples: BoxSamples, pictures: int, score: PictureScore = "sum") -> Tensor:
    """One number for each picture from the product u_c u_l of its candidates: [pictures].

    Args:
        samples: Of these pictures.
        pictures: How many there are.
        score: "sum" over all candidates, as in the paper: it grows with the number of objects. "mean" over all
            candidates. "per-object": their mean, weighted by the probability that a candidate is an object.

    Returns:
        Greater where dropout moves more. 0 for a picture without candidates.
    """
    one_of(score, "score", get_args(PictureScore))
    of_class, of_box = detection_variances(samples)
    product = of_class * of_box
    weight = torch.ones_like(product)
    if score == "per-object":
        weight = _objectness(samples.probabilities.mean(0), samples)
    total = product.new_zeros(pictures).index_add(0, samples.picture, product * weight)
    if score == "sum":
        return total
    weights = product.new_zeros(pictures).index_add(0, samples.picture, weight)
    return total / weights.clamp(min=1e-12)


def _objectness(probabilities: Tensor, samples: BoxSamples) -> Tensor:
    """How likely a candidate is an object, from its classes' probabilities [R, C]: [R]."""
    has_background = samples.deltas.shape[2] == 4 * probabilities.shape[1]
    return 1 - probabilities[:, 0] if has_background else probabilities.amax(1)


@torch.no_grad()
def variance_scores(
    detector: Detector, inputs: Iterable[Inputs], passes: int = 20, score: PictureScore = "sum", seed: int = 0
) -> Tensor:
    """The detection variance of every picture: Monte-Carlo dropout in the heads, everything else fixed.

    In the paper's words a greater one is a picture more like the source's: where a detector finds nothing, all passes
    agree that there is nothing. Whether it holds for pictures at hand is what the report of the split shows.

    Args:
        detector: With dropout in its heads (`insert_dropout`); left in the mode that it was in.
        inputs: Batches of pictures.
        passes: T, at least 2.
        score: See `picture_scores`.
        seed: Of the dropout; torch's generator is left as it was.

    Returns:
        float32 [N], in the order of the pictures.

    Raises:
        UmbelError: No picture, or fewer than 2 passes.
    """
    passes = whole_number(passes, "passes", least=2)
    scores: list[Tensor] = []
    device = next(detector.parameters()).device
    with modes_kept(detector), own_randomness(seed, device):
        detector.eval()
        for batch in inputs:
            seen = detector.features(batch)
            scores.append(picture_scores(detector.box_samples(seen, passes), len(seen), score).cpu())
    if not scores:
        raise UmbelError("no picture to measure; give at least one batch")
    return torch.cat(scores)
