"""One step of a split learner: the engine is chosen, and every piece of the batch passes through it."""

import logging
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from umbel.core import Batch, Learner, Losses, OperatingPoint, Runtime, UmbelError, shares, sum_gradients, total
from umbel.descent.gradsplit.accept import StreamPlan, stream_plan
from umbel.descent.gradsplit.cut import Cut, make_cut
from umbel.descent.gradsplit.fitness import check_repeatable, compiled_part, explained, reentrant_part
from umbel.descent.gradsplit.groups import DENSE, Partition, encoder_of
from umbel.descent.gradsplit.naive import naive_pass
from umbel.descent.gradsplit.sample_mask import batch_norms, mixing, owners, refusal, sample_pass
from umbel.descent.gradsplit.streams import plain_pass, stream_pass
from umbel.descent.gradsplit.tape import Tape
from umbel.descent.passes import present_losses

_log = logging.getLogger(__name__)


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
        self.learner, self.partition, self.engine = learner, partition, engine
        self.names = tuple(task.name for task in learner.tasks)
        self._no_mask: str | None = None  # why sample_mask is not exact, once a batch has shown it
        self._hidden = compiled_part(learner, partition)  # why neither it nor streams can see the layers
        self._mask_checked = self._model_checked = False
        self._said: set[tuple[str, str]] = set()
        self._plans: dict[tuple, StreamPlan] = {}
        self._layers = [module for module in encoder_of(learner).modules() if isinstance(module, DENSE)]
        self._norms = batch_norms(learner, partition)
        if engine == "sample_mask" and (reason := mixing(self._norms)):
            raise _cannot(engine, reason)
        if engine in ("streams", "sample_mask") and self._hidden:
            raise _cannot(engine, self._hidden)

    def __call__(self, batch: Batch, point: OperatingPoint, runtime: Runtime, accept: Bool[Tensor, "T T"]) -> Losses:
        """Write `.grad`. The arguments of a descent, and who accepts whom."""
        parameters = [p for p in self.learner.parameters() if p.requires_grad]
        engine, owner = self._choose(batch, accept, runtime)
        summed: Tensor | None = None
        with explained(), Tape(self._watched(engine)) as tape:
            for piece, share in enumerate(shares(self.learner, batch, point, runtime)):
                losses, stacked, calls = list(share.values()), share.stack(), tape.take()
                if summed is None:
                    names, summed = list(share), stacked.detach()
                    rows, plan = self._plan(names, batch, accept, runtime)
                    engine = self._check_model(engine, losses, parameters)
                else:
                    summed = summed + stacked.detach()
                if engine == "naive":
                    naive_pass(losses, rows, self.partition, parameters)
                elif plan.streams == 1:
                    plain_pass(stacked, plan.takes[0], self.partition, parameters)
                else:
                    cut = make_cut(losses, calls, parameters, self.partition)
                    if engine == "sample_mask":
                        engine = self._check_mask(losses, owner[piece], cut, runtime)
                    if engine == "sample_mask":
                        sample_pass(losses, owner[piece], rows, cut, self.partition)
                    else:
                        stream_pass(losses, plan, cut, self.partition)
                tape.take()  # calls of a backward pass that computed activations anew
        sum_gradients(parameters, runtime)
        return total(summed, names, runtime)

    # -- choosing -----------------------------------------------------------------------------------

    def _choose(
        self, batch: Batch, accept: Bool[Tensor, "T T"], runtime: Runtime
    ) -> tuple[str, list[Int[Tensor, " B"]]]:
        """The engine, and for sample_mask the task of every sample of every piece."""
        if self.engine == "naive":
            return "naive", []
        if bool(accept.all()):
            return self._say("plain", "every group accepts every task, so one ordinary backward pass is all"), []
        if not self._model_checked:
            self._hidden = compiled_part(self.learner, self.partition)  # compiled after it was prepared
        if self._hidden:
            return self._naively(), []
        if self.engine == "streams":
            return "streams", []
        reason, owner = self._no_mask or mixing(self._norms), []
        if reason is None:
            owner = [owners(self.learner, piece) for piece in batch.chunks(runtime.accumulate)]
            if any(tasks is None for tasks in owner):
                reason = "a sample is labelled for several tasks"
        reason = _agreed(reason, runtime)
        if reason is None:
            return self._say("sample_mask", "every sample is labelled for one task at most"), owner
        if self.engine == "sample_mask":
            raise _cannot("sample_mask", reason)
        return self._say("streams", f"sample_mask would not be exact: {reason}"), []

    def _watched(self, engine: str) -> list[nn.Module]:
        if engine in ("naive", "plain"):
            return []
        norms = [layer.norm for layer in self.partition.layers if layer.norm is not None]
        return self._layers + norms if engine == "sample_mask" else self._layers

    def _plan(
        self, names: Sequence[str], batch: Batch, accept: Bool[Tensor, "T T"], runtime: Runtime
    ) -> tuple[Bool[Tensor, "L T"], StreamPlan]:
        """Which group accepts which loss, and the streams; a loss that the learner adds is accepted by all."""
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

    # -- checks that need a forward pass, once --------------------------------------------------------

    def _check_model(self, engine: str, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> str:
        if self._model_checked or engine == "plain":
            return engine
        self._hidden = self._hidden or reentrant_part(losses)
        if self._hidden is None:
            check_repeatable(losses, parameters)
        self._model_checked = True
        return self._naively() if self._hidden else engine

    def _naively(self) -> str:
        if self.engine in ("streams", "sample_mask"):
            raise _cannot(self.engine, self._hidden)
        return self._say("naive", self._hidden)

    def _check_mask(self, losses: Sequence[Tensor], owner: Int[Tensor, " B"], cut: Cut, runtime: Runtime) -> str:
        if self._mask_checked:
            return "sample_mask"
        self._no_mask = _agreed(refusal(losses, owner, cut, self.partition), runtime)
        self._mask_checked = self._no_mask is None
        if self._no_mask is None:
            return "sample_mask"
        if self.engine == "sample_mask":
            raise _cannot("sample_mask", self._no_mask)
        return self._say("streams", f"sample_mask would not be exact: {self._no_mask}")

    def _say(self, engine: str, why: str) -> str:
        """Write to the log, once, what "auto" has chosen."""
        if self.engine == "auto" and (engine, why) not in self._said:
            self._said.add((engine, why))
            _log.info("gradsplit: engine %s, because %s", engine, why)
        return engine


def _agreed(reason: str | None, runtime: Runtime) -> str | None:
    """The reason of this process, or that another has one."""
    count = runtime.sum(torch.tensor([reason is not None], dtype=torch.float32, device=runtime.device))
    return (reason or "another process says so") if bool(count) else None


def _cannot(engine: str, reason: str) -> UmbelError:
    other = "naive" if "hides its layers" in reason else "streams"
    return UmbelError(f"gradsplit: engine {engine!r} cannot be used: {reason}; use engine={other!r}")
