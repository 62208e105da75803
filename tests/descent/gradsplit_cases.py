"""Small networks of every shape that a split must carry, and the split written out by hand."""

import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint
from toys import POINT, squared

from umbel.core import Batch, Learner, Losses, MultiTaskModel, SingleProcess, Task
from umbel.descent import GradSplit
from umbel.nn import ConvEncoder, MLPEncoder, ResNetEncoder, VectorHead
from umbel.nn.encoders import ResidualBlock


def relu() -> nn.Module:
    return nn.ReLU(inplace=True)


class Twice(nn.Module):
    """One convolution that is called two times in a row, and a shortcut."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, channels, 3, padding=1)
        self.again = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        return x + self.norm(self.again(torch.tanh(self.again(x))))


class Branches(nn.Module):
    """Branches that are concatenated, a scale and a slope that are no layers, a convolution behind an early sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.wide = nn.Conv2d(6, 5, 3, padding=1)
        self.narrow = nn.Conv2d(6, 4, 1)
        self.slope = nn.PReLU(9)
        self.merge = nn.Conv2d(9, 6, 3, stride=2, padding=1, bias=False)
        self.norm = nn.GroupNorm(2, 6)
        self.scale = nn.Parameter(torch.rand(6, 1, 1) + 0.5)
        self.last = nn.Conv2d(6, 7, 1)

    def forward(self, x):
        x = self.stem(x)
        both = self.slope(torch.cat([self.wide(x), self.narrow(x)], 1))
        return self.last(x[..., ::2, ::2] + self.scale * self.norm(self.merge(both)))


class Sequences(nn.Module):
    """Linear layers over a time axis, changed in place through the views that they return."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 5), relu(), nn.Linear(5, 6), nn.LayerNorm(6), relu(), nn.Linear(6, 4))

    def forward(self, x):
        return self.layers(x.flatten(1, 2)).mean(1)


class Doubled(nn.Conv2d):
    """A layer with a forward pass of its own."""

    def forward(self, x):
        return super().forward(x) + self.weight.mean() + x.mean()


def hooked() -> nn.Module:
    """A user's hook puts something else in the place of a layer's output."""
    net = nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), relu(), nn.Conv2d(5, 6, 3))
    net[3].register_forward_hook(lambda _module, _inputs, output: output * output.mean(1, keepdim=True))
    return net


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 5, 3)
        self.body = nn.Sequential(nn.Conv2d(5, 5, 3), nn.GroupNorm(1, 5), relu(), nn.Conv2d(5, 6, 2))
        self.reentrant = reentrant

    def forward(self, x):
        return checkpoint(self.body, self.first(x), use_reentrant=self.reentrant)


def frozen_below() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(2, 5, 3), relu(), nn.Conv2d(5, 6, 3), nn.BatchNorm2d(6), relu(), nn.Conv2d(6, 4, 1))
    net[0].requires_grad_(False)
    net[2].bias.requires_grad_(False)
    return net


def preactivated() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), relu(), nn.Conv2d(6, 7, 3, padding=1), nn.BatchNorm2d(7),
        relu(), nn.Conv2d(7, 6, 3),
    )  # fmt: skip


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), relu(),
        nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), nn.BatchNorm2d(6), nn.Hardswish(inplace=True),
        nn.Conv2d(6, 8, 1, groups=2), nn.AvgPool2d(2), nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4),
        nn.InstanceNorm2d(8, affine=True), nn.SiLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(8, 5, 1),
    )  # fmt: skip


ENCODERS = {
    "conv": (lambda: ConvEncoder((2, 8, 8), (4, 5, 6)), 0.5),
    "residual, batch norm": (lambda: ResNetEncoder((2, 8, 8), 4, (1, 1, 1), downsample=4), 0.5),
    "residual, group norm": (lambda: ResNetEncoder((2, 8, 8), 4, (1, 1), "group", downsample=2), 0.5),
    "split from the middle of a block": (
        lambda: nn.Sequential(ResidualBlock(2, 5), ResidualBlock(5, 5)),
        ("1.body.1",),
    ),
    "split between others": (lambda: ResNetEncoder((2, 8, 8), 4, (1, 1, 1), downsample=4), ("stages.1.body.0",)),
    "split from the first layer": (lambda: ResNetEncoder((2, 8, 8), 4, (1, 1), downsample=2), 1.0),
    "grouped and depthwise": (grouped, 0.8),
    "called twice": (Twice, 0.5),
    "branches": (Branches, ("wide", "merge")),
    "branches, all split": (Branches, 1.0),
    "sequences": (Sequences, 0.7),
    "preactivated": (preactivated, 0.5),
    "frozen below": (frozen_below, 0.7),
    "weight norm": (lambda: nn.Sequential(parametrizations.weight_norm(nn.Conv2d(2, 6, 3)), nn.Conv2d(6, 4, 3)), 1.0),
    "spectral norm": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), parametrizations.spectral_norm(nn.Conv2d(4, 6, 3))), 1.0,
    ),
    "a forward pass of its own": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), Doubled(4, 5, 3), nn.Conv2d(5, 4, 1)), 1.0),
    "a hook that replaces an output": (hooked, 1.0),
    "checkpointed": (Checkpointed, ("body",)),
    "conv1d": (
        lambda: nn.Sequential(
            nn.Flatten(2), nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5), relu(), nn.Conv1d(5, 6, 3), nn.Flatten()
        ),
        1.0,
    ),
    "mlp": (lambda: MLPEncoder(72, 7, 3), 0.7),
    "dropout": (lambda: nn.Sequential(nn.Conv2d(2, 5, 3), nn.Dropout(0.5), nn.Conv2d(5, 6, 3)), 1.0),
}  # fmt: skip


def make_learner(encoder: nn.Module, tasks: int = 3, kind: type[Learner] = Learner, seed: int = 0) -> Learner:
    """Float64, in training mode; a small head for each task, of two layers for the first."""
    torch.manual_seed(seed)
    for module in encoder.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    size = encoder(torch.rand(2, 2, 6, 6)).shape[1:]
    for module in encoder.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
    names = [f"t{i}" for i in range(tasks)]
    heads = {name: VectorHead(tuple(size), 2, hidden=0 if i else 3) for i, name in enumerate(names)}
    learner = kind(MultiTaskModel(encoder, heads), [Task(n, 2, squared, {"mse": object}, False) for n in names])
    for p in learner.parameters():
        if p.ndim == 1:
            p.data += 0.1 * torch.randn(p.shape)
    return learner.double().train()


def make_batch(tasks: int = 3, count: int = 6, missing: float = 0.3, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 2, 6, 6, generator=generator, dtype=torch.float64)
    targets = {}
    for index in range(tasks):
        target = torch.randn(count, 2, generator=generator, dtype=torch.float64) * (index + 1)
        targets[f"t{index}"] = target.masked_fill(torch.rand(count, 2, generator=generator) < missing, torch.nan)
    return Batch(inputs, targets)


def one_task_each(batch: Batch, order: list[int] | None = None) -> Batch:
    """Every sample keeps the label of one task; -1 in `order` for none."""
    names = list(batch.targets)
    order = torch.tensor(order if order is not None else [i % len(names) for i in range(len(batch))])
    targets = {}
    for index, name in enumerate(names):
        target = batch.targets[name].nan_to_num(0.5)
        targets[name] = target.masked_fill((order != index)[:, None], torch.nan)
    return Batch(batch.inputs, targets)


def random_accept(tasks: int, seed: int, density: float = 0.5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(tasks, tasks, generator=generator) < density) | torch.eye(tasks, dtype=torch.bool)


def gradients_of(descent: GradSplit, learner: Learner, batch: Batch, runtime=None) -> dict:
    """`.grad` of every parameter after one step; the same noise each time."""
    learner.zero_grad()
    descent.prepare(learner)
    torch.manual_seed(7)
    descent(learner, batch, POINT, runtime or SingleProcess())
    return {name: None if p.grad is None else p.grad.clone() for name, p in learner.named_parameters()}


def by_hand(learner: Learner, batch: Batch, accept: torch.Tensor, split: set[str]) -> dict:
    """A backward pass for each loss and a mask, for parameters whose names are in `split`."""
    torch.manual_seed(7)
    losses = learner.losses(batch, POINT)
    named = [(name, p) for name, p in learner.named_parameters() if p.requires_grad]
    total: dict = {name: None for name, _ in learner.named_parameters()}
    for task, loss in enumerate(losses.values()):
        found = torch.autograd.grad(loss, [p for _, p in named], retain_graph=True, allow_unused=True)
        for (name, p), gradient in zip(named, found, strict=True):
            if gradient is None:
                continue
            kept = torch.zeros_like(gradient) if total[name] is None else total[name]
            for channel in range(len(p) if name in split and task < len(accept) else 0):
                group = next(g for g in range(len(accept)) if channel < len(p) * (g + 1) // len(accept))
                kept[channel] += float(accept[task, group]) * gradient[channel]
            total[name] = kept if name in split and task < len(accept) else kept + gradient
    return total


def split_names(descent: GradSplit, learner: Learner) -> set[str]:
    """Names of the parameters that `descent` splits, after it was prepared."""
    names = {id(p): name for name, p in learner.named_parameters()}
    return {names[id(p)] for layer in descent._step.partition.layers for p in layer.parameters()}


def assert_close(one: dict, other: dict, tolerance: float = 1e-10) -> None:
    """Equal but for `tolerance` of the largest entry of all."""
    assert one.keys() == other.keys()
    largest = max(value.abs().max().item() for value in other.values() if value is not None)
    assert largest > 0
    for name, value in one.items():
        assert (value is None) == (other[name] is None), name
        if value is not None:
            assert (value - other[name]).abs().max().item() <= tolerance * largest, name


class Penalised(Learner):
    """Adds a loss of its own, and one on the weights of a split layer directly."""

    def losses(self, batch, point):
        own = super().losses(batch, point)
        first = next(self.model.encoder.parameters())
        last = list(self.model.encoder.parameters())[-1]
        return Losses({**own, "penalty": 0.3 * last.square().sum() + 0.1 * first.square().sum()})
