"""How much two sets of features say about each other: linear dependence, any dependence, and the overlap of gates.

Batch statistics, like those of batch normalisation: a batch cut into pieces gives the mean of the pieces' values.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from umbel.arguments import instance, one_of, real_number, tensors
from umbel.core import UmbelError

ESTIMATORS = ("unbiased", "biased")
"""Of `hsic`."""


def cross_covariance(one: Float[Tensor, "B *d1"], other: Float[Tensor, "B *d2"]) -> Float[Tensor, ""]:
    """Mean square of the correlations between the features of two sets: what is linear in their dependence.

        r_ij = 1/B Σ_b z_bi z'_bj,   z = (x - mean) / deviation over the batch,   loss = 1/(d1 d2) Σ_ij r_ij²

    It is the squared Frobenius norm of the cross-covariance of standardised features, over the number of its entries,
    so shifts and scales of features, their order, and copies of all of them change nothing. Independent features give
    1/(B - 1) in expectation whatever d1 and d2 are.

    Args:
        one: [B, d1]; more axes are flattened.
        other: [B, d2], features of the same samples.

    Returns:
        A scalar from 0 to 1; 0 for fewer than 2 samples, which have no correlation. A constant feature counts as 0.

    Raises:
        UmbelError: No features of the same samples.

    Source: Cogswell et al., "Reducing overfitting in deep networks by decorrelating representations" (DeCov), ICLR
    2016, for the squared covariance as a loss; there within one set of features, which are not standardised.
    """
    one, other = _samples("cross_covariance", one, other)
    if len(one) < 2:
        return _nothing(one, other)
    with torch.autocast(one.device.type, enabled=False):
        one, other = _standardised(one), _standardised(other)
        if len(one) * (one.shape[1] + other.shape[1]) < one.shape[1] * other.shape[1]:
            between = ((one @ one.T) * (other @ other.T)).sum()  # the same from products of samples, which are fewer
        else:
            between = (one.T @ other).square().sum()
    return between / (len(one) ** 2 * one.shape[1] * other.shape[1])


def hsic(
    one: Float[Tensor, "B *d1"],
    other: Float[Tensor, "B *d2"],
    estimator: str = "unbiased",
    widths: Sequence[float] | None = None,
) -> Float[Tensor, ""]:
    """Hilbert-Schmidt independence criterion of two sets of features, with Gaussian kernels: any dependence.

        K_ij = exp(-||x_i - x_j||² / (2 width²)),   L_ij the same of the other set,   H = I - 1/B
        biased:    tr(K H L H) / B²
        unbiased:  [tr(K L) + ΣK ΣL / ((B-1)(B-2)) - 2/(B-2) Σ(K L)] / (B (B-3)),   K and L with zeros on the diagonal

    In the limit of many samples it is 0 exactly where the sets are independent. The unbiased estimate of independent
    sets is 0 in expectation, so it is below 0 about as often as above; the biased one is never below 0. Both take B²
    (d1 + d2) steps.

    A width is the median distance of two samples, unless given. Its gradient is part of the loss's: otherwise shrinking
    all features would seem to make them independent.

    Args:
        one: [B, d1]; more axes are flattened.
        other: [B, d2], features of the same samples.
        estimator: "unbiased" or "biased".
        widths: Of the two kernels, in the features' units; None takes medians.

    Returns:
        A scalar; 0 for fewer samples than the estimate needs: 2 for the biased, 4 for the unbiased one.

    Raises:
        UmbelError: No features of the same samples, an unknown estimator, or widths that are not two positive numbers.

    Source: Gretton et al., "Measuring statistical dependence with Hilbert-Schmidt norms", ALT 2005 (the biased
    one, with 1/B² for 1/(B-1)²); Song et al., "Feature selection via dependence maximization", JMLR 2012,
    equation 5 (the unbiased one).
    """
    one, other = _samples("hsic", one, other)
    one_of(estimator, "estimator of hsic", ESTIMATORS)
    both = (None, None) if widths is None else _checked(widths)
    if len(one) < (4 if estimator == "unbiased" else 2):
        return _nothing(one, other)
    with torch.autocast(one.device.type, enabled=False):
        kernels = [_gaussian_kernel(x, width) for x, width in zip((one, other), both, strict=True)]
        return _unbiased(*kernels) if estimator == "unbiased" else _biased(*kernels)


def attention_overlap(one: Float[Tensor, "B *gates"], other: Float[Tensor, "B *others"]) -> Float[Tensor, " B"]:
    """Squared cosine between two tasks' gates: how much they look at the same features.

        o = (a · a' / (||a|| ||a'||))²,   a all gates of a sample

    Args:
        one: Gates of one task, [B, C] of channels or [B, C, H, W].
        other: Gates of the other, the same shape.

    Returns:
        [B], from 0 to 1; 0 for gates that are all 0.

    Raises:
        UmbelError: Shapes that differ, or no axis of samples.
    """
    tensors("attention_overlap", one=one, other=other)
    if not one.ndim or one.shape != other.shape:
        raise UmbelError(f"attention_overlap: gates of shape {tuple(one.shape)} and {tuple(other.shape)}")
    units = [F.normalize(_full_precision(gates).reshape(len(gates), -1), dim=1) for gates in (one, other)]
    return (units[0] * units[1]).sum(1).square()


def _samples(where: str, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both as [B, d], in full precision."""
    tensors(where, one=one, other=other)
    if min(one.ndim, other.ndim) < 2 or len(one) != len(other) or not (one.shape[1:] + other.shape[1:]).numel():
        raise UmbelError(
            f"{where} needs two sets of features [B, d] of the same samples; "
            f"they have shapes {tuple(one.shape)} and {tuple(other.shape)}"
        )
    return _full_precision(one).flatten(1), _full_precision(other).flatten(1)


def _checked(widths: Sequence[float]) -> tuple[float, float]:
    instance(widths, (list, tuple), "widths of hsic", "two positive numbers")
    numbers = tuple(real_number(width, "a width of hsic") for width in widths)
    if len(numbers) != 2 or min(numbers) <= 0:
        raise UmbelError(f"widths of hsic are {numbers}; give two positive numbers")
    return numbers


def _nothing(one: Tensor, other: Tensor) -> Tensor:
    """0 with a graph behind it: a piece of a batch may have too few samples."""
    return one.sum() * 0 + other.sum() * 0


def _full_precision(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _standardised(x: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over the batch; a feature that varies by no more than rounding becomes 0."""
    centred = x - x.mean(0)
    sizes = centred.detach().abs().amax(0)  # squares of very small numbers would be 0
    varies = sizes > 8 * torch.finfo(x.dtype).eps * x.detach().abs().amax(0)
    scaled = torch.where(varies, centred / torch.where(varies, sizes, 1), 0)
    return scaled / torch.where(varies, scaled.square().mean(0), 1).sqrt()


def _gaussian_kernel(x: Tensor, width: float | None) -> Tensor:
    """[B, B] from samples [B, d]; the median distance for None."""
    x = x - x.mean(0)  # far from 0, differences of squares would lose their digits
    lengths = x.square().sum(1)
    squares = (lengths[:, None] + lengths - 2 * x @ x.T).clamp(min=0)
    squares = squares - torch.diag(squares.diagonal())
    if width is not None:
        return torch.exp(-squares / (2 * width**2))
    pairs = len(x) * (len(x) - 1)  # each twice; the zeros of the diagonal come before them
    median = squares.flatten().kthvalue(len(x) + (pairs + 1) // 2).values
    return torch.exp(-squares / (2 * median.clamp(min=torch.finfo(x.dtype).tiny)))


def _biased(one: Tensor, other: Tensor) -> Tensor:
    centred = one - one.mean(0) - one.mean(1, keepdim=True) + one.mean()
    return (centred * other).mean()


def _unbiased(one: Tensor, other: Tensor) -> Tensor:
    samples = len(one)
    one, other = (kernel - torch.diag(kernel.diagonal()) for kernel in (one, other))
    together = (one * other).sum() + one.sum() * other.sum() / ((samples - 1) * (samples - 2))
    return (together - 2 / (samples - 2) * one.sum(0) @ other.sum(0)) / (samples * (samples - 3))
