"""The engine that is obviously right: a backward pass for each loss, then the mask."""

from collections.abc import Sequence

from jaxtyping import Bool
from torch import Tensor, nn

from umbel.descent.gradsplit.groups import Partition


def naive_pass(
    losses: Sequence[Tensor],
    accept: Bool[Tensor, "L G"],
    partition: Partition,
    parameters: Sequence[nn.Parameter],
    keep: bool = False,
) -> None:
    """Add to `.grad` what every parameter accepts of these losses; L ordinary backward passes.

        W[g].grad = Σ_t accept[t, g] ∂L_t/∂W[g],   θ.grad = Σ_t ∂L_t/∂θ for what is not split

    Args:
        losses: L scalars.
        accept: Which group accepts which loss.
        partition: The split.
        parameters: All that are trained.
        keep: Whether the graph is needed again.
    """
    totals: list[Tensor | None] = [parameter.grad for parameter in parameters]
    usable = [(loss, row) for loss, row in zip(losses, accept, strict=True) if loss.requires_grad]
    for number, (loss, by_group) in enumerate(usable):
        for parameter in parameters:
            parameter.grad = None
        loss.backward(retain_graph=keep or number + 1 < len(usable))
        for index, parameter in enumerate(parameters):
            if parameter.grad is not None:
                gradient, before = parameter.grad, totals[index]
                if parameter in partition:
                    gradient = partition.masked(gradient, parameter, by_group)
                totals[index] = gradient if before is None else before + gradient
    for parameter, total in zip(parameters, totals, strict=True):
        parameter.grad = total
