"""One loss for each labelled element; the mean over what is labelled is taken by `Task`."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(
    logits: Float[Tensor, "B C *space"], classes: Int[Tensor, "B *space"], weight: Float[Tensor, " C"] | None = None
) -> Float[Tensor, "B *space"]:
    """-log softmax(logits)[class], for vectors and for maps.

    Args:
        logits: [B, C] or [B, C, H, W].
        classes: 0 to C-1, [B] or [B, H, W].
        weight: A factor for each class [C], for unbalanced classes.

    Returns:
        [B] or [B, H, W].
    """
    return F.cross_entropy(logits.float(), classes, weight=weight, reduction="none")


def bernoulli(logits: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Binary cross-entropy -y log p - (1 - y) log(1 - p), with p = sigmoid(logit), elementwise."""
    return F.binary_cross_entropy_with_logits(logits.float(), target.float(), reduction="none")


def squared_error(prediction: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(prediction - target)², elementwise."""
    return (prediction.float() - target).square()


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
    return (prediction.float() - (target - centre.to(target)) / scale.to(target)).square()


def angular(prediction: Float[Tensor, "B 3 H W"], normals: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B H W"]:
    """1 - cos(angle) between predicted and true directions at each pixel; lengths do not matter."""
    return 1 - F.cosine_similarity(prediction.float(), normals, dim=1, eps=1e-6)
