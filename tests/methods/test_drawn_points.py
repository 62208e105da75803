"""The points that learners draw, as numbers: drawn otherwise, no kept training could be repeated.

The numbers were written down before parts of a model could ask for values of the point.
"""

from collections.abc import Callable

import pytest
import torch

from umbel import tasks
from umbel.channels import AWGN, Truncate
from umbel.core import Learner
from umbel.data import seeded
from umbel.methods.controllable import CONFIGURATIONS, controllable
from umbel.methods.multi_receiver import ReusedTransmitter, multi_receiver
from umbel.methods.multi_round import multi_round
from umbel.methods.multi_round_ablations import CutModel, PrefixLearner
from umbel.methods.multires_ablations import GreedyStage
from umbel.methods.preference_conditioned import preference_conditioned
from umbel.transmission import Goal, Stage, build_transmission

DIGIT = tasks.classification("digit", "0123456789")
KINDS = (tasks.classification("side", "ab"), tasks.regression("height", 1))
STEPS = ((0, 0), (0, 1), (3, 7))  # (seed, step) of the points below


def rounds(snr_db=(0.0, 10.0)) -> Learner:
    return multi_round((4,), DIGIT, [2, 4], AWGN(), snr_db, "mlp", width=8)


def receivers() -> Learner:
    ranges = {"near": (5.0, 15.0), "far": (-5.0, 0.0), "fixed": (3.0, 3.0)}
    return multi_receiver((4,), {name: [DIGIT] for name in ranges}, 4, AWGN(), snr_db=ranges, encoder="mlp", width=8)


def reused() -> Learner:
    return ReusedTransmitter(rounds().model, (0.0, 10.0), rounds().model)


def prefix() -> Learner:
    plain = build_transmission((4,), [Stage(8)], [Goal(DIGIT)], Truncate(AWGN()), "mlp", width=8)
    return PrefixLearner(
        CutModel(plain.encoder, list(plain.codes), plain.stages, list(plain.receivers)), (0.0, 10.0), [2, 4, 8]
    )


FIRST, SECOND, THIRD = 9.584081172943115, 8.519322872161865, 6.38998806476593
DRAWN: dict[str, tuple[Callable[[], Learner], list[dict], float]] = {
    "rounds": (rounds, [{"snr_db": FIRST}, {"snr_db": SECOND}, {"snr_db": THIRD}], 0.6935991644859314),
    "reused": (reused, [{"snr_db": FIRST}, {"snr_db": SECOND}, {"snr_db": THIRD}], 0.6935991644859314),
    "greedy": (
        lambda: GreedyStage(rounds().model, (-2.0, 7.0), 2),
        [{"snr_db": 6.625673055648804}, {"snr_db": 5.667390584945679}, {"snr_db": 3.750989258289337}],
        0.6935991644859314,
    ),
    "prefix": (
        prefix,
        [{"snr_db": FIRST, "uses": 2}, {"snr_db": SECOND, "uses": 8}, {"snr_db": THIRD, "uses": 2}],
        0.2693377733230591,
    ),
    "receivers": (
        receivers,
        [
            {"snr_db": {"near": 14.584081172943115, "far": -4.098005890846252, "fixed": 3.0}},
            {"snr_db": {"near": 13.519322872161865, "far": -3.496018648147583, "fixed": 3.0}},
            {"snr_db": {"near": 11.38998806476593, "far": -0.41919052600860596, "fixed": 3.0}},
        ],
        0.5024259686470032,
    ),
    "preferences": (
        lambda: preference_conditioned((1, 8, 8), KINDS, "conv", widths=(4, 8)),
        [
            {"preferences": {"side": 0.3025405736371681, "height": 0.6974594263628319}},
            {"preferences": {"side": 0.3964362990225277, "height": 0.6035637009774723}},
            {"preferences": {"side": 0.25032096365344714, "height": 0.7496790363465529}},
        ],
        0.2693377733230591,
    ),
}
"""Name -> (learner, its points at `STEPS`, the next number of a generator of seed 11 after five points)."""
WIDTHS = [  # of the encoder, of the heads "side" and "height"
    [(0.5, 1.0, 1.0), (0.5, 1.0, 0.25), (0.25, 0.25, 1.0), (0.25, 1.0, 1.0)],
    [(1.0, 0.25, 0.5), (1.0, 1.0, 1.0), (1.0, 0.5, 0.25), (1.0, 1.0, 1.0)],
    [(0.25, 0.5, 0.25), (0.25, 1.0, 0.25), (0.25, 1.0, 0.5), (0.25, 1.0, 0.5)],
]
"""The random configurations of a controllable network at `STEPS`."""


def next_number(learner: Learner) -> float:
    generator = torch.Generator().manual_seed(11)
    for _ in range(5):
        learner.draw_point(generator, 0.5)
    return float(torch.rand((), generator=generator))


@pytest.mark.parametrize("name", DRAWN)
def test_every_learner_draws_the_numbers_that_it_always_drew(name):
    make, expected, after = DRAWN[name]
    learner = make()
    assert [learner.draw_point(seeded(seed, step, 2), 0.3).as_dict() for seed, step in STEPS] == expected
    assert next_number(learner) == after, "as many numbers are taken as before"


def test_a_controllable_network_draws_the_configurations_that_it_always_drew():
    about = {"hidden": 16, "vector_head": "conv", "random_widths": 2, "head_draws": 2}
    learner = controllable((1, 8, 8), KINDS, "conv", grid=(0.25, 0.5, 1.0), **about)
    for (seed, step), expected in zip(STEPS, WIDTHS, strict=True):
        point = learner.draw_point(seeded(seed, step, 2), 0.3)
        assert list(point) == [CONFIGURATIONS]
        every = [(c["width"], c["head_widths"]["side"], c["head_widths"]["height"]) for c in point[CONFIGURATIONS]]
        assert every == [(1.0, 1.0, 1.0), (0.25, 0.25, 0.25), *expected]
    assert next_number(learner) == 0.49200600385665894


def test_validation_is_where_it_always_was():
    assert [point.as_dict() for point in rounds((-2.0, 7.0)).sweep()] == [{"snr_db": 2.5}]
    assert [point.as_dict() for point in receivers().sweep()] == [{"snr_db": {"near": 10.0, "far": -2.5, "fixed": 3.0}}]
    assert [point.as_dict() for point in prefix().sweep()] == [{"snr_db": 5.0, "uses": 4}]
