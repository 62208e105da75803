"""One transmitter, several receivers: each has a task and a channel of its own, all hear the same few channel uses.

Source: Sagduyu, Erpek, Yener, Ulukus, "Multi-receiver task-oriented communications via multi-task deep learning", 2023,
arXiv 2308.06884.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from umbel.channels import Channel
from umbel.core import Task, UmbelError, unknown
from umbel.transmission import Goal, SnrRange, Stage, StagedLearner, StagedModel, build_transmission


def multi_receiver(
    input_shape: Sequence[int],
    receivers: Mapping[str, Sequence[Task]],
    uses: int,
    channels: Channel | Mapping[str, Channel],
    weights: Mapping[str, float] | None = None,
    snr_db: SnrRange | Mapping[str, SnrRange] = (0.0, 10.0),
    encoder: str | None = None,
    *,
    seed: int = 0,
    **options: Any,
) -> StagedLearner:
    """A broadcast: one encoder, one latent of `uses` channel uses, a decoder and heads for each receiver.

        z = normalised E(x),   y_i = channel_i(z; SNR_i),   p_i = D_i(y_i)
        J = sum over receivers i of  w_i · loss_i(p_i, t_i),   sum of w_i = 1

    The weight of a receiver with several tasks is shared out evenly among them. Predictions are called
    "receiver/task@1". The operating point's `snr_db` is one number for all or a mapping from receivers to numbers.

    Differs from the paper (only its abstract was at hand): layer sizes are ours, decoders are told their SNR, one
    network serves a range of SNRs, and a task may be of any kind that has a loss.

    Args:
        input_shape: Of one sample.
        receivers: Name of each receiver -> its tasks.
        uses: Channel uses of the one transmission.
        channels: One channel, or one for each receiver by name; every receiver has noise and fading of its own.
        weights: w_i by the receivers' names; None is the same for all.
        snr_db: Lowest and highest SNR in training, for all receivers or for each by name.
        encoder: One of `umbel.nn.ENCODERS`; None takes one that suits the inputs.
        seed: Of the random start.
        **options: For the encoder, or `build_transmission`.

    Raises:
        UmbelError: No receiver, one without a task, weights of other receivers or that do not add up to 1, no use.
    """
    if not receivers:
        raise UmbelError("multi_receiver: no receiver; give at least one with its tasks")
    for name, tasks in receivers.items():
        if not tasks:
            raise UmbelError(f"multi_receiver: receiver {name!r} has no task; give it at least one")
    shares = _checked(weights, list(receivers))
    goals = [
        Goal(task, receiver=name, weight=shares[name] / len(tasks))
        for name, tasks in receivers.items()
        for task in tasks
    ]
    model = build_transmission(input_shape, [Stage(uses)], goals, channels, encoder, seed=seed, **options)
    return StagedLearner(model, snr_db)


def _checked(weights: Mapping[str, float] | None, receivers: list[str]) -> dict[str, float]:
    if weights is None:
        return dict.fromkeys(receivers, 1 / len(receivers))
    for name in weights:
        if name not in receivers:
            raise unknown("receiver of a weight", name, receivers)
    for name in receivers:
        if name not in weights:
            raise UmbelError(f"multi_receiver: receiver {name!r} has no weight; give one for each, or none at all")
        if not 0 <= weights[name] < math.inf:
            raise UmbelError(f"multi_receiver: the weight of {name!r} is {weights[name]}; give numbers from 0 to 1")
    if not math.isclose(sum(weights.values()), 1, abs_tol=1e-6):
        raise UmbelError(f"multi_receiver: the weights add up to {sum(weights.values()):g}; they must add up to 1")
    return dict(weights)


class ReusedTransmitter(StagedLearner):
    """Receivers that learn to read a transmission that was made for others: only decoders and heads are trained.

    Encoder and codes are copies of another network's, frozen, with the statistics of their norms as they were.

    Args:
        model: Its receivers are trained; its encoder and codes are overwritten.
        snr_db: As in `StagedLearner`.
        transmitter: A trained model with the same encoder and stages.

    Raises:
        UmbelError: The transmitter is of another shape.
    """

    def __init__(self, model: StagedModel, snr_db: SnrRange | Mapping[str, SnrRange], transmitter: StagedModel) -> None:
        super().__init__(model, snr_db)
        if model.stages != transmitter.stages:
            raise UmbelError(f"the transmitter sends {transmitter.stages}, these receivers expect {model.stages}")
        for own, other in ((model.encoder, transmitter.encoder), (model.codes, transmitter.codes)):
            try:
                own.load_state_dict(other.state_dict())
            except RuntimeError as error:
                raise UmbelError("the transmitter to be reused has another encoder; build both alike") from error
            own.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training mode for the receivers; the transmitter stays in evaluation mode."""
        super().train(mode)
        self.model.encoder.eval()
        self.model.codes.eval()
        return self
