"""The weighted sum of the losses: one backward pass, any weighting."""

from torch import Tensor

from umbel.arguments import instance
from umbel.core import (
    Batch,
    Descent,
    Learner,
    Losses,
    OperatingPoint,
    Runtime,
    shares,
    sum_gradients,
    total,
    trained_parameters,
)
from umbel.descent.passes import RandomState, losses_without_gradient, present_losses
from umbel.descent.weightings import Fixed, Weighting


class WeightedSum(Descent):
    """Descend Σ_t w_t L_t + A, with A the sum of the auxiliary losses (`Learner.is_auxiliary`).

    Weights are the same on every process and for every piece, and those that depend on losses use the losses of the
    whole batch; so several processes, or pieces, give the update of one. A loss-dependent weighting with
    `accumulate` > 1 first runs the batch once without gradients (the same noise, no trace in running statistics).

    Args:
        weighting: How the weights are chosen; equal weights of 1 by default.
    """

    def __init__(self, weighting: Weighting | None = None) -> None:
        super().__init__()
        if weighting is not None:
            instance(weighting, Weighting, "the weighting of a sum of losses", "a Weighting, as Fixed({...})")
        self.weighting = weighting if weighting is not None else Fixed()
        self._random: RandomState | None = None

    def prepare(self, learner: Learner) -> None:
        """Make the weighting's state, where the learner is."""
        self.weighting.prepare(learner.task_names)
        for parameter in learner.parameters():
            self.weighting.to(parameter.device)
            break

    def forward(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> Losses:
        """One backward pass for each piece."""
        weighting = self.weighting
        if weighting.looks_again:
            self._random = RandomState(runtime.device)
        early = weighting.needs_values and runtime.accumulate > 1
        values = losses_without_gradient(learner, batch, point, runtime).stack() if early else None
        names: list[str] = []
        summed: Tensor | None = None
        weights: Tensor | None = None
        present: Tensor | None = None
        for share in shares(learner, batch, point, runtime):
            stacked = share.stack()
            detached = stacked.detach()
            if summed is None:
                names = list(share)
                present = present_losses(learner, batch, names, runtime) if weighting.needs_presence else None
                if weighting.needs_values and values is None:
                    values = runtime.sum(detached.clone())
                weights = weighting(names, values, present)
                summed = detached
            else:
                summed = summed + detached
            objective = (stacked if weights is None else weights.to(stacked) * stacked).sum()
            if objective.requires_grad:
                objective.backward()
        assert summed is not None, "a batch has at least one piece"
        sum_gradients(trained_parameters(learner), runtime)
        losses = total(summed, names, runtime)
        weighting.learn(losses.stack(), present)
        return losses

    def after_step(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> None:
        """The second look at the batch, for a weighting that wants one."""
        if not self.weighting.looks_again:
            return
        losses = losses_without_gradient(learner, batch, point, runtime, self._random)
        self.weighting.after_step(losses.stack(), present_losses(learner, batch, list(losses), runtime))

    def after_epoch(self) -> None:
        """Tell the weighting."""
        self.weighting.after_epoch()
