"""Attention that knows how sure it is: how much a task's features count, drawn from a Gaussian in training."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from umbel.arguments import one_of, tensors, whole_number
from umbel.core import ByTask, UmbelError, unknown

AttentionKind = Literal["gaussian", "sigmoid", "softmax", "none"]
"""How tasks' features are weighed before they are joined; see `TaskFusion`."""
_MOST_LOG_VARIANCE = 10.0  # sigma 148: every weight is 0 or 1 by chance
_START_LOG_VARIANCE = -2.0  # sigma 0.37: weights of the start say something, and are not sure


class GaussianWeights(NamedTuple):
    """How much each channel counts, and how sure that is.

    Attributes:
        weights: [B, c], between 0 and 1.
        mean: [B, c], of the Gaussian behind the weights.
        log_variance: [B, c], of the same, in float32.
    """

    weights: Tensor
    mean: Tensor
    log_variance: Tensor


class GaussianAttention(nn.Module):
    """How much each channel of one task's features counts, with an uncertainty that the network learns.

        s = ReLU(V h + v)                                            [B, c / reduction]
        mean = W s + w,   log sigma² = U s + u                       [B, c]
        z = mean + eps sigma in training, eps ~ N(0, I);   z = mean at test
        weights = sigmoid(z)                                         [B, c]

    Noise keeps the network from leaning on a weight that it is not sure of. `kl_to_standard_normal` keeps sigma from
    going to 0, where this is an ordinary sigmoid attention. Nothing is shared with other tasks: what one task's weights
    are says nothing about another's. Noise comes from torch's default generator.

    Source: Wu, Yu, Liu, Wang, Chandraker, "Uncertainty-aware physically-guided proxy tasks for unseen domain face
    anti-spoofing", 2020, arXiv 2011.14054, for the idea; Chang et al., "Data uncertainty learning in face
    recognition", CVPR 2020, for a Gaussian behind features and its regulariser.
    Differs from the paper: only its abstract was at hand, so the equations here are our own. Sigma starts at 0.37.

    Args:
        channels: c.
        reduction: The hidden layer has c / reduction numbers, at least 4.

    Raises:
        UmbelError: A number out of its range.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        channels = whole_number(channels, "channels of the attention", least=1)
        hidden = max(4, channels // whole_number(reduction, "reduction of the attention", least=1))
        self.squeeze = nn.Linear(channels, hidden)
        self.mean = nn.Linear(hidden, channels)
        self.log_variance = nn.Linear(hidden, channels)
        nn.init.constant_(self.log_variance.bias, _START_LOG_VARIANCE)

    def forward(self, pooled: Float[Tensor, "B c"]) -> GaussianWeights:
        """The weights of a task's features, from their means over positions."""
        squeezed = torch.relu(self.squeeze(pooled))
        mean = self.mean(squeezed)
        log_variance = self.log_variance(squeezed).float().clamp(-_MOST_LOG_VARIANCE, _MOST_LOG_VARIANCE)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp().to(mean.dtype) if self.training else mean
        return GaussianWeights(z.sigmoid(), mean, log_variance)


def kl_to_standard_normal(mean: Float[Tensor, "B c"], log_variance: Float[Tensor, "B c"]) -> Float[Tensor, " B"]:
    """How far a Gaussian with independent channels is from the standard one, summed over channels.

        KL(N(mean, sigma²) || N(0, I)) = ½ Σ over channels of (mean² + sigma² - 1 - log sigma²)

    Args:
        mean: [B, c].
        log_variance: [B, c], log sigma².

    Returns:
        [B], float32, at least 0.

    Raises:
        UmbelError: Other shapes.
    """
    tensors("kl_to_standard_normal", mean=mean, log_variance=log_variance)
    if mean.ndim != 2 or mean.shape != log_variance.shape:
        raise UmbelError(
            f"kl_to_standard_normal: mean {tuple(mean.shape)} and log_variance {tuple(log_variance.shape)}; give two "
            "tensors of one shape [B, c]"
        )
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


class Fused(NamedTuple):
    """Several tasks' features, weighed and joined.

    Attributes:
        vector: [B, sum of channels], the tasks in their order.
        weights: By task, [B, c].
        gaussians: By task, where the attention is Gaussian; empty for the others.
    """

    vector: Tensor
    weights: dict[str, Tensor]
    gaussians: dict[str, GaussianWeights]


class TaskFusion(nn.Module):
    """Several tasks' features, averaged over positions, weighed channel by channel, and put one behind the other.

        vector = concat over tasks k of a_k * GAP(h_k)

        gaussian   a_k from `GaussianAttention`, each task by itself
        sigmoid    a_k = sigmoid(W_k ReLU(V_k GAP(h_k))), each task by itself, without uncertainty
        softmax    a_k = softmax over the tasks of the same numbers, channel by channel: what one gains, others lose
        none       a_k = 1

    Source: Wu et al., arXiv 2011.14054 (gaussian); the others are what it is compared with.

    Args:
        channels_by_task: Task -> channels of its features.
        kind: Which attention.
        reduction: See `GaussianAttention`.

    Attributes:
        kind: As given.
        feature_shape: (sum of the channels,), for `build_head`.

    Raises:
        UmbelError: No task, an unknown kind, or "softmax" over tasks with different counts of channels.
    """

    def __init__(
        self, channels_by_task: Mapping[str, int], kind: AttentionKind = "gaussian", reduction: int = 4
    ) -> None:
        super().__init__()
        self.kind = one_of(kind, "kind of attention", get_args(AttentionKind))
        self.tasks = tuple(channels_by_task)
        if not self.tasks:
            raise UmbelError("features of no task cannot be joined; give at least one")
        channels = {
            name: whole_number(count, f"channels of task {name!r}", least=1) for name, count in channels_by_task.items()
        }
        if kind == "softmax" and len(set(channels.values())) > 1:
            raise UmbelError(f"softmax over tasks needs as many channels in each; they have {channels}")
        self.feature_shape = (sum(channels.values()),)
        made = {} if kind == "none" else {name: _weigher(kind, count, reduction) for name, count in channels.items()}
        self.attention = ByTask(made)

    def forward(self, maps: Mapping[str, Float[Tensor, "B c *space"]]) -> Fused:
        """The joined features of all tasks; from maps [B, c, h, w] or vectors [B, c].

        Raises:
            UmbelError: A task is missing.
        """
        if missing := set(self.tasks) - set(maps):
            raise unknown("task of the joined features", min(missing), maps)
        pooled = {name: maps[name].flatten(2).mean(2) if maps[name].ndim > 2 else maps[name] for name in self.tasks}
        gaussians: dict[str, GaussianWeights] = {}
        if self.kind == "none":
            weights = {name: torch.ones_like(x) for name, x in pooled.items()}
        elif self.kind == "gaussian":
            gaussians = {name: self.attention[name](x) for name, x in pooled.items()}
            weights = {name: one.weights for name, one in gaussians.items()}
        else:
            logits = {name: self.attention[name](x) for name, x in pooled.items()}
            weights = _softmax(logits) if self.kind == "softmax" else {n: x.sigmoid() for n, x in logits.items()}
        return Fused(torch.cat([weights[name] * pooled[name] for name in self.tasks], 1), weights, gaussians)


def _weigher(kind: str, channels: int, reduction: int) -> nn.Module:
    if kind == "gaussian":
        return GaussianAttention(channels, reduction)
    hidden = max(4, channels // reduction)
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))


def _softmax(logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
    shares = torch.stack(list(logits.values())).softmax(0)
    return dict(zip(logits, shares.unbind(), strict=True))
