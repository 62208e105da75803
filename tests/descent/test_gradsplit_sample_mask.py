"""The engine for one task a sample, when it is exact and what happens when it is not."""

import logging

import pytest
import torch
from gradsplit_cases import (
    ENCODERS,
    assert_close,
    gradients_of,
    make_batch,
    make_learner,
    one_task_each,
    random_accept,
    relu,
)
from torch import nn
from toys import POINT, TwoRanks

from umbel.core import Batch, SingleProcess, UmbelError
from umbel.descent import GradSplit
from umbel.nn import ResNetEncoder

ENGINES = ("naive", "sample_mask", "auto")
ONE_WAY = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1]]).bool()
MASKABLE = {
    **{name: ENCODERS[name] for name in ("residual, group norm", "mlp", "dropout", "branches", "checkpointed")},
    "split from the first layer": (lambda: ResNetEncoder((2, 8, 8), 4, (1, 1), "group", downsample=2), 1.0),
    "grouped, depthwise, instance norm": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1), nn.InstanceNorm2d(6, affine=True), nn.ReLU(),
            nn.Conv2d(6, 6, 3, groups=6), nn.GroupNorm(2, 6), nn.GELU(), nn.Conv2d(6, 8, 1, stride=2, groups=2),
        ),
        1.0,
    ),
    "layer norm": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 6), nn.LayerNorm(6), relu(), nn.Linear(6, 4)),
        1.0,
    ),
    "batch norm below": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), relu(), nn.Conv2d(5, 6, 3), nn.GroupNorm(3, 6), nn.Conv2d(6, 4, 1)
        ),
        ("3", "5"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKABLE)
@pytest.mark.parametrize("accept", [torch.eye(3).bool(), ONE_WAY], ids=["own", "one way"])
def test_masks_are_naive(name, accept):
    make, layers = MASKABLE[name]
    learner, batch = make_learner(make()), one_task_each(make_batch(count=7), [0, 2, -1, 1, 1, 0, 2])
    naive, mask, auto = (gradients_of(GradSplit(accept, layers, e), learner, batch) for e in ENGINES)
    assert_close(mask, naive)
    assert all(torch.equal(value, mask[key]) for key, value in auto.items() if value is not None)


@pytest.mark.parametrize("seed", range(6))
def test_masks_are_naive_for_any_matrix(seed):
    tasks = 2 + seed % 3
    make, layers = MASKABLE["residual, group norm"]
    learner, accept = make_learner(make(), tasks), random_accept(tasks, seed)
    batch = one_task_each(make_batch(tasks, 8, seed=seed), torch.randint(-1, tasks, (8,)).tolist())
    naive, mask = (gradients_of(GradSplit(accept, layers, e), learner, batch) for e in ("naive", "sample_mask"))
    assert_close(mask, naive)


def test_a_frozen_batch_norm_mixes_nothing():
    class Frozen(nn.BatchNorm2d):
        def train(self, mode: bool = True):
            return super().train(False)

    encoder = nn.Sequential(nn.Conv2d(2, 5, 3), Frozen(5), relu(), nn.Conv2d(5, 6, 3), Frozen(6), relu())
    encoder[1].eval(), encoder[4].eval()
    learner, batch = make_learner(encoder), one_task_each(make_batch())
    naive, mask = (gradients_of(GradSplit(ONE_WAY, 1.0, e), learner, batch) for e in ("naive", "sample_mask"))
    assert_close(mask, naive)


def test_pieces_of_a_batch_have_masks_of_their_own():
    make, layers = MASKABLE["residual, group norm"]
    learner, batch = make_learner(make()), one_task_each(make_batch(), [0, 0, 0, 1, 2, 2])
    naive = gradients_of(GradSplit(ONE_WAY, layers, "naive"), learner, batch)
    mask = gradients_of(GradSplit(ONE_WAY, layers, "sample_mask"), learner, batch, SingleProcess(accumulate=2))
    assert_close(mask, naive)


def test_a_batch_norm_above_is_named_before_training():
    learner = make_learner(ENCODERS["residual, batch norm"][0]())
    with pytest.raises(UmbelError, match=r"model\.encoder\.stages.*BatchNorm2d.*engine='streams'"):
        GradSplit("own", 0.5, "sample_mask").prepare(learner)


def test_a_sample_with_two_labels_is_refused_or_streamed():
    make, layers = MASKABLE["residual, group norm"]
    learner, batch = make_learner(make()), make_batch()
    with pytest.raises(UmbelError, match=r"several tasks.*engine='streams'"):
        gradients_of(GradSplit("own", layers, "sample_mask"), learner, batch)
    naive, auto = (gradients_of(GradSplit("own", layers, e), learner, batch) for e in ("naive", "auto"))
    assert_close(auto, naive)


class Centred(nn.Module):
    """Mixes samples, and no norm says so."""

    def forward(self, x):
        return x - x.mean(0, keepdim=True)


class Folded(nn.Module):
    """The first axis is not that of the samples."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(1, 4, 3)

    def forward(self, x):
        return self.last(x.flatten(0, 1).unsqueeze(1)).unflatten(0, (-1, 2)).sum(1)


UNMASKABLE = {
    "mixes": (
        lambda: nn.Sequential(nn.Conv2d(2, 5, 3), Centred(), relu(), nn.Conv2d(5, 6, 3), nn.GroupNorm(2, 6), relu()),
        "mixes samples",
    ),
    "folds": (Folded, "first axis"),
    "twice": (ENCODERS["called twice"][0], "'again' or its norm is called twice"),
    "own forward": (ENCODERS["a forward pass of its own"][0], "forward pass of its own"),
    "view in place": (
        lambda: nn.Sequential(nn.Conv2d(2, 6, 3), nn.InstanceNorm2d(6, affine=True), relu(), nn.Conv2d(6, 4, 1)),
        "in place through a view",
    ),
}


@pytest.mark.parametrize("name", UNMASKABLE)
def test_what_only_a_forward_pass_shows_is_refused_or_streamed(name, caplog):
    make, said = UNMASKABLE[name]
    encoder = make()
    if name == "twice":
        encoder.norm = nn.Identity()
    learner, batch = make_learner(encoder), one_task_each(make_batch())
    with pytest.raises(UmbelError, match=f"{said}.*engine='streams'"):
        gradients_of(GradSplit(ONE_WAY, 1.0, "sample_mask"), learner, batch)
    naive, auto = GradSplit(ONE_WAY, 1.0, "naive"), GradSplit(ONE_WAY, 1.0)
    expected = gradients_of(naive, learner, batch)
    with caplog.at_level(logging.INFO, "umbel.descent.gradsplit"):
        assert_close(gradients_of(auto, learner, batch), expected)
        learner.zero_grad()
        torch.manual_seed(7)
        auto(learner, batch, POINT, SingleProcess())
    found = {key: p.grad for key, p in learner.named_parameters()}
    assert_close(found, expected)
    assert sum(said in line for line in caplog.messages) == 1


class SometimesTwice(nn.Module):
    """From the second step on, a layer is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 5, 3), nn.Conv2d(5, 5, 3, padding=1)
        self.twice = False

    def forward(self, x):
        x = self.last(self.first(x).tanh())
        return self.last(x.tanh()) if self.twice else x


def test_a_layer_that_is_called_twice_later_is_seen():
    learner, batch = make_learner(SometimesTwice()), one_task_each(make_batch())
    auto, mask = GradSplit(ONE_WAY, 1.0), GradSplit(ONE_WAY, 1.0, "sample_mask")
    gradients_of(auto, learner, batch), gradients_of(mask, learner, batch)
    learner.model.encoder.twice = True
    expected = gradients_of(GradSplit(ONE_WAY, 1.0, "naive"), learner, batch)
    learner.zero_grad()
    auto(learner, batch, POINT, SingleProcess())
    assert_close({name: p.grad for name, p in learner.named_parameters()}, expected)
    with pytest.raises(UmbelError, match="'last' or its norm is called twice"):
        mask(learner, batch, POINT, SingleProcess())


def test_heads_that_mix_samples_are_seen():
    learner = make_learner(MASKABLE["residual, group norm"][0]())
    width = learner.model.encoder.feature_shape[0]
    learner.model.heads["t1"].layers.insert(0, nn.BatchNorm1d(width).double())
    with pytest.raises(UmbelError, match=r"heads\.task_t1.*BatchNorm1d"):
        GradSplit("own", 0.5, "sample_mask").prepare(learner)
    batch = one_task_each(make_batch())
    naive, auto = (gradients_of(GradSplit("own", 0.5, e), learner, batch) for e in ("naive", "auto"))
    assert_close(auto, naive)


def test_the_log_says_once_which_engine_and_why(caplog):
    make, layers = MASKABLE["residual, group norm"]
    learner, descent = make_learner(make()), GradSplit("own", layers)
    descent.prepare(learner)
    several, single = make_batch(), one_task_each(make_batch())
    with caplog.at_level(logging.INFO, "umbel.descent.gradsplit"):
        for batch in (several, single, several, single):
            descent(learner, batch, POINT, SingleProcess())
    assert len(caplog.messages) == 2
    assert "engine streams" in caplog.messages[0] and "several tasks" in caplog.messages[0]
    assert "engine sample_mask" in caplog.messages[1] and "one task" in caplog.messages[1]


@pytest.mark.parametrize("rank_with_two_labels", [None, 1])
def test_processes_agree_on_the_engine(rank_with_two_labels):
    make, layers = MASKABLE["residual, group norm"]
    single, several = one_task_each(make_batch(count=9)), make_batch(count=9, missing=0.0)
    mixed = {n: torch.cat([single.targets[n][:8], several.targets[n][8:]]) for n in single.targets}
    batch = single if rank_with_two_labels is None else Batch(single.inputs, mixed)

    def rank(index, runtime):
        learner = make_learner(make())
        part = batch[:4] if index == 0 else batch[4:]
        return gradients_of(GradSplit(ONE_WAY, layers), learner, part, runtime)

    naive = gradients_of(GradSplit(ONE_WAY, layers, "naive"), make_learner(make()), batch)
    for found in TwoRanks().run(rank, accumulate=2):
        assert_close(found, naive)
