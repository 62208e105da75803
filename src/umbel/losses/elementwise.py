"""One loss for each labelled element; the mean over what is labelled is taken by `Task`."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from umbel.arguments import real_number, tensors
from umbel.core import UmbelError


def _full(x: Tensor) -> Tensor:
    """Half precision as float32; float64 stays."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _alike(where: str, **given: Tensor) -> None:
    """Refuse two tensors of different shapes, of which torch would silently repeat the smaller one."""
    tensors(where, **given)
    (first, prediction), (second, target) = given.items()
    if prediction.shape != target.shape:
        raise UmbelError(
            f"{where}: {first} has shape {list(prediction.shape)}, {second} {list(target.shape)}; they must be alike"
        )


def cross_entropy(
    logits: Float[Tensor, "B C *space"], classes: Int[Tensor, "B *space"], weight: Float[Tensor, " C"] | None = None
) -> Float[Tensor, "B *space"]:
    """-log softmax(logits)[class], for vectors and for maps.

    Args:
        logits: [B, C] or [B, C, H, W].
        classes: 0 to C-1, [B] or [B, H, W].
        weight: A factor for each class [C], for unbalanced classes. A mean as torch's divides by the sum of the factors
            of the labels, not by their number; `Task.weigh` sees to it.

    Returns:
        [B] or [B, H, W].

    Raises:
        UmbelError: No tensors, or shapes that do not belong together.
    """
    tensors("cross_entropy", logits=logits, classes=classes, **({} if weight is None else {"weight": weight}))
    if logits.ndim < 2 or classes.shape != logits.shape[:1] + logits.shape[2:]:
        raise UmbelError(
            f"cross_entropy: logits of shape {list(logits.shape)} and classes of shape {list(classes.shape)}; give "
            "[B, C] and [B], or maps [B, C, H, W] and [B, H, W]"
        )
    if classes.is_floating_point():
        raise UmbelError(f"cross_entropy: classes are {classes.dtype}; give whole numbers (int64), negative if missing")
    if weight is not None and weight.shape != logits.shape[1:2]:
        raise UmbelError(f"cross_entropy: weights of shape {list(weight.shape)} for {logits.shape[1]} classes")
    logits = _full(logits)
    weight = None if weight is None else weight.to(logits)
    return F.cross_entropy(logits, classes, weight=weight, reduction="none")


def bernoulli(logits: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Binary cross-entropy -y log p - (1 - y) log(1 - p), with p = sigmoid(logit), elementwise."""
    _alike("bernoulli", logits=logits, target=target)
    logits = _full(logits)
    return F.binary_cross_entropy_with_logits(logits, target.to(logits), reduction="none")


def squared_error(prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(prediction - target)², elementwise."""
    _alike("squared_error", prediction=prediction, target=target)
    return (_full(prediction) - target).square()


def absolute_error(prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """|prediction - target|, elementwise."""
    _alike("absolute_error", prediction=prediction, target=target)
    return (_full(prediction) - target).abs()


def mean_squared_error_of_each(
    prediction: Float[Tensor, "B *shape"], target: Float[Tensor, "B *shape"], scale: float = 1.0
) -> Float[Tensor, " B"]:
    """The mean of (prediction - target)² within each sample, times `scale`."""
    scale = real_number(scale, "mean_squared_error_of_each: scale")
    return scale * squared_error(prediction, target).flatten(1).mean(1)


def standardised_squared_error(
    prediction: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    centre: Float[Tensor, "*each"],
    scale: Float[Tensor, "*each"],
) -> Float[Tensor, "*shape"]:
    """(prediction - (target - centre) / scale)², elementwise: the network predicts the standardised value.

    Args:
        prediction: In standard units.
        target: In natural units, the same shape.
        centre: Mean of the training targets; broadcasts against the target.
        scale: Standard deviation of the training targets; likewise.
    """
    _alike("standardised_squared_error", prediction=prediction, target=target)
    tensors("standardised_squared_error", centre=centre, scale=scale)
    for what, values in (("centre", centre), ("scale", scale)):
        if any(mine not in (1, whole) for mine, whole in zip(values.shape[::-1], target.shape[::-1], strict=False)):
            raise UmbelError(
                f"standardised_squared_error: {what} of shape {list(values.shape)} does not fit targets of shape "
                f"{list(target.shape)}"
            )
    return (_full(prediction) - (target - centre.to(target)) / scale.to(target)).square()


def angular(prediction: Float[Tensor, "B 3 H W"], normals: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B H W"]:
    """1 - cos(angle) between predicted and true directions at each pixel; lengths do not matter."""
    _alike("angular", prediction=prediction, normals=normals)
    prediction = _full(prediction)
    return 1 - F.cosine_similarity(prediction, normals.to(prediction), dim=1, eps=1e-6)
