"""Conditioned modules: ordinary at the start, scaled as they say, thread by thread, fixed for one preference."""

import copy
import math
import pickle
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slim_cases import CASES, SMALL
from torch import nn
from torchvision.models.convnext import LayerNorm2d

from umbel import tasks
from umbel.core import Batch, MultiTaskModel, OperatingPoint, PointModule, UmbelError
from umbel.nn import (
    ConvEncoder,
    ExponentialMovingAverage,
    GRUEncoder,
    MapHead,
    MLPEncoder,
    PreferenceConditioned,
    VectorHead,
    build_encoder,
    build_head,
    cost_of,
    count_macs,
    fixed_model,
    preferences_at,
    slimmable,
    synchronise_norms,
)

NAMES = ("a", "b", "c")
LEFT = OperatingPoint(preferences={"a": 8, "b": 1, "c": 0})
RIGHT = OperatingPoint(preferences={"a": 0.5, "b": 0.2, "c": 3})


def stirred(module, seed=0):
    """The conditioned module with a small network that does something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.hypernetwork.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module


def small_encoder(norm="batch"):
    return ConvEncoder((3, 8, 8), (8, 16), norm)


# -- preferences ---------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1e300), min_size=3, max_size=3).filter(any), st.sampled_from([1e-6, 1.0, 7, 1e7]))
def test_preferences_add_up_to_one_and_only_ratios_count(values, factor):
    found = preferences_at(OperatingPoint(preferences=dict(zip(NAMES, values, strict=True))), NAMES)
    assert sum(found) == pytest.approx(1) and min(found) >= 0
    scaled = {name: value * factor for name, value in zip(NAMES, values, strict=True)}
    if all(value > 1e-290 or not value for value in values) and max(scaled.values()) < math.inf:
        assert preferences_at(OperatingPoint(preferences=scaled), NAMES) == pytest.approx(found)


def test_who_is_not_named_counts_one():
    assert preferences_at(OperatingPoint(snr_db=3.0), NAMES) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert preferences_at(OperatingPoint(preferences={"b": 2}), NAMES) == pytest.approx((0.25, 0.5, 0.25))


@pytest.mark.parametrize(
    ("preferences", "says"),
    [
        ({"d": 1.0}, "unknown task in preferences 'd'; known: a, b, c"),
        ({"a": -0.1}, "the preference of task 'a' is -0.1; give a finite number, at least 0"),
        ({"a": math.inf}, "the preference of task 'a' is inf; give a finite number, at least 0"),
        ({"a": "2"}, "the preference of task 'a' is '2'; give a finite number, at least 0"),
        ({"a": True}, "the preference of task 'a' is True; give a finite number, at least 0"),
        (dict.fromkeys(NAMES, 0), "every preference is 0; at least one task must count"),
        (0.5, "preferences is 0.5; give a mapping of task names to numbers"),
    ],
)
def test_preferences_that_are_none_are_refused_in_one_line(preferences, says):
    module = PreferenceConditioned(small_encoder(), NAMES)
    with pytest.raises(UmbelError) as caught:
        module(torch.rand(2, 3, 8, 8), OperatingPoint(preferences=preferences))
    assert str(caught.value) == says


# -- what a pass does ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SMALL, "resnet-trunk", "mobilenet"])
def test_at_the_start_it_is_the_ordinary_module_bit_for_bit(name):
    torch.manual_seed(0)
    ordinary = CASES[name].make()
    conditioned = PreferenceConditioned(ordinary, NAMES, input_shape=CASES[name].input_shape)
    x = torch.rand(6, *CASES[name].input_shape)
    for mode in (True, False):
        answers = []
        for module, arguments in ((ordinary.train(mode), (x,)), (conditioned.train(mode), (x, LEFT))):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)  # dropout
                answers.append(module(*arguments))
        assert torch.equal(*answers)
        for answer in answers:
            answer.square().mean().backward()
    inner = {key.replace(".norm.", "."): value for key, value in conditioned.module.state_dict().items()}
    ours = {key.replace(".norm.", "."): value for key, value in ordinary.state_dict().items()}
    assert all(torch.equal(inner[key], value) for key, value in ours.items())  # running statistics moved alike
    gradients = {key.replace(".norm.", "."): p.grad for key, p in conditioned.module.named_parameters()}
    for key, parameter in ordinary.named_parameters():
        torch.testing.assert_close(gradients[key.replace(".norm.", ".")], parameter.grad)
    assert getattr(conditioned, "feature_shape", None) == getattr(ordinary, "feature_shape", None)


NORM_LAYERS = {
    "batch": (nn.BatchNorm2d(4), 1),
    "batch without weights": (nn.BatchNorm2d(4, affine=False), 1),
    "batch without statistics": (nn.BatchNorm2d(4, track_running_stats=False), 1),
    "group": (nn.GroupNorm(2, 4), 1),
    "instance": (nn.InstanceNorm2d(4), 1),
    "layer over maps": (nn.LayerNorm((4, 5, 6)), 1),
    "layer over maps without weights": (nn.LayerNorm((4, 5, 6), elementwise_affine=False), 1),
    "layer over the last axis": (nn.LayerNorm(6), 3),
    "layer without bias": (nn.LayerNorm(6, bias=False), 3),
    "layer of convnext": (LayerNorm2d(4), 1),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NORM_LAYERS)
def test_channels_behind_a_norm_are_scaled_and_shifted(name, training):
    norm, axis = NORM_LAYERS[name]
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.rand(parameter.shape))
    conditioned = stirred(PreferenceConditioned(norm, NAMES)).train(training)
    plain = copy.deepcopy(norm).train(training)
    for x in (torch.randn(3, 4, 5, 6), torch.randn(3, 4, 5, 6) * 2 + 1):
        ((scale, shift),) = conditioned.generate(LEFT)
        shape = [-1 if a == axis else 1 for a in range(4)]
        expected = plain(x) * (1 + scale.view(shape)) + shift.view(shape)
        assert scale.abs().min() > 1e-4
        torch.testing.assert_close(conditioned.fixed_at(LEFT)(x), expected)
        torch.testing.assert_close(conditioned(x, LEFT), expected)
    assert all(map(torch.equal, conditioned.buffers(), plain.buffers()))  # running statistics moved alike
    assert isinstance(conditioned.fixed_at(RIGHT), type(norm))


@pytest.mark.parametrize(
    ("module", "input_shape", "axis"),
    [
        (VectorHead((4, 3, 2), 5), (4, 3, 2), 1),
        (VectorHead((4,), 5, hidden=3), (4,), 1),
        (MLPEncoder(4, 8), (4,), 1),
        (GRUEncoder(4, 8), (7, 4), 2),
    ],
)
def test_without_a_norm_the_input_is_scaled_and_shifted(module, input_shape, axis):
    conditioned = stirred(PreferenceConditioned(module, NAMES, input_shape=input_shape))
    assert conditioned.places == (4,)
    x = torch.randn(3, *input_shape)
    ((scale, shift),) = conditioned.generate(RIGHT)
    shape = [-1 if a == axis else 1 for a in range(x.ndim)]
    expected = module(x * (1 + scale.view(shape)) + shift.view(shape))
    torch.testing.assert_close(conditioned(x, RIGHT), expected)
    torch.testing.assert_close(conditioned.fixed_at(RIGHT)(x), expected)


def test_a_vector_head_reads_a_sequence_of_features_too():
    conditioned = stirred(PreferenceConditioned(VectorHead((4,), 5), NAMES, input_shape=(4,)))
    states = torch.randn(3, 7, 4)
    expected = torch.stack([conditioned(states[:, t], LEFT) for t in range(7)], 1)
    torch.testing.assert_close(conditioned(states, LEFT), expected)


def test_every_norm_has_its_own_scale_and_a_norm_used_twice_one():
    resnet = build_encoder("resnet", (3, 8, 8), width=8, blocks=(1, 1), downsample=2)
    assert PreferenceConditioned(resnet, NAMES).places == (8, 8, 8, 16, 16, 16)
    norm = nn.BatchNorm2d(4)
    twice = nn.Sequential(nn.Conv2d(4, 4, 1), norm, nn.ReLU(), nn.ModuleList([norm])[0], nn.Sequential(norm))
    conditioned = stirred(PreferenceConditioned(twice, NAMES)).eval()
    assert conditioned.places == (4,)
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(conditioned.fixed_at(LEFT)(x), conditioned(x, LEFT))
    assert not torch.allclose(conditioned(x, LEFT), twice.eval()(x), atol=1e-2)


def test_gradients_reach_the_small_network():
    conditioned = PreferenceConditioned(small_encoder(), NAMES).double()
    x = torch.rand(4, 3, 8, 8, dtype=torch.float64)
    target = torch.rand(4, 16, 2, 2, dtype=torch.float64)
    optimiser = torch.optim.SGD(conditioned.parameters(), 0.1)
    for step in range(2):
        optimiser.zero_grad()
        (conditioned(x, LEFT) - target).square().sum().backward()
        last = conditioned.hypernetwork[-1].weight.grad
        assert (last.abs().sum(1) > 0).sum() > 40  # of 2 * (8 + 16); a channel that ReLU silences has none
        first = conditioned.hypernetwork[0].weight.grad
        assert bool(first.abs().sum()) == (step == 1)  # the last layer starts at zero
        optimiser.step()
    assert (conditioned(x, LEFT) - conditioned(x, RIGHT)).abs().max() > 1e-4


def test_the_gradient_of_the_small_network_is_right():
    conditioned = stirred(PreferenceConditioned(small_encoder("group"), NAMES, hidden=2)).double()
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    weight = conditioned.hypernetwork[-1].weight

    def loss():
        return conditioned(x, LEFT).square().sum()

    (gradient,) = torch.autograd.grad(loss(), weight)
    direction = torch.randn(weight.shape, dtype=weight.dtype, generator=torch.Generator().manual_seed(2))
    step, values = 1e-6, []
    with torch.no_grad():
        for sign in (1, -2):
            weight.add_(direction, alpha=sign * step)
            values.append(loss())
    assert float(values[0] - values[1]) / (2 * step) == pytest.approx(float((gradient * direction).sum()), rel=1e-5)


def test_two_threads_with_different_preferences():
    conditioned = stirred(PreferenceConditioned(small_encoder(), NAMES)).eval()
    x = torch.rand(4, 3, 8, 8)
    expected = {point: conditioned(x, point) for point in (LEFT, RIGHT)}
    assert not torch.allclose(expected[LEFT], expected[RIGHT])
    both, found = threading.Barrier(2, timeout=30), {}

    def wait_in_the_middle(module, arguments):
        both.wait()  # both threads are inside their pass now

    handle = conditioned.module.stages[0][0].register_forward_pre_hook(wait_in_the_middle)

    def run(point):
        found[point] = [conditioned(x, point) for _ in range(5)]

    threads = [threading.Thread(target=run, args=(point,)) for point in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handle.remove()
    assert all(torch.equal(answer, expected[point]) for point in expected for answer in found[point])


def test_under_autocast_scales_keep_full_precision():
    plain = small_encoder().eval()
    conditioned = PreferenceConditioned(plain, NAMES).eval()
    x = torch.rand(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(conditioned(x, LEFT), plain(x))
        scale, shift = stirred(conditioned).generate(LEFT)[0]
    assert scale.dtype == shift.dtype == torch.float32


def test_it_can_be_copied_pickled_averaged_and_told_of_several_processes():
    conditioned = stirred(PreferenceConditioned(small_encoder(), NAMES)).eval()
    x = torch.rand(2, 3, 8, 8)
    expected = conditioned(x, LEFT)
    clone = pickle.loads(pickle.dumps(conditioned))
    assert torch.equal(clone(x, LEFT), expected)
    assert torch.equal(ExponentialMovingAverage(conditioned)(x, LEFT), expected)
    other = stirred(PreferenceConditioned(small_encoder(), NAMES), seed=5).eval()
    other.load_state_dict(conditioned.state_dict())
    assert torch.equal(other(x, LEFT), expected)
    synchronise_norms(clone)
    assert {type(norm) for norm in clone.modules()}.isdisjoint({nn.BatchNorm2d})
    assert torch.equal(clone.train()(x, LEFT), conditioned.train()(x, LEFT))
    assert torch.equal(clone.module.stages[0][1].norm.running_mean, conditioned.module.stages[0][1].norm.running_mean)


def test_the_ordinary_module_is_left_alone():
    ordinary = small_encoder()
    kept = {key: value.clone() for key, value in ordinary.state_dict().items()}
    stirred(PreferenceConditioned(ordinary, NAMES))(torch.rand(4, 3, 8, 8), LEFT).sum().backward()
    assert {key: value.tolist() for key, value in ordinary.state_dict().items()} == {
        key: value.tolist() for key, value in kept.items()
    }
    assert all(parameter.grad is None for parameter in ordinary.parameters())


# -- cost and one preference for good ------------------------------------------------------------------------------


def test_it_costs_the_small_network_and_nothing_else():
    ordinary = ConvEncoder((3, 32, 32))
    conditioned = PreferenceConditioned(ordinary, NAMES)
    plain, more = count_macs(ordinary, (3, 32, 32)), count_macs(conditioned, (3, 32, 32))
    assert more - plain == 3 * 32 + 32 * 2 * sum(conditioned.places) == 3 * 32 + 32 * 2 * (32 + 64 + 128)
    assert more < 1.01 * plain


@pytest.mark.parametrize("name", ["conv", "resnet", "pixel", "own", "map-head", "mobilenet"])
def test_fixed_it_answers_the_same_and_costs_what_the_ordinary_one_does(name):
    torch.manual_seed(0)
    ordinary = CASES[name].make()
    shape = CASES[name].input_shape
    conditioned = stirred(PreferenceConditioned(ordinary, NAMES, input_shape=shape)).eval()
    fixed = conditioned.fixed_at(LEFT)
    x = torch.rand(3, *shape)
    torch.testing.assert_close(fixed(x), conditioned(x, LEFT), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(fixed(x), conditioned(x, RIGHT), rtol=1e-3)
    assert not any(isinstance(part, PointModule) for part in fixed.modules())
    assert count_macs(fixed, shape) == count_macs(ordinary, shape)
    had_all_weights = name != "own"  # it has a norm without weights, which gets some
    assert (cost_of(fixed, shape) == cost_of(ordinary, shape)) == had_all_weights
    with torch.no_grad():
        next(fixed.parameters()).zero_()
    assert next(conditioned.module.parameters()).abs().sum() > 0  # nothing is shared


def two_headed() -> MultiTaskModel:
    torch.manual_seed(0)
    encoder = small_encoder()
    kinds = (tasks.classification("a", "xy"), tasks.dense_regression("b"))
    heads = {task.name: build_head(task, encoder.feature_shape, (3, 8, 8), 8) for task in kinds}
    assert [type(head) for head in heads.values()] == [VectorHead, MapHead]
    names = tuple(heads)
    conditioned = {n: stirred(PreferenceConditioned(h, names, 8, encoder.feature_shape)) for n, h in heads.items()}
    return MultiTaskModel(stirred(PreferenceConditioned(encoder, names, 8)), conditioned)


ONE_SIDED = OperatingPoint(preferences={"a": 3, "b": 1})


def test_a_fixed_model_is_the_model_at_one_point():
    model = two_headed().eval()
    x = torch.rand(5, 3, 8, 8)
    fixed = fixed_model(model, ONE_SIDED)
    found, expected = fixed(x, OperatingPoint()), model(x, ONE_SIDED)
    for name in ("a", "b"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(model(x, OperatingPoint())[name], expected[name], rtol=1e-3)
    assert not fixed.training and fixed_model(model.train(), ONE_SIDED).training


def test_statistics_are_measured_at_the_point_encoder_first():
    model = two_headed().train()
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    pieces = torch.rand(3, 16, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    fixed = fixed_model(model, ONE_SIDED, [Batch(pieces[0]), *pieces[1:]])
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
    assert fixed.training

    def means(outputs):  # the mean over the batches of each batch's statistics
        return torch.stack([y.mean((0, 2, 3)) for y in outputs]).mean(0), torch.stack(
            [y.transpose(0, 1).flatten(1).var(1) for y in outputs]
        ).mean(0)

    norm = fixed.encoder.stages[0][1]
    mean, variance = means([fixed.encoder.stages[0][0](fixed.encoder.standardise(x)) for x in pieces])
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    assert norm.momentum == 0.1
    fixed.eval()
    head = fixed.heads["b"]
    mean, variance = means([head.body[0](fixed.encoder(x)) for x in pieces])
    torch.testing.assert_close(head.body[1].running_mean, mean)
    torch.testing.assert_close(head.body[1].running_var, variance)
    with pytest.raises(UmbelError, match="no batch"):
        fixed_model(model, ONE_SIDED, [])


class Noise(PointModule):
    """Adds noise as strong as the point says."""

    def forward(self, x, point):
        return x + point["strength"] * torch.randn(x.shape)


def test_heads_are_measured_behind_their_links():
    plain = two_headed()
    model = MultiTaskModel(plain.encoder, {n: plain.heads[n] for n in ("a", "b")}, {"b": Noise()})
    x = torch.rand(64, 3, 8, 8)
    quiet, loud, again = (
        fixed_model(model, ONE_SIDED.with_values(strength=s), [x]).heads["b"].body[1].running_var for s in (0.0, 5, 5)
    )
    assert (loud > 4 * quiet).all() and torch.equal(loud, again)


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PreferenceConditioned(small_encoder(), ()), "give at least one, each once"),
        (lambda: PreferenceConditioned(small_encoder(), ("a", "a")), "over the tasks a, a: give at least one"),
        (lambda: PreferenceConditioned(small_encoder(), NAMES, hidden=0), "hidden is 0"),
        (lambda: PreferenceConditioned(VectorHead((4,), 2), NAMES), "VectorHead has no norm .* give input_shape"),
        (
            lambda: PreferenceConditioned(slimmable(small_encoder(), (3, 8, 8)), NAMES),
            "this Slimmable already depends on the operating point",
        ),
        (
            lambda: PreferenceConditioned(nn.Sequential(PreferenceConditioned(small_encoder(), NAMES)), NAMES),
            "its part '0' already depends",
        ),
        (
            lambda: PreferenceConditioned(PreferenceConditioned(small_encoder(), NAMES).module, NAMES),
            r"its part 'stages\.0\.1' already depends",
        ),
        (
            lambda: PreferenceConditioned(small_encoder(), NAMES).module(torch.rand(2, 3, 8, 8)),
            "was called by itself; call the PreferenceConditioned",
        ),
    ],
)
def test_mistakes_are_named(make, says):
    with pytest.raises(UmbelError, match=says):
        make()
