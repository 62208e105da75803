"""Features of a task's own: what the objective is, where noise is, what is refused."""

import pytest
import torch

from umbel import tasks
from umbel.core import Batch, OneOf, OperatingPoint, UmbelError, Uniform, at_point
from umbel.losses import attention_overlap, cross_covariance, hsic
from umbel.methods import PrivateFeaturesLearner, private_features, private_model
from umbel.nn import GatedEncoder, ReleasingLink

SHAPE = (1, 8, 8)
TASKS = (
    tasks.classification("left", "abc"),
    tasks.classification("right", "ab"),
    tasks.regression("size", centre=0.0, scale=1.0),
)
MAPS = (tasks.segmentation("kind", "abc"), tasks.boundaries("edge"))
SMALL = {"encoder": "conv", "widths": (4, 8), "norm": "group", "released": 5, "hidden": 8}
QUIET = OperatingPoint()


def batch(count=24):
    generator = torch.Generator().manual_seed(1)
    targets = {
        "left": torch.randint(-1, 3, (count,), generator=generator),
        "right": torch.randint(0, 2, (count,), generator=generator),
        "size": torch.randn(count, 1, generator=generator),
        "kind": torch.randint(0, 3, (count, 8, 8), generator=generator),
        "edge": torch.randint(0, 2, (count, 1, 8, 8), generator=generator).float(),
    }
    return Batch(torch.rand(count, *SHAPE, generator=generator), targets)


def make(kinds=TASKS, **more):
    return private_features(SHAPE, kinds, **(SMALL | more))


def clean(learner):
    shared = at_point(learner.model.encoder, batch().inputs, QUIET)
    return shared, {task.name: learner.model.links[task.name].clean(shared) for task in learner.tasks}


PAIRS = [("left", "right"), ("left", "size"), ("right", "size")]


def hsic_of_standardised(one, other):
    features = [(x - x.mean(0)) / x.std(0, unbiased=False) for x in (one, other)]
    return hsic(*features, widths=[(2 * x.shape[1]) ** 0.5 for x in features])


@pytest.mark.parametrize(("kind", "measure"), [("covariance", cross_covariance), ("hsic", hsic_of_standardised)])
def test_the_objective_is_the_tasks_losses_and_the_dependence_of_all_pairs(kind, measure):
    learner = make(kind=kind, decorrelation=3.0, overlap=0.5)
    losses = learner.losses(batch(), QUIET)
    assert list(losses) == ["left", "right", "size", "decorrelation", "overlap"]
    own = learner.task_losses(learner.predict(batch(), QUIET), batch())
    for name, value in own.items():
        torch.testing.assert_close(losses[name], value)
    shared, features = clean(learner)
    pairs = sum(measure(features[one], features[other]) for one, other in PAIRS)
    torch.testing.assert_close(losses["decorrelation"], 3 * pairs)
    gates = [(0, 1), (0, 2), (1, 2)]
    overlaps = sum(attention_overlap(shared.gates[:, j], shared.gates[:, k]).mean() for j, k in gates)
    torch.testing.assert_close(losses["overlap"], 0.5 * overlaps)


def test_a_loss_without_weight_is_not_there():
    assert list(make(decorrelation=0.0).losses(batch(), QUIET)) == ["left", "right", "size"]


def test_gates_of_the_tasks_share_every_channel():
    shared, _ = clean(make())
    assert shared.gates.shape == (24, 3, 8)
    torch.testing.assert_close(shared.gates.sum(1), torch.full((24, 8), 3.0))


def test_each_task_is_sent_as_many_numbers_as_asked_for_and_maps_where_maps_are_predicted():
    _, features = clean(make())
    assert {name: tuple(x.shape) for name, x in features.items()} == dict.fromkeys(features, (24, 5))
    learner = make(MAPS)
    shared, features = clean(learner)
    assert {x.shape for x in features.values()} == {(24, 5, *shared.features.shape[2:])}
    assert learner.predict(batch(), QUIET)["kind"].shape == (24, 3, 8, 8)
    assert torch.isfinite(learner.losses(batch(), QUIET).stack()).all()


def test_dependence_is_of_what_is_clipped_before_its_noise():
    learner = make(clip_norm=0.3, sigma=Uniform(0, 2))
    quiet, loud = (learner.losses(batch(), OperatingPoint(sigma=sigma)) for sigma in (0.0, 50.0))
    assert torch.equal(quiet["decorrelation"], loud["decorrelation"])
    assert not torch.isclose(quiet["right"], loud["right"])
    _, features = clean(learner)
    assert all(x.norm(dim=1).max() <= 0.3 * (1 + 1e-5) for x in features.values())
    assert any(x.norm(dim=1).min() > 0.29 for x in features.values()), "and some are clipped"


def test_training_and_prediction_see_the_same_noise():
    learner, point = make(clip_norm=1.0, sigma=Uniform(0, 2)), OperatingPoint(sigma=1.0)
    torch.manual_seed(5)
    losses = learner.losses(batch(), point)
    torch.manual_seed(5)
    own = learner.task_losses(learner.predict(batch(), point), batch())
    assert all(torch.equal(losses[name], own[name]) for name in own)


def test_the_point_has_a_sigma_where_features_are_released():
    assert make().axes() == {}
    assert make(clip_norm=1.0).axes() == {"sigma": OneOf((0.0,))}
    noise = Uniform(0, 1, sweep=(0.0, 1.0))
    assert make(sigma=noise).axes() == {"sigma": noise}, "noise without clipping"
    assert [point["sigma"] for point in make(clip_norm=1.0, sigma=noise).sweep()] == [0.0, 1.0]


def test_gates_change_nothing_else_at_the_start():
    with_gates, without = (private_model(SHAPE, TASKS, **SMALL, gated=gated) for gated in (True, False))
    assert isinstance(with_gates.encoder, GatedEncoder)
    for name, value in without.encoder.state_dict().items():
        assert torch.equal(with_gates.encoder.encoder.state_dict()[name], value)
    own = dict(with_gates.links.named_parameters())
    for name, value in without.links.named_parameters():
        assert torch.equal(own[name.replace("projection.project", "projection.projection.project")], value)
    for name, value in without.heads.named_parameters():
        assert torch.equal(dict(with_gates.heads.named_parameters())[name], value)


def test_tasks_with_the_same_labels_are_allowed():
    twins = (TASKS[0], tasks.classification("again", "abc"))
    both = Batch(batch().inputs, {"left": batch().target("left"), "again": batch().target("left")})
    assert torch.isfinite(make(twins).losses(both, QUIET).stack()).all()


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_too_small_for_its_statistic_has_a_loss_of_0_and_gradients(count):
    learner = make(kind="hsic")
    losses = learner.losses(batch()[:count], QUIET)
    assert losses["decorrelation"] == 0
    losses.stack().nansum().backward()
    assert all(torch.isfinite(p.grad).all() for p in learner.model.links.parameters())


def test_what_cannot_be_is_refused():
    plain = private_model(SHAPE, TASKS, **SMALL, gated=False)
    named = tasks.classification("overlap", "ab")
    for call, message in (
        (lambda: make(TASKS[:1]), r"private features of one task \(left\) have no other task to hide"),
        (lambda: make(decorrelation=-1.0), "weight of decorrelation is -1; give a number, at least 0"),
        (lambda: make(overlap=float("nan")), "weight of overlap"),
        (lambda: make(kind="mutual"), "kind of dependence"),
        (lambda: make(released=0), "size of a task's vector is 0"),
        (lambda: make(clip_norm=0.0), "clip"),
        (lambda: make((TASKS[0], named)), "a task is called 'overlap', as a loss of private features is"),
        (lambda: PrivateFeaturesLearner(plain, TASKS, overlap=1.0), "an overlap of gates needs a GatedEncoder"),
    ):
        with pytest.raises(UmbelError, match=message):
            call()


def test_a_link_without_release_is_its_projection():
    link = make().model.links["left"]
    assert isinstance(link, ReleasingLink)
    shared = at_point(make().model.encoder, batch().inputs, QUIET)
    assert torch.equal(link(shared, QUIET), link.projection(shared))
