"""Every engine against the split written out by hand, on networks of every shape."""

import pytest
import torch
import torchvision
from gradsplit_cases import (
    ENCODERS,
    Penalised,
    assert_close,
    by_hand,
    gradients_of,
    make_batch,
    make_learner,
    random_accept,
    split_names,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from toys import POINT

from umbel.core import Batch, Learner, Losses, MultiTaskModel, SingleProcess
from umbel.descent import GradSplit, WeightedSum, make_descent
from umbel.nn import ConvEncoder, MapHead, ResNetEncoder, VectorHead
from umbel.tasks import classification, segmentation

OWN = torch.eye(3).bool()
ONE_WAY = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1]]).bool()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("accept", [OWN, ONE_WAY], ids=["own", "one way"])
def test_engines_do_what_is_written_out_by_hand(name, accept):
    make, layers = ENCODERS[name]
    learner, batch = make_learner(make()), make_batch()
    buffers = [b.clone() for b in learner.buffers()]

    def fresh() -> None:
        for buffer, value in zip(learner.buffers(), buffers, strict=True):
            buffer.copy_(value)  # spectral norm has state of its own

    naive = GradSplit(accept, layers, "naive")
    found = gradients_of(naive, learner, batch)
    fresh()
    assert_close(found, by_hand(learner, batch, accept, split_names(naive, learner)))
    fresh()
    assert_close(gradients_of(GradSplit(accept, layers, "streams"), learner, batch), found)


def residual(tasks: int, norm: str = "batch", kind: type[Learner] = Learner) -> Learner:
    return make_learner(ResNetEncoder((2, 6, 6), 5, (1, 1), norm, downsample=2), tasks, kind)


@pytest.mark.parametrize("seed", range(12))
def test_streams_are_naive_for_any_matrix(seed):
    tasks = 2 + seed % 4
    accept = random_accept(tasks, seed, density=(0.2, 0.5, 0.8)[seed % 3])
    learner, batch = residual(tasks, ("batch", "group")[seed % 2]), make_batch(tasks, seed=seed)
    naive, streams = (gradients_of(GradSplit(accept, 0.6, e), learner, batch) for e in ("naive", "streams"))
    assert_close(streams, naive)


def test_streams_are_naive_where_four_rows_have_rank_three():
    accept = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]]).bool()
    learner, batch = residual(4), make_batch(4)
    naive, streams = (gradients_of(GradSplit(accept, 0.6, e), learner, batch) for e in ("naive", "streams"))
    assert_close(streams, naive)


def test_a_symmetric_mistake_would_be_seen():
    learner, batch = residual(3), make_batch()
    one, other = (gradients_of(GradSplit(a, 0.6, "streams"), learner, batch) for a in (ONE_WAY, ONE_WAY.T))
    with pytest.raises(AssertionError):
        assert_close(one, other, tolerance=1e-3)


@pytest.mark.parametrize("engine", ["auto", "streams", "sample_mask"])
def test_when_all_is_accepted_it_is_the_plain_step_to_the_bit(engine):
    learner, batch = make_learner(ResNetEncoder((2, 6, 6), 5, (1, 1), "group", downsample=2)), make_batch()
    plain = gradients_of(WeightedSum(), learner, batch)
    split = gradients_of(GradSplit("all", 0.6, engine), learner, batch)
    assert all(torch.equal(value, plain[name]) for name, value in split.items())
    assert_close(gradients_of(GradSplit("all", 0.6, "naive"), learner, batch), plain)


@pytest.mark.parametrize("absent", [("t1",), ("t0", "t2"), ("t0", "t1", "t2")])
def test_a_task_without_a_label_in_the_batch(absent):
    learner, batch = residual(3), make_batch()
    targets = {n: torch.full_like(t, torch.nan) if n in absent else t for n, t in batch.targets.items()}
    batch = Batch(batch.inputs, targets)
    naive, streams = (gradients_of(GradSplit(ONE_WAY, 0.6, e), learner, batch) for e in ("naive", "streams"))
    if len(absent) < 3:
        assert_close(streams, naive)
    else:
        assert all(value.abs().max() == 0 for value in (*streams.values(), *naive.values()))


@pytest.mark.parametrize("accept", [OWN, ONE_WAY], ids=["own", "one way"])
def test_a_loss_that_the_learner_adds_is_accepted_by_all(accept):
    learner, batch = make_learner(ConvEncoder((2, 6, 6), (4, 5, 6)), kind=Penalised), make_batch()
    naive = GradSplit(accept, 0.7, "naive")
    found = gradients_of(naive, learner, batch)
    assert_close(found, by_hand(learner, batch, accept, split_names(naive, learner)))
    assert_close(gradients_of(GradSplit(accept, 0.7, "streams"), learner, batch), found)


class EarlyExit(Learner):
    """One task reads the stem, one both, one the end; one loss is a multiple of another."""

    def losses(self, batch, point):
        stem, stages = self.model.encoder.stem, self.model.encoder.stages
        early = stem(self.model.encoder.standardise(batch.inputs))
        late = stages(early)
        values = [early.mean((2, 3)).sin().sum(), late.square().mean() + early.square().mean(), late.cos().mean()]
        return Losses({**dict(zip(("t0", "t1", "t2"), values, strict=True)), "again": 0.5 * values[1]})


def test_losses_from_above_and_below_the_split():
    learner, batch = residual(3, kind=EarlyExit), make_batch()
    naive = GradSplit(ONE_WAY, ("stages.1",), "naive")
    found = gradients_of(naive, learner, batch)
    assert found["model.heads.task_t0.layers.0.weight"] is None
    assert_close(found, by_hand(learner, batch, ONE_WAY, split_names(naive, learner)))
    assert_close(gradients_of(GradSplit(ONE_WAY, ("stages.1",), "streams"), learner, batch), found)


class TwoViews(Learner):
    """The encoder runs twice in one step."""

    def losses(self, batch, point):
        one, other = self.model(batch.inputs, point), self.model(batch.inputs.flip(-1), point)
        return self.task_losses({name: one[name] + other[name].tanh() for name in one}, batch)


def test_an_encoder_that_runs_twice_in_a_step():
    learner, batch = residual(3, kind=TwoViews), make_batch()
    naive, streams = (gradients_of(GradSplit(ONE_WAY, 0.6, e), learner, batch) for e in ("naive", "streams"))
    assert_close(streams, naive)


def mixed_heads(encoder: nn.Module, width: int) -> tuple[Learner, Batch]:
    """Two tasks on maps, with batch norm in their heads, and one on vectors."""
    torch.manual_seed(0)
    tasks = [segmentation("map", ["a", "b"]), classification("kind", ["x", "y", "z"]), segmentation("edge", ["a", "b"])]
    heads = {
        "map": MapHead((width, 4, 4), 2, (8, 8), hidden=3),
        "kind": VectorHead((width, 4, 4), 3),
        "edge": MapHead((width, 4, 4), 2, (8, 8), hidden=3),
    }
    maps = torch.randint(-1, 2, (5, 8, 8))
    targets = {"map": maps, "kind": torch.tensor([0, 1, 2, -1, 0]), "edge": 1 - maps}
    targets["edge"][maps < 0] = -1
    inputs = torch.rand(5, 3, 8, 8, dtype=torch.float64)
    return Learner(MultiTaskModel(encoder, heads), tasks).double().train(), Batch(inputs, targets)


def test_heads_on_maps_with_batch_norm():
    learner, batch = mixed_heads(ResNetEncoder((3, 8, 8), 4, (1, 1), downsample=2), 8)
    naive, auto = (gradients_of(GradSplit(ONE_WAY, 0.5, e), learner, batch) for e in ("naive", "auto"))
    assert_close(auto, naive)


class Trunk(nn.Module):
    """What users have: a network of torchvision, as it is, and the features before its classifier."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x.repeat(1, 2, 1, 1)[:, :3])


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (lambda: torchvision.models.resnet18(num_classes=4), ("network.layer3.1", "network.layer4.0.conv2")),
        (lambda: torchvision.models.mobilenet_v3_small(num_classes=4, width_mult=0.25), 0.4),
    ],
    ids=["resnet18", "mobilenet"],
)
def test_networks_of_torchvision(make, layers):
    torch.manual_seed(0)
    network = make()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    heads = {f"t{i}": nn.Linear(4, 2) for i in range(3)}
    tasks = make_learner(ConvEncoder((2, 6, 6), (4,))).tasks
    learner, batch = Learner(MultiTaskModel(Trunk(network), heads), tasks).double().train(), make_batch(count=3)
    batch = Batch(nn.functional.interpolate(batch.inputs, (32, 32)), batch.targets)
    naive = GradSplit(ONE_WAY, layers, "naive")
    found = gradients_of(naive, learner, batch)
    assert_close(gradients_of(GradSplit(ONE_WAY, layers, "streams"), learner, batch), found)
    split = split_names(naive, learner)
    assert any("bn" in n or ".1.weight" in n for n in split) and len(split) < len(found)


def test_running_statistics_are_those_of_one_forward_pass():
    states = []
    for descent in (WeightedSum(), *(GradSplit("own", 0.6, e) for e in ("naive", "streams"))):
        learner = residual(3)
        gradients_of(descent, learner, make_batch())
        states.append({name: value.clone() for name, value in learner.named_buffers()})
    for state in states[1:]:
        assert all(torch.equal(value, states[0][name]) for name, value in state.items())
    assert all(int(v) == 1 for n, v in states[0].items() if n.endswith("num_batches_tracked"))


@pytest.mark.parametrize("engine", ["naive", "streams", "auto"])
def test_the_model_is_as_it_was(engine):
    learner = residual(3)
    state, kinds = set(learner.state_dict()), [type(m) for m in learner.modules()]
    gradients_of(GradSplit("own", 0.6, engine), learner, make_batch())
    assert set(learner.state_dict()) == state and [type(m) for m in learner.modules()] == kinds
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in learner.modules())


def test_inference_costs_what_the_joint_model_costs():
    learner, batch = residual(3), make_batch()
    learner.eval()
    before = learner.predict(batch, POINT)
    with FlopCounterMode(display=False) as joint:
        learner.predict(batch, POINT)
    learner.train()
    buffers = {name: value.clone() for name, value in learner.named_buffers()}
    gradients_of(GradSplit("own", 0.6), learner, batch)
    learner.load_state_dict(buffers, strict=False)
    learner.eval()
    with FlopCounterMode(display=False) as split:
        after = learner.predict(batch, POINT)
    assert split.get_total_flops() == joint.get_total_flops() > 0
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_catalogue_knows_it():
    learner, batch = residual(3), make_batch()
    named = gradients_of(make_descent("gradsplit", accept="own", layers=0.6, engine="streams"), learner, batch)
    assert_close(named, gradients_of(GradSplit("own", 0.6, "naive"), learner, batch))


def test_gradients_of_pieces_add_up():
    learner, batch = residual(3, "group"), make_batch()
    whole = gradients_of(GradSplit(ONE_WAY, 0.6, "naive"), learner, batch)
    for engine in ("naive", "streams"):
        pieces = gradients_of(GradSplit(ONE_WAY, 0.6, engine), learner, batch, SingleProcess(accumulate=2))
        assert_close(pieces, whole)


def test_losses_for_the_log_are_those_of_the_plain_step():
    learner, batch = residual(3, "group"), make_batch()
    descent = GradSplit("own", 0.6, "streams")
    descent.prepare(learner)
    split = descent(learner, batch, POINT, SingleProcess(accumulate=2))
    assert list(split) == ["t0", "t1", "t2"]
    torch.testing.assert_close(split.stack(), learner.losses(batch, POINT).stack().detach())
