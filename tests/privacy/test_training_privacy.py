"""What a training guarantees: against closed forms, the other accountant, and what must be said with it."""

import math

import pytest

from umbel.errors import UmbelError
from umbel.privacy import (
    ACCOUNTANTS,
    Release,
    TrainingGuarantee,
    gaussian_epsilon,
    guarantee,
    sampled_epsilon,
    sampled_noise,
    training_guarantee,
    usual_delta,
)

accounting = pytest.importorskip("dp_accounting")


@pytest.mark.parametrize(("noise", "steps"), [(2.16, 1), (20.0, 100), (0.7, 2)])
def test_without_sampling_it_is_the_gaussian_mechanism(noise, steps):
    exact = gaussian_epsilon(1e-5, noise / math.sqrt(steps), 1.0)
    epsilon, accountant = sampled_epsilon(noise, 1.0, steps, 1e-5)
    assert accountant == "pld" and exact <= epsilon <= 1.005 * exact
    bound, accountant = sampled_epsilon(noise, 1.0, steps, 1e-5, "rdp")
    assert accountant == "rdp" and exact <= bound <= 1.15 * exact


def test_the_two_accountants_agree_as_far_as_they_can():
    assert ACCOUNTANTS == ("pld", "rdp")
    near, bound = (sampled_epsilon(1.1, 0.01, 1000, 1e-5, accountant)[0] for accountant in ACCOUNTANTS)
    assert 0.8 * bound < near < bound
    assert near == pytest.approx(1.5154, rel=1e-3)  # by dp-accounting's grid of 1e-4


def test_sampling_steps_and_noise_work_as_they_should():
    usual = sampled_epsilon(1.0, 0.02, 100, 1e-5)[0]
    assert sampled_epsilon(1.0, 0.04, 100, 1e-5)[0] > usual
    assert sampled_epsilon(1.0, 0.02, 200, 1e-5)[0] > usual
    assert sampled_epsilon(1.5, 0.02, 100, 1e-5)[0] < usual
    assert sampled_epsilon(1.0, 0.02, 100, 1e-7)[0] > usual
    assert sampled_epsilon(0.0, 0.02, 100, 1e-5) == (math.inf, "pld")
    assert sampled_epsilon(1e-300, 1.0, 100, 1e-5)[0] == math.inf and sampled_epsilon(1e300, 1.0, 100, 1e-5)[0] == 0
    assert sampled_epsilon(0.2, 0.5, 500, 1e-5)[1] == "rdp"  # means nothing; the distributions would take half a minute


@pytest.mark.parametrize(("epsilon", "sampling", "steps"), [(0.3, 0.05, 50), (6.0, 1.0, 1)])
def test_the_noise_for_an_epsilon_is_enough_and_hardly_more(epsilon, sampling, steps):
    noise = sampled_noise(epsilon, sampling, steps, 1e-4)
    assert 0.995 * epsilon < sampled_epsilon(noise, sampling, steps, 1e-4)[0] <= epsilon


def test_composed_releases_are_what_dp_accounting_makes_of_them():
    from dp_accounting import pld

    releases = [Release(1.0, 2.16, times=3), Release(0.5, 4.0), Release(2.0, 1.5, times=2)]
    for neighbours, distance in (("replace-one", 2.0), ("add-remove", 1.0)):
        account = pld.PLDAccountant(value_discretization_interval=1e-3)
        for release in releases:  # as the accountant has it: noise in multiples of the sensitivity
            account.compose(accounting.GaussianDpEvent(release.sigma / distance), release.times)
        wanted = account.get_epsilon(1e-5)
        assert guarantee(releases, 1e-5, neighbours).epsilon == pytest.approx(wanted, rel=0.01)


def test_an_epsilon_comes_with_all_that_it_means_nothing_without():
    told = training_guarantee(1.5, 2.0, 0.02, 100, 5000, unit="patient")
    assert isinstance(told, TrainingGuarantee) and told.delta == usual_delta(5000) == 1e-4
    for said in (
        *("epsilon", "delta 0.0001", "one patient of 5,000", "add-remove", "clip norm 1.5", "noise multiplier 2"),
        *("q 0.02", "100 steps", "accountant pld"),
    ):
        assert said in str(told)
    assert "lower it" not in str(told)
    assert "lower it" in str(training_guarantee(1.5, 2.0, 0.02, 100, 5000, delta=2e-4))
    assert str(training_guarantee(1.5, 0.0, 0.02, 100, 5000)).startswith("no guarantee")


def test_the_usual_delta_is_below_one_over_the_samples():
    assert [usual_delta(n) for n in (1, 9, 10, 999, 1000)] == [0.1, 0.1, 0.01, 1e-3, 1e-4]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: sampled_epsilon(-1.0, 0.1, 10, 1e-5), "noise multiplier is -1"),
        (lambda: sampled_epsilon(1.0, 0.0, 10, 1e-5), "sampling probability is 0"),
        (lambda: sampled_epsilon(1.0, 0.1, 0, 1e-5), "steps"),
        (lambda: sampled_epsilon(1.0, 0.1, 10, 1e-5, "prv"), "accountant"),
        (lambda: sampled_noise(0.0, 0.1, 10, 1e-5), "epsilon is 0"),
        (lambda: sampled_noise(1e-6, 1.0, 1000, 1e-9), "needs noise beyond"),
        (lambda: sampled_noise(1e-300, 1.0, 10, 1e-4), "needs noise beyond"),
        (lambda: training_guarantee(0.0, 1.0, 0.1, 10, 100), "clip norm is 0"),
        (lambda: usual_delta(0), "number of samples"),
    ],
)
def test_numbers_out_of_range_are_refused(call, said):
    with pytest.raises(UmbelError, match=said):
        call()


def test_a_missing_extra_is_one_line(monkeypatch):
    import importlib

    def without(name, *arguments):
        if name.startswith("dp_accounting"):
            raise ModuleNotFoundError(name, name="dp_accounting")
        return real(name, *arguments)

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(UmbelError, match=r'dp_accounting.*pip install "umbel\[privacy\]"'):
        sampled_epsilon(1.0, 0.1, 10, 1e-5)
