"""An unbiased estimate of the Gramian from random directions, and the exact weighted sum for the weights it gives."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from umbel.core import write
from umbel.descent.gramian.exact import weighted_walk
from umbel.descent.gramian.recorders import Sketch
from umbel.descent.gramian.segments import Segment
from umbel.descent.gramian.sites import Site, find_sites
from umbel.descent.gramian.task_walks import TaskWalks, fronts_of
from umbel.descent.graph import Graph

_WORTH = 2  # a weight with fewer than so many inputs for each direction gives its gradient itself


class SketchedPass:
    """Rows R [T, Q] of which E[R Rᵀ] = G = J Jᵀ; afterwards exactly Σ_t w_t g_t.

        S_t = Δ_tᵀ (A Ωᵀ)/√R,   Ω [R, K] of random signs:   E[<S_i, S_j>] = <g_i, g_j>,   error ~ 1/√R

    for every convolution and matrix product; all other parameters (norms, biases, narrow layers) give their gradient
    itself. A Ωᵀ is the layer's own forward pass with R output channels, computed once. In passes of an ordinary step:
    1 + T + 2 instead of 1 + 2T, and no more memory than a plain step but for R.

    Rows are linear in the losses, so those of several processes may be added up, if all draw the same directions.

    Args:
        losses: T scalars; their graph is used up.
        graph: Theirs.
        shared: P elements.
        own: All else that is trained; their `.grad` gets the gradient of the sum of the losses.
        directions: R.
        generator: Of the processor; draws the directions.

    Attributes:
        rows: [T, Q], at least float32.
    """

    def __init__(
        self,
        losses: Sequence[Tensor],
        graph: Graph,
        shared: Sequence[nn.Parameter],
        own: Sequence[nn.Parameter],
        directions: int,
        generator: torch.Generator,
    ) -> None:
        self._losses, self._shared = losses, shared
        sites = find_sites(graph)
        sketched = {id(p): sites[id(p)] for p in shared if id(p) in sites and _pays(sites[id(p)], directions)}
        asked = [p for p in shared if id(p) not in sketched]
        widths = [site.outputs * directions for site in sketched.values()]
        exact = sum(p.numel() for p in asked)
        precision = torch.promote_types(shared[0].dtype, torch.float32)
        self.rows = shared[0].new_zeros(len(losses), exact + sum(widths), dtype=precision)
        recorders, begin = [], exact
        self._sketches, self._reached = len(sketched), {id(p) for p in graph.leaves.values()}
        for site, width in zip(sketched.values(), widths, strict=True):
            signs = random_signs(directions, site.inputs, generator)
            part = self.rows[:, begin : begin + width]
            recorders.append(Sketch(site, signs.to(part.device), part))
            begin += width
        walks = TaskWalks(graph, Segment(None), recorders, asked, graph.reach(losses, own), self.rows, free=False)
        walks.run(fronts_of(losses))

    def write(self, weights: Tensor) -> None:
        """Set the shared parameters' `.grad` to Σ_t w_t g_t: by one walk, or from the rows where all gave theirs."""
        for parameter in self._shared:
            parameter.grad = None
        if not self._sketches:
            write((weights.to(self.rows) @ self.rows).to(self._shared[0].dtype), self._shared)
            for parameter in self._shared:
                parameter.grad = parameter.grad if id(parameter) in self._reached else None
            return
        weighted_walk(self._losses, weights, self._shared, keep=False)


def random_signs(directions: int, inputs: int, generator: torch.Generator) -> Tensor:
    """±1 with equal chance, float32 [R, K]."""
    return torch.randint(0, 2, (directions, inputs), generator=generator).float().mul_(2).sub_(1)


def _pays(site: Site, directions: int) -> bool:
    return site.inputs >= _WORTH * directions
