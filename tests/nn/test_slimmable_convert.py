import copy
import pickle
import re

import pytest
import torch
import torchvision
from slim_cases import CASES, COARSE, FULL, SMALL, Case
from torch import Tensor, nn

from umbel.core import OperatingPoint, PointModule, UmbelError
from umbel.nn import ConvEncoder, GRUEncoder, VectorHead, slimmable


class Joined(nn.Module):
    """Two branches side by side, then a layer that reads both."""

    def __init__(self, first: nn.Module, second: nn.Module, channels: int) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.mix = nn.Conv2d(channels, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(torch.cat([self.first(x), self.second(x)], 1))


class Shuffled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.one(x).unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2))


class OverChannels(Shuffled):
    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.one(x).softmax(1))


class Scaled(Shuffled):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(32, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) * self.gain


class FixedSplit(Shuffled):
    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.one(x).view(len(x), 32, -1).unflatten(-1, (4, 4)))


class Looping(Shuffled):
    """One layer at two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(32, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(self.one(x))


class Kernel(nn.Conv2d):
    """A convolution with a forward pass of its own."""


class OfPoint(PointModule):
    def forward(self, x: Tensor, point: OperatingPoint) -> Tensor:
        return x


def two(layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 32, 1), layer)


REFUSED = {
    "recurrent": (GRUEncoder(3, 16), (4, 3), "recurrent (GRU) is recurrent"),
    "attention": (nn.Sequential(nn.Linear(3, 16), nn.TransformerEncoderLayer(16, 2)), (4, 3), "1 (Transf"),
    "instance norm": (two(nn.InstanceNorm2d(32, affine=True)), (3, 4, 4), "1 (InstanceNorm2d) has a fixed number"),
    "embedding": (nn.Sequential(nn.Embedding(5, 8)), (4,), "0 (Embedding) has a parameter 'weight'"),
    "own parameter": (Scaled(), (3, 4, 4), "the module itself (Scaled) has a parameter 'gain'"),
    "own layer": (two(Kernel(32, 8, 1)), (3, 4, 4), "1 (Kernel) is a Conv2d with a forward pass of its own"),
    "weight norm": (two(nn.utils.parametrizations.weight_norm(nn.Conv2d(32, 8, 1))), (3, 4, 4), "1 (Parametrized"),
    "concatenation": (Joined(nn.Conv2d(3, 16, 1), nn.Conv2d(3, 16, 1), 32), (3, 4, 4), "arrive first, or not by"),
    "names the reader": (Joined(nn.Conv2d(3, 16, 1), nn.Conv2d(3, 16, 1), 32), (3, 4, 4), "at mix (Conv2d)"),
    "shuffle": (Shuffled(), (3, 4, 4), "at other (Conv2d)"),
    "over channels": (OverChannels(), (3, 4, 4), "at other (Conv2d)"),
    "fixed shape": (FixedSplit(), (3, 4, 4), "the module itself (FixedSplit) fails at width 0.5: unflatten"),
    "two sizes": (Looping(), (32, 4, 4), "one (Conv2d) is called twice"),
    "part of a group": (two(nn.Conv2d(32, 32, 1, groups=2)), (3, 4, 4), "use a divisor that is a multiple of 16"),
    "point module": (OfPoint(), (3, 4, 4), "already depends on the operating point"),
    "wrong inputs": (ConvEncoder((3, 8, 8)), (4, 8, 8), "stages.0.0 (Conv2d) fails at width 1.0"),
    "densenet": (torchvision.models.DenseNet(8, (2,), 16), (3, 32, 32), "features.denseblock1.denselayer2.norm1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_slimmed_is_named_with_the_reason(name):
    module, shape, message = REFUSED[name]
    with pytest.raises(UmbelError, match=re.escape(message)) as caught:
        slimmable(module, shape, widths=(0.25, 0.5, 1.0) if name == "part of a group" else (0.5, 1.0))
    assert "\n" not in str(caught.value)


def test_weights_computed_by_old_style_hooks_are_refused():
    layer = nn.Conv2d(32, 8, 1)
    weight = layer.weight
    del layer.weight
    layer.register_parameter("weight_v", weight)
    layer.weight = weight.detach() * 2
    with pytest.raises(UmbelError, match="computes its weight from other parameters"):
        slimmable(two(layer), (3, 4, 4))


def test_channels_that_are_never_sliced_may_come_first():
    joined = Joined(nn.Identity(), nn.Conv2d(3, 29, 1), 32)
    slim = slimmable(joined, (3, 4, 4), widths=(0.5, 1.0))
    x = torch.rand(2, 3, 4, 4)
    part = torch.cat([x, joined.second(x)[:, :16]], 1)
    expected = torch.nn.functional.conv2d(part, joined.mix.weight[:8, :19], joined.mix.bias[:8])
    torch.testing.assert_close(slim(x, OperatingPoint(width=0.5)), expected)


@pytest.mark.parametrize("name", SMALL)
def test_converting_leaves_the_module_its_mode_and_the_generator_alone(name):
    module, _ = SMALL[name].pair()
    module.train()
    before, generator = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    slim = slimmable(module, SMALL[name].input_shape, **SMALL[name].options)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert not any("umbel.nn.slimming" in type(part).__module__ for part in module.modules())
    assert all(part.training for part in (*module.modules(), *slim.modules()))
    assert not slim.calibrated.any()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in (*slim.modules(), *module.modules()))


def test_heads_predict_all_outputs_at_every_width():
    for name in ("vector-head", "linear-head", "map-head", "pooled-head", "picture-head"):
        ordinary, slim = SMALL[name].pair(widths=COARSE)
        shapes = {slim.train()(SMALL[name].inputs(p["width"]), p).shape for p in SMALL[name].points()}
        assert shapes == {ordinary(SMALL[name].inputs()).shape}


def test_encoders_give_the_active_channels():
    _, slim = SMALL["conv"].pair()
    assert slim.feature_shape == (48, 2, 2)
    shapes = [slim.train()(SMALL["conv"].inputs(), p).shape[1] for p in SMALL["conv"].points()]
    assert shapes == [16, 24, 48]  # a quarter of 48 is 12, and 8 would lose a third


class TwoPredictions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared, self.mean, self.spread = nn.Linear(32, 32), nn.Linear(32, 16), nn.Linear(32, 16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.shared(x)
        return self.mean(x), self.spread(x)


def test_a_head_with_two_predicting_layers_needs_their_names():
    with pytest.raises(UmbelError, match=r"head of task 'age'.*name the layers that predict in fixed_output"):
        slimmable(TwoPredictions(), (32,), head_of="age")
    slim = slimmable(TwoPredictions(), (32,), head_of="age", fixed_output=["mean", "spread"])
    point = OperatingPoint(width=0.5, head_widths={"age": 0.25})
    assert [part.shape for part in slim(torch.rand(3, 16), point)] == [(3, 16), (3, 16)]
    with pytest.raises(UmbelError, match=r"unknown layer with weights in the head of task 'age' 'spred'; did you mean"):
        slimmable(TwoPredictions(), (32,), head_of="age", fixed_output=["mean", "spred"])


def test_a_head_may_be_a_single_layer_and_read_a_series():
    head = nn.Linear(32, 3)
    slim = slimmable(head, (32,), head_of="t")
    x = torch.rand(2, 7, 16)
    expected = nn.functional.linear(x, head.weight[:, :16], head.bias)
    torch.testing.assert_close(slim(x, OperatingPoint(width=0.5)), expected)


@pytest.mark.parametrize("widths", [(), (0.0, 1.0), (0.5, 1.5), (0.5,), (0.5, 0.5, 1.0), (float("nan"), 1.0), (True,)])
def test_bad_grids_are_refused(widths):
    with pytest.raises(UmbelError, match=r"^widths "):
        slimmable(nn.Linear(16, 16), (16,), widths=widths)


def test_bad_divisor_is_refused():
    with pytest.raises(UmbelError, match="divisor is 0"):
        slimmable(nn.Linear(16, 16), (16,), divisor=0)


BAD_POINTS = [
    (OperatingPoint(width=0.3), "width is 0.3; this model has the widths 0.25, 0.5, 1.0"),
    (OperatingPoint(width="0.5"), "width is '0.5'"),
    (OperatingPoint(width=True), "width is True"),
    (OperatingPoint(head_widths={"t": 2}), "head width of task 't' is 2; this model has"),
    (OperatingPoint(head_widths=0.5), "head_widths is 0.5; give a mapping"),
    (OperatingPoint(width=0.5), "the head of task 't' was given inputs of shape (6, 64, 4, 4); at encoder width 0.5"),
]


@pytest.mark.parametrize(("point", "message"), BAD_POINTS)
def test_bad_points_are_one_clear_line(point, message):
    _, slim = SMALL["vector-head"].pair(widths=COARSE)
    with pytest.raises(UmbelError, match=re.escape(message)):
        slim(SMALL["vector-head"].inputs(), point)


def test_inputs_with_too_few_axes_or_channels_are_refused():
    _, slim = SMALL["conv"].pair(widths=COARSE)
    for x in (torch.rand(16, 16), torch.rand(2, 2, 16, 16)):
        with pytest.raises(UmbelError, match=r"it reads 3 channels, as in \(B, 3, 16, 16\)"):
            slim(x, FULL)


def test_other_heads_widths_do_not_matter():
    _, slim = SMALL["vector-head"].pair(widths=COARSE)
    x = SMALL["vector-head"].inputs()
    assert torch.equal(slim(x, OperatingPoint(head_widths={"other": 7})), slim(x, FULL))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda slim: pickle.loads(pickle.dumps(slim))])
def test_copies_have_weights_of_their_own(copied):
    _, slim = CASES["own"].pair()
    other = copied(slim).train()
    x, point = CASES["own"].inputs(), OperatingPoint(width=0.5)
    torch.testing.assert_close(other(x, point), slim.train()(x, point))
    assert other.norms[0] is not slim.norms[0] and other.norms[0] in set(other.modules())
    with torch.no_grad():
        other.module.last.weight.zero_()
    assert slim.module.last.weight.any()


def test_narrow_layers_of_few_channels_stay_whole():
    _, slim = Case(lambda: VectorHead((4,), 3, hidden=6), (4,), {"head_of": "t"}).pair()
    x = torch.rand(2, 4)
    assert torch.equal(slim(x, OperatingPoint(width=0.25, head_widths={"t": 0.25})), slim(x, FULL))
