"""Trained networks measured over SNRs, as runs of a results file."""

from collections.abc import Callable, Mapping, Sequence

from umbel.core import Learner, OperatingPoint
from umbel.data import Source
from umbel.engine import evaluate
from umbel.engine.runtime import FabricRuntime
from umbel.recipes.study import Outcome, Study
from umbel.report import Run
from umbel.transmission import Goal

Metrics = dict[str, dict[str, float]]
"""Goal's name -> metric -> value."""
Place = Callable[[Goal], tuple[str, Mapping[str, object]] | None]
"""Goal -> (name of the task in the results, further values of the operating point); None leaves it out."""


def over_snr(
    study: Study,
    key: str,
    learner: Learner,
    source: Source,
    runtime: FabricRuntime,
    snrs_db: Sequence[float],
    draws: int,
    name: str = "test",
    **point: object,
) -> list[tuple[float, Metrics]]:
    """A trained network's metrics at each SNR (the same for all receivers), remembered for a resumed study.

    Args:
        study: It keeps what was measured.
        key: Of the network.
        learner: The network, with the weights to be measured.
        source: The split.
        runtime: Device and precision.
        snrs_db: Where.
        draws: Draws of the channel for each sample.
        name: Of the measurement.
        **point: Further values of the operating point.
    """

    def measure() -> list[Metrics]:
        points = [OperatingPoint(snr_db=float(snr_db), **point) for snr_db in snrs_db]
        return [evaluate(learner, source, runtime, p, draws=draws).metrics for p in points]

    return list(zip(snrs_db, study.measured(key, name, measure), strict=True))


def runs_of(
    method: str,
    seed: int,
    outcome: Outcome,
    measured: Sequence[tuple[float, Metrics]],
    goals: Sequence[Goal],
    place: Place,
    **point: object,
) -> list[Run]:
    """Runs from metrics over SNRs: goals that `place` puts at the same point become the tasks of one run.

    Args:
        method: Key of the arm.
        seed: Of the repetition.
        outcome: Of the training.
        measured: What `over_snr` gave.
        goals: Of the network.
        place: See `Place`.
        **point: Values of the operating point that all these runs share (the channel, say).
    """
    runs = []
    for snr_db, metrics in measured:
        by_point: dict[tuple, tuple[dict, Metrics]] = {}
        for goal in goals:
            if (placed := place(goal)) is None:
                continue
            task, further = placed
            values = {**point, **further, "snr_db": snr_db}
            by_point.setdefault(tuple(values.items()), (values, {}))[1][task] = metrics[goal.name]
        for values, found in by_point.values():
            chosen = {"steps": outcome.steps, "seconds": outcome.seconds, "best_step": outcome.best_step}
            runs.append(Run(method, seed, found, values, **chosen))
    return runs
