"""Single-task references, arms that name a descent, curves: what comparisons share."""

import dataclasses
import itertools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_studies import SMALL, toy

from umbel import tasks
from umbel.core import UmbelError
from umbel.engine import FitSettings
from umbel.metrics import mean_relative_improvement
from umbel.recipes.references import (
    about_descent,
    descent_of,
    joint_job,
    mean_improvements,
    reference_fit,
    thinned,
)
from umbel.study import Bench


def bench(count, tasks_count, batch_size, world_size=1, **changes):
    """Each sample is labelled for one of the tasks only, as in cifar100-mtl."""
    kinds = tuple(tasks.classification(f"t{i}", "ab") for i in range(tasks_count))
    own = torch.arange(3 * count) % tasks_count
    label = (torch.arange(3 * count) // tasks_count) % 2
    targets = {f"t{i}": torch.where(own == i, label, -1) for i in range(tasks_count)}
    data = toy(kinds, targets, torch.zeros(3 * count, 4))
    settings = dataclasses.replace(SMALL, **changes)
    fit = FitSettings(batch_size=batch_size, epochs=7, least_steps=1)
    return Bench(SimpleNamespace(runtime=SimpleNamespace(world_size=world_size)), settings, fit, data)


def chosen_for(made, task, seed=0):
    """The settings of a reference, and its training split."""
    data = made.data.only([task])
    return reference_fit(made, data, seed), data.train


@given(st.integers(40, 400), st.integers(1, 5), st.sampled_from([8, 32, 48, 128]), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_reference_sees_each_label_as_often_as_joint_training_shows_it(count, number, batch_size, passes):
    made = bench(count, number, batch_size, reference_passes=passes)
    for task in made.data.tasks:
        chosen, alone = chosen_for(made, task.name, 4)
        epochs = chosen.steps / alone.steps(chosen.batch_size)
        joint_epochs = made.steps / made.data.train.steps(batch_size)
        assert epochs == pytest.approx(joint_epochs * passes, abs=0.501 / alone.steps(chosen.batch_size))
        assert chosen.batch_size <= batch_size
        assert chosen.seed == 4


def test_with_all_labels_a_reference_trains_exactly_as_the_joint_network():
    made = bench(200, 1, 48)
    assert chosen_for(made, "t0", 2)[0] == made.fit.replace(steps=made.steps, seed=2)


def test_the_batch_of_a_sparse_task_shrinks_with_its_labels():
    assert chosen_for(bench(1280, 2, 128), "t0")[0].batch_size == 64
    assert chosen_for(bench(1280, 10, 128), "t0")[0].batch_size == 32


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_batch_of_a_reference_divides_by_the_processes(world_size):
    made = bench(300, 2, 24 * world_size, world_size)
    assert chosen_for(made, "t1")[0].batch_size % world_size == 0


def test_a_metric_of_another_task_cannot_choose_a_references_checkpoint():
    made = bench(300, 2, 32)
    made.fit = made.fit.replace(monitor="t1/accuracy")
    assert [chosen_for(made, task)[0].monitor for task in ("t0", "t1")] == ["improvement", "t1/accuracy"]


def test_an_arm_may_name_a_descent_with_options():
    descent = descent_of("upgrad:engine=sketched:directions=8")
    assert (descent.directions, type(descent.aggregator).__name__) == (8, "ProjectedRows")
    assert about_descent("upgrad:engine=sketched").endswith("; engine=sketched")
    assert about_descent("upgrad") in about_descent("upgrad:engine=sketched")


def test_a_wrong_option_is_named_and_so_is_what_is_none():
    with pytest.raises(UmbelError, match="engines"):
        descent_of("upgrad:engines=sketched")
    with pytest.raises(UmbelError, match="sketched"):
        descent_of("upgrad:engine=sketch")
    with pytest.raises(UmbelError, match="name=value"):
        descent_of("upgrad:sketched")


def test_the_folder_of_an_arm_can_be_made_anywhere():
    assert not set(':*?"<>|') & set(joint_job(toy(), "upgrad:engine=sketched", 0).key)


@given(st.integers(0, 300), st.integers(1, 60))
def test_curves_are_thinned_evenly_and_keep_their_end(count, most):
    rows = [{"step": float(i)} for i in range(count)]
    kept = thinned(rows, most)
    assert len(kept) == min(count, most)
    assert kept[-1:] == rows[-1:]
    gaps = {round(b["step"] - a["step"]) for a, b in itertools.pairwise(kept)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_trials_are_judged_where_references_are_zero():
    kinds = [tasks.classification("a", 2), tasks.regression("b"), tasks.multilabel("c", 2)]
    trials = [{"a": 0.5, "b": 2.0, "c": 0.0}, {"a": 0.5, "b": 2.0, "c": 0.4}, {"a": 0.6, "b": 1.0, "c": 0.0}]
    directions = {"a": True, "b": False, "c": True}
    wanted = [mean_relative_improvement(t, {"a": 0.5, "b": 4.0, "c": 0.2}, directions) for t in trials]
    assert mean_improvements(kinds, trials, {"a": 0.5, "b": 4.0, "c": 0.2}) == wanted
    found = mean_improvements(kinds, trials, {"a": 0.5, "b": 4.0, "c": 0.0})
    assert found == pytest.approx([(0 + 50 - 100) / 3, 50 / 3, (20 + 75 - 100) / 3])
    never = [{**trial, "c": 0.0} for trial in trials]
    assert mean_improvements(kinds, never, {"a": 0.5, "b": 4.0, "c": 0.0}) == pytest.approx([25, 25, 47.5])
    assert mean_improvements(kinds[2:], never, {"c": 0.0}) == [0, 0, 0]
