"""Which engine computes the weights of a step: what is wanted, what the aggregator needs, what the batch allows."""

import logging
from collections.abc import Mapping
from typing import Literal, get_args

from umbel.arguments import one_of
from umbel.core import Batch, Runtime, UmbelError
from umbel.descent.aggregation import Aggregation
from umbel.descent.gramian.loads import Layout
from umbel.descent.gramian.plan import Plan

_log = logging.getLogger(__name__)

Engine = Literal["auto", "rows", "ghost", "sketched", "features"]
ENGINES: tuple[str, ...] = get_args(Engine)

Kind = tuple[tuple[int, ...], ...]
"""The shapes of a batch's inputs."""


class EngineChoice:
    """Chooses for every step, and says in the log, once, what it chose and why.

    Args:
        aggregation: What weighs the gradients.
        wanted: One of `ENGINES`.

    Raises:
        UmbelError: No such engine, or one that cannot serve this aggregator.
    """

    def __init__(self, aggregation: Aggregation, wanted: str) -> None:
        one_of(wanted, "engine of a descent", ENGINES)
        if aggregation.needs_rows and wanted not in ("auto", "rows"):
            raise UmbelError(
                f"{aggregation.name} needs every task's gradient itself, not their products alone; use engine='rows', "
                f"not {wanted!r}"
            )
        self._aggregation, self._wanted = aggregation, wanted
        self._only_rows: set[Kind] = set()  # batches for which the mixture turned out to be rows alone
        self._layouts: dict[Kind, Layout] = {}  # of batches' graphs; see `Ghost`
        self._said: set[str] = set()

    def engine(self, batch: Batch, runtime: Runtime) -> str:
        """One of "rows", "ghost", "sketched", "features", or "weighted" where no gradient decides about the weights.

        Args:
            batch: This process's part of the batch.
            runtime: Processes and pieces.

        Raises:
            UmbelError: The engine cannot work on pieces of a batch, and no other gives the same update.
        """
        if self._wanted == "features":
            if runtime.accumulate > 1:
                raise UmbelError("engine 'features' needs the whole batch at once; use accumulate=1, or engine='auto'")
            return "features"
        if self._wanted == "rows" or self._aggregation.needs_rows:
            return "rows"
        if runtime.accumulate > 1:
            return self._say("rows", "the batch comes in pieces, whose rows add up")
        return self._by_gramian(batch, runtime)

    def _by_gramian(self, batch: Batch, runtime: Runtime) -> str:
        if self._wanted == "auto" and not self._aggregation.needs_gramian:
            return self._say("weighted", f"the weights of {self._aggregation.name} do not depend on gradients")
        if self._wanted == "sketched":
            return "sketched"
        if runtime.world_size > 1:
            return self._say("rows", "rows of several processes add up, products of deltas do not")
        return "rows" if _kind(batch) in self._only_rows else "ghost"

    def layout(self, batch: Batch) -> Layout | None:
        """How the graph of such a batch is cut, if that is known."""
        return self._layouts.get(_kind(batch))

    def learn(self, batch: Batch, plan: Plan) -> None:
        """Note what the mixture of a batch was: if it was rows alone, the next such batch takes rows at once."""
        self._layouts[_kind(batch)] = plan.layout
        if plan.only_rows:
            self._only_rows.add(_kind(batch))
            self._say("rows", f"for no layer are products of deltas less work, and the rows are kept{_held(plan)}")
            return
        text = f"{plan.with_deltas} of {plan.settled} shared parameters give deltas, the others rows"
        again = f"; one more walk teaches {plan.taught_again}" if plan.taught_again else ", which are kept"
        self._say("ghost", f"{text}{again}{_held(plan)}")

    def _say(self, engine: str, why: str) -> str:
        if f"{engine}: {why}" not in self._said:
            self._said.add(f"{engine}: {why}")
            _log.info("%s: engine %s: %s", self._aggregation.name, engine, why)
        return engine


def _held(plan: Plan) -> str:
    """What it would take to keep everything, beside what it may; nothing where that was not looked at."""
    needs, room = (f"{count / 1e6:,.0f} MB" for count in (plan.layout.needs, plan.layout.room))
    if not plan.layout.needs:
        return ""
    if plan.layout.needs <= plan.layout.room:
        return f" ({needs}; they may take {room})"
    if plan.taught_again:
        return f" (to keep all would take {needs}; they may take {room})"
    return f" ({needs}; they may take {room}, but one more walk would take long beside those of the tasks)"


def _kind(batch: Batch) -> Kind:
    """Batches of one kind make graphs of one kind, nearly; rows are exact for any."""
    inputs = batch.inputs if isinstance(batch.inputs, Mapping) else {"": batch.inputs}
    return tuple(tuple(tensor.shape) for tensor in inputs.values())
