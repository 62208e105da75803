"""Gates over which tasks compete, and links that make features of a task's own with them."""

import copy
import math
import os
import signal

import pytest
import torch
from torch import nn
from two_processes import Processes, run_in_two_processes

from umbel import tasks
from umbel.core import Batch, Learner, Losses, MultiTaskModel, OperatingPoint, SingleProcess, UmbelError, at_point
from umbel.descent import Fixed, WeightedSum
from umbel.engine import FitSettings, Interrupted, evaluate, fit, open_runtime
from umbel.losses import attention_overlap, cross_covariance
from umbel.nn import (
    CrossTaskExcitation,
    CrossTaskGates,
    FlatProjection,
    GatedEncoder,
    GatedFeatures,
    TaskProjection,
    build_head,
    build_model,
    seeded_start,
)

NAMES = ("left", "right", "size")


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def links_of(shape, names=NAMES, seed=0):
    """Gates, and a link to 6 channels for each task."""
    with seeded_start(seed, "gates"):
        gates = CrossTaskGates(shape[0], names)
        return gates, {name: CrossTaskExcitation(gates, name, TaskProjection(shape, 6)) for name in names}


@pytest.mark.parametrize("shape", [(16,), (16, 3, 2)])
def test_links_keep_positions_and_give_each_task_features_of_its_own(shape):
    gates, links = links_of(shape)
    shared = GatedFeatures(features(5, *shape), gates(features(5, *shape)))
    sent = {name: link(shared) for name, link in links.items()}
    for name, link in links.items():
        assert link.feature_shape == (6, *shape[1:])
        assert sent[name].shape == (5, 6, *shape[1:])
    assert not torch.allclose(sent["left"], sent["right"], atol=0.1)


def test_a_link_projects_the_features_times_its_own_gate():
    _, links = links_of((8, 3, 2))
    x, gate = features(4, 8, 3, 2), torch.rand(4, 3, 8)
    for number, name in enumerate(NAMES):
        wanted = links[name].projection(x * gate[:, number, :, None, None])
        torch.testing.assert_close(links[name](GatedFeatures(x, gate)), wanted)


def test_a_flat_projection_weighs_every_position():
    projection, x = FlatProjection((3, 2, 2), 5), features(4, 3, 2, 2)
    moved = x.roll(1, dims=3)
    assert projection.feature_shape == (5,) and projection(x).shape == (4, 5)
    assert not torch.allclose(projection(x), projection(moved), atol=1e-2), "positions are not averaged"
    assert FlatProjection((7,), 2)(features(4, 7)).shape == (4, 2)


def test_gates_are_what_the_equations_say():
    gates, x = CrossTaskGates(8, NAMES, reduction=2, temperature=0.5), features(4, 8, 3, 2)
    with torch.no_grad():
        gates.cross.copy_(torch.tensor([0.3, -1.0, 2.0]))
    s = x.mean((2, 3))
    weights, biases = gates.squeeze.weight.split(4), gates.squeeze.bias.split(4)
    p = [torch.relu(s @ w.T + v) for w, v in zip(weights, biases, strict=True)]
    logits = []
    for k, (w, v) in enumerate(zip(gates.excite, gates.excite_bias.split(8), strict=True)):
        b = math.log1p(math.exp(gates.cross[k].item()))
        q = p[k] - b * (sum(p[j] for j in range(3) if j != k) / 2)
        logits.append(torch.sigmoid(q @ w + v) / 0.5)
    total = sum(z.exp() for z in logits)
    for k in range(3):
        torch.testing.assert_close(gates(x)[:, k], 3 * logits[k].exp() / total)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 3.0])
def test_tasks_share_each_channel_and_none_is_shut_out(temperature):
    gates = CrossTaskGates(8, NAMES, temperature=temperature)
    with torch.no_grad():
        for parameter in gates.parameters():
            parameter.mul_(50)
    values = gates(features(64, 8))
    torch.testing.assert_close(values.sum(1), torch.full((64, 8), 3.0))
    ratio = values.amax(1) / values.amin(1)
    assert ratio.max() <= math.exp(1 / temperature) * (1 + 1e-4)
    assert ratio.max() > math.exp(0.9 / temperature), "and the bound is reached"


def test_gates_depend_on_the_task_the_sample_and_the_other_tasks():
    gates, x = CrossTaskGates(8, NAMES), features(4, 8)
    values = gates(x)
    assert not torch.allclose(values[:, 0], values[:, 1], atol=1e-3)
    assert not torch.allclose(values[0], values[1], atol=1e-3)
    assert torch.equal(CrossTaskGates(8, ["one"])(x), torch.ones(4, 1, 8)), "nobody to compete with"
    own = gates(x)[:, 0].sum()
    squeeze, cross = torch.autograd.grad(own, [gates.squeeze.weight, gates.cross])
    assert squeeze[4:8].any() and cross.any(), "of the second task"


def test_one_sample_does_not_depend_on_the_others_in_training_either():
    gates, links = links_of((8, 2, 2))
    x, link = features(6, 8, 2, 2), links["size"].train()
    whole = link(GatedFeatures(x, gates(x)))
    torch.testing.assert_close(whole[:2], link(GatedFeatures(x[:2], gates(x[:2]))))


def model(seed=0):
    plain = build_model((1, 8, 8), TASKS, "conv", seed=seed, widths=(4, 8), norm="group")
    gates, links = links_of(plain.encoder.feature_shape, [t.name for t in TASKS], seed)
    with seeded_start(seed, "heads"):
        heads = {t.name: build_head(t, links[t.name].feature_shape, (1, 8, 8)) for t in TASKS}
    return MultiTaskModel(GatedEncoder(plain.encoder, gates), heads, links)


TASKS = (tasks.classification("side", ["right", "left"]), tasks.regression("brightness", centre=0.25, scale=0.1))


def test_each_tasks_loss_reaches_the_encoder_and_the_gates_and_its_own_projection_only():
    whole = model()
    whole(torch.rand(4, 1, 8, 8), OperatingPoint())["side"].square().sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in whole.encoder.parameters())
    assert whole.encoder.gates.cross.grad.any()
    assert whole.links["side"].projection.project.weight.grad.any()
    assert whole.links["brightness"].projection.project.weight.grad is None


def test_gates_survive_copies_and_state_dicts():
    one, other = model(0), model(1)
    x = torch.rand(4, 1, 8, 8)
    other.load_state_dict(one.state_dict())
    for name, value in one(x, OperatingPoint()).items():
        assert torch.equal(other(x, OperatingPoint())[name], value)
        assert torch.equal(copy.deepcopy(one)(x, OperatingPoint())[name], value)


def test_gates_run_once_for_all_tasks():
    whole, calls = model(), []
    whole.encoder.gates.register_forward_hook(lambda *_: calls.append(1))
    whole(torch.rand(4, 1, 8, 8), OperatingPoint())
    assert len(calls) == 1


class Distinct(Learner):
    """Tasks' features are to be uncorrelated, and their gates apart."""

    def losses(self, batch, point):
        shared = at_point(self.model.encoder, batch.inputs, point)
        one, other = (self.model.links[task.name](shared).flatten(1) for task in self.tasks)
        gates = shared.gates
        own = self.task_losses(self.model.decode(shared, point), batch)
        overlap = attention_overlap(gates[:, 0], gates[:, 1]).mean()
        return Losses({**own, "dependence": cross_covariance(one, other), "overlap": 0.1 * overlap})


def test_fit_teaches_it(tiny_data):
    settings = FitSettings(
        steps=120, batch_size=32, learning_rate=2e-2, precision="float32", monitor="loss", tensorboard=False
    )
    learner, runtime = Distinct(model(), TASKS), open_runtime()
    before = evaluate(learner, tiny_data.train, runtime).losses
    fit(learner, WeightedSum(), tiny_data.train, tiny_data.validation, settings, runtime=runtime)
    after = evaluate(learner, tiny_data.train, runtime).losses
    assert all(after[name] < 0.9 * before[name] for name in ("side", "brightness")), (before, after)


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_the_loss_of_dependence_and_nothing_else_pulls_features_apart(weight):
    learner, batch = Distinct(model(), TASKS), batch_of(64)
    descent = WeightedSum(Fixed({"dependence": weight, "overlap": 0.0}))
    optimizer = torch.optim.Adam(learner.parameters(), 1e-2)
    history = []
    for _ in range(60):
        optimizer.zero_grad()
        history.append(float(descent(learner, batch, OperatingPoint(), SingleProcess())["dependence"]))
        optimizer.step()
    assert (history[-1] < 0.3 * history[0]) == (weight > 0)


def batch_of(samples):
    generator = torch.Generator().manual_seed(1)
    sides, brightness = torch.randint(2, (samples,), generator=generator), torch.linspace(0, 1, samples)[:, None]
    brightness[3] = torch.nan
    targets = {"side": sides, "brightness": brightness}
    return Batch(torch.rand(samples, 1, 8, 8, generator=generator), targets)


def gradients(runtime, batch):
    learner = Learner(model(), TASKS)
    WeightedSum()(learner, batch, OperatingPoint(), runtime)
    return torch.cat([p.grad.flatten() for p in learner.parameters()])


def in_one_of_two():
    runtime = Processes()
    return gradients(runtime, batch_of(10)[runtime.rank * 6 : 6 + runtime.rank * 4])


@pytest.mark.slow
def test_two_processes_write_the_gradients_of_one(tmp_path):
    whole = gradients(SingleProcess(), batch_of(10))
    for share in run_in_two_processes(in_one_of_two, tmp_path):
        torch.testing.assert_close(share, whole, rtol=1e-4, atol=1e-6)


def test_gates_under_autocast_still_have_their_sum():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gates, links = links_of((8,))
        values = gates(features(4, 8))
        sent = links["size"](GatedFeatures(features(4, 8), values))
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.sum(1), torch.full((4, 8), 3.0))
    assert torch.isfinite(sent).all()


def test_wrong_parts_are_refused():
    gates = CrossTaskGates(8, NAMES)
    for call, message in (
        (lambda: CrossTaskGates(8, []), r"gates for the tasks \(none\): give at least one, each once"),
        (lambda: CrossTaskGates(8, ["a", "a"]), "gates for the tasks a, a"),
        (lambda: CrossTaskGates(0, NAMES), "channels of the gates is 0"),
        (lambda: CrossTaskGates(8, NAMES, reduction=0), "reduction of the gates is 0"),
        (lambda: CrossTaskGates(8, NAMES, temperature=0.0), "temperature of the gates is 0; give a number above 0"),
        (lambda: TaskProjection((8, 2), 4), r"vectors \(C,\) or maps \(C, h, w\); the shape is \(8, 2\)"),
        (lambda: TaskProjection((8,), 0), "channels of a task's features is 0"),
        (lambda: FlatProjection((8,), 0), "size of a task's vector is 0"),
        (lambda: CrossTaskExcitation(gates, "rigth", TaskProjection((8,), 4)), "did you mean 'right'"),
    ):
        with pytest.raises(UmbelError, match=message):
            call()


@pytest.mark.parametrize("channels", [1, 2, 3, 8, 16, 48])
@pytest.mark.parametrize("shape", [(12,), (12, 1, 1), (12, 4, 4)])
def test_norms_leave_something_in_few_features(shape, channels):
    sent = TaskProjection(shape, channels)(features(256, *shape)).detach().flatten(1)
    assert sent.std(0).min() > 0.1
    assert torch.linalg.matrix_rank(sent - sent.mean(0)) >= min(12, max(1, channels - 1))


def test_a_projection_alone_is_a_plain_link():
    link = TaskProjection((8, 2, 2), 4)
    model = MultiTaskModel(nn.Identity(), {"a": nn.Flatten()}, {"a": link})
    out = model(features(3, 8, 2, 2), OperatingPoint())["a"]
    assert torch.equal(out, link(features(3, 8, 2, 2)).flatten(1))


def test_a_stopped_and_resumed_training_ends_the_same(tiny_data, tmp_path):
    settings = FitSettings(
        steps=6, batch_size=32, learning_rate=1e-2, precision="float32", monitor="loss", tensorboard=False
    )

    def run(folder, **more):
        learner = Learner(model(), TASKS)
        train, validation = tiny_data.train, tiny_data.validation
        fit(learner, WeightedSum(), train, validation, settings, out=tmp_path / folder, **more)
        return learner.state_dict()

    def stop(step, *_):
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    whole = run("whole")
    with pytest.raises(Interrupted):
        run("stopped", observe=stop)
    resumed = run("stopped", resume=True)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
