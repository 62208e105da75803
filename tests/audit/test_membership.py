"""Membership inference: on simulated scores whose AUC is known, and on trainings that learn by heart."""

import math

import pytest
import torch
from scipy import stats
from torch import nn

from umbel import tasks
from umbel.audit import (
    FALSE_ALARMS,
    Membership,
    attack_membership,
    label_confidence,
    likelihood_ratios,
    membership,
    membership_of_trainings,
)
from umbel.core import Batch, Learner, MultiTaskModel, UmbelError
from umbel.data import TensorSource
from umbel.descent import DPSGD, make_descent
from umbel.engine import FitSettings, open_runtime
from umbel.privacy import TrainingGuarantee, most_found


def simulated(shift: float, networks: int = 32, samples: int = 250, kinds: int = 1, seed: int = 0):
    """Scores N(level of the sample + shift of members, 1): levels differ far more between samples than the shift."""
    generator = torch.Generator().manual_seed(seed)
    members = torch.rand(networks, samples, generator=generator) < 0.5
    levels = 5 * torch.randn(samples, kinds, generator=generator)
    noise = torch.randn(networks, samples, kinds, generator=generator)
    return levels + shift * members[..., None] + noise, members


@pytest.mark.parametrize(("shift", "networks", "kinds"), [(1.0, 32, 1), (1.0, 64, 1), (0.6, 32, 3)])
def test_a_known_shift_has_its_known_area(shift, networks, kinds):
    attack = membership(*simulated(shift, networks, kinds=kinds))
    known = stats.norm.cdf(shift * math.sqrt(kinds / 2))
    assert known - 0.04 < attack.auc < known + 0.01  # levels that are estimated cost a little
    assert attack.auc_low < attack.auc < attack.auc_high
    at_1_percent = stats.norm.sf(stats.norm.isf(0.01) - shift * math.sqrt(kinds))
    assert 0.5 * at_1_percent < attack.found[1] < 1.2 * at_1_percent
    assert attack.rates == FALSE_ALARMS and attack.found_low[1] <= attack.found[1] <= attack.found_high[1]


@pytest.mark.parametrize("networks", [4, 8])
def test_where_nothing_leaks_the_attack_guesses(networks):
    areas = [membership(*simulated(0.0, networks, samples=150, seed=seed)).auc for seed in range(4)]
    assert sum(areas) / 4 == pytest.approx(0.5, abs=0.03)  # also with few networks: no bias from who was left out


def test_samples_without_label_or_comparison_say_nothing():
    scores, members = simulated(1.0, 8, 40)
    scores[:, 3] = torch.nan
    members[:, 5] = True
    members[0, 5] = False
    evidence = likelihood_ratios(scores, members)
    assert (evidence[:, 3] == 0).all() and (evidence[0, 5] == 0).all()
    assert torch.isfinite(evidence).all() and (evidence != 0).any(1).all()


def test_rare_false_alarms_need_enough_samples():
    few = membership(*simulated(1.0, 4, 100))
    assert math.isnan(few.found[0]) and not math.isnan(few.found[1])
    assert "too few samples to tell" in str(few)


def test_what_is_found_stands_beside_what_a_guarantee_allows():
    told = TrainingGuarantee(1.0, 1e-3, "sample", 1.0, 2.0, 0.1, 10, 200, "pld")
    attack = membership(*simulated(1.0, 16, 200)).under(told)
    assert attack.allowed == tuple(most_found(rate, 1.0, 1e-3) for rate in FALSE_ALARMS)
    assert "the guarantee allows 2.82 %" in str(attack) and str(told) in str(attack)
    with pytest.raises(UmbelError, match="a TrainingGuarantee"):
        attack.under("epsilon 1")


def test_bounds_of_what_can_be_found():
    assert most_found(0.01, 1.0, 1e-3) == pytest.approx(0.01 * math.e + 1e-3)
    assert most_found(0.5, 1.0, 1e-3) == pytest.approx(1 - math.exp(-1) * (0.5 - 1e-3))
    assert most_found(0.0, math.inf, 1e-3) == most_found(0.3, 800.0, 1e-3) == 1.0
    assert most_found(0.2, 0.0, 1e-9) == pytest.approx(0.2)


def by_heart(samples: int = 40) -> TensorSource:
    """Labels that are pure chance: whoever knows them was there."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(samples, 30, generator=generator)
    labels = torch.randint(2, (samples,), generator=generator)
    values = torch.randn(samples, 1, generator=generator)
    labels[0], values[0] = -1, torch.nan
    return TensorSource(Batch(inputs, {"kind": labels, "size": values}))


def chance_learner(seed: int) -> Learner:
    torch.manual_seed(seed)
    model = MultiTaskModel(
        nn.Sequential(nn.Linear(30, 48), nn.Tanh()), {"kind": nn.Linear(48, 2), "size": nn.Linear(48, 1)}
    )
    kinds = [tasks.classification("kind", ["a", "b"]), tasks.regression("size", centre=0.0, scale=1.0)]
    return Learner(model, kinds)


SETTINGS = FitSettings(steps=40, batch_size=20, learning_rate=0.01, precision="float32", monitor="loss",
                       validate_every=40, tensorboard=False)  # fmt: skip


def attacked(descent, steps: int = 40) -> Membership:
    data, settings = by_heart(), SETTINGS.replace(steps=steps)
    return attack_membership(chance_learner, descent, data, data, settings, networks=4)


def test_what_was_learnt_by_heart_is_found_and_noise_hides_it():
    known = attacked(lambda: make_descent("equal"))
    assert known.auc > 0.8 and known.allowed == ()
    pytest.importorskip("dp_accounting")
    hidden = attacked(lambda: DPSGD(noise_multiplier=20.0), steps=15)
    assert hidden.auc < 0.65 and hidden.allowed[1] < 0.5


def test_confidence_is_the_logit_of_the_true_class():
    learner, data, runtime = chance_learner(0), by_heart(), open_runtime()
    found = label_confidence(learner, data, runtime)
    with torch.no_grad():
        chances = learner.model(data.samples.inputs, learner.sweep()[0])["kind"].double().softmax(1)
    true = chances[torch.arange(1, 40), data.samples.targets["kind"][1:]]
    torch.testing.assert_close(found[1:, 0], torch.logit(true))
    assert torch.isnan(found[0]).all() and torch.isfinite(found[1:]).all()


def test_attacks_that_cannot_be_made_are_refused():
    scores, members = simulated(1.0, 8, 40)
    for bad, said in (
        ((scores[:3], members[:3]), "3 networks; at least 4"),
        ((scores[:, :3], members), "give scores"),
        ((scores / 0, members), "infinite"),
        ((scores, members | True), "no member or nobody else"),
    ):
        with pytest.raises(UmbelError, match=said):
            membership(*bad)
    with pytest.raises(UmbelError, match=r"scores of shape \[5\]; give one for each of 20"):
        membership_of_trainings(lambda index, seed: torch.zeros(5), 20, 4)
