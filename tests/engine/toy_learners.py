"""Very different methods in about twenty lines each: if one loop trains them all, the contracts are right."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torchmetrics.regression import MeanSquaredError

from umbel import tasks
from umbel.core import (
    Batch,
    Descent,
    Learner,
    Losses,
    MultiTaskModel,
    OperatingPoint,
    PointModule,
    Sweep,
    Task,
    shares,
    sum_gradients,
    total,
)
from umbel.data import Source, TensorSource
from umbel.descent import Jacobian, ProjectedRows, WeightedSum, task_gradients
from umbel.engine import FitSettings
from umbel.nn import ExponentialMovingAverage


@dataclass(frozen=True)
class Toy:
    """A learner with what it needs.

    Attributes:
        bar: (task, bound): the main metric must be beyond the bound on the validation split.
        exact: The same numbers in one process as in two (no noise that is drawn by each process).
    """

    learner: Learner
    descent: Descent
    train: Source
    validation: Source
    settings: FitSettings
    bar: tuple[str, float]
    exact: bool = True


SETTINGS = FitSettings(
    steps=60, batch_size=32, learning_rate=2e-2, precision="float32", monitor="loss", tensorboard=False, log_every=5
)


def squared(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).square()


def real(name: str, outputs: int, target: Callable[[Batch], Tensor] | None = None) -> Task:
    return Task(name, outputs, squared, {"MSE": MeanSquaredError}, False, target=target)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=draws(seed), dtype=torch.float64)


def split(samples: Batch) -> tuple[TensorSource, TensorSource]:
    return TensorSource(samples[:192]), TensorSource(samples[192:])


def mlp(*sizes: int) -> nn.Sequential:
    layers = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*layers)


def finished(learner, descent, samples, bar, exact=True, **changes) -> Toy:
    return Toy(learner.double(), descent, *split(samples), replace(SETTINGS, **changes), bar, exact)


# -- a noisy link, with a signal-to-noise ratio that is drawn in each step -----------------------------------------


class Noise(PointModule):
    def forward(self, x: Tensor, point: OperatingPoint) -> Tensor:
        x = nn.functional.normalize(x, dim=1) * x.shape[1] ** 0.5
        return x + torch.randn_like(x) * 10 ** (-point.require("snr_db") / 20)


class NoisyAutoencoder(Learner):
    def draw_point(self, generator, progress):
        return OperatingPoint(snr_db=20 * float(torch.rand((), generator=generator)))

    def sweep(self):
        return Sweep.grid(snr_db=[20.0, 0.0])


def noisy_autoencoder() -> Toy:
    x = normal(256, 2) @ normal(2, 8, seed=1)
    model = MultiTaskModel(mlp(8, 16, 4), {"signal": nn.Linear(4, 8)}, {"signal": Noise()})
    learner = NoisyAutoencoder(model, [real("signal", 8, target=lambda batch: batch.inputs)])
    return finished(learner, WeightedSum(), Batch(x), ("signal", 1.0), exact=False, steps=120)


# -- a slimmable network, with a width that is drawn in each step --------------------------------------------------


class Slim(PointModule):
    def __init__(self) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Linear(4, 16), nn.Linear(16, 8)

    def forward(self, x, point):
        units = max(1, round(16 * point.require("width")))
        hidden = torch.relu(nn.functional.linear(x, self.widen.weight[:units], self.widen.bias[:units]))
        return nn.functional.linear(hidden, self.narrow.weight[:, :units], self.narrow.bias)


class Slimmable(Learner):
    widths = (1.0, 0.5, 0.25)

    def draw_point(self, generator, progress):
        return OperatingPoint(width=self.widths[int(torch.randint(3, (), generator=generator))])

    def sweep(self):
        return Sweep.grid(width=self.widths)


def two_tasks(seed: int = 0) -> Batch:
    """A number and a class for four inputs; a third of each is not labelled, most of it early in the set."""
    x = normal(256, 4, seed=seed)
    value = torch.stack([x[:, 0] - x[:, 1], x[:, 2] + 0.5 * x[:, 0]], 1)
    side = (x[:, 2] > x[:, 1]).long()
    rising = torch.linspace(0.6, 0.0, 256)
    value[torch.rand(256, 2, generator=draws(1)) < rising.unsqueeze(1)] = torch.nan
    side[torch.rand(256, generator=draws(2)) < rising] = -1
    return Batch(x, {"value": value, "side": side})


def two_heads(encoder: nn.Module, features: int = 8) -> MultiTaskModel:
    return MultiTaskModel(encoder, {"value": nn.Linear(features, 2), "side": nn.Linear(features, 2)})


PAIR = (real("value", 2), tasks.classification("side", ["left", "right"]))


def slimmable() -> Toy:
    return finished(Slimmable(two_heads(Slim()), PAIR), WeightedSum(), two_tasks(), ("value", 0.8))


# -- each task teaches its own group of encoder units --------------------------------------------------------------


class Groups(Descent):
    """Task t's gradient reaches the t-th part of the first axis of each shared parameter, and nothing else."""

    def forward(self, learner, batch, point, runtime):
        shared, own = learner.shared_parameters(), learner.own_parameters()
        found = task_gradients(learner, batch, point, runtime, shared, own)
        rows = runtime.sum(found.jacobian).split([p.numel() for p in shared], dim=1)
        for parameter, part in zip(shared, rows, strict=True):
            units = torch.arange(len(parameter)) * len(found.names) // len(parameter)
            gradients = part.view(len(part), *parameter.shape)
            parameter.grad = gradients[units, torch.arange(len(parameter))]
        sum_gradients(own, runtime)
        return total(found.values, found.names, runtime)


def gradient_groups() -> Toy:
    return finished(Learner(two_heads(mlp(4, 16, 8)), PAIR), Groups(), two_tasks(), ("value", 0.4))


# -- a teacher that follows, and a second domain without labels ----------------------------------------------------


class MeanTeacher(Learner):
    def __init__(self, model, kinds):
        super().__init__(model, kinds)
        self.average = ExponentialMovingAverage(model, decay=0.9)

    def losses(self, batch, point):
        student = self.predict(batch, point)
        teacher = self.average(batch.inputs, point)["value"]
        gap = (student["value"] - teacher).square().mean(1)
        target = batch.domain == 1
        consistency = torch.where(target, gap, 0).sum() / target.sum().clamp(min=1)
        return Losses({**self.task_losses(student, batch), "consistency": consistency})

    def counts(self, batch):
        return {**super().counts(batch), "consistency": (batch.domain == 1).sum()}

    def after_step(self):
        self.average.update(self.model)


def normalised() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh())


def mean_teacher() -> Toy:
    samples = two_tasks()
    domain = (torch.arange(256) % 3 == 0).long()
    targets = {
        "value": samples.targets["value"].masked_fill((domain == 1).unsqueeze(1), torch.nan),
        "side": samples.targets["side"].masked_fill(domain == 1, -1),
    }
    samples = Batch(samples.inputs, targets, domain)
    return finished(MeanTeacher(two_heads(normalised()), PAIR), WeightedSum(), samples, ("value", 0.4))


# -- private gradients: each sample's is clipped, then noise is added ----------------------------------------------


class PrivateSGD(Descent):
    """(sum of clipped gradients of single samples + noise) / batch size."""

    def __init__(self, clip: float = 1.0, noise: float = 0.3) -> None:
        super().__init__()
        self.clip, self.noise = clip, noise
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, learner, batch, point, runtime):
        parameters = {name: p for name, p in learner.named_parameters() if p.requires_grad}
        holder = nn.Module()
        holder.learner = learner
        holder.forward = lambda one: learner.losses(one, point).stack().sum()

        def loss(weights: Mapping[str, Tensor], inputs: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
            one = Batch(inputs.unsqueeze(0), {name: target.unsqueeze(0) for name, target in targets.items()})
            return functional_call(holder, {f"learner.{n}": w for n, w in weights.items()}, (one,))

        size = runtime.sum(torch.tensor(float(len(batch)), dtype=torch.float64))
        values, count = 0, len(parameters)
        for piece in batch.chunks(runtime.accumulate):
            weights = {name: p.detach() for name, p in parameters.items()}
            each = vmap(grad(loss), (None, 0, 0))(weights, piece.inputs, dict(piece.targets))
            norms = torch.stack([g.flatten(1).norm(dim=1) for g in each.values()]).norm(dim=0)
            factors = (self.clip / norms.clamp(min=1e-12)).clamp(max=1)
            for name, p in parameters.items():
                clipped = torch.tensordot(factors, each[name], 1)
                p.grad = clipped if p.grad is None else p.grad + clipped
        sum_gradients(list(parameters.values()), runtime)
        for i, p in enumerate(parameters.values()):
            generator = draws(int(self.steps) * count + i)
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype) * self.noise * self.clip
            p.grad = (p.grad + noise) / size
        self.steps += 1
        with torch.no_grad():
            for share in shares(learner, batch, point, runtime):
                values = values + share.stack()
        return total(values, list(share), runtime)


def private() -> Toy:
    return finished(Learner(two_heads(mlp(4, 16, 8)), PAIR), PrivateSGD(), two_tasks(), ("side", 0.8), monitor="loss")


# -- an adversary that the encoder works against -------------------------------------------------------------------


class Adversarial(Learner):
    def __init__(self, model, kinds):
        super().__init__(model, kinds)
        self.adversary = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))

    def losses(self, batch, point):
        features = self.model.encoder(batch.inputs)
        guess = self.adversary(features).squeeze(1)
        adversary = (guess - batch.inputs[:, 3]).square().mean()
        return Losses({**self.task_losses(self.model.decode(features, point), batch), "adversary": adversary})


class MinMax(Descent):
    """The adversary descends its loss; the encoder descends the tasks' losses minus a part of the adversary's."""

    def forward(self, learner, batch, point, runtime):
        opponents = list(learner.adversary.parameters())
        rest = [p for p in learner.parameters() if all(p is not q for q in opponents)]
        values = 0
        for share in shares(learner, batch, point, runtime):
            friendly = sum(value for name, value in share.items() if name != "adversary") - 0.1 * share["adversary"]
            friendly.backward(inputs=rest, retain_graph=True)
            share["adversary"].backward(inputs=opponents)
            values = values + share.stack().detach()
        sum_gradients([*rest, *opponents], runtime)
        return total(values, list(share), runtime)


def adversarial() -> Toy:
    return finished(Adversarial(two_heads(mlp(4, 16, 8)), PAIR), MinMax(), two_tasks(), ("value", 0.4))


# -- a sequence model whose attention sharpens while it trains -----------------------------------------------------


class Recurrent(PointModule):
    def __init__(self) -> None:
        super().__init__()
        self.steps, self.score = nn.GRU(3, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, x, point):
        states, _ = self.steps(x)
        return (states * torch.softmax(self.score(states) / point["temperature"], 1)).sum(1)


class Sharpening(Learner):
    def draw_point(self, generator, progress):
        return OperatingPoint(temperature=0.1**progress)

    def sweep(self):
        return Sweep.grid(temperature=[0.1])


def recurrent() -> Toy:
    x = normal(256, 6, 3)
    samples = Batch(x, {"value": x.mean(1)[:, :2] * 2, "side": (x[:, :, 2].sum(1) > 0).long()})
    return finished(Sharpening(two_heads(Recurrent()), PAIR), WeightedSum(), samples, ("side", 0.8), steps=120)


# -- two sets, each with labels for one task -----------------------------------------------------------------------


def two_sets() -> Toy:
    """80 samples of the first set and 176 of the second, one after the other; conflicts are settled."""
    samples, domain = two_tasks(), (torch.randperm(256, generator=draws(3)) >= 80).long()
    targets = {
        "value": samples.targets["value"].masked_fill((domain == 1).unsqueeze(1), torch.nan),
        "side": samples.targets["side"].masked_fill(domain == 0, -1),
    }
    samples = Batch(samples.inputs, targets, domain)
    return finished(Learner(two_heads(normalised()), PAIR), Jacobian(ProjectedRows()), samples, ("side", 0.8))


# -- numbers of a grid, with a loss on differences of what is predicted --------------------------------------------

LINES = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]])


def differences(angles: Tensor) -> Tensor:
    return angles[:, LINES[:, 0]] - angles[:, LINES[:, 1]]


class Grid(nn.Module):
    """Not a `MultiTaskModel`: one head answers for two tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = mlp(5, 24), nn.Linear(24, 4)

    def forward(self, inputs, point):
        angles = self.head(self.encoder(torch.cat([inputs["load"], inputs["sun"]], 1)))
        return {"angle": angles, "difference": differences(angles)}


def grid_angles() -> Toy:
    load, sun = normal(256, 4), normal(256, 1, seed=4)
    angle = 0.5 * load @ normal(4, 4, seed=5) + torch.sin(sun) * normal(1, 4, seed=6)
    angle[torch.rand(256, 4, generator=draws(7)) < torch.linspace(0.4, 0.0, 256).unsqueeze(1)] = torch.nan
    kinds = [real("angle", 4), real("difference", 4, target=lambda batch: differences(batch.target("angle")))]
    samples = Batch({"load": load, "sun": sun}, {"angle": angle})
    return finished(Learner(Grid(), kinds), WeightedSum(), samples, ("angle", 0.3))


# -- pictures: convolutions, batch normalisation, dropout ----------------------------------------------------------


class Shift:
    """Move pictures sideways by a drawn number of pixels, and drop what a pixel says now and then."""

    draws = 1

    def __call__(self, batch: Batch, uniform: Tensor) -> Batch:
        moved = [torch.roll(x, int(3 * u), -1) for x, u in zip(batch.inputs, uniform[:, 0], strict=True)]
        return replace(batch, inputs=torch.stack(moved))


def pictures(dropout: float = 0.0, augment: bool = False, normalise: bool = True) -> Toy:
    """Two tasks on 6x6 pictures in float32."""
    x = torch.rand(256, 2, 6, 6, generator=draws())
    value = torch.stack([x[:, 0].mean((1, 2)), x[:, 1, :3].mean((1, 2))], 1)
    side = (x[:, 0].mean((1, 2)) > x[:, 1].mean((1, 2))).long()
    value[:80, 0] = torch.nan
    norm = nn.BatchNorm2d(6) if normalise else nn.Identity()
    encoder = nn.Sequential(
        *(nn.Conv2d(2, 6, 3, bias=not normalise), norm, nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Tanh()),
        *(nn.Dropout(dropout), nn.Flatten(), nn.Linear(16, 8)),
    )
    train, validation = split(Batch(x, {"value": value, "side": side}))
    if augment:
        train = TensorSource(train.samples, Shift())
    learner = Learner(two_heads(encoder), PAIR)
    return Toy(learner, WeightedSum(), train, validation, SETTINGS, ("value", 0.02), not dropout)


TOYS: Mapping[str, Callable[[], Toy]] = {
    "noisy autoencoder": noisy_autoencoder,
    "slimmable": slimmable,
    "gradient groups": gradient_groups,
    "mean teacher": mean_teacher,
    "private": private,
    "adversarial": adversarial,
    "recurrent": recurrent,
    "two sets": two_sets,
    "grid angles": grid_angles,
    "pictures": pictures,
}


def make(name: str) -> Toy:
    """A toy with the same first weights each time."""
    torch.manual_seed(0)
    return TOYS[name]()
