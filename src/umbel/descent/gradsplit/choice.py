"""Which engine computes a step: what the user wants, what the model allows, what the batch allows."""

import logging
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from umbel.core import Batch, Learner, Runtime, UmbelError
from umbel.descent.gradsplit.cut import Cut
from umbel.descent.gradsplit.fitness import check_repeatable, compiled_part, reentrant_part
from umbel.descent.gradsplit.groups import Partition
from umbel.descent.gradsplit.sample_mask import batch_norms, form_refusal, mixing, mixing_refusal, owners

_log = logging.getLogger(__name__)


class EngineChoice:
    """Chooses for every step.

    What speaks against an engine is found before training where that can be, else in the first step, before anything is
    learnt. It is an error if the user asked for that engine, a line in the log if not.

    Args:
        learner: What is taught.
        partition: Its split.
        engine: As the user wants it.

    Raises:
        UmbelError: The engine cannot carry this learner, as far as can be seen without a forward pass.
    """

    def __init__(self, learner: Learner, partition: Partition, engine: str) -> None:
        self._learner, self._partition, self._wanted = learner, partition, engine
        self._norms = batch_norms(learner, partition)
        self._no_mask: str | None = None  # why sample_mask is out, once a batch has shown it
        self._only_naive = compiled_part(learner, partition)  # why streams is out as well
        self._mask_checked = self._model_checked = False
        self._said: set[tuple[str, str]] = set()
        if engine == "sample_mask" and (reason := mixing(self._norms)):
            raise _cannot(engine, reason, "streams")
        self._refused_if(("streams", "sample_mask"), self._only_naive)

    def before(
        self, batch: Batch, accept: Bool[Tensor, "T T"], runtime: Runtime
    ) -> tuple[str, list[Int[Tensor, " B"]]]:
        """The engine, and for sample_mask the task of every sample of every piece. All processes give the same engine.

        "plain" stands for one ordinary backward pass.
        """
        if self._wanted == "naive":
            return "naive", []
        if bool(accept.all()):
            return self._say("plain", "every group accepts every task, so that one ordinary backward pass is all"), []
        if not self._model_checked:
            self._only_naive = compiled_part(self._learner, self._partition)  # compiled after it was prepared
        if self._only_naive or self._wanted == "streams":
            return self.naive(self._only_naive) if self._only_naive else "streams", []
        reason, owner = self._no_mask or mixing(self._norms), list[Tensor]()
        if reason is None:
            pieces = [owners(self._learner, piece) for piece in batch.chunks(runtime.accumulate)]
            owner = [tasks for tasks in pieces if tasks is not None]
            if len(owner) < len(pieces):
                reason = "a sample is labelled for several tasks"
        reason = agreed(reason, runtime)
        if reason is None:
            return self._say("sample_mask", "every sample is labelled for one task at most"), owner
        return self._streams(reason), []

    def after_forward(self, engine: str, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> str:
        """The engine, when the first losses have shown what the model does.

        Raises:
            UmbelError: The engine that the user wants cannot carry the model, or none can.
        """
        if self._model_checked or engine == "plain":
            return engine
        self._model_checked = True
        reason = self._only_naive or reentrant_part(losses)
        if reason is None:
            check_repeatable(losses, parameters)
            return engine
        return self.naive(reason)

    def masks(self, losses: Sequence[Tensor], owner: Int[Tensor, " B"], cut: Cut, runtime: Runtime) -> str:
        """sample_mask, or streams when the losses show that masks are not exact; what is costly only the first time.

        Raises:
            UmbelError: The user wants sample_mask.
        """
        reason = form_refusal(losses, cut, self._partition)
        if reason is None and not self._mask_checked:
            reason = mixing_refusal(losses, owner, cut, self._partition)
        self._mask_checked = True
        self._no_mask = agreed(self._no_mask or reason, runtime)
        return "sample_mask" if self._no_mask is None else self._streams(self._no_mask)

    def naive(self, reason: str) -> str:
        """From now on the naive engine, for this reason.

        Raises:
            UmbelError: The user wants another.
        """
        self._only_naive = reason
        self._refused_if(("streams", "sample_mask"), reason)
        return self._say("naive", reason)

    def _streams(self, reason: str) -> str:
        if self._wanted == "sample_mask":
            raise _cannot("sample_mask", reason, "streams")
        return self._say("streams", f"sample_mask would not be exact: {reason}")

    def _refused_if(self, engines: tuple[str, ...], reason: str | None) -> None:
        if reason and self._wanted in engines:
            raise _cannot(self._wanted, reason, "naive")

    def _say(self, engine: str, why: str) -> str:
        """Write to the log, once, what "auto" has chosen."""
        if self._wanted == "auto" and (engine, why) not in self._said:
            self._said.add((engine, why))
            _log.info("gradsplit: engine %s: %s", engine, why)
        return engine


def agreed(reason: str | None, runtime: Runtime) -> str | None:
    """The reason of this process, or that another has one; all processes must call."""
    count = runtime.sum(torch.tensor([reason is not None], dtype=torch.float32, device=runtime.device))
    return (reason or "another process says so") if bool(count) else None


def _cannot(engine: str, reason: str, other: str) -> UmbelError:
    return UmbelError(f"gradsplit: engine {engine!r} cannot be used: {reason}; use engine={other!r}")
