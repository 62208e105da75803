"""How much the features of several tasks say about each other: the sum over all pairs, as a learner adds it."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from umbel.arguments import instance, one_of, tensors
from umbel.core import UmbelError
from umbel.losses.decorrelation import _full_precision, _nothing, _standardised, cross_covariance

KINDS = ("covariance", "hsic")
"""Of `joint_dependence`."""
_MOST_KERNEL_SAMPLES = 512
"""Of maps: kernels take the square of the number of samples, and every position is one."""


def joint_dependence(sets: Sequence[Tensor], kind: str = "covariance") -> Float[Tensor, ""]:
    """The sum over all pairs of sets of their `cross_covariance` or `hsic`.

        covariance:  Σ_{j<k} cross_covariance(x_j, x_k)          0 to 1 for each pair
        hsic:        Σ_{j<k} hsic(z_j, z_k), unbiased            0 in expectation where they are independent

    z are the features at mean 0 and deviation 1 over the batch, which `cross_covariance` makes by itself: features that
    vary little tell as much to who scales them up. Kernels of hsic are as wide as two samples are apart on average
    (in squares): sqrt(2 d) for d features that vary.

    **Vectors** are features of one sample each. **Maps of the same height and width**: every position of every sample
    counts as a sample of c features, less the mean of its position over the batch. So what is compared is what two maps
    say of the same place, beyond the place itself: tasks that predict maps use it place by place, an average over
    positions would hide it, and B h w samples of c features are few numbers to estimate and little work. For kernels a
    grid of positions is taken, at most 512 samples in all. What one map says of another place of the other is not
    compared. **Anything else together** (a vector and a map) is flattened.

    Each set is standardised, or its kernel made, once for all pairs.

    Args:
        sets: Features [B, ...] of the same samples, at least two sets.
        kind: One of `KINDS`.

    Returns:
        A scalar; 0 for a batch of too few samples: 2, or 4 for hsic.

    Raises:
        UmbelError: Fewer than two sets, not of the same samples, or an unknown kind.
    """
    one_of(kind, "kind of dependence", KINDS)
    instance(sets, (list, tuple), "sets of features", "a list of tensors")
    tensors("joint_dependence", **{f"set {number + 1}": x for number, x in enumerate(sets)})
    shapes = [tuple(x.shape) for x in sets]
    if len(sets) < 2 or len({shape[:1] for shape in shapes}) > 1 or any(len(shape) < 2 for shape in shapes):
        raise UmbelError(f"joint_dependence needs two sets of features [B, ...] or more; they have shapes {shapes}")
    samples = len(sets[0])
    if samples < (2 if kind == "covariance" else 4):
        return _nothing(sets[0].flatten(1), sets[1].flatten(1))
    sets = [_full_precision(x) for x in sets]
    with torch.autocast(sets[0].device.type, enabled=False):
        if len({shape[2:] for shape in shapes}) == 1 and len(shapes[0]) == 4:
            sets = [_by_position(x, None if kind == "covariance" else _MOST_KERNEL_SAMPLES) for x in sets]
        rows = [x.flatten(1) for x in sets]
        return _covariances(rows) if kind == "covariance" else _kernels(rows)


def joint_overlap(gates: Float[Tensor, "B *gates"]) -> Float[Tensor, ""]:
    """The sum over all pairs of tasks of the mean of their `attention_overlap`.

    Args:
        gates: Of K tasks, [B, K, C], as `CrossTaskGates` gives them.

    Returns:
        From 0 to K (K - 1) / 2.

    Raises:
        UmbelError: Gates of another shape.
    """
    tensors("joint_overlap", gates=gates)
    if gates.ndim != 3:
        raise UmbelError(f"joint_overlap needs gates [B, K, C]; they have shape {tuple(gates.shape)}")
    units = F.normalize(_full_precision(gates), dim=2)
    with torch.autocast(gates.device.type, enabled=False):
        cosines = units @ units.transpose(1, 2)
    return cosines.triu(1).square().sum() / max(1, len(gates))


def _by_position(x: Tensor, most: int | None) -> Tensor:
    """[B, c, h, w] as [B n, c], less each position's mean over the batch.

    n is all positions, or those of a grid so that B n is at most `most` (one position, where B is more).
    """
    positions = (x - x.mean(0)).flatten(2)
    step = 1 if most is None else -(-len(x) * positions.shape[2] // most)
    return positions[:, :, ::step].transpose(1, 2).flatten(0, 1)


def _covariances(rows: list[Tensor]) -> Tensor:
    """From one product of all sets; wide ones pair by pair."""
    widths = [x.shape[1] for x in rows]
    if sum(widths) > 2 * len(rows[0]):
        return torch.stack([cross_covariance(one, other) for one, other in itertools.combinations(rows, 2)]).sum()
    together = torch.cat(rows, 1)
    centred = together - together.mean(0)
    sizes = centred.detach().abs().amax(0)  # squares of very small numbers would be 0
    varies = sizes > 8 * torch.finfo(together.dtype).eps * together.detach().abs().amax(0)
    scaled = centred * torch.where(varies, 1 / torch.where(varies, sizes, 1), 0)
    products = scaled.T @ scaled
    variances = torch.where(varies, products.diagonal(), 1)
    squares = products.square() / (variances[:, None] * variances)
    bounds = [0, *itertools.accumulate(widths)]
    blocks = [
        squares[bounds[j] : bounds[j + 1], bounds[k] : bounds[k + 1]].mean()
        for j, k in itertools.combinations(range(len(rows)), 2)
    ]
    return torch.stack(blocks).sum()


def _kernels(rows: list[Tensor]) -> Tensor:
    """As `hsic` of each pair of standardised sets; kernels of all sets, and products of all pairs, are made at once.

    Narrower sets get features of 0, which change no distance.
    """
    samples, widths = len(rows[0]), [x.shape[1] for x in rows]
    features = _standardised(torch.cat(rows, 1)).split(widths, 1)
    x = torch.stack([F.pad(z, (0, max(widths) - z.shape[1])) for z in features])
    usual = 2 * x.square().sum(2).mean(1)  # mean of ||z_i - z_j||² over all pairs
    x = x / (2 * usual.clamp(min=1)).sqrt()[:, None, None]
    identity = torch.eye(samples, dtype=x.dtype, device=x.device)
    kernels = torch.exp(_minus_squares(x)) - identity  # zeros on the diagonal
    flat, of_sample = kernels.flatten(1), kernels.sum(2)
    total = of_sample.sum(1)
    values = flat @ flat.T + total[:, None] * total / ((samples - 1) * (samples - 2))
    values = values - 2 / (samples - 2) * of_sample @ of_sample.T
    return values.triu(1).sum() / (samples * (samples - 3))


def _minus_squares(x: Tensor) -> Tensor:
    """-||x_i - x_j||² of each set, [K, B, B] from [K, B, d], in one product."""
    lengths, one = x.square().sum(2, keepdim=True), torch.ones_like(x[:, :, :1])
    return torch.cat([2 * x, -lengths, -one], 2) @ torch.cat([x, one, lengths], 2).mT
