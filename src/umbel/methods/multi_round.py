"""Communications in rounds: the transmitter adds channel uses until the receiver is sure.

Source: Sagduyu, Erpek, Yener, Ulukus, "Low-latency task-oriented communications with multi-round, multi-task deep
learning", 2024, arXiv 2411.10385.
"""

from collections.abc import Sequence
from typing import Any

import torch

from umbel.channels import Channel
from umbel.core import Task, UmbelError
from umbel.transmission import Coherence, Combine, Goal, SnrRange, Stage, StagedLearner, build_transmission


def multi_round(
    input_shape: Sequence[int],
    task: Task,
    uses: Sequence[int],
    channel: Channel,
    snr_db: SnrRange = (0.0, 10.0),
    encoder: str | None = None,
    *,
    seed: int = 0,
    weights: Sequence[float] | None = None,
    combine: Combine = "concatenate",
    coherence: Coherence = "stage",
    **options: Any,
) -> StagedLearner:
    """A classifier over a channel that is used in rounds; the decoder of round r reads the rounds 1 to r.

        a = T(x),   z_r = normalised E_r(a),   y_r = channel(z_r),   p_r = D_r(y_1, ..., y_r)
        J = sum over r of  w_r · cross entropy(p_r, label)

    All rounds are trained at once; each round's prediction is a task of its own ("digit@2" after the second), so
    any descent settles what the rounds want of the encoder. When to stop is not part of the network: see
    `umbel.transmission.confidence_of` and `stop_round`.

    Differs from the paper (only its abstract was at hand): layer sizes are ours, decoders are told their SNR, and
    one network serves a range of SNRs.

    Args:
        input_shape: Of one sample.
        task: A classification.
        uses: New channel uses of each round, for example [4, 8].
        channel: Between transmitter and receiver.
        snr_db: Lowest and highest SNR in training.
        encoder: One of `umbel.nn.ENCODERS`; None takes one that suits the inputs.
        seed: Of the random start.
        weights: Of the rounds' losses; None is 1 for each.
        combine: "latest" makes decoders that forget earlier rounds; "maximum-ratio" repeats the first latent.
        coherence: "stage": every round has a fade of its own; "picture": all rounds of a sample share it.
        **options: For the encoder, or `build_transmission`.

    Raises:
        UmbelError: Fewer than two rounds, a task that is no classification, weights that do not fit.
    """
    if len(uses) < 2:
        raise UmbelError(f"multi_round: {len(uses)} round(s) of {list(uses)} channel uses; give at least two")
    check_classification(task)
    weights = [1.0] * len(uses) if weights is None else list(weights)
    if len(weights) != len(uses):
        raise UmbelError(f"multi_round: {len(weights)} weights for {len(uses)} rounds; give one for each")
    goals = [Goal(task, stage, weight=weight) for stage, weight in enumerate(weights, start=1)]
    stages = [Stage(count) for count in uses]
    model = build_transmission(
        input_shape, stages, goals, channel, encoder, seed=seed, combine=combine, coherence=coherence, **options
    )
    return StagedLearner(model, snr_db)


def check_classification(task: Task) -> None:
    """Refuse a task whose decoded prediction is not one probability for each class: it has no confidence.

    Raises:
        UmbelError: It is none.
    """
    if task.output == "vector" and task.outputs > 1:
        tried = torch.linspace(-1.0, 2.0, task.outputs).unsqueeze(0)
        decoded = task.decode(tried)
        if decoded.shape == tried.shape and bool((decoded >= 0).all()) and abs(float(decoded.sum()) - 1) < 1e-3:
            return
    raise UmbelError(f"task {task.name!r} ({task.kind}) is no classification; only those have a confidence to stop at")
