"""Losses of triplets: who should be near whom, chosen by classes and by attributes that say nothing about them."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from umbel.arguments import real_number, tensors
from umbel.core import UmbelError

_UNKNOWN = 0.5  # similarity of samples that share no known attribute: neither alike nor unlike


class MinedPairs(NamedTuple):
    """For each anchor that has both, a partner of its own class and one of another.

    Attributes:
        anchors: int64 [n], places in the batch.
        positives: int64 [n], of the anchor's class.
        negatives: int64 [n], of another class.
    """

    anchors: Tensor
    positives: Tensor
    negatives: Tensor


def mined_pairs(
    embeddings: Float[Tensor, "B e"], classes: Int[Tensor, " B"], attributes: Int[Tensor, "B A"]
) -> MinedPairs:
    """For each sample, who of its class should be nearer and who of another class farther.

        q_ij = s_ij - ||e_i - e_j||,   s_ij = share of the attributes known of both in which i and j are alike

        negative of i = argmax q_ij over j of other classes      the most alike in attributes, and then the nearest
        positive of i = argmin q_ij over j of the same class     the least alike in attributes, and then the farthest

    A pair of which no attribute is known of both has s = 1/2.

    Source: Wu et al., arXiv 2011.14054, for mining by attributes.
    Differs from the paper: only its abstract was at hand, so the rule is our own.

    Args:
        embeddings: [B, e], as a rule of length 1, so that distances are at most 2.
        classes: int64 [B]; negative is unknown, and such samples take no part.
        attributes: int64 [B, A]; negative is missing. A may be 0: distances alone decide.

    Returns:
        The pairs of anchors that have both partners, in the order of the batch.

    Raises:
        UmbelError: Other shapes, or numbers that are no whole ones.
    """
    _check("mined_pairs", embeddings, classes, attributes)
    with torch.no_grad():
        score = _similarity(attributes) - torch.cdist(embeddings.float(), embeddings.float())
        known = classes >= 0
        both = known[:, None] & known[None]
        alike = classes[:, None] == classes[None]
        oneself = torch.eye(len(classes), dtype=torch.bool, device=classes.device)
        same, other = both & alike & ~oneself, both & ~alike
        anchors = (same.any(1) & other.any(1)).nonzero().squeeze(1)
        if not len(anchors):
            return MinedPairs(anchors, anchors, anchors)
        positives = score.masked_fill(~same, torch.inf)[anchors].argmin(1)
        negatives = score.masked_fill(~other, -torch.inf)[anchors].argmax(1)
    return MinedPairs(anchors, positives, negatives)


def attribute_mining(
    embeddings: Float[Tensor, "B e"],
    classes: Int[Tensor, " B"],
    attributes: Int[Tensor, "B A"],
    margin: float = 0.3,
) -> Float[Tensor, ""]:
    """Triplet loss over the pairs of `mined_pairs`: mean over anchors of max(0, |e - e_pos|² - |e - e_neg|² + margin).

    It takes out of the embeddings what has nothing to do with the class: samples that differ in class alone are pushed
    apart, samples that agree in class alone are pulled together.

    Source: See `mined_pairs`; the loss is that of Schroff et al., "FaceNet", CVPR 2015.

    Args:
        embeddings: [B, e].
        classes: int64 [B]; negative is unknown.
        attributes: int64 [B, A]; negative is missing.
        margin: At least 0.

    Returns:
        A scalar; 0 with zero gradient where no anchor has both partners.

    Raises:
        UmbelError: As `mined_pairs`, or a margin out of range.
    """
    margin = _margin(margin, "attribute_mining")
    pairs = mined_pairs(embeddings, classes, attributes)
    e = embeddings.float()
    near = (e[pairs.anchors] - e[pairs.positives]).square().sum(1)
    far = (e[pairs.anchors] - e[pairs.negatives]).square().sum(1)
    return torch.relu(near - far + margin).sum() / max(1, len(pairs.anchors))


def group_triplets(embeddings: Float[Tensor, "B e"], groups: Int[Tensor, " B"], margin: float = 0.1) -> Tensor:
    """Mean over the violated triplets of |e - e_same| - |e - e_other| + margin, of all triplets in the batch.

    Groups say what belongs together. With one group for all that is live, and one for each domain's attacks, it is the
    asymmetric triplet loss of Jia et al., "Single-side domain generalization for face anti-spoofing", CVPR 2020.

    Args:
        embeddings: [B, e].
        groups: int64 [B]; negative is unknown, and such samples take no part.
        margin: At least 0.

    Returns:
        A scalar; 0 with zero gradient where no triplet is violated.

    Raises:
        UmbelError: Other shapes, or a margin out of range.
    """
    margin = _margin(margin, "group_triplets")
    tensors("group_triplets", embeddings=embeddings, groups=groups)
    _check("group_triplets", embeddings, groups, torch.zeros(len(embeddings), 0, dtype=torch.int64))
    e = embeddings.float()
    squared = (e[:, None] - e[None]).square().sum(2)
    distance = (squared + 1e-12).sqrt()  # a root of 0 has no gradient
    known = groups >= 0
    both = known[:, None] & known[None]
    alike = groups[:, None] == groups[None]
    oneself = torch.eye(len(groups), dtype=torch.bool, device=groups.device)
    triplets = (both & alike & ~oneself)[:, :, None] & (both & ~alike)[:, None, :]
    values = torch.relu(distance[:, :, None] - distance[:, None, :] + margin).where(triplets, 0)
    return values.sum() / (values > 0).sum().clamp(min=1)


def _similarity(attributes: Tensor) -> Tensor:
    """[B, B]: the share of attributes in which two samples are alike, of those known of both."""
    known = attributes >= 0
    both = known[:, None] & known[None]
    alike = (attributes[:, None] == attributes[None]) & both
    count = both.sum(2)
    return torch.where(count > 0, alike.sum(2) / count.clamp(min=1), _UNKNOWN)


def _margin(value: object, where: str) -> float:
    margin = real_number(value, f"{where}: margin")
    if margin < 0:
        raise UmbelError(f"{where}: margin is {margin:g}; give at least 0")
    return margin


def _check(where: str, embeddings: Tensor, classes: Tensor, attributes: Tensor) -> None:
    tensors(where, embeddings=embeddings, classes=classes, attributes=attributes)
    whole = not any(x.is_floating_point() or x.dtype == torch.bool for x in (classes, attributes))
    shapes = embeddings.ndim == 2 and classes.ndim == 1 and attributes.ndim == 2
    if not (whole and shapes and len(embeddings) == len(classes) == len(attributes)):
        raise UmbelError(
            f"{where}: embeddings {tuple(embeddings.shape)}, classes {tuple(classes.shape)} {classes.dtype}, "
            f"attributes {tuple(attributes.shape)} {attributes.dtype}; give [B, e], and whole numbers [B] and [B, A]"
        )
