"""The Gramian at the shared features: one backward pass through the encoder, and another update."""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from umbel.core import UmbelError
from umbel.descent.exchange import gramian
from umbel.descent.graph import Graph, refuse_hidden
from umbel.descent.torch_internals import compiled_call, set_compiled_call, tree_map
from umbel.descent.walk import add_gradient, gradients_at


class Feature:
    """One tensor that the encoder gave, and the one that goes on from there.

    Args:
        output: At the end of the encoder's graph.

    Attributes:
        output: As given.
        leaf: The same numbers, at the beginning of the heads' graph.
    """

    def __init__(self, output: Tensor) -> None:
        self.output = output
        self.leaf = output.detach().requires_grad_()


class FeatureTape:
    """Parts the graph at the encoder's outputs, while it is open: what goes on from there is a copy.

    So gradients at the features are those of the features as the heads see them, also where one of them is computed
    from another (maps of several scales), and hooks on either side act once.

    Args:
        encoder: Its outputs: tensors, or lists, tuples and dictionaries of them. None for nothing to part.

    Attributes:
        calls: The features of each call of the encoder, in the order of the calls.
    """

    def __init__(self, encoder: nn.Module | None) -> None:
        self._encoder = encoder
        self._closing = ExitStack()
        self.calls: list[list[Feature]] = []

    def __enter__(self) -> "FeatureTape":
        encoder = self._encoder
        if encoder is None:
            return self
        compiled = compiled_call(encoder)
        if compiled is not None:  # after `encoder.compile()`: a hook would be compiled, too, anew in every step
            set_compiled_call(encoder, lambda *args, **named: self._part(encoder, args, compiled(*args, **named)))
            self._closing.callback(set_compiled_call, encoder, compiled)
        else:
            self._closing.callback(encoder.register_forward_hook(self._part).remove)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _part(self, _module: nn.Module, _inputs: tuple[object, ...], output: object) -> object:
        copies: dict[int, Tensor] = {}
        features: list[Feature] = []

        def copied(part: object) -> object:
            if not isinstance(part, Tensor) or not part.requires_grad:
                return part
            if id(part) not in copies:
                features.append(Feature(part))
                copies[id(part)] = features[-1].leaf.clone()  # a leaf must not be changed in place, its copy may
            return copies[id(part)]

        parted = tree_map(copied, output)
        if features:
            self.calls.append(features)
        return parted


class FeaturesPass:
    """G_z = D Dᵀ with D_r = ∂L_r/∂z, z the shared features; the encoder is taught by Σ_r w_r D_r.

    The encoder is walked once however many tasks there are. The weights are those that settle the conflict between
    the gradients at the features, not at the parameters: an upper bound of it (Sener, Koltun, NeurIPS 2018, call it
    MGDA-UB), so the update differs from that of the exact engines.

    Args:
        losses: R scalars; their graph is used up.
        tasks: How many of them, the first ones, are tasks'. Auxiliary losses behind these, which are to have weight 1,
            may reach shared parameters past the features, as a penalty on weights does.
        calls: The features, of each call of the encoder.
        shared: What lies below the features.
        own: All else that is trained; their `.grad` gets the gradient of the sum of the losses.

    Attributes:
        gramian: [R, R], float64, of this process's samples; those of several processes add up.

    Raises:
        UmbelError: Tasks reach a shared parameter past the features, or there are no features. While writing: a
            checkpoint hides parameters.
    """

    def __init__(
        self,
        losses: Sequence[Tensor],
        tasks: int,
        calls: Sequence[Sequence[Feature]],
        shared: Sequence[nn.Parameter],
        own: Sequence[nn.Parameter],
    ) -> None:
        check_border(losses[:tasks], calls, shared)
        self._calls, self._shared, self._own = calls, shared, own
        self._features = [feature for call in calls for feature in call]
        self._rows: dict[Feature, Tensor] = {}
        self._past: list[tuple[nn.Parameter, Tensor | None]] = []
        for number, loss in enumerate(losses):
            if loss.requires_grad:
                past = [] if number < tasks else list(Graph([loss], shared).leaves.values())
                self._walk(number, loss, len(losses), past)
        self.gramian = torch.zeros(len(losses), len(losses), dtype=torch.float64, device=losses[0].device)
        for rows in self._rows.values():
            self.gramian += gramian(rows)

    def _walk(self, number: int, loss: Tensor, count: int, past: Sequence[nn.Parameter]) -> None:
        places = [feature.leaf for feature in self._features]
        keep = number + 1 < count or bool(past)  # it may have walked through the encoder, which is still to be taught
        gradients = gradients_at([loss], [*places, *self._own, *past], None, keep)
        for feature in self._features:
            if (gradient := gradients.pop(0)) is not None:
                if feature not in self._rows:
                    self._rows[feature] = gradient.new_zeros(count, gradient.numel())
                self._rows[feature][number] = gradient.reshape(-1)
        for parameter in self._own:
            add_gradient(parameter, gradients.pop(0))
        self._past += zip(past, gradients, strict=True)

    def write(self, weights: Tensor) -> None:
        """Set the shared parameters' `.grad`; own parameters below the features are taught, too, by the plain sum."""
        self._descend(torch.ones_like(weights), self._own, keep=True)
        for parameter in self._shared:
            parameter.grad = None
        self._descend(weights, self._shared, keep=False)
        for parameter, gradient in self._past:
            add_gradient(parameter, gradient)
        if any(parameter.grad is None for parameter in self._shared):
            refuse_hidden(Graph([feature.output for feature in self._features], self._shared))

    def _descend(self, weights: Tensor, parameters: Sequence[nn.Parameter], keep: bool) -> None:
        """One walk for each call, the last one first: it may have been given features of an earlier one."""
        sums = {feature: _weighted(rows, weights, feature.leaf) for feature, rows in self._rows.items()}
        for number, call in reversed(list(enumerate(self._calls))):
            tops = [feature for feature in call if feature in sums]
            before = [feature for earlier in self._calls[:number] for feature in earlier]
            places = [*parameters, *(feature.leaf for feature in before)]
            if not tops or not places:
                continue
            outputs, values = [feature.output for feature in tops], [sums[feature] for feature in tops]
            gradients = gradients_at(outputs, places, values, keep=keep or number > 0)
            for parameter, gradient in zip(parameters, gradients, strict=False):
                add_gradient(parameter, gradient)
            for feature, gradient in zip(before, gradients[len(parameters) :], strict=True):
                if gradient is not None:
                    sums[feature] = sums[feature] + gradient if feature in sums else gradient


def _weighted(rows: Tensor, weights: Tensor, like: Tensor) -> Tensor:
    precise = torch.promote_types(rows.dtype, torch.float32)
    total = (weights.to(rows.device, precise) @ rows.to(precise)).view(like.shape)
    return torch.empty_like(like, requires_grad=False).copy_(total)


def check_border(losses: Sequence[Tensor], calls: Sequence[Sequence[Feature]], shared: Sequence[nn.Parameter]) -> None:
    """Refuse tasks whose losses reach a shared parameter on a way that does not lead through the features.

    Raises:
        UmbelError: They do, or there are no features at all.
    """
    if not calls:
        raise UmbelError(
            "engine 'features': the encoder was not called, or its output depends on nothing trained; use engine='auto'"
        )
    if Graph([loss for loss in losses if loss.requires_grad], shared).leaves:
        raise UmbelError(
            "engine 'features': the tasks reach a shared parameter past the encoder's output, which this engine "
            "would not teach rightly; use engine='auto'"
        )
