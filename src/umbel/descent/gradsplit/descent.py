"""GradSplit: each group of filters learns only from the tasks that it accepts."""

import logging
from collections.abc import Sequence
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from umbel.arguments import instance, one_of
from umbel.core import Batch, Descent, Learner, Losses, OperatingPoint, Runtime, UmbelError
from umbel.descent.compiled import allow_several_walks
from umbel.descent.gradsplit.accept import KINDS, accept_matrix
from umbel.descent.gradsplit.affinity import Affinity, Measured, look_ahead
from umbel.descent.gradsplit.groups import check_layers, split_layers
from umbel.descent.gradsplit.step import SplitStep

ENGINES = ("auto", "naive", "streams", "sample_mask")
"""Ways to compute the same gradients."""

_log = logging.getLogger(__name__)


class GradSplit(Descent):
    """Filters form a group for each task; a group learns only from the tasks that it accepts.

    The forward pass is that of the ordinary dense network, in training and after it. In each split layer (convolution
    or linear, with the affine parameters of the norm after it) the output channels form T contiguous groups, and

        W[l, g].grad = Σ_t accept[t, g] ∂L_t/∂W[l, g]

    What is not split (the layers before) follows the sum of all tasks, a head its own task. `accept` need not be
    symmetric: group g may profit from task t while group t suffers from task g. Auxiliary losses, which are no
    task's, are accepted by every group and have no part in what is measured.

    All engines give the same gradients, up to rounding:

    - `naive`: one backward pass for each task, then the mask.
    - `streams`: S = rank([accept, 1]) walks through the split part, without weight gradients; one weight gradient for
      each layer; one walk through the rest. At most (2 + S)/3 of an ordinary pass for a split layer. With accept="all"
      it is the ordinary pass.
    - `sample_mask`: when every sample is labelled for one task at most, as when several sets with one task each are
      mixed: one ordinary walk, and a mask on the weight gradients. No norm above a split layer may mix samples.
    - `auto`: the cheapest that is exact for the model and the batch. The log says which and why.

    No module is changed or wrapped. Works with residual nets, any stride, grouped convolutions, missing labels, pieces
    of a batch and several processes. A layer that is called twice, or has a forward pass of its own, is exact too, at
    the cost of a weight gradient for each stream. The first step of `streams` and of `sample_mask` is compared with
    `naive`, so it takes longer.

    Source: Deng, Suh, Yu, Liu, Faraki, Zeng, Chandraker, "Split to learn: gradient split for multi-task human image
    analysis", WACV 2023. Only the abstract was at hand, so details are inferred: which layers are split, that norms are
    split with them, that a refused gradient still passes through a group to the layers before it, and how conflicts are
    measured. Differs from the paper: the engines; there is no public code to compare with. A patent family exists on
    the method (US20220121953, JP 7471514); whether it concerns a use is for the user to judge.

    Args:
        accept: "own" (each group its own task), "all" (joint training), "measured" (see `Measured`, which may be given
            itself for other settings), or T x T numbers, 0 or 1: `accept[t][g]` says whether group g takes task t's
            gradient. The diagonal is 1. Tasks and groups are in the order of the learner's tasks.
        layers: Names of layers in the encoder, or of its parts for all layers in them; or the fraction of its
            convolution and linear layers, the last ones, that are split. None: the deeper half.
        engine: See above.

    Raises:
        UmbelError: An unknown engine or word. When prepared: one task only, a matrix that does not fit, a layer that
            does not exist, cannot be split or is narrower than T, a norm or a module that the engine cannot carry. In
            the first step, before anything is learnt: what only a forward pass shows.
    """

    def __init__(
        self,
        accept: str | Tensor | Sequence[Any] | Measured = "own",
        layers: float | str | Sequence[str] | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        one_of(engine, "engine of gradsplit", ENGINES)
        if isinstance(accept, str):
            one_of(accept, "accept of gradsplit", KINDS)
        instance(accept, (str, Tensor, Sequence, Measured), "accept of gradsplit", f"{', '.join(KINDS)} or a matrix")
        check_layers(layers)
        self.measured = accept if isinstance(accept, Measured) else Measured() if _is(accept, "measured") else None
        self.accept = "measured" if isinstance(accept, Measured) else accept
        self.layers = layers
        self.engine = engine
        self._step: SplitStep | None = None

    def prepare(self, learner: Learner) -> None:
        """Choose the layers, check that everything fits, make room for measurements.

        Raises:
            UmbelError: See the class.
        """
        allow_several_walks(learner)
        names = learner.task_names
        if len(names) < 2:
            raise UmbelError(f"gradsplit: the learner has one task, {names[0]!r}; there is nothing to split between")
        if self.measured is None:
            accept_matrix(self.accept, names)
        self._step = SplitStep(learner, split_layers(learner, self.layers, len(names)), self.engine)
        if self.measured is not None:
            self.measured.prepare(names, next(learner.parameters()).device)

    def forward(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> Losses:
        """One forward pass for each piece, and the backward passes of the engine."""
        if self._step is None or self._step.learner is not learner:
            self.prepare(learner)
        step = self._prepared()
        if self.measured is None:
            return step(batch, point, runtime, self.accepted())
        if self.measured.due:
            self.measured.learn(look_ahead(learner, batch, point, runtime, step.partition, self.measured.step))
        losses = step(batch, point, runtime, self.accepted())
        self.measured.steps += 1
        if int(self.measured.steps) == self.measured.warm_up:
            _log.info("gradsplit: the warm-up is over\n%s", self.describe())
        return losses

    def accepted(self) -> Bool[Tensor, "T T"]:
        """What the groups accept now, [task, group], on the processor.

        Raises:
            UmbelError: Not prepared.
        """
        return accept_matrix(self.accept, self._prepared().names) if self.measured is None else self.measured.matrix()

    def affinity(self) -> Affinity | None:
        """What was measured so far, for tables and plots; None when the matrix was given."""
        return None if self.measured is None else self.measured.affinity()

    def describe(self) -> str:
        """The split in words: layers, groups, and who accepts whom (with the measurements behind it).

        Raises:
            UmbelError: Not prepared.
        """
        names, layers, accepted = self._prepared().names, self._prepared().partition.layers, self.accepted()
        lines = [f"{len(layers)} layers are split, {layers[0].name} to {layers[-1].name}, into {len(names)} groups"]
        for group, name in enumerate(names):
            taken = [task for task, row in zip(names, accepted.tolist(), strict=True) if row[group]]
            lines.append(f"group {name} accepts {', '.join(taken)}")
        if (affinity := self.affinity()) is not None:
            lines.append(f"look-ahead gain of the group's loss in %{'' if affinity.finished else ' so far'}:")
            lines.append(affinity.table())
        return "\n".join(lines)

    def _prepared(self) -> SplitStep:
        if self._step is None:
            raise UmbelError("gradsplit: call prepare(learner) first")
        return self._step


def _is(value: object, word: str) -> bool:
    return isinstance(value, str) and value == word
