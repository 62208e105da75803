"""The network whose preference is an input: what is drawn, what is taught, and that the dial does what it says."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from umbel import tasks
from umbel.core import Batch, Learner, MultiTaskModel, OperatingPoint, SingleProcess, UmbelError
from umbel.data import TensorSource
from umbel.descent import WeightedSum
from umbel.engine import FitSettings, evaluate, fit, open_runtime
from umbel.methods.preference_conditioned import (
    ALIGNMENT,
    PreferenceLearner,
    conditioned_model,
    follows,
    preference_conditioned,
)
from umbel.nn import PreferenceConditioned, VectorHead, build_model, fixed_model, seeded_start
from umbel.search import control_response, uniformity

KINDS = tuple(tasks.regression(name) for name in ("a", "b", "c", "d"))
SMALL = {"encoder": "conv", "widths": (4, 8)}


def learner(count=2, **options) -> PreferenceLearner:
    return preference_conditioned((1, 8, 8), KINDS[:count], **{**SMALL, **options})


def a_batch(count=2, size=12, missing=0.0, seed=0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    targets = {}
    for task in KINDS[:count]:
        target = torch.randn(size, 1, generator=generator)
        target[torch.rand(size, 1, generator=generator) < missing] = math.nan
        targets[task.name] = target
    return Batch(torch.rand(size, 1, 8, 8, generator=generator), targets)


# -- what is built -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["conv", "mlp"])
def test_at_the_start_it_is_the_plain_network(encoder):
    options = {"widths": (4, 8), "norm": "group"} if encoder == "conv" else {"width": 8}
    kinds = [KINDS[0], *([tasks.dense_regression("map")] if encoder == "conv" else [])]
    plain = build_model((1, 8, 8), kinds, encoder, seed=3, hidden=5, **options)
    ours = preference_conditioned((1, 8, 8), kinds, encoder, seed=3, hidden=5, **options).model
    x = torch.rand(4, 1, 8, 8)
    expected = plain(x, OperatingPoint())
    for point in (OperatingPoint(), OperatingPoint(preferences={"a": 9.0})):
        found = ours(x, point)
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_start_depends_on_the_seed_only():
    state = torch.get_rng_state()
    one, same, other = (learner(seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], same[key]) for key in one)
    key = "model.heads.task_a.hypernetwork.0.weight"
    assert not torch.equal(one[key], other[key])
    assert not torch.equal(one[key], one[key.replace("task_a", "task_b")])


def test_every_task_has_its_small_network_of_the_asked_width():
    model = learner(hypernetwork_width=5).model
    for part in (model.encoder, model.heads["a"], model.heads["b"]):
        assert isinstance(part, PreferenceConditioned) and part.hypernetwork[0].out_features == 5
    assert isinstance(model.heads["a"].module, VectorHead)


# -- what is drawn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.4, 3.0, (0.5, 1.0, 2.5)])
def test_draws_have_the_mean_and_variance_of_a_dirichlet_distribution(alpha):
    asked = learner(3, alpha=alpha)
    generator, count = torch.Generator().manual_seed(0), 3000
    points = [asked.draw_point(generator, 0.0)["preferences"] for _ in range(count)]
    drawn = torch.tensor([[point[name] for name in "abc"] for point in points], dtype=torch.float64)
    torch.testing.assert_close(drawn.sum(1), torch.ones(count, dtype=torch.float64))
    expected = torch.tensor(alpha if isinstance(alpha, tuple) else [alpha] * 3, dtype=torch.float64)
    total = expected.sum()
    mean = expected / total
    variance = mean * (1 - mean) / (total + 1)
    assert ((drawn.mean(0) - mean).abs() < 4 * (variance / count).sqrt()).all()
    torch.testing.assert_close(drawn.var(0), variance, rtol=0.1, atol=0)


def test_draws_depend_on_the_generator_alone():
    asked = learner()
    found = [asked.draw_point(torch.Generator().manual_seed(seed), 0.5) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_tasks_of_a_group_share_one_preference():
    asked = learner(4, groups=[["d", "a"], ["b", "c"]])
    drawn = asked.draw_point(torch.Generator().manual_seed(0), 0.0)["preferences"]
    assert drawn["a"] == drawn["d"] != drawn["b"] == drawn["c"]
    assert asked.at([1, 3])["preferences"].as_dict() == {"a": 0.125, "b": 0.375, "c": 0.375, "d": 0.125}
    (equal,) = learner(3, groups=[["a", "b"], ["c"]]).sweep()
    assert equal["preferences"].as_dict() == pytest.approx(dict.fromkeys("abc", 1 / 3))


# -- what is taught ------------------------------------------------------------------------------------------------


def test_the_losses_add_up_to_the_objective():
    asked = learner(penalty=0.7, scales={"a": 2.0})
    batch, point = a_batch(), asked.at([3, 1])
    plain = asked.task_losses(asked.predict(batch, point), batch)
    found = asked.losses(batch, point)
    assert list(found) == ["a", "b", ALIGNMENT] and asked.is_auxiliary(ALIGNMENT)
    scaled = torch.stack([plain["a"] / 2, plain["b"]])
    preferences = torch.tensor([0.75, 0.25])
    cosine = torch.cosine_similarity(preferences * scaled, torch.ones(2), dim=0)
    torch.testing.assert_close(sum(found.values()), 2 * (preferences * scaled).sum() - 0.7 * cosine)
    torch.testing.assert_close(found["a"], 2 * 0.75 * scaled[0])


def test_at_equal_preferences_without_penalty_it_is_the_plain_sum():
    asked = learner(3, penalty=0.0)
    batch, (point,) = a_batch(3), asked.sweep()
    plain = Learner(asked.model, asked.tasks).losses(batch, point)
    found = asked.losses(batch, point)
    torch.testing.assert_close(torch.stack([found[name] for name in plain]), plain.stack())
    assert found[ALIGNMENT] == 0


def test_the_cosine_is_one_where_losses_follow():
    preferences, every = torch.tensor([0.5, 0.3, 0.2]), torch.ones(3, dtype=torch.bool)
    inverse, ray = 4 / preferences, 4 * preferences
    assert follows(preferences, inverse, every) == pytest.approx(1.0)
    assert follows(preferences, ray, every, "ray") == pytest.approx(1.0)
    assert uniformity(inverse.tolist(), preferences.tolist()) == pytest.approx(1.0)
    assert follows(preferences, ray, every) < 0.9 and follows(preferences, inverse, every, "ray") < 0.9
    labelled = torch.tensor([True, True, False])
    for follow, losses in (("inverse", inverse), ("ray", ray)):
        losses[2] = 100.0
        assert follows(preferences, losses, labelled, follow) == pytest.approx(1.0)
        assert follows(preferences, losses, ~every, follow) == 0


@pytest.mark.parametrize("follow", ["inverse", "ray"])
def test_a_task_without_a_label_is_no_part_of_it(follow):
    asked = learner(3, penalty=0.5, follow=follow)
    batch = a_batch(3)
    batch.targets["b"].fill_(math.nan)
    found = asked.losses(batch, asked.at([1, 7, 2]))
    assert list(found) == ["a", "b", "c", ALIGNMENT] and found["b"] == 0
    sum(found.values()).backward()
    assert all(p.grad is None or not p.grad.any() for p in asked.model.heads["b"].parameters())
    assert all(p.grad.isfinite().all() for p in asked.parameters() if p.grad is not None)
    plain = asked.task_losses(asked.predict(batch, asked.at([1, 7, 2])), batch)
    of_two = follows(torch.tensor([0.1, 0.2]), torch.stack([plain["a"], plain["c"]]), torch.ones(2) > 0, follow)
    torch.testing.assert_close(found[ALIGNMENT], -0.5 * of_two, rtol=1e-4, atol=0)


def test_losses_of_zero_and_a_batch_without_labels_give_no_gradient():
    asked = learner(penalty=1.0)
    batch = a_batch()
    for values in (math.nan, 0.0):
        for target in batch.targets.values():
            target.fill_(values)
        with torch.no_grad():
            for name in "ab":  # predictions of exactly 0
                asked.model.heads[name].module.layers[-1].weight.zero_()
                asked.model.heads[name].module.layers[-1].bias.zero_()
        asked.zero_grad()
        found = asked.losses(batch, asked.at([1, 0]))
        sum(found.values()).backward()
        assert found.stack().tolist() == [0, 0, 0]
        assert all(not p.grad.any() for p in asked.parameters() if p.grad is not None)


def test_pieces_of_a_batch_add_up_but_for_the_cosine():
    asked = learner(norm="group", penalty=0.3).double()
    batch = a_batch(missing=0.4).map(lambda tensor: tensor.double())
    point = asked.at([1, 4])
    whole = WeightedSum()(asked, batch, point, SingleProcess())
    pieces = WeightedSum()(asked, batch, point, SingleProcess(accumulate=3))
    of_pieces = [asked.losses(piece, point)[ALIGNMENT] for piece in batch.chunks(3)]
    for name in "ab":
        assert pieces[name] == pytest.approx(whole[name].item())
    assert pieces[ALIGNMENT] == pytest.approx(torch.stack(of_pieces).mean().item())
    assert pieces[ALIGNMENT] != pytest.approx(whole[ALIGNMENT].item())


def test_one_step_reaches_the_small_networks_and_two_make_preferences_matter():
    asked = learner(penalty=0.5)
    optimiser = torch.optim.SGD(asked.parameters(), 0.05)
    batch, ends = a_batch(), [asked.at([1, 9]), asked.at([9, 1])]
    for _ in range(2):
        for point in ends:
            optimiser.zero_grad()
            WeightedSum()(asked, batch, point, SingleProcess())
            for part in (asked.model.encoder, asked.model.heads["a"], asked.model.heads["b"]):
                assert part.hypernetwork[-1].weight.grad.abs().sum() > 0
            optimiser.step()
    one, other = (asked.predict(batch, point) for point in ends)
    for name in "ab":
        assert not torch.allclose(one[name], other[name], atol=1e-4)


# -- the dial ------------------------------------------------------------------------------------------------------


class OneNumber(nn.Module):
    """The one number that both tasks read."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x)


CONFLICT = Batch(
    torch.randn(16, 2, generator=torch.Generator().manual_seed(0)), {"a": -torch.ones(16, 1), "b": torch.ones(16, 1)}
)


def conflicting(seed=0, **options) -> PreferenceLearner:
    """Task a wants the number to be -1, task b 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = PreferenceConditioned(OneNumber(), ("a", "b"), 16)
    return PreferenceLearner(MultiTaskModel(encoder, {n: nn.Identity() for n in "ab"}), KINDS[:2], **options)


def turned(asked: PreferenceLearner) -> tuple[list[float], list[list[float]]]:
    """Preferences of a, and the losses of both tasks there, after 60 steps."""
    optimiser = torch.optim.Adam(asked.parameters(), 0.03)
    generator = torch.Generator().manual_seed(1)
    for step in range(60):
        optimiser.zero_grad()
        WeightedSum()(asked, CONFLICT, asked.draw_point(generator, step / 60), SingleProcess())
        optimiser.step()
    rays, losses = [0.1, 0.3, 0.5, 0.7, 0.9], []
    with torch.no_grad():
        for ray in rays:
            point = asked.at([ray, 1 - ray])
            losses.append(asked.task_losses(asked.predict(CONFLICT, point), CONFLICT).stack().tolist())
    return rays, losses


@pytest.mark.parametrize(("penalty", "alpha", "seed"), [(0.0, 1.2, 0), (1.0, 1.2, 1), (1.0, 0.5, 2), (4.0, 1.2, 3)])
def test_the_preferred_tasks_loss_falls_with_its_preference(penalty, alpha, seed):
    rays, losses = turned(conflicting(seed, penalty=penalty, alpha=alpha))
    for task, preference in ((0, rays), (1, [1 - ray for ray in rays])):
        response = control_response(preference, [-values[task] for values in losses])
        assert response.spearman == pytest.approx(1.0)
        assert response.range > 0.75


def test_the_cosine_as_published_turns_the_dial_round_when_it_is_strong():
    rays, losses = turned(conflicting(follow="ray", penalty=8.0))
    assert control_response(rays, [-values[0] for values in losses]).spearman == pytest.approx(-1.0)


# -- the builder -----------------------------------------------------------------------------------------------------


def as_the_kept_studies_built_it(plain: MultiTaskModel, input_shape, seed: int) -> MultiTaskModel:
    """Written out as it stood in the controllable study when its kept results were trained."""
    names = plain.task_names
    with seeded_start(seed, "preferences"):
        encoder = PreferenceConditioned(plain.encoder, names, input_shape=input_shape)
        features = plain.encoder.feature_shape
        heads = {name: PreferenceConditioned(plain.heads[name], names, input_shape=features) for name in names}
    return MultiTaskModel(encoder, heads)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_builders_start_as_the_kept_studies_networks_did(seed):
    about = {"hidden": 8, "vector_head": "conv", "widths": (4, 8)}
    plain = build_model((1, 8, 8), KINDS[:2], "conv", seed=seed, **about)
    expected = as_the_kept_studies_built_it(plain, (1, 8, 8), seed).state_dict()
    of_plain = conditioned_model(plain, (1, 8, 8), seed)
    of_words = preference_conditioned((1, 8, 8), KINDS[:2], "conv", seed=seed, **about).model
    for built in (of_plain.state_dict(), of_words.state_dict()):
        assert list(built) == list(expected)
        assert all(torch.equal(built[name], expected[name]) for name in expected)


def test_an_ordinary_model_keeps_its_links_and_is_left_as_it_was():
    plain = build_model((1, 8, 8), KINDS[:2], "conv", widths=(4, 8))
    half = nn.Dropout(0.0)
    linked = MultiTaskModel(plain.encoder, {n: plain.heads[n] for n in "ab"}, {"a": half})
    before = [name for name, _ in linked.named_modules()]
    built = conditioned_model(linked, (1, 8, 8))
    assert built.links["a"] is half and "b" not in built.links
    assert [name for name, _ in linked.named_modules()] == before
    del plain.encoder.feature_shape
    with pytest.raises(UmbelError, match="give it an attribute feature_shape"):
        conditioned_model(plain, (1, 8, 8))


# -- training, saving, evaluating ----------------------------------------------------------------------------------


def test_a_run_that_broke_off_ends_as_one_that_did_not(tmp_path):
    source = TensorSource(a_batch(size=32))
    settings = FitSettings(steps=8, batch_size=8, learning_rate=0.01, monitor="loss", checkpoint_seconds=0.0)
    settings = replace(settings, precision="float32", log_every=2)
    ends = []

    def stop(step, asked, batch, point):
        if step == 5:
            raise RuntimeError("power cut")

    for name in ("whole", "broken"):
        asked = learner(groups=[["a"], ["b"]])
        options = {"out": tmp_path / name, "runtime": open_runtime()}
        if name == "broken":
            with pytest.raises(RuntimeError, match="power cut"):
                fit(asked, WeightedSum(), source, source, settings, observe=stop, **options)
            asked = learner(groups=[["a"], ["b"]], seed=9)
            fit(asked, WeightedSum(), source, source, settings, resume=True, **options)
        else:
            fit(asked, WeightedSum(), source, source, settings, **options)
        ends.append(asked.state_dict())
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    again = learner(groups=[["a"], ["b"]], seed=9)
    again.load_state_dict(ends[0])
    batch, point = a_batch(), again.at([2, 1])
    assert torch.equal(again.eval().predict(batch, point)["a"], asked.eval().predict(batch, point)["a"])


def test_a_fixed_model_is_evaluated_as_the_learner_is_at_that_point():
    asked = learner(norm="group")
    with torch.no_grad():
        asked.model.encoder.hypernetwork[-1].weight.normal_(generator=torch.Generator().manual_seed(0))
    source, point = TensorSource(a_batch()), asked.at([5, 1])
    fixed = Learner(fixed_model(asked.model, point), asked.tasks)
    found, expected = (evaluate(one, source, open_runtime(), point).losses for one in (fixed, asked))
    assert found == pytest.approx(expected, rel=1e-4)
    assert evaluate(asked, source, open_runtime()).losses != pytest.approx(expected, rel=1e-2)


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"groups": [["a"], ["e"]]}, "unknown task in groups 'e'"),
        ({"groups": [["a"]]}, "task 'b' is in 0 groups; put every task in exactly one"),
        ({"groups": [["a", "b"], ["a"]]}, "task 'a' is in 2 groups"),
        ({"groups": [["a", "b"], []]}, "a group is empty"),
        ({"alpha": 0.0}, "alpha is 0.0; give a number above 0"),
        ({"alpha": [1.0, 2.0, 3.0]}, "for each of the 2 groups"),
        ({"penalty": -1.0}, "penalty is -1.0"),
        ({"follow": "rays"}, "did you mean 'ray'"),
        ({"scales": {"e": 1.0}}, "unknown task of a scale 'e'"),
        ({"scales": {"a": 0.0}}, "the scale of task 'a' is 0.0"),
        ({"hypernetwork_width": 0}, "hidden is 0"),
    ],
)
def test_mistakes_are_named(options, says):
    with pytest.raises(UmbelError, match=says):
        learner(**options)


@pytest.mark.parametrize(
    ("given", "says"),
    [([1.0], "1 preferences for 2 groups"), ([0, 0], "every preference is 0"), ([1, -1], "task 'b' is -1.0")],
)
def test_preferences_that_are_none_are_refused(given, says):
    with pytest.raises(UmbelError, match=says):
        learner().at(given)


def test_an_unknown_task_at_a_point_and_a_task_of_a_taken_name_are_refused():
    with pytest.raises(UmbelError, match="unknown task in preferences 'z'"):
        learner().losses(a_batch(), OperatingPoint(preferences={"z": 1}))
    with pytest.raises(UmbelError, match="rename the task"):
        preference_conditioned((4,), [tasks.regression(ALIGNMENT)])
