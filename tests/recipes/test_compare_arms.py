"""How long references train, which weightings are tried, what folders are called."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_studies import SMALL, toy

from umbel import tasks
from umbel.engine import FitSettings
from umbel.recipes.bench import safe, single_settings
from umbel.recipes.compare.arms import Bench, candidate_weights, pair_names, probed_arm


def bench(count, tasks_count, batch_size, world_size=1, **changes):
    """Each sample is labelled for one of the tasks only, as in cifar100-mtl."""
    kinds = tuple(tasks.classification(f"t{i}", "ab") for i in range(tasks_count))
    own = torch.arange(3 * count) % tasks_count
    label = (torch.arange(3 * count) // tasks_count) % 2
    targets = {f"t{i}": torch.where(own == i, label, -1) for i in range(tasks_count)}
    data = toy(kinds, targets, torch.zeros(3 * count, 4))
    settings = dataclasses.replace(SMALL, **changes)
    fit = FitSettings(batch_size=batch_size, epochs=7, least_steps=1)
    study = SimpleNamespace(runtime=SimpleNamespace(world_size=world_size))
    return Bench(study, settings, fit, data, {task.name: data.only([task.name]) for task in kinds})


@given(st.integers(40, 400), st.integers(1, 5), st.sampled_from([8, 32, 48, 128]), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_reference_sees_each_label_as_often_as_joint_training_shows_it(count, number, batch_size, passes):
    made = bench(count, number, batch_size, reference_passes=passes)
    for task in made.data.tasks:
        chosen = single_settings(made, task.name, 4)
        alone = made.alone[task.name].train
        epochs = chosen.steps / alone.steps(chosen.batch_size)
        joint_epochs = made.joint_steps / made.data.train.steps(batch_size)
        assert epochs == pytest.approx(joint_epochs * passes, abs=0.501 / alone.steps(chosen.batch_size))
        assert chosen.batch_size <= batch_size
        assert chosen.seed == 4


def test_with_all_labels_a_reference_trains_exactly_as_the_joint_network():
    made = bench(200, 1, 48)
    assert single_settings(made, "t0", 2) == made.fit.replace(steps=made.joint_steps, seed=2)


def test_the_batch_of_a_sparse_task_shrinks_with_its_labels():
    made = bench(1280, 2, 128)
    assert single_settings(made, "t0", 0).batch_size == 64
    assert single_settings(bench(1280, 10, 128), "t0", 0).batch_size == 32


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_batch_of_a_reference_divides_by_the_processes(world_size):
    made = bench(300, 2, 24 * world_size, world_size)
    assert single_settings(made, "t1", 0).batch_size % world_size == 0


@given(st.integers(1, 30), st.integers(1, 40))
def test_weightings_to_try(count, trials):
    names = [f"t{i}" for i in range(count)]
    found = candidate_weights(names, trials)
    assert len(found) == trials
    assert found[0] == dict.fromkeys(names, 1.0)
    assert found == candidate_weights(names, trials)
    for weights in found:
        assert list(weights) == names
        assert sum(weights.values()) / count == pytest.approx(1)
        assert 0 < max(weights.values()) / min(weights.values()) <= 16 * (1 + 1e-5)
    for number, weights in enumerate(found[1 : count + 1]):
        others = [w for name, w in weights.items() if name != f"t{number}"]
        assert all(weights[f"t{number}"] == pytest.approx(3 * w) for w in others)


def test_more_trials_keep_the_earlier_ones():
    assert candidate_weights(["a", "b"], 9)[:6] == candidate_weights(["a", "b"], 6)


def test_random_weightings_differ():
    found = candidate_weights(["a", "b", "c"], 30)[4:]
    assert len({tuple(w.values()) for w in found}) == len(found)
    logs = [math.log(w["a"] / w["b"]) for w in found]
    assert min(logs) < 0 < max(logs)


@given(st.text(min_size=1, max_size=12))
def test_a_tasks_folder_is_one_plain_name(name):
    folder = safe(name)
    assert folder.isascii()
    assert folder
    assert not set(folder) & set('/\\:*?"<>| \0\n')
    assert not folder.startswith(".")


@given(st.text(min_size=1, max_size=4), st.text(min_size=1, max_size=4))
def test_two_tasks_have_two_folders(one, other):
    assert (safe(one) == safe(other)) == (one == other)


def test_common_names_stay_readable():
    assert safe("left_digit-2.x") == "left_digit-2.x"
    assert safe("é0") != safe("\u0e90")


def test_the_arm_whose_conflicts_are_measured():
    assert probed_arm(dataclasses.replace(SMALL, descents="pcgrad, equal")) == "equal"
    assert probed_arm(dataclasses.replace(SMALL, descents=" pcgrad ,upgrad")) == "pcgrad"
    assert probed_arm(dataclasses.replace(SMALL, descents=",pcgrad")) == "pcgrad"


def test_pairs_are_named_once_each():
    assert pair_names(["a", "b", "c"]) == ["0 1", "0 2", "1 2"]
    assert pair_names(["a"]) == []
