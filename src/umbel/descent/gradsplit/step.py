"""One step of a split learner: every piece of the batch passes through the engine that was chosen."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from umbel.core import Batch, Learner, Losses, OperatingPoint, Runtime, UmbelError, shares, sum_gradients, total
from umbel.descent.gradsplit.accept import StreamPlan, stream_plan
from umbel.descent.gradsplit.choice import EngineChoice, agreed
from umbel.descent.gradsplit.cut import make_cut
from umbel.descent.gradsplit.fitness import difference, explained
from umbel.descent.gradsplit.groups import DENSE, Partition, encoder_of
from umbel.descent.gradsplit.naive import naive_pass
from umbel.descent.gradsplit.sample_mask import sample_pass
from umbel.descent.gradsplit.streams import plain_pass, stream_pass
from umbel.descent.gradsplit.tape import Call, Tape
from umbel.descent.passes import present_losses


class SplitStep:
    """What is known of one learner, and the steps that are made with it.

    Args:
        learner: What is taught.
        partition: Its split, into a group for each task.
        engine: As the user wants it.

    Attributes:
        names: Of the tasks.

    Raises:
        UmbelError: The engine cannot carry this learner, as far as can be seen without a forward pass.
    """

    def __init__(self, learner: Learner, partition: Partition, engine: str) -> None:
        self.learner, self.partition = learner, partition
        self.names = learner.task_names
        self._choice = EngineChoice(learner, partition, engine)
        self._audited: set[str] = set()
        self._plans: dict[tuple[bool, ...], StreamPlan] = {}
        self._layers: list[nn.Module] = [m for m in encoder_of(learner).modules() if isinstance(m, DENSE)]
        self._norms = [layer.norm for layer in partition.layers if layer.norm is not None]

    def __call__(self, batch: Batch, point: OperatingPoint, runtime: Runtime, accept: Bool[Tensor, "T T"]) -> Losses:
        """Write `.grad`. The arguments of a descent, and who accepts whom."""
        parameters = [p for p in self.learner.parameters() if p.requires_grad]
        engine, owner = self._choice.before(batch, accept, runtime)
        watched = {"streams": self._layers, "sample_mask": self._layers + self._norms}.get(engine, [])
        names: list[str] = []
        summed: Tensor | None = None
        common: _Common | None = None
        with explained(), Tape(watched) as tape:
            for piece, share in enumerate(shares(self.learner, batch, point, runtime)):
                losses, calls = list(share.values()), tape.take()
                stacked = share.stack()
                if summed is None or common is None:
                    names, summed = list(share), stacked.detach()
                    common = _Common(*self._plan(names, batch, accept, runtime), parameters, runtime)
                    engine = self._choice.after_forward(engine, losses, parameters)
                else:
                    summed = summed + stacked.detach()
                if engine == "naive":
                    naive_pass(losses, common.rows, self.partition, parameters)
                elif common.plan.streams == 1:
                    plain_pass(stacked, common.plan.takes[0], self.partition, parameters)
                else:
                    engine = self._pass(engine, losses, calls, owner[piece] if owner else None, common)
                tape.take()  # calls of a backward pass that computed activations anew
        assert summed is not None, "a batch has at least one piece"
        sum_gradients(parameters, runtime)
        return total(summed, names, runtime)

    def _pass(
        self,
        engine: str,
        losses: Sequence[Tensor],
        calls: Sequence[Call],
        owner: Int[Tensor, " B"] | None,
        common: "_Common",
    ) -> str:
        """Streams or masks for one piece; the engine for the next."""
        cut = make_cut(losses, calls, common.parameters, self.partition)
        if engine == "sample_mask":
            assert owner is not None, "this engine is chosen when every sample has an owner"
            engine = self._choice.masks(losses, owner, cut, common.runtime)
        wanted = self._reference(engine, losses, common)
        if engine == "sample_mask":
            assert owner is not None, "as above"
            sample_pass(losses, owner, common.rows, cut, self.partition)
        else:
            stream_pass(losses, common.plan, cut, self.partition)
        return engine if wanted is None else self._audit(engine, wanted, common)

    def _reference(self, engine: str, losses: Sequence[Tensor], common: "_Common") -> list[Tensor | None] | None:
        """The gradients of the naive engine, the first time that another is used."""
        if engine in self._audited or any(p.grad is not None for p in common.parameters):
            return None
        naive_pass(losses, common.rows, self.partition, common.parameters, keep=True)
        gradients = [p.grad for p in common.parameters]
        for parameter in common.parameters:
            parameter.grad = None
        return gradients

    def _audit(self, engine: str, wanted: list[Tensor | None], common: "_Common") -> str:
        self._audited.add(engine)
        names = {id(p): name for name, p in self.learner.named_parameters()}
        named = {names[id(p)]: (p.grad, other) for p, other in zip(common.parameters, wanted, strict=True)}
        reason = agreed(difference(named, engine), common.runtime)
        if reason is None:
            return engine
        for parameter, gradient in zip(common.parameters, wanted, strict=True):
            parameter.grad = gradient
        return self._choice.naive(reason)

    def _plan(
        self, names: Sequence[str], batch: Batch, accept: Bool[Tensor, "T T"], runtime: Runtime
    ) -> tuple[Bool[Tensor, "L T"], StreamPlan]:
        """Which group accepts which loss, and the streams; an auxiliary loss is accepted by all."""
        if tuple(names[: len(self.names)]) != self.names:
            raise UmbelError(
                f"gradsplit splits for the tasks {', '.join(self.names)}, but the learner's losses begin with "
                f"{', '.join(names[: len(self.names)])}; return one loss for each task, in the order of the tasks"
            )
        rows = torch.cat([accept, accept.new_ones(len(names) - len(accept), accept.shape[1])])
        if bool(rows.all()):
            return rows, stream_plan(rows)
        present = present_losses(self.learner, batch, names, runtime).cpu()
        key = (*rows.flatten().tolist(), *present.tolist())
        if key not in self._plans:
            self._plans[key] = stream_plan(rows, present)
        return rows, self._plans[key]


@dataclass(frozen=True)
class _Common:
    """What all pieces of a step share."""

    rows: Bool[Tensor, "L T"]
    plan: StreamPlan
    parameters: Sequence[nn.Parameter]
    runtime: Runtime
