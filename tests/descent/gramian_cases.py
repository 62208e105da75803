"""Networks of every shape that an engine must carry, the tasks' gradients written out by hand, and plans to force."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from gradsplit_cases import Branches, Checkpointed, Doubled, Sequences, Twice, hooked
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint
from toys import POINT, squared

from umbel.core import Batch, Learner, MultiTaskModel, SingleProcess, Task
from umbel.descent import GramianWeighting, Jacobian
from umbel.descent.gramian import plan as plans
from umbel.descent.gramian.loads import WHOLE, Layout
from umbel.nn import ConvEncoder, ResNetEncoder

SEED = 7  # of the noise of a forward pass


def _none(*_: object) -> Layout:
    return WHOLE


def _all(loads: list, *_: object) -> Layout:
    return Layout((1,) * len(loads), len(loads))


def _at_once(loads: list, *_: object) -> Layout:
    return Layout((len(loads),), 1)


def _some(loads: list, *_: object) -> Layout:
    count = (len(loads) + 1) // 2
    rest = (len(loads) - count,) if len(loads) > count else ()
    return Layout((*(1,) * count, *rest), count)


PLANS = {
    "as counted": {},
    "deltas": {"_PER_NODE": -1e9, "_WORTH": 1e9, "best_layout": _none},
    "rows": {"_PER_NODE": -1e9, "_WORTH": 0.0, "best_layout": _none},
    "rows, taught again": {"_PER_NODE": -1e9, "_WORTH": 0.0, "best_layout": _all},
    "deltas, taught again": {"_PER_NODE": -1e9, "_WORTH": 1e9, "best_layout": _all},
    "all taught again at once": {"_PER_NODE": -1e9, "_WORTH": 1e9, "best_layout": _at_once},
    "a part taught again": {"_PER_NODE": -1e9, "_WORTH": 1e9, "best_layout": _some},
    "mixed, a part taught again": {"_PER_NODE": -1e9, "_WORTH": 0.8, "best_layout": _some},
}
"""What of the plan is forced."""
FEW = ("deltas", "rows, taught again", "deltas, taught again", "mixed, a part taught again")
"""Those that differ most."""


def force(monkeypatch, name: str) -> None:
    for constant, value in PLANS[name].items():
        monkeypatch.setattr(plans, constant, value)


class Noted(GramianWeighting):
    """Weights that depend smoothly on every element of G, uneven ones; keeps what it was given."""

    def forward(self, gramian: Tensor) -> Tensor:
        self.gramian = gramian.clone()
        count = len(gramian)
        slope = torch.linspace(0, 1, count, dtype=gramian.dtype)
        self.weights = torch.softmax((gramian / gramian.diagonal().sum()).sum(1) + slope, 0) + 0.1
        return self.weights


class Tied(nn.Module):
    """The first layer's weight is the last one's, transposed, with others between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle = nn.Linear(6, 5), nn.Linear(5, 5)
        self.bias = nn.Parameter(torch.rand(6))

    def forward(self, x):
        x = self.middle(torch.tanh(self.first(x.flatten(1, 2)))).tanh()
        return functional.linear(x, self.first.weight.t(), self.bias)


class OneWeight(nn.Module):
    """One weight in two layers beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.last = nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3), nn.Conv2d(8, 3, 1)
        self.other.weight = self.one.weight

    def forward(self, x):
        return self.last(torch.cat([self.one(x).tanh(), self.other(x.flip(-1)).sin()], 1))


class Loose(nn.Module):
    """Parameters without layers, in every kind of product."""

    def __init__(self) -> None:
        super().__init__()
        shapes = {"a": (6, 5), "b": (5, 5), "c": (5, 2), "d": (2, 5), "e": (4, 5), "f": (4, 5, 3), "g": (3,), "h": (3,)}
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape) * 0.5))

    def forward(self, x):
        x = torch.tanh(x.flatten(0, 2) @ self.a)
        x = torch.addmm(x, torch.sin(x), self.b, alpha=0.5)
        x = torch.tanh(functional.linear(x, self.c @ self.d[:, :5] @ self.b.t()[:, :5]).repeat(1, 3)[:, :5])
        x = torch.tanh(x @ self.e.T)
        x = torch.einsum("ni,ijk->nk", x, self.f) + self.g + self.h
        return x.view(-1, 36)


class Adapted(nn.Module):
    """A weight that is the product of two narrow ones, and one that is a part of a larger."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Parameter(torch.randn(5, 2)), nn.Parameter(torch.randn(2, 72))
        self.large = nn.Parameter(torch.randn(8, 5))

    def forward(self, x):
        return functional.linear(functional.linear(x.flatten(1), self.up @ self.down).tanh(), self.large[2:7])


class Attention(nn.Module):
    def __init__(self, crossed: bool = False) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.crossed = crossed

    def forward(self, x):
        x = self.inner(x.flatten(1, 2))
        other = x.roll(1, 1).tanh() if self.crossed else x
        return self.attend(x, other, other)[0].mean(1)


class Transformer(nn.Module):
    def __init__(self, dropout: float = 0.0, norm_first: bool = False, layers: int = 2) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 8)
        self.place = nn.Parameter(torch.randn(12, 8) * 0.1)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 10, dropout, batch_first=True, norm_first=norm_first)
            for _ in range(layers)
        )

    def forward(self, x):
        x = self.inner(x.flatten(1, 2)) + self.place
        for layer in self.layers:
            x = layer(x)
        return x.mean(1)


class Words(nn.Module):
    """Embeddings of what the pixels are rounded to, and a first layer on numbers that nothing below has made."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.bag = nn.Embedding(9, 5, padding_idx=2), nn.EmbeddingBag(9, 4)
        self.last = nn.Linear(5, 4)

    def forward(self, x):
        words = (x.flatten(1) * 2).round().clamp(-4, 4).long() + 4
        return self.last(self.table(words)).tanh().mean(1) + self.bag(words)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], times: int) -> None:
        super().__init__()
        self.cells = kind(6, 5, batch_first=True)
        self.times = times

    def forward(self, x):
        return self.cells(x.flatten(1, 2)[:, : self.times])[0].flatten(1)


class Lines(nn.Module):
    """Linear layers on inputs of two to four dimensions, in memory or not."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.four, self.strided = nn.Linear(6, 5, bias), nn.Linear(6, 4, bias)
        self.two, self.three = nn.Linear(20, 3, bias), nn.Linear(4, 5, bias)

    def forward(self, x):
        x = torch.tanh(self.four(x))  # [B, 2, 6, 5]
        x = torch.tanh(self.strided(x.transpose(2, 3)))  # [B, 2, 5, 4]
        y = torch.tanh(self.three(x[:, 0].transpose(0, 1)))  # [5, B, 5]
        return self.two(x[:, 1].flatten(1)) + y.sum((0, 2))[:, None]


class Flip(torch.autograd.Function):
    """The same, with another gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -2 * gradient


class Reversed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 3)

    def forward(self, x):
        return self.last(Flip.apply(self.first(x).tanh()))


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.never, self.last = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 3, 3)

    def forward(self, x):
        self.never(x.repeat(1, 2, 1, 1))
        return self.last(self.first(x).tanh())


class Summed(nn.Module):
    """Parameters to which autograd gives one and the same gradient tensor, and one that it gives an expanded one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(72, 5)
        self.one, self.other = nn.Parameter(torch.rand(5)), nn.Parameter(torch.rand(5))
        self.all = nn.Parameter(torch.rand(7))

    def forward(self, x):
        return self.layer(x.flatten(1)).tanh() * (self.one + self.other).tanh() + self.all.sum()


class Sparse(nn.Module):
    """A first layer on sparse rows, and a sparse table of neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.bias = nn.Parameter(torch.randn(72, 5)), nn.Parameter(torch.rand(5))
        self.last = nn.Linear(5, 4)

    def forward(self, x):
        rows = x.flatten(1) * (x.flatten(1) > 0)
        neighbours = torch.ones(len(x), len(x), dtype=x.dtype).triu().to_sparse()
        x = torch.tanh(torch.addmm(self.bias, rows.to_sparse(), self.first))
        return self.last(torch.sparse.mm(neighbours, x))


class Overwritten(nn.Module):
    """What a gradient of the input alone would need is overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 3)

    def forward(self, x):
        x = x.clone().requires_grad_().exp()
        with torch.no_grad():
            x.mul_(0.5)
        return self.last(self.first(x).tanh())


class Noisy(nn.Module):
    """Noise in a checkpoint, which has to be the same in every walk."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.body = nn.Conv2d(2, 5, 3), nn.Sequential(nn.Dropout(0.4), nn.Conv2d(5, 6, 3), nn.Dropout(0.2))

    def forward(self, x):
        return checkpoint(self.body, self.first(x), use_reentrant=False)


class Laid(nn.Module):
    """Maps that lie in memory with their channels last."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.to(memory_format=torch.channels_last)

    def forward(self, x):
        return self.inner(x.contiguous(memory_format=torch.channels_last))


class Volumes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(1, 3, 2, padding=1), nn.ReLU(inplace=True), nn.Conv3d(3, 4, (1, 3, 3), 2))

    def forward(self, x):
        return self.layers(x[:, None])


def frozen_stem() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3), nn.Flatten())
    net[0].requires_grad_(False)
    net[1].requires_grad_(False)
    net.append(nn.Linear(20, 4))
    net[-1].bias.requires_grad_(False)
    return net


def plain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.Tanh())))


def sequence(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(2), *layers)


ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "one convolution": lambda: nn.Conv2d(2, 5, 3),
    "one linear layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 4)),
    "strides": lambda: plain(nn.Conv2d(2, 5, 3, 2, 1), nn.Conv2d(5, 6, (2, 3), (1, 2), (1, 2), bias=False)),
    "dilation": lambda: plain(nn.Conv2d(2, 5, 3, 1, 2, dilation=2), nn.Conv2d(5, 3, (3, 2), 2, 1, dilation=(1, 3))),
    "groups": lambda: plain(nn.Conv2d(2, 6, 3, groups=2), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 4, 1)),
    "same": lambda: plain(nn.Conv2d(2, 5, 3, padding="same"), nn.Conv2d(5, 4, (4, 2), padding="same")),
    "circular and reflected": lambda: plain(
        nn.Conv2d(2, 5, 3, padding=1, padding_mode="circular"), nn.Conv2d(5, 4, 3, padding=2, padding_mode="reflect")
    ),
    "kernel as large as the map": lambda: plain(nn.Conv2d(2, 5, 6), nn.Conv2d(5, 9, 1, bias=False)),
    "one dimension": lambda: sequence(
        nn.Conv1d(2, 5, 3, 2, 1), nn.ReLU(inplace=True), nn.Conv1d(5, 6, 4, dilation=2, bias=False), nn.Flatten()
    ),
    "three dimensions": Volumes,
    "transposed": lambda: plain(
        nn.Conv2d(2, 4, 3, 2), nn.ConvTranspose2d(4, 5, 3, 2), nn.ConvTranspose2d(5, 5, 2, groups=5), nn.Conv2d(5, 2, 3)
    ),
    "channels last": lambda: Laid(ConvEncoder((2, 6, 6), (4, 6, 5), downsample=2)),
    "channels last, residual": lambda: Laid(ResNetEncoder((2, 6, 6), 4, (1, 1), downsample=2)),
    "lines": lambda: Lines(bias=True),
    "lines without bias": lambda: Lines(bias=False),
    "views changed in place": Sequences,
    "batch norm": lambda: ConvEncoder((2, 6, 6), (4, 5, 6), downsample=2),
    "instance and layer norm": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.SiLU(), nn.Flatten(2), nn.Linear(16, 6),
        nn.LayerNorm(6), nn.ReLU(inplace=True), nn.Linear(6, 3), nn.Flatten(), nn.BatchNorm1d(12),
    ),
    "residual, batch norm": lambda: ResNetEncoder((2, 6, 6), 4, (1, 2, 1), downsample=2),
    "residual, group norm": lambda: ResNetEncoder((2, 6, 6), 4, (1, 1), "group", downsample=2),
    "branches": Branches,
    "words": Words,
    "attention": Attention,
    "attention between two": lambda: Attention(crossed=True),
    "transformer": Transformer,
    "transformer with dropout": lambda: Transformer(0.3, norm_first=True),
    "called twice": Twice,
    "one weight in two layers": OneWeight,
    "tied": Tied,
    "no layers": Loose,
    "adapted": Adapted,
    "recurrent": lambda: Recurrent(nn.LSTM, 4),
    "recurrent, one step": lambda: Recurrent(nn.GRU, 1),
    "another gradient": Reversed,
    "unused": Unused,
    "summed": Summed,
    "frozen stem": frozen_stem,
    "weight norm": lambda: plain(parametrizations.weight_norm(nn.Conv2d(2, 5, 3)), nn.Conv2d(5, 4, 3)),
    "spectral norm": lambda: plain(nn.Conv2d(2, 5, 3), parametrizations.spectral_norm(nn.Conv2d(5, 4, 3))),
    "orthogonal": lambda: nn.Sequential(nn.Flatten(2), parametrizations.orthogonal(nn.Linear(36, 5)), nn.Flatten()),
    "a forward pass of its own": lambda: nn.Sequential(nn.Conv2d(2, 4, 3), Doubled(4, 5, 3), nn.Conv2d(5, 4, 1)),
    "a hook that replaces an output": hooked,
    "checkpointed": Checkpointed,
    "noise in a checkpoint": Noisy,
    "sparse": Sparse,
    "overwritten": Overwritten,
    "dropout": lambda: nn.Sequential(nn.Conv2d(2, 5, 3), nn.Dropout2d(0.5), nn.Conv2d(5, 6, 3), nn.Dropout(0.2)),
}  # fmt: skip


@dataclass
class Result:
    """What one step left behind."""

    gradients: dict[str, Tensor | None]
    losses: Tensor
    gramian: Tensor | None = None
    weights: Tensor | None = None
    buffers: dict[str, Tensor] = field(default_factory=dict)
    random: Tensor | None = None


def head(size: int, hidden: int) -> nn.Module:
    layers = [nn.Linear(size, hidden), nn.Tanh(), nn.Linear(hidden, 2)] if hidden else [nn.Linear(size, 2)]
    return nn.Sequential(nn.Flatten(), *layers)


def make_learner(
    make: Callable[[], nn.Module], tasks: int = 3, kind: type[Learner] = Learner, seed: int = 0, **heads: nn.Module
) -> Learner:
    """Float64, in training mode, the same for the same seed; heads of two layers for the first task, one for others."""
    torch.manual_seed(seed)
    encoder = make()
    with torch.no_grad():
        encoder.eval()
        size = encoder(torch.rand(2, 2, 6, 6)).flatten(1).shape[1]
    names = [f"t{i}" for i in range(tasks)]
    made = {name: heads.get(name) or head(size, 0 if i else 4) for i, name in enumerate(names)}
    learner = kind(MultiTaskModel(encoder, made), [Task(n, 2, squared, {"mse": object}, False) for n in names])
    return learner.double().train()


def make_batch(tasks: int = 3, count: int = 5, missing: float = 0.2, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 2, 6, 6, generator=generator, dtype=torch.float64)
    targets = {}
    for index in range(tasks):
        target = torch.randn(count, 2, generator=generator, dtype=torch.float64) * (index + 1)
        targets[f"t{index}"] = target.masked_fill(torch.rand(count, 2, generator=generator) < missing, torch.nan)
    return Batch(inputs, targets)


def by_hand(learner: Learner, batch: Batch, weigh: Callable[[Tensor], Tensor] | None = None, runtime=None) -> Result:
    """A gradient of each loss, G from those of the tasks, and the weighted sum; auxiliary losses have weight 1."""
    runtime = runtime or SingleProcess()
    torch.manual_seed(SEED)
    with runtime.autocast():
        named = learner.losses(batch, POINT)
    losses, settled = list(named.values()), [name in {task.name for task in learner.tasks} for name in named]
    random = torch.get_rng_state()
    shared, own = learner.shared_parameters(), learner.own_parameters()
    parameters = [*shared, *own]
    found = [
        torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) if loss.requires_grad
        else [None] * len(parameters)
        for loss in losses
    ]  # fmt: skip
    wide = torch.float64
    rows = torch.stack([
        torch.cat([(torch.zeros_like(p) if g is None else g).flatten().to(wide) for g, p in zip(row, shared)])  # noqa: B905
        for row, is_settled in zip(found, settled) if is_settled  # noqa: B905
    ])  # fmt: skip
    gramian = rows @ rows.T
    weights = torch.ones(len(losses), dtype=wide)
    weights[torch.tensor(settled)] = (weigh or Noted())(gramian).to(weights)
    names = {id(p): name for name, p in learner.named_parameters()}
    gradients: dict[str, Tensor | None] = {name: None for name, _ in learner.named_parameters()}
    for place, parameter in enumerate(parameters):
        parts = [(row[place], w if place < len(shared) else 1) for row, w in zip(found, weights, strict=True)]
        live = [gradient.to(wide) * weight for gradient, weight in parts if gradient is not None]
        gradients[names[id(parameter)]] = sum(live).to(parameter.dtype) if live else None
    values = torch.stack([loss.detach().to(wide) for loss in losses])
    return Result(gradients, values, gramian, weights, buffers_of(learner), random)


def step(learner: Learner, batch: Batch, engine: str = "auto", aggregator=None, runtime=None, **options) -> Result:
    """One step of a descent."""
    noted = aggregator if aggregator is not None else Noted()
    if options.pop("zero", True):
        learner.zero_grad()
    descent = options.pop("descent", None) or Jacobian(noted, engine=engine, **options)
    descent.prepare(learner)
    torch.manual_seed(SEED)
    losses = descent(learner, batch, POINT, runtime or SingleProcess())
    random = torch.get_rng_state()
    gradients = {name: None if p.grad is None else p.grad.clone() for name, p in learner.named_parameters()}
    seen, weights = getattr(noted, "gramian", None), getattr(noted, "weights", None)
    return Result(gradients, losses.stack().double(), seen, weights, buffers_of(learner), random)


def buffers_of(learner: Learner) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in learner.named_buffers()}


def assert_close(one: dict, other: dict, tolerance: float = 1e-10) -> None:
    """Equal but for `tolerance` of the norm of each, and the same parameters without gradient."""
    assert one.keys() == other.keys()
    largest = max((value.norm().item() for value in other.values() if value is not None), default=0.0)
    assert largest > 0
    for name, value in one.items():
        assert (value is None) == (other[name] is None), name
        if value is not None:
            scale = other[name].norm().item() + 1e-3 * largest
            assert (value - other[name]).norm().item() <= tolerance * scale, name


def assert_same(found: Result, expected: Result, tolerance: float = 1e-10) -> None:
    """The same step: gradients, losses, what the aggregator saw, running statistics, random state."""
    torch.testing.assert_close(found.losses, expected.losses, rtol=tolerance, atol=tolerance)
    if found.gramian is not None:
        error = (found.gramian - expected.gramian).norm() / expected.gramian.norm()
        assert error <= tolerance, f"the Gramian is {error:.1e} off"
        assert torch.equal(found.gramian, found.gramian.T) or tolerance > 0
    assert_close(found.gradients, expected.gradients, tolerance)
    assert found.buffers.keys() == expected.buffers.keys()
    for name, value in found.buffers.items():
        torch.testing.assert_close(value, expected.buffers[name], rtol=tolerance, atol=tolerance)
    assert torch.equal(found.random, expected.random)
