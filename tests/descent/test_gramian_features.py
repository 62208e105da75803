"""The engine at the features, against its definition written out by hand; and what it refuses."""

import pytest
import torch
from gramian_cases import (
    ENCODERS,
    SEED,
    Noted,
    assert_close,
    by_hand,
    head,
    make_batch,
    make_learner,
    step,
)
from gramian_learners import (
    HOOKS,
    Fewer,
    Penalised,
    Stored,
    TwoViews,
    WithHeads,
    conv,
    linked,
    residual,
)
from torch import nn
from torch.nn import functional
from toys import POINT

from umbel.core import Learner, Losses, MultiTaskModel, SingleProcess, Taps, UmbelError
from umbel.descent import Jacobian

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths"),
    pytest.mark.filterwarnings("ignore:Full backward hook is firing"),
]


def at_features(learner: Learner, batch, features=lambda outputs: [outputs]) -> dict:
    """The heads see copies of the features; the encoder is walked once with the weighted sum of their gradients."""
    torch.manual_seed(SEED)
    outputs = learner.model.encoder(batch.inputs)
    real = features(outputs)
    copies = {id(z): z.detach().requires_grad_() for z in real}

    def swap(part):
        if isinstance(part, dict):
            return {key: swap(value) for key, value in part.items()}
        return [swap(p) for p in part] if isinstance(part, list | tuple) else copies.get(id(part), part)

    losses = learner.task_losses(learner.model.decode(swap(outputs), POINT), batch)
    gradients, own = [], learner.own_parameters()
    for loss in losses.values():
        gradients.append(torch.autograd.grad(loss, list(copies.values()), retain_graph=True, materialize_grads=True))
    for p, g in zip(own, torch.autograd.grad(sum(losses.values()), own, allow_unused=True), strict=True):
        p.grad = g
    flat = torch.stack([torch.cat([g.flatten() for g in row]) for row in gradients])
    noted = Noted()
    weights = noted(flat @ flat.T)
    sums = [sum(w * g for w, g in zip(weights, column, strict=True)) for column in zip(*gradients, strict=True)]
    torch.autograd.backward(real, sums, inputs=learner.shared_parameters())
    return {name: p.grad for name, p in learner.named_parameters()} | {"G": noted.gramian}


def found(learner: Learner, batch) -> dict:
    result = step(learner, batch, "features")
    return result.gradients | {"G": result.gramian}


@pytest.mark.parametrize("name", [n for n in ENCODERS if "checkpoint" not in n])
def test_it_is_what_is_written_out_by_hand(name):
    expected = at_features(make_learner(ENCODERS[name]), make_batch())
    assert_close(found(make_learner(ENCODERS[name]), make_batch()), expected)


def test_the_update_is_a_weighted_sum_of_the_tasks_gradients():
    result = step(make_learner(conv), make_batch(), "features")
    expected = by_hand(make_learner(conv), make_batch(), weigh=lambda _: result.weights)
    assert_close(result.gradients, expected.gradients)
    assert (result.gramian - expected.gramian).norm() > 0.1 * expected.gramian.norm()
    for name, value in result.buffers.items():
        torch.testing.assert_close(value, expected.buffers[name])
    assert torch.equal(result.random, expected.random)


class Pyramid(nn.Module):
    """Maps of three scales, each computed from the one before."""

    def __init__(self, form: str = "dict") -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 4, 3, stride=2)
        self.three = nn.Linear(16, 5)
        self.form = form

    def forward(self, x):
        one = torch.tanh(self.one(x))
        two = torch.tanh(self.two(one))
        three = self.three(two.flatten(1))
        if self.form == "dict":
            return {"fine": one, "more": [two, (three, 7)], "again": one, "input": x}
        return [one, two, three]


class OfScales(nn.Module):
    """A head on all scales."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 + 4 + 5, 2)

    def forward(self, features):
        if isinstance(features, dict):
            assert features["more"][1][1] == 7
            assert features["again"] is features["fine"]
            features = [features["fine"], features["more"][0], features["more"][1][0]]
        one, two, three = features
        return self.layer(torch.cat([one.mean((2, 3)), two.square().mean((2, 3)), three], 1))


def pyramid(form: str) -> Learner:
    plain = make_learner(conv)
    torch.manual_seed(2)
    model = MultiTaskModel(Pyramid(form), {name: OfScales() for name in ("t0", "t1", "t2")})
    return Learner(model, plain.tasks).double()


@pytest.mark.parametrize("form", ["dict", "list"])
def test_features_of_several_scales_that_are_computed_from_each_other(form):
    def of(outputs):
        return outputs if form == "list" else [outputs["fine"], outputs["more"][0], outputs["more"][1][0]]

    batch = make_batch()
    got = step(pyramid(form), batch, "features")
    assert_close(got.gradients | {"G": got.gramian}, at_features(pyramid(form), batch, of))
    assert_close(got.gradients, by_hand(pyramid(form), batch, weigh=lambda _: got.weights).gradients)


class Again(Learner):
    """The encoder sees features of its own."""

    def losses(self, batch, point):
        first = self.model.encoder(batch.inputs)
        second = self.model.encoder(functional.interpolate(first[:, :2], (6, 6)))
        one, other = self.model.decode(first, point), self.model.decode(second, point)
        return self.task_losses({name: one[name] + other[name].tanh() for name in one}, batch)


class Changed(Learner):
    """The features are changed in place."""

    def losses(self, batch, point):
        features = functional.relu_(self.model.encoder(batch.inputs))
        return self.task_losses(self.model.decode(features, point), batch)


class Below(Learner):
    """Something is trained in front of the encoder that no task competes for."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.front = nn.Conv2d(2, 2, 1)

    def losses(self, batch, point):
        return self.task_losses(self.model(self.front(batch.inputs), point), batch)


class PenalisedInside(Learner):
    """An auxiliary loss reads the features, what the first layer gave on the way to them, and a weight."""

    def losses(self, batch, point):
        inner = self.model.encoder[0]
        with Taps(self.model, ["encoder.0"]) as taps:
            features = self.model.encoder(batch.inputs)
        penalty = features.square().mean() + taps["encoder.0"].square().mean() + inner.weight.square().sum()
        return Losses({**self.task_losses(self.model.decode(features, point), batch), "penalty": penalty})


class Normed(Learner):
    """A loss of the features alone, and one of nothing."""

    def losses(self, batch, point):
        features = self.model.encoder(batch.inputs)
        own = self.task_losses(self.model.decode(features, point), batch)
        return Losses({**own, "norm": features.square().mean(), "nothing": batch.inputs.mean()})


KINDS = {
    "two views": (residual, TwoViews),
    "two views, batch norm": (conv, TwoViews),
    "features of its own": (lambda: nn.Conv2d(2, 3, 3), Again),
    "stored": (residual, Stored),
    "changed in place": (lambda: nn.Conv2d(2, 3, 3), Changed),
    "fewer shared": (conv, Fewer),
    "trained in front": (conv, Below),
    "losses of the features": (conv, Normed),
    "auxiliary losses of weights": (conv, Penalised),
    "an auxiliary loss inside the encoder": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Conv2d(3, 4, 3)),
        PenalisedInside,
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_learners_of_every_kind_get_the_weighted_sum(name):
    make, kind = KINDS[name]
    batch = make_batch()
    result = step(make_learner(make, kind=kind), batch, "features")
    expected = by_hand(make_learner(make, kind=kind), batch, weigh=lambda _: result.weights)
    assert_close(result.gradients, expected.gradients)


def test_links_lie_behind_the_features():
    batch = make_batch(4)
    assert_close(found(linked(), batch), at_features(linked(), batch))


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_of_users_act_once(name):
    learners = [make_learner(conv), make_learner(conv)]
    for learner in learners:
        HOOKS[name](learner)
    result = step(learners[0], make_batch(), "features")
    expected = by_hand(learners[1], make_batch(), weigh=lambda _: result.weights)
    assert_close(result.gradients, expected.gradients)


class PastTheFeatures(Learner):
    """One task also reads what the first layer gives."""

    def losses(self, batch, point):
        own = super().losses(batch, point)
        return Losses({**own, "t1": own["t1"] + self.model.encoder[0](batch.inputs).mean()})


@pytest.mark.parametrize(
    ("make", "kind"),
    [(lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh()), PastTheFeatures), (conv, WithHeads)],
)
def test_a_shared_parameter_reached_past_the_features_is_refused(make, kind):
    learner = make_learner(make, kind=kind)
    with pytest.raises(UmbelError, match="past the encoder's output"):
        step(learner, make_batch(), "features")


def test_a_weight_of_the_encoder_in_a_head_is_refused():
    class Reader(nn.Module):
        def __init__(self, table: nn.Linear) -> None:
            super().__init__()
            self.table, self.own = table, nn.Linear(72, 2)

        def forward(self, x):
            return self.own(functional.linear(x.flatten(1), self.table.weight.t()))

    learner = make_learner(lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 4)))
    learner.model.heads["task_t1"] = Reader(learner.model.encoder[1]).double()
    with pytest.raises(UmbelError, match="past the encoder's output"):
        step(learner, make_batch(), "features")


class Parts(Learner):
    """Calls the encoder's parts one by one."""

    def losses(self, batch, point):
        features = batch.inputs
        for part in self.model.encoder:
            features = part(features)
        return self.task_losses(self.model.decode(features, point), batch)


def test_an_encoder_that_is_not_called_is_refused():
    learner = make_learner(lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh()), kind=Parts)
    with pytest.raises(UmbelError, match="the encoder was not called"):
        step(learner, make_batch(), "features")


class Odd:
    """Features in a box of their own."""

    def __init__(self, maps) -> None:
        self.maps = maps


def test_features_in_a_box_are_refused():
    class Boxed(Learner):
        def losses(self, batch, point):
            return self.task_losses(self.model.decode(self.model.encoder(batch.inputs).maps, point), batch)

    class Boxing(nn.Conv2d):
        def forward(self, x):
            return Odd(super().forward(x))

    learner = make_learner(lambda: nn.Conv2d(2, 3, 3), kind=Boxed)
    boxing = Boxing(2, 3, 3).double()
    learner.model.encoder = boxing
    with pytest.raises(UmbelError, match="features"):
        step(learner, make_batch(), "features")


def test_a_model_without_an_encoder_is_refused():
    class Bare(Learner):
        def shared_parameters(self):
            return list(self.model.body.parameters())

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Conv2d(2, 3, 3), head(48, 0)

        def forward(self, x, point):
            return {"t0": self.head(self.body(x))}

    learner = Bare(Net(), make_learner(conv, 1).tasks).double()
    with pytest.raises(UmbelError, match="Net has no part called encoder"):
        step(learner, make_batch(1), "features")


def test_pieces_of_a_batch_are_refused():
    with pytest.raises(UmbelError, match="accumulate=1"):
        step(make_learner(residual), make_batch(), "features", runtime=SingleProcess(2))


def test_hooks_are_gone_after_a_step_and_after_an_error():
    learner = make_learner(conv)
    step(learner, make_batch(), "features")
    learner.losses = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        Jacobian(Noted(), engine="features")(learner, make_batch(), POINT, SingleProcess())
    assert not learner.model.encoder._forward_hooks


@pytest.mark.parametrize("way", ["around", "inside"])
def test_a_compiled_encoder_is_compiled_once(way):
    batches = [make_batch(count=5, seed=seed) for seed in range(4)]
    learner, other = make_learner(residual), make_learner(residual)
    graphs = []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    if way == "around":
        learner.model.encoder = torch.compile(learner.model.encoder, backend=backend)
    else:
        learner.model.encoder.compile(backend=backend)
    for batch in batches:
        found = step(learner, batch, "features").gradients
        found = {name.replace("_orig_mod.", ""): value for name, value in found.items()}
        assert_close(found, step(other, batch, "features").gradients)
    assert len(graphs) == 1
    torch.testing.assert_close(
        learner.model.encoder(batches[0].inputs), other.model.encoder(batches[0].inputs), rtol=1e-10, atol=1e-12
    )
