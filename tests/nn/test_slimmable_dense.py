import itertools

import pytest
import torch
import torchvision
from slim_cases import CASES, COARSE, FULL, LARGE, SMALL, Case, small_model
from torch import Tensor, nn

from umbel.core import MultiTaskModel, OperatingPoint, UmbelError
from umbel.nn import (
    WIDTHS,
    Cost,
    ModelCost,
    Slimmable,
    active_channels,
    cost_of,
    count_macs,
    dense,
    dense_copy,
    dense_model,
    model_cost,
    recalibrate,
    slimmable,
)


def calibrated(name: str) -> Slimmable:
    """With statistics at every configuration: measured for an encoder, made up for a head."""
    case = CASES[name]
    _, slim = case.pair()
    if "head_of" not in case.options:
        recalibrate(slim, [case.inputs(samples=16)])
        return slim.eval()
    generator = torch.Generator().manual_seed(3)
    for norm in slim.norms:
        norm.means.copy_(torch.randn(norm.means.shape, generator=generator))
        norm.variances.copy_(torch.rand(norm.variances.shape, generator=generator) + 0.2)
    slim.calibrated.fill_(True)
    return slim.eval()


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_dense_is_the_sliced_net_at_every_width(name, fold):
    slim = calibrated(name)
    for point in SMALL[name].points(WIDTHS):
        x = SMALL[name].inputs(point["width"])
        module = dense(slim, point, fold)
        with torch.no_grad():
            torch.testing.assert_close(module(x), slim(x, point), rtol=1e-5, atol=1e-5)
        assert not any("umbel.nn.slimming" in type(part).__module__ for part in module.modules())
        assert not any(key.endswith(("means", "variances")) for key in module.state_dict())
        assert not any(vars(part).keys() & {"divisor", "fixed_output", "over_processes"} for part in module.modules())


@pytest.mark.parametrize("name", LARGE)
def test_dense_copies_of_torchvisions_networks_have_no_batch_norm_left(name):
    case = LARGE[name]
    _, slim = case.pair(widths=COARSE)
    slim.double()
    x = case.inputs(samples=8).double()
    recalibrate(slim, [x])
    slim.eval()
    for point in case.points():
        module = dense(slim, point)
        with torch.no_grad():
            torch.testing.assert_close(module(x), slim(x, point), rtol=1e-9, atol=1e-9)
        assert not any(isinstance(part, nn.BatchNorm2d) for part in module.modules())


@pytest.mark.parametrize("name", SMALL)
def test_the_full_dense_copy_is_the_ordinary_module_itself(name):
    ordinary, slim = SMALL[name].pair()
    copied = dense(slim, FULL, fold=False)
    assert str(copied) == str(ordinary)
    ours, theirs = copied.state_dict(), ordinary.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_layers_of_a_dense_copy_say_their_true_size():
    slim = calibrated("own")
    module = dense(slim, OperatingPoint(width=0.5), fold=False)
    assert str(module.depthwise).startswith("Conv2d(16, 32,") and "groups=16" in str(module.depthwise)
    assert str(module.bigger).startswith("ConvTranspose2d(32, 16,")
    assert str(module.down) == "Conv2d(16, 8, kernel_size=(5, 5), stride=(4, 4), groups=2)"
    assert str(module.narrow) == "Linear(in_features=128, out_features=24, bias=True)"
    assert str(module.norm).startswith("BatchNorm2d(32,") and "(24,)" in str(module.layer_norm)
    assert module.slope.num_parameters == 16
    assert dense(calibrated("conv"), OperatingPoint(width=0.5)).feature_shape == (24, 2, 2)


def test_weights_are_prefixes_of_those_of_any_wider_copy():
    for name in ("resnet", "own", "mobilenet"):
        slim = calibrated(name)
        copies = [dense(slim, OperatingPoint(width=width), fold=False) for width in WIDTHS]
        for narrow, wide in itertools.pairwise(copies):
            for key, parameter in narrow.named_parameters():
                part = wide.get_parameter(key)[tuple(slice(size) for size in parameter.shape)]
                assert torch.equal(part, parameter)


def test_a_dense_copy_shares_nothing_and_draws_nothing():
    slim = calibrated("resnet")
    generator, modes = torch.get_rng_state(), [part.training for part in slim.train().modules()]
    module = dense(slim, OperatingPoint(width=0.5))
    assert torch.equal(torch.get_rng_state(), generator)
    assert [part.training for part in slim.modules()] == modes and not any(part.training for part in module.modules())
    own = {tensor.untyped_storage().data_ptr() for tensor in slim.state_dict().values()}
    assert not own & {tensor.untyped_storage().data_ptr() for tensor in module.state_dict().values()}


class ReadTwice(nn.Module):
    """Norms that must not be folded: their input is read by something else, or comes from a layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm_one = nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16)
        self.two, self.norm_two = nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16)
        self.three, self.norm_three = nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16)
        self.four, self.norm_four = nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.one(x)
        x = x + self.norm_one(x)
        x = self.norm_two(self.two(self.two(x)))
        x = self.norm_three(self.three(x).relu_())
        returned = self.four(x)
        return returned, self.norm_four(returned)


def test_norms_are_only_folded_where_nothing_else_reads():
    slim = slimmable(ReadTwice(), (3, 5, 5), widths=(0.5, 1.0))
    x = torch.rand(8, 3, 5, 5)
    recalibrate(slim, [x])
    point = OperatingPoint(width=0.5)
    module = dense(slim, point)
    assert sum(isinstance(part, nn.BatchNorm2d) for part in module.modules()) == 4
    torch.testing.assert_close(module(x), slim.eval()(x, point))


FOLDED = {
    "linear": (nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16, affine=False)), (8,), 0),
    "no bias": (nn.Sequential(nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16)), (8, 3, 3), 0),
    "transposed": (nn.Sequential(nn.ConvTranspose2d(8, 16, 2), nn.BatchNorm2d(16)), (8, 3, 3), 0),
    "over time": (nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(5)), (5, 8), 1),
    "depthwise": (
        nn.Sequential(nn.Conv2d(8, 16, 1), nn.Conv2d(16, 16, 3, groups=16), nn.BatchNorm2d(16)),
        (8, 4, 4),
        0,
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_what_folds_into_what(name):
    module, shape, left = FOLDED[name]
    slim = slimmable(module, shape, widths=(1.0,) if left else (0.5, 1.0))
    x = torch.rand(16, *shape) * 3 + 1
    recalibrate(slim, [x])
    for width in slim.widths:
        point = OperatingPoint(width=width)
        folded = dense(slim, point)
        assert sum(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in folded.modules()) == left
        torch.testing.assert_close(folded(x), slim.eval()(x, point), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["conv", "map-head"])
def test_dense_copies_can_be_exported(name):
    slim = calibrated(name)
    point = SMALL[name].points()[0]
    x = SMALL[name].inputs(point["width"])
    program = torch.export.export(dense(slim, point), (x,))
    torch.testing.assert_close(program.module()(x), slim(x, point), rtol=1e-5, atol=1e-5)


def test_layers_that_are_never_called_become_ordinary_too():
    module = nn.Sequential(nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16))
    module[0].unused = nn.BatchNorm2d(16)
    slim = slimmable(module, (3, 4, 4), widths=(0.5, 1.0))
    recalibrate(slim, [torch.rand(4, 3, 4, 4)])
    assert type(dense(slim, OperatingPoint(width=0.5))[0].unused) is nn.BatchNorm2d


class Doubling(nn.Module):
    """A link."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_a_whole_model_becomes_an_ordinary_one():
    model = small_model()
    link = Doubling()
    model = MultiTaskModel(model.encoder, {n: model.heads[n] for n in model.task_names}, {"kind": link, "depth": link})
    point = OperatingPoint(width=0.5, head_widths={"kind": 0.25})
    x = torch.rand(5, 3, 8, 8)
    recalibrate(model, [x], [point])
    plain = dense_model(model, point)
    torch.testing.assert_close(plain(x, FULL), model.eval()(x, point), rtol=1e-5, atol=1e-5)
    assert plain.links["kind"] is plain.links["depth"] is not link
    with pytest.raises(UmbelError, match="unknown task in head_widths 'kid'"):
        dense_model(model, OperatingPoint(head_widths={"kid": 1.0}))


def test_multiply_accumulates_are_those_of_a_count_by_hand():
    slim = slimmable(
        nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.Conv2d(32, 32, 3, padding=1, groups=32),
            nn.ConvTranspose2d(32, 16, 2, 2),
            nn.Flatten(),
            nn.Linear(16 * 64, 24),
        ),
        (3, 8, 8),
    )
    cost = cost_of(slim, point=OperatingPoint(width=0.5))
    macs = [16 * 16 * 3 * 9, 16 * 16 * 9, 16 * 16 * 8 * 4, 512 * 16]
    parameters = [16 * 27 + 16, 16 * 9 + 16, 16 * 8 * 4 + 8, 512 * 16 + 16]
    assert cost == Cost(sum(macs), sum(parameters), 4 * sum(parameters))


def test_counts_of_known_networks():
    """Torchvision gives 1.81 and 0.06 billion multiply-accumulates for pictures of 224 x 224."""
    resnet, mobilenet = torchvision.models.resnet18(), torchvision.models.mobilenet_v3_small()
    assert count_macs(resnet, (3, 224, 224)) == 1_814_073_344
    assert round(count_macs(mobilenet, (3, 224, 224)) / 1e9, 2) == 0.06
    assert cost_of(resnet, (3, 32, 32)).parameters == 11_689_512


def test_costs_fall_with_the_width_and_need_no_statistics():
    case = Case(lambda: torchvision.models.resnet18(num_classes=8), (3, 32, 32))
    _, slim = case.pair()
    costs = [cost_of(slim, point=OperatingPoint(width=width)) for width in WIDTHS]
    for narrow, wide in itertools.pairwise(costs):
        assert narrow.macs < wide.macs and narrow.parameters < wide.parameters and narrow.bytes < wide.bytes
    assert costs[-1] == cost_of(slim)
    assert cost_of(slim, (3, 64, 64)).macs == pytest.approx(4 * costs[-1].macs, rel=0.01)
    assert costs[-1].macs / costs[2].macs == pytest.approx(4, rel=0.1)  # the picture's channels are not sliced


def test_a_models_cost_is_that_of_its_parts():
    model = small_model()
    point = OperatingPoint(width=0.5, head_widths={"kind": 0.25})
    cost = model_cost(model, point)
    parts = [cost.encoder, *cost.heads.values()]
    assert cost.total == ModelCost(Cost(), cost.heads).total + cost.encoder
    assert cost.total.macs == sum(part.macs for part in parts) > 0
    own = active_channels(32, 0.25)
    assert cost.heads["kind"].macs == 16 * own + own * 4
    recalibrate(model, [torch.rand(4, 3, 8, 8)], [point])
    plain = dense_model(model, point)
    assert cost.total.parameters == sum(parameter.numel() for parameter in plain.parameters())


def test_bad_counts_are_one_clear_line():
    with pytest.raises(UmbelError, match="give input_shape"):
        cost_of(nn.Linear(3, 4))
    plain = MultiTaskModel(nn.Identity(), {"a": nn.Identity()})
    with pytest.raises(UmbelError, match="the encoder of this model is not slimmable"):
        model_cost(plain, FULL)
    _, slim = SMALL["conv"].pair()
    with pytest.raises(UmbelError, match=r"this model has the widths"):
        cost_of(slim, point=OperatingPoint(width=0.3))
    with pytest.raises(UmbelError, match=r"the encoder has no batch-norm statistics for width 0\.25"):
        dense(slim, OperatingPoint(width=0.25))


def test_a_copy_to_train_needs_no_statistics_and_keeps_its_norms():
    model = small_model()
    point = OperatingPoint(width=0.5, head_widths={name: 0.5 for name in model.task_names})
    with pytest.raises(UmbelError, match="no batch-norm statistics"):
        dense_model(model, point)
    copied = dense_copy(model, point)
    assert any(isinstance(part, nn.BatchNorm2d) for part in copied.modules())
    assert not any(isinstance(part, Slimmable) for part in copied.modules())
    assert all(parameter.requires_grad for parameter in copied.parameters())
