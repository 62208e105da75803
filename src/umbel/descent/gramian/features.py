"""The Gramian at the shared features: one backward pass through the encoder, and another update."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.utils.hooks import RemovableHandle

from umbel.core import UmbelError
from umbel.descent.graph import Graph, edge_of
from umbel.descent.walk import teach


class FeatureTape:
    """Notes where the encoder's outputs are in autograd's graph, while it is open.

    Args:
        encoder: Its outputs: tensors, or lists and mappings of them. None for nothing to watch.
    """

    def __init__(self, encoder: nn.Module | None) -> None:
        self._encoder = encoder
        self._handle: RemovableHandle | None = None
        self.edges: list[GradientEdge] = []

    def __enter__(self) -> "FeatureTape":
        if self._encoder is not None:
            self._handle = self._encoder.register_forward_hook(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.remove()

    def _note(self, _module: nn.Module, _inputs: tuple, output: object) -> None:
        known = {(edge.node, edge.output_nr) for edge in self.edges}
        for tensor in _tensors(output):
            edge = edge_of(tensor) if tensor.requires_grad else None
            if edge is not None and (edge.node, edge.output_nr) not in known:
                self.edges.append(edge)


def _tensors(output: object) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for part in output.values():
            yield from _tensors(part)
    elif isinstance(output, list | tuple):
        for part in output:
            yield from _tensors(part)


class FeaturesPass:
    """G_z = D Dᵀ with D_t = ∂L_t/∂z, z the shared features; the encoder is taught by Σ_t w_t D_t.

    The encoder is walked once however many tasks there are. The weights are those that settle the conflict between
    the gradients at the features, not at the parameters: an upper bound of it (Sener, Koltun, NeurIPS 2018, call it
    MGDA-UB), so that the update is another than that of the exact engines.

    Args:
        losses: T scalars; their graph is used up.
        edges: Where the features' gradients arrive; none above another.
        shared: What lies below the features.
        own: All else that is trained; their `.grad` gets the gradient of the sum of the losses.

    Attributes:
        gramian: [T, T], float64, of this process's samples; those of several processes add up.

    Raises:
        UmbelError: Losses reach a shared parameter past the features, or there are no features.
    """

    def __init__(
        self,
        losses: Sequence[Tensor],
        edges: Sequence[GradientEdge],
        shared: Sequence[nn.Parameter],
        own: Sequence[nn.Parameter],
    ) -> None:
        check_border(losses, edges, shared)
        self._edges, self._shared = edges, shared
        self._rows: list[list[Tensor | None]] = []
        for loss in losses:
            self._rows.append(self._walk(loss, edges, own))
        self.gramian = self._product()

    @staticmethod
    def _walk(loss: Tensor, edges: Sequence[GradientEdge], own: Sequence[nn.Parameter]) -> list[Tensor | None]:
        if not loss.requires_grad:
            return [None] * len(edges)
        found = torch.autograd.grad(loss, [*edges, *own], retain_graph=True, allow_unused=True)
        for parameter, gradient in zip(own, found[len(edges) :], strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return list(found[: len(edges)])

    def _product(self) -> Tensor:
        product = torch.zeros(len(self._rows), len(self._rows), dtype=torch.float64)
        for place in range(len(self._edges)):
            column = [row[place] for row in self._rows]
            like = next((g for g in column if g is not None), None)
            if like is not None:
                rows = torch.stack([torch.zeros_like(like) if g is None else g for g in column]).flatten(1)
                rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
                product = product.to(rows.device) + (rows @ rows.T).double()
        return product

    def write(self, weights: Tensor) -> None:
        """Teach the shared parameters."""
        sums = []
        for place in range(len(self._edges)):
            parts = [(row[place], w) for row, w in zip(self._rows, weights, strict=True) if row[place] is not None]
            sums.append(sum(g * w.to(g) for g, w in parts) if parts else None)
        teach(self._edges, sums, self._shared, keep=False)


def check_border(losses: Sequence[Tensor], edges: Sequence[GradientEdge], shared: Sequence[nn.Parameter]) -> None:
    """Refuse losses that reach a shared parameter on a way that does not lead through the features.

    Raises:
        UmbelError: They do, or there is no such place at all.
    """
    if not edges:
        raise UmbelError(
            "engine 'features': the encoder was not called, or its output depends on nothing trained; use engine='auto'"
        )
    graph = Graph([loss for loss in losses if loss.requires_grad], shared)
    border = {(edge.node, edge.output_nr) for edge in edges}
    pending = [node for node, number in graph.tops if (node, number) not in border]
    seen = set(pending)
    while pending:
        node = pending.pop()
        if node in graph.leaves:
            raise UmbelError(
                "engine 'features': the tasks reach a shared parameter past the encoder's output, which this engine "
                "would not teach rightly; use engine='auto'"
            )
        more = [edge[0] for edge in graph.edges[node] if edge not in border and edge[0] not in seen]
        seen.update(more)
        pending += more
