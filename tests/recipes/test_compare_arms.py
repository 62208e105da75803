"""Which weightings are tried, in which arm conflicts are measured, what folders are called."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_studies import SMALL

from umbel.recipes.compare.study import candidate_weights, pairs, probed_arm
from umbel.study import safe_name


@given(st.integers(1, 30), st.integers(1, 40))
def test_weightings_to_try(count, trials):
    names = [f"t{i}" for i in range(count)]
    candidates = candidate_weights(names, trials)
    assert len(candidates) == trials
    assert candidates[0] == dict.fromkeys(names, 1.0)
    assert candidates == candidate_weights(names, trials)
    for weights in candidates:
        assert list(weights) == names
        assert sum(weights.values()) / count == pytest.approx(1)
        assert 0 < max(weights.values()) / min(weights.values()) <= 16 * (1 + 1e-5)
    for number, weights in enumerate(candidates[1 : count + 1]):
        others = [w for name, w in weights.items() if name != f"t{number}"]
        assert all(weights[f"t{number}"] == pytest.approx(3 * w) for w in others)


def test_more_trials_keep_the_earlier_ones():
    assert candidate_weights(["a", "b"], 9)[:6] == candidate_weights(["a", "b"], 6)
    assert candidate_weights(["a", "b"], 0) == []


def test_random_weightings_differ():
    candidates = candidate_weights(["a", "b", "c"], 30)[4:]
    assert len({tuple(w.values()) for w in candidates}) == len(candidates)
    logs = [math.log(w["a"] / w["b"]) for w in candidates]
    assert min(logs) < 0 < max(logs)


@given(st.text(min_size=1, max_size=12))
def test_a_tasks_folder_is_one_plain_name(name):
    folder = safe_name(name)
    assert folder.isascii()
    assert folder
    assert not set(folder) & set('/\\:*?"<>| \0\n')
    assert not folder.startswith(".")


@given(st.text(min_size=1, max_size=4), st.text(min_size=1, max_size=4))
def test_two_tasks_have_two_folders(one, other):
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_common_names_stay_readable():
    assert safe_name("left_digit-2.x") == "left_digit-2.x"
    assert safe_name("é0") != safe_name("\u0e90")


def test_the_arm_whose_conflicts_are_measured():
    assert probed_arm(dataclasses.replace(SMALL, descents="pcgrad, equal")) == "equal"
    assert probed_arm(dataclasses.replace(SMALL, descents=" pcgrad ,upgrad")) == "pcgrad"
    assert probed_arm(dataclasses.replace(SMALL, descents=",pcgrad")) == "pcgrad"


def test_pairs_are_named_once_each():
    assert pairs(["a", "b", "c"]) == [("0 1", "a", "b"), ("0 2", "a", "c"), ("1 2", "b", "c")]
    assert pairs(["a"]) == []
