"""The mode of a frozen part is the user's; the loop and an evaluation give it back."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from toy_learners import make

from umbel.core.modes import modes_kept, restore_modes
from umbel.engine import evaluate, fit, open_runtime
from umbel.engine.modes import start_training


def chain() -> nn.Sequential:
    norms = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    return nn.Sequential(norms, nn.BatchNorm1d(2, affine=False), nn.Dropout(0.5), nn.Linear(2, 2))


def modes(module: nn.Module) -> list[bool]:
    return [part.training for part in module.modules()]


def test_a_frozen_part_stays_as_it_was_set_and_a_trained_one_trains():
    net = chain()
    net[0].requires_grad_(False).eval()
    net[0][2].train()  # dropout of the frozen part is wanted
    net[1].eval()
    before = modes(net)
    start_training(net)
    assert modes(net) == before
    net[0].requires_grad_(True)  # a part that is trained, loaded in evaluation mode
    start_training(net)
    assert net[0].training and net[0][1].training and not net[1].training


def test_a_learner_in_evaluation_mode_as_a_whole_is_trained_as_a_whole():
    net = chain().eval()
    start_training(net)
    assert all(modes(net))
    inner = nn.ModuleDict({"model": chain().eval()})  # a loaded model in a fresh learner: no part of it was chosen
    start_training(inner)
    assert all(modes(inner))


def test_modes_come_back_after_an_error_too():
    net = chain()
    net[2].eval()
    before = modes(net)
    with pytest.raises(ZeroDivisionError), modes_kept(net):
        net.eval()
        raise ZeroDivisionError
    assert modes(net) == before
    restore_modes({net[2]: True})
    assert net[2].training


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_norm_does_not_move_in_a_training_with_validations(frozen):
    toy = make("mean teacher")
    norm = toy.learner.model.encoder[1]
    if frozen:
        norm.requires_grad_(False).eval()
    before = norm.running_mean.clone()
    settings = replace(toy.settings, steps=6, validate_every=2)
    fit(toy.learner, toy.descent, toy.train, toy.validation, settings)
    assert torch.equal(norm.running_mean, before) is frozen
    assert norm.training is not frozen
    evaluate(toy.learner, toy.validation, open_runtime())
    assert norm.training is not frozen and toy.learner.training
