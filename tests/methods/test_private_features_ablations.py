"""What private features are compared with: as much is released everywhere, and each does what its name says."""

import copy
import math

import pytest
import torch
from test_private_features import MAPS, SHAPE, SMALL, TASKS, batch

from umbel.core import Batch, OperatingPoint, SingleProcess, UmbelError, Uniform, at_point
from umbel.data import TensorSource
from umbel.descent import WeightedSum
from umbel.methods import (
    Adversaries,
    AlternatingSteps,
    MinMaxLearner,
    PrincipalComponents,
    ReversalLearner,
    gradient_reversal,
    min_max,
    noise_only,
    plain_links,
    private_features,
    single_encoders,
    universal,
    without_decorrelation,
    without_gates,
)
from umbel.nn import GatedEncoder, build_model

ARMS = (
    private_features,
    plain_links,
    without_gates,
    without_decorrelation,
    universal,
    single_encoders,
    gradient_reversal,
    min_max,
)
QUIET = OperatingPoint()


def sent(learner, point=QUIET):
    """What each task's receiver gets."""
    return {name: released.features for name, released in learner.released(batch(), point).items()}


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("kinds", [TASKS, MAPS])
def test_every_arm_releases_as_much_and_can_be_taught(arm, kinds):
    learner = arm(SHAPE, kinds, **SMALL, seed=3)
    shapes = {tuple(x.shape[1:]) for x in sent(learner).values()}
    assert len(shapes) == 1 and next(iter(shapes))[0] == SMALL["released"]
    assert len(next(iter(shapes))) == (1 if kinds is TASKS else 3)
    descent = AlternatingSteps(WeightedSum(), steps=1) if arm is min_max else WeightedSum()
    descent.prepare(learner)
    losses = descent(learner, batch(), QUIET, SingleProcess())
    assert torch.isfinite(losses.stack()).all()
    assert all(p.grad.any() for p in learner.model.encoder.parameters() if p.ndim > 1), "the encoder learns"


@pytest.mark.parametrize("arm", [plain_links, single_encoders, without_gates])
def test_encoders_and_heads_start_as_those_of_private_features(arm):
    ours, other = private_features(SHAPE, TASKS, **SMALL).model, arm(SHAPE, TASKS, **SMALL).model
    encoders = [other.encoder] if arm is not single_encoders else [other.encoder.encoders[t.name] for t in TASKS]
    for encoder in encoders:
        for name, value in encoder.state_dict().items():
            assert torch.equal(value, ours.encoder.encoder.state_dict()[name])
    for name, value in other.heads.state_dict().items():
        assert torch.equal(value, ours.heads.state_dict()[name])


def test_universal_features_are_released_once_and_the_same_for_all():
    learner = universal(SHAPE, TASKS, **SMALL, clip_norm=1.0, sigma=Uniform(0, 1))
    assert learner.model.links.keys() == {}.keys()
    features = sent(learner, point=OperatingPoint(sigma=1.0))
    assert features["left"] is features["right"] is features["size"]
    torch.manual_seed(0)
    one = learner.model(batch().inputs, OperatingPoint(sigma=1.0))
    torch.manual_seed(0)
    noised = at_point(learner.model.encoder, batch().inputs, OperatingPoint(sigma=1.0))
    assert torch.equal(one["left"], learner.model.heads["left"](noised))


def test_an_encoder_of_its_own_learns_from_its_task_alone():
    learner = single_encoders(SHAPE, TASKS, **SMALL)
    learner.losses(batch(), QUIET)["left"].backward()
    trained = {
        name: any(p.grad is not None for p in learner.model.encoder.encoders[name].parameters())
        for name in ("left", "right", "size")
    }
    assert trained == {"left": True, "right": False, "size": False}


def test_ablations_leave_out_what_they_say():
    assert not isinstance(without_gates(SHAPE, TASKS, **SMALL).model.encoder, GatedEncoder)
    assert "decorrelation" in without_gates(SHAPE, TASKS, **SMALL).losses(batch(), QUIET)
    learner = without_decorrelation(SHAPE, TASKS, **SMALL, overlap=1.0)
    assert isinstance(learner.model.encoder, GatedEncoder)
    assert list(learner.losses(batch(), QUIET)) == ["left", "right", "size", "overlap"]
    assert list(plain_links(SHAPE, TASKS, **SMALL).losses(batch(), QUIET)) == ["left", "right", "size"]


def test_noise_alone_clips_and_adds_noise():
    learner = noise_only(SHAPE, TASKS, **SMALL, sigma=Uniform(0, 2, sweep=(0.0, 2.0)))
    quiet = sent(learner, point=OperatingPoint(sigma=0.0))["left"]
    assert quiet.norm(dim=1).max() <= 1 + 1e-5
    loud = sent(learner, point=OperatingPoint(sigma=2.0))["left"]
    assert (loud - quiet).std().item() == pytest.approx(2.0, rel=0.3)
    assert [point["sigma"] for point in learner.sweep()] == [0.0, 2.0]


def adversaries_loss(learner, features):
    return sum(
        learner.adversaries.tasks[other].mean_loss(head(features[one]), batch().target(other))
        for (one, other), head in zip(learner.adversaries.pairs, learner.adversaries.heads, strict=True)
    )


def test_reversal_turns_the_adversaries_gradient_round_at_the_features_and_nowhere_else():
    learner = gradient_reversal(SHAPE, TASKS, **SMALL, weight=0.25)
    assert isinstance(learner, ReversalLearner)
    assert len(learner.adversaries.pairs) == 6
    encoder = [p for p in learner.model.encoder.parameters() if p.ndim > 1]
    heads = list(learner.adversaries.parameters())
    loss = learner.losses(batch(), QUIET)["adversaries"]
    got = torch.autograd.grad(loss, [*encoder, *heads])
    plain = adversaries_loss(learner, sent(learner))
    torch.testing.assert_close(loss, plain)
    wanted = torch.autograd.grad(plain, [*encoder, *heads])
    for value, other in zip(got[: len(encoder)], wanted, strict=False):
        torch.testing.assert_close(value, -0.25 * other, rtol=1e-3, atol=1e-6)
    for value, other in zip(got[len(encoder) :], wanted[len(encoder) :], strict=True):
        torch.testing.assert_close(value, other, rtol=1e-3, atol=1e-6)
    (group,) = learner.parameter_groups()
    assert set(map(id, group.parameters)) == set(map(id, heads)) and group.rate == 2.0


def test_min_max_steps_its_adversaries_by_itself_and_leaves_them_to_nobody():
    learner, rest = min_max(SHAPE, TASKS, **SMALL), WeightedSum()
    assert isinstance(learner, MinMaxLearner)
    descent = AlternatingSteps(rest, steps=20, rate=3e-3)
    descent.prepare(learner)
    before, others = copy.deepcopy(learner.adversaries.state_dict()), copy.deepcopy(learner.model.state_dict())
    knew = adversaries_loss(learner, sent(learner)).item()
    losses = descent(learner, batch(), QUIET, SingleProcess())
    assert list(losses) == ["left", "right", "size", "confusion"]
    knows = adversaries_loss(learner, sent(learner)).item()
    assert knows < knew - 0.3, "they learnt in this one step"
    assert any(not torch.equal(v, before[n]) for n, v in learner.adversaries.state_dict().items())
    assert all(torch.equal(v, others[n]) for n, v in learner.model.state_dict().items()), "and nothing else moved"
    assert all(p.grad is None for p in learner.adversaries.parameters())
    assert all(p.grad is not None for p in learner.model.parameters())


def test_confusion_is_the_loss_against_the_labels_of_others():
    learner = min_max(SHAPE, TASKS[:2], **SMALL, weight=2.0)
    learner.adversaries.eval()
    torch.manual_seed(4)
    value = learner.losses(batch(), QUIET)["confusion"]
    torch.manual_seed(4)
    order = torch.randperm(24)
    features, targets = sent(learner), batch().targets
    wanted = sum(
        learner.adversaries.tasks[other].mean_loss(head(features[one]), targets[other][order])
        for (one, other), head in zip(learner.adversaries.pairs, learner.adversaries.heads, strict=True)
    )
    torch.testing.assert_close(value, 2 * wanted)


def test_alternating_steps_go_on_where_they_stopped():
    def two_steps(stop):
        torch.manual_seed(0)
        learner = min_max(SHAPE, TASKS, **SMALL)
        descent = AlternatingSteps(WeightedSum(), steps=2)
        descent.prepare(learner)
        for step in range(2):
            torch.manual_seed(step)
            descent(learner, batch(), QUIET, SingleProcess())
            if stop and not step:
                state = copy.deepcopy(descent.state_dict())
                descent = AlternatingSteps(WeightedSum(), steps=2)
                descent.prepare(learner)
                descent.load_state_dict(state)
        return torch.cat([p.detach().flatten() for p in learner.adversaries.parameters()])

    assert torch.equal(two_steps(stop=False), two_steps(stop=True))


def test_principal_components_are_uncorrelated_and_of_variance_1_and_stay():
    generator = torch.Generator().manual_seed(0)
    source = TensorSource(Batch(torch.rand(300, *SHAPE, generator=generator), {}))
    trained = build_model(SHAPE, TASKS, "conv", widths=(4, 8)).eval()
    learner = PrincipalComponents(trained, TASKS, source, SHAPE, released=5, hidden=8)
    inputs = source.samples.inputs
    components = learner.model.encoder(inputs)
    torch.testing.assert_close(torch.cov(components.T), torch.eye(5), rtol=0, atol=0.05)
    features = trained.encoder(inputs).flatten(1)
    exact = torch.linalg.svdvals(features - features.mean(0))[:5]
    weights = learner.model.encoder[1].project.weight
    torch.testing.assert_close(1 / weights.norm(dim=1), exact / math.sqrt(299), rtol=0.02, atol=0)
    WeightedSum()(learner, batch(), QUIET, SingleProcess())
    assert all(p.grad is None for p in learner.model.encoder.parameters())
    assert all(p.grad is not None for p in learner.model.heads.parameters())


def test_wrong_baselines_are_refused():
    source = TensorSource(Batch(torch.rand(10, *SHAPE), {}))
    shapes = {"left": (4,), "right": (4,)}
    for call, message in (
        (lambda: gradient_reversal(SHAPE, TASKS[:1], **SMALL), r"adversaries of one task \(left\)"),
        (lambda: gradient_reversal(SHAPE, TASKS, **SMALL, weight=-1.0), "weight of adversaries is -1"),
        (lambda: AlternatingSteps(WeightedSum(), steps=0), "steps of the adversaries is 0"),
        (lambda: AlternatingSteps(WeightedSum()).prepare(plain_links(SHAPE, TASKS, **SMALL)), "a MinMaxLearner"),
        (lambda: PrincipalComponents(build_model(SHAPE, TASKS), TASKS, source, SHAPE), "16 components of"),
        (lambda: PrincipalComponents(build_model(SHAPE, MAPS), MAPS, source, SHAPE), "a task that predicts a map"),
        (lambda: without_decorrelation(SHAPE, TASKS[:1], **SMALL), "no other task to hide"),
    ):
        with pytest.raises(UmbelError, match=message):
            call()
    assert len(Adversaries(TASKS[:2], shapes, SHAPE, seed=0).pairs) == 2
