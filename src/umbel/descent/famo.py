"""FAMO: all losses fall at the same relative rate, at the price of one more forward pass."""

import torch
from torch import Tensor

from umbel.arguments import real_number
from umbel.core import UmbelError
from umbel.descent.weightings import TaskWeighting, log_losses


class FAMO(TaskWeighting):
    """Fast adaptive multitask optimization.

        step:        w_t = c z_t / (L_t + ε),   z = softmax(ξ),   c = 1 / Σ_t z_t / (L_t + ε)
        afterwards:  δ_t = log(L_t before + ε) - log(L_t after + ε), both on the same batch,
                     ξ <- Adam(ξ, dz/dξ δ): a task that fell less weighs more

    L after is measured in training mode with the noise of the first pass (dropout, channel), so that δ is the effect
    of the step alone; running statistics are put back afterwards. A task without labels in the batch drops out
    of the softmax, and its logit and moments rest.

    Args:
        learning_rate: Of the logits.
        weight_decay: The paper's γ.

    Reference: Liu, Feng, Stone, Liu, "FAMO: fast adaptive multitask optimization", NeurIPS 2023.
    Differs from the official code: same noise before and after, statistics restored, weight decay 1e-3 as in the
    paper's algorithm 2 (the code has 1e-5), and no lower bound other than 0 is subtracted from the losses.

    Raises:
        UmbelError: A loss is negative.
    """

    needs_values = True
    needs_presence = True
    looks_again = True
    logits: Tensor
    moment: Tensor
    second_moment: Tensor
    steps: Tensor
    logs_before: Tensor

    def __init__(self, learning_rate: float = 0.025, weight_decay: float = 1e-3) -> None:
        super().__init__()
        given = {"learning_rate": learning_rate, "weight_decay": weight_decay}
        learning_rate, weight_decay = (real_number(x, f"FAMO: {what}") for what, x in given.items())
        if not (learning_rate >= 0 and weight_decay >= 0):
            raise UmbelError("FAMO: learning rate and weight decay must not be negative")
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def make_state(self, count: int) -> None:
        """Logits 0; moments of Adam; the losses of the last step."""
        for name in ("logits", "moment", "second_moment", "steps", "logs_before"):
            self.register_buffer(name, torch.zeros(count))

    def _softmax(self, present: Tensor) -> Tensor:
        return torch.nan_to_num(torch.softmax(self.logits.masked_fill(~present, -torch.inf), 0), nan=0.0)

    def task_weights(self, values: Tensor | None, present: Tensor | None) -> Tensor:
        """A convex combination: the weights of the labelled tasks sum to 1."""
        assert values is not None and present is not None, "needs_values, needs_presence"
        logs = log_losses(values, present, self.tasks, "FAMO")
        self.logs_before.copy_(logs)
        weights = self._softmax(present) / torch.exp(logs)
        return weights / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)

    def after_step(self, values: Tensor, present: Tensor) -> None:
        """One step of Adam (betas 0.9 and 0.999) on the logits."""
        present = present[: len(self.tasks)]
        delta = self.logs_before - log_losses(values[: len(self.tasks)], present, self.tasks, "FAMO")
        share = self._softmax(present)
        gradient = share * (delta - (share * delta).sum()) + self.weight_decay * self.logits
        steps = self.steps + 1
        moment = 0.9 * self.moment + 0.1 * gradient
        second = 0.999 * self.second_moment + 0.001 * gradient.square()
        unbiased = (second / (1 - 0.999**steps)).sqrt() + 1e-8
        logits = self.logits - self.learning_rate * (moment / (1 - 0.9**steps)) / unbiased
        for name, new in {"logits": logits, "moment": moment, "second_moment": second, "steps": steps}.items():
            buffer = getattr(self, name)
            buffer.copy_(torch.where(present, new, buffer))
