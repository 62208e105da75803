import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slim_cases import CASES, FULL, SMALL, small_model
from torch import Tensor, nn
from two_processes import TwoProcesses, run_in_two_processes, share_of

from umbel.core import OperatingPoint, UmbelError
from umbel.nn import WIDTHS, active_channels, dense, recalibrate, slimmable, synchronise_norms


@given(st.integers(1, 600), st.sampled_from([1, 4, 8, 16, 32]), st.floats(0.01, 1), st.floats(0.01, 1))
def test_active_channels_grow_in_multiples_with_the_width(channels, divisor, one, other):
    narrow, wide = (active_channels(channels, width, divisor) for width in sorted((one, other)))
    assert 1 <= narrow <= wide <= active_channels(channels, 1.0, divisor) == channels
    assert narrow % divisor == 0 or narrow == channels
    assert narrow >= 0.9 * min(one, other) * channels  # no width is rounded away
    assert narrow <= max(divisor, min(one, other) * channels + divisor)


@pytest.mark.parametrize("name", CASES)
def test_full_width_is_the_ordinary_module_bit_for_bit(name):
    ordinary, slim = CASES[name].pair()
    x = CASES[name].inputs()
    assert torch.equal(slim.eval()(x, FULL), ordinary.eval()(x))
    ordinary.train()
    slim.train()
    for step in range(2):
        x = CASES[name].inputs(seed=step)
        for module, arguments in ((ordinary, (x,)), (slim, (x, FULL))):
            module.zero_grad()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(step)  # dropout and stochastic depth
                module(*arguments).square().mean().backward()
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.sub_(parameter.grad, alpha=0.01)
    trained = slim.module.state_dict()
    assert all(torch.equal(trained[key], value) for key, value in ordinary.state_dict().items())
    assert torch.equal(slim.eval()(x, FULL), ordinary.eval()(x))


class Behind(nn.Module):
    """A layer behind a convolution whose outputs can be sliced."""

    def __init__(self, layer: nn.Module, flat: bool) -> None:
        super().__init__()
        self.before, self.layer, self.flat = nn.Conv2d(2, 64, 1), layer, flat

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        return self.layer(x.flatten(1) if self.flat else x)


LAYERS = {
    "convolution": nn.Conv2d(64, 48, 3, 2, padding=1),
    "depthwise": nn.Conv2d(64, 64, 3, groups=64, dilation=2),
    "two of each": nn.Conv2d(64, 128, 3, groups=64),
    "grouped": nn.Conv2d(64, 32, 3, groups=8),
    "circular": nn.Conv2d(64, 32, 3, padding=2, padding_mode="circular", bias=False),
    "transposed": nn.ConvTranspose2d(64, 40, 3, 2, output_padding=1),
    "depthwise transposed": nn.ConvTranspose2d(64, 64, 2, groups=64),
    "linear on a flat map": nn.Linear(64 * 5 * 6, 48),
    "norm of small groups": nn.GroupNorm(8, 64),
    "norm of large groups": nn.GroupNorm(4, 64),
    "slopes": nn.PReLU(64),
    "one slope": nn.PReLU(),
}


@pytest.mark.parametrize("name", LAYERS)
def test_narrow_layer_is_the_wide_one_with_inactive_channels_silenced(name):
    layer = LAYERS[name]
    ordinary = Behind(layer, flat=isinstance(layer, nn.Linear))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.rand(parameter.shape))
    slim = slimmable(ordinary, (2, 5, 6), widths=(0.25, 0.5, 0.75, 1.0))
    x = torch.rand(3, 2, 5, 6)
    for width in slim.widths:
        maps = ordinary.before(x)
        maps[:, int(64 * width) :] = 0
        wide = layer(maps.flatten(1) if ordinary.flat else maps)
        narrow = slim(x, OperatingPoint(width=width))
        assert narrow.shape[1] < wide.shape[1] or width == 1
        torch.testing.assert_close(narrow, wide[:, : narrow.shape[1]], rtol=1e-5, atol=1e-6)


def test_layer_norm_sees_the_active_features_only():
    norm = nn.LayerNorm(32)
    slim = slimmable(nn.Sequential(nn.Linear(4, 32), norm), (5, 4), widths=(0.5, 1.0))
    with torch.no_grad():
        for parameter in slim.module[1].parameters():
            parameter.uniform_(0.5, 2)
    x = torch.rand(3, 5, 4)
    inner = slim.module[0].weight[:16] @ x.mT + slim.module[0].bias[:16, None]
    centred = inner - inner.mean(1, keepdim=True)
    expected = centred / (centred.square().mean(1, keepdim=True) + norm.eps).sqrt()
    expected = expected.mT * slim.module[1].weight[:16] + slim.module[1].bias[:16]
    torch.testing.assert_close(slim(x, OperatingPoint(width=0.5)), expected)


def test_group_norm_takes_a_larger_group_where_its_own_does_not_divide():
    slim = slimmable(nn.Sequential(nn.Conv2d(3, 40, 1), nn.GroupNorm(8, 40)), (3, 4, 4), widths=(0.4, 1.0))
    answer = slim(torch.rand(2, 3, 4, 4), OperatingPoint(width=0.4))  # 16 channels, groups of 5: two of 8 instead
    torch.testing.assert_close(answer.unflatten(1, (2, 8)).mean((2, 3, 4)), torch.zeros(2, 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["resnet", "own", "map-head", "vector-head", "mobilenet"])
def test_gradients_are_those_of_the_dense_net_and_zero_elsewhere(name):
    case = CASES[name]
    _, slim = case.pair()
    slim.double()
    for point in case.points()[:2]:
        x = case.inputs(point["width"]).double()
        slim.calibrated.fill_(True)  # only to be let through: statistics do not matter in training
        smaller = dense(slim, point, fold=False).train()
        slim.train().zero_grad()
        for module, arguments in ((slim, (x, point)), (smaller, (x,))):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                module(*arguments).square().sum().backward()
        for key, parameter in smaller.named_parameters():
            whole = slim.module.get_parameter(key).grad
            active = tuple(slice(size) for size in parameter.shape)
            torch.testing.assert_close(whole[active], parameter.grad)
            assert whole.count_nonzero() == whole[active].count_nonzero()


def test_a_narrow_training_pass_leaves_running_statistics_alone():
    _, slim = SMALL["conv"].pair()
    before = copy.deepcopy(slim.state_dict())
    slim.train()(SMALL["conv"].inputs(), OperatingPoint(width=0.5))
    assert all(torch.equal(value, before[key]) for key, value in slim.state_dict().items())


def test_threads_at_different_points_do_not_disturb_each_other():
    model = small_model()
    x = torch.rand(2, 3, 8, 8)
    recalibrate(model, [torch.rand(16, 3, 8, 8)])
    widths = model.encoder.widths
    points = [OperatingPoint(width=w, head_widths={"kind": v, "depth": w}) for w in widths for v in widths]
    model.eval()
    with torch.no_grad():
        alone = [model(x, point) for point in points]

    def answer(index: int) -> bool:
        with torch.no_grad():
            given = model(x, points[index])
        return all(torch.equal(given[name], alone[index][name]) for name in given)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(answer, [i % len(points) for i in range(300)]))


def test_a_failing_pass_leaves_no_setting_behind():
    _, slim = SMALL["conv"].pair()
    slim.train()
    with pytest.raises(RuntimeError):
        slim(SMALL["conv"].inputs().double(), OperatingPoint(width=0.5))
    with pytest.raises(UmbelError, match="call the Slimmable that holds it"):
        slim.module(SMALL["conv"].inputs())


def share_of_a_training_pass(rank: int | None) -> dict[str, Tensor]:
    _, slim = SMALL["conv"].pair()
    slim = synchronise_norms(slim.double())
    x = SMALL["conv"].inputs(samples=12).double()
    x = x if rank is None else x[share_of(rank)]
    for width in (0.5, 1.0):
        slim.train()(x, OperatingPoint(width=width)).square().sum().backward()
    return {**slim.state_dict(), "gradient": slim.module.stages[0][0].weight.grad}


def of_this_process() -> dict[str, Tensor]:
    return share_of_a_training_pass(TwoProcesses().rank)


def test_batch_statistics_go_over_processes_at_every_width(tmp_path):
    whole = share_of_a_training_pass(None)
    parts = run_in_two_processes(of_this_process, tmp_path)
    gradient = parts[0].pop("gradient") + parts[1].pop("gradient")
    torch.testing.assert_close(gradient, whole.pop("gradient"))
    for part in parts:
        torch.testing.assert_close(part, dict(whole))


def test_usual_widths_are_eighths():
    assert all((8 * width).is_integer() for width in WIDTHS) and WIDTHS[-1] == 1


@pytest.mark.parametrize(("kernel", "stride"), [(1, 2), (1, (1, 3)), ((1, 1), 2), (3, 2)])
def test_strided_pointwise_convolutions_of_few_channels_pick_first_and_give_the_same(kernel, stride):
    """A guard against oneDNN's gradient of their weights, which writes out of bounds in channels_last."""
    slim = slimmable(nn.Conv2d(8, 16, kernel, stride), (8, 9, 7), (0.5, 1.0))
    layer, y = slim.module, torch.randn(2, 8, 9, 7)
    for width, channels in ((0.5, 8), (1.0, 16)):
        weight, bias = layer.weight[:channels], layer.bias[:channels]
        expected = torch.nn.functional.conv2d(y, weight, bias, stride=stride)
        assert torch.allclose(slim(y, OperatingPoint(width=width)), expected, atol=1e-6)
