"""What later methods need of the contracts, each in about twenty lines: the toys beside those of `toy_learners`."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from toy_learners import PAIR, SETTINGS, TOYS, Toy, draws, finished, mlp, normal, split, two_heads, two_tasks

from umbel import tasks
from umbel.core import (
    Batch,
    ByTask,
    Descent,
    Learner,
    Losses,
    MultiTaskModel,
    OperatingPoint,
    ParameterGroup,
    Score,
    Taps,
    Task,
    lengths_of,
    pad_inputs,
    pad_targets,
    shares,
    sizes_of,
    sum_gradients,
    total,
    trained_parameters,
    within,
)
from umbel.data import PoissonSource, SideBySide, Source, TensorSource, from_dataset, in_memory
from umbel.descent import Jacobian, ProjectedRows, WeightedSum

# -- sets of boxes: every sample has another number of them, some none, some were never labelled --------------------


class Hits(Metric):
    """F1 of the boxes that are said to be there: a hit is within 0.25 of a true one."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("hits", "said", "true"):
            self.add_state(name, torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        said, true = prediction[..., 0] > 0, target[..., 0] >= 0
        near = (prediction[:, :, None, 1] - target[:, None, :, 0]).abs() < 0.25
        self.hits += (near & true[:, None] & said[:, :, None]).any(2).sum()
        self.said, self.true = self.said + said.sum(), self.true + true.sum()

    def compute(self) -> Tensor:
        return 2 * self.hits / (self.said + self.true).clamp(min=1)


def match(prediction: Tensor, target: Tensor) -> Tensor:
    """Each true box takes the nearest prediction [B, Q, (there, place)]; the others shall say that nothing is there."""
    true = target[..., 0] >= 0
    distance = (prediction[:, :, None, 1] - target[:, None, :, 0]).square()
    taken = torch.zeros_like(prediction[..., 0]).scatter_add(1, distance.argmin(1), true.to(prediction)).clamp(max=1)
    there = nn.functional.binary_cross_entropy_with_logits(prediction[..., 0], taken, reduction="none").sum(1)
    return there + 10 * torch.where(true, distance.amin(1), 0).sum(1)


def annotated(target: Tensor) -> Tensor:
    return ~target.isnan().flatten(1).any(1)


BOXES = Task(
    "boxes", 2, match, {"F1": Hits}, True, labelled=annotated, padding=-1.0, decode=lambda p: p
)  # a place is in 0 to 1, so -1 is no box


def boxes() -> Toy:
    place, there = torch.rand(256, 3, generator=draws(1)).double(), torch.rand(256, 3, generator=draws(2)) < 0.5
    lists = [p[t].unsqueeze(1) if i % 4 else None for i, (p, t) in enumerate(zip(place, there, strict=True))]
    target = pad_targets(lists, BOXES.padding)
    head = nn.Sequential(nn.Linear(24, 6), nn.Unflatten(1, (3, 2)))
    learner = Learner(MultiTaskModel(mlp(6, 32, 24), {"boxes": head}), [BOXES]).double()
    samples = Batch(torch.cat([place, there.double()], 1), {"boxes": target})
    settings = replace(SETTINGS, monitor="boxes/F1", steps=200)
    return Toy(learner, WeightedSum(), *split(samples), settings, ("boxes", 0.65))


# -- series of different length: a class for each step, a number for each series ------------------------------------


class Steps(nn.Module):
    """States of a recurrent network [B, 8, T], and their mean over the steps that are there."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.GRU(2, 8, batch_first=True)

    def forward(self, inputs):
        states = self.steps(inputs["series"])[0]
        there = within(lengths_of(inputs, "series"), states.shape[1:2]).unsqueeze(2)
        return {"steps": states.mT, "mean": torch.where(there, states, 0).sum(1) / there.sum(1)}


class Of(nn.Module):
    def __init__(self, name: str, head: nn.Module) -> None:
        super().__init__()
        self.name, self.head = name, head

    def forward(self, features):
        return self.head(features[self.name])


def series() -> Toy:
    length = torch.randint(1, 8, (256,), generator=draws(1)).tolist()
    parts = [normal(n, 2, seed=i) for i, n in enumerate(length)]
    rising = pad_targets([(x.cumsum(0)[:, 0] > 0).long() if i % 3 else None for i, x in enumerate(parts)])
    mean = torch.stack([x[:, 1:].mean(0) for x in parts])
    heads = {"rising": Of("steps", nn.Conv1d(8, 2, 1)), "mean": Of("mean", nn.Linear(8, 1))}
    kinds = [tasks.segmentation("rising", ["no", "yes"]), replace(PAIR[0], name="mean", outputs=1)]
    learner = Learner(MultiTaskModel(Steps(), heads), kinds).double()
    samples = Batch(pad_inputs("series", parts), {"rising": rising, "mean": mean})
    return Toy(learner, WeightedSum(), *split(samples), replace(SETTINGS, steps=120), ("mean", 0.1))


# -- pictures of different size, read from a data set of the user's own ---------------------------------------------


class Pictures:
    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        size = torch.randint(4, 8, (2,), generator=draws(self.first + index)).tolist()
        picture = torch.rand(2, *size, generator=draws(1000 + self.first + index))
        return picture, {"value": picture.mean((1, 2)), "side": int(picture[0].mean() > picture[1].mean())}


class Pooled(nn.Module):
    """A convolution and its mean over the part that belongs to the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3)

    def forward(self, inputs):
        maps = torch.tanh(self.conv(inputs["input"]))
        there = within(sizes_of(inputs, "input")[:, 1:] - 2, maps.shape[2:]).unsqueeze(1)
        return torch.where(there, maps, 0).sum((2, 3)) / there.sum((2, 3))


def sized_pictures() -> Toy:
    train, validation = Pictures(0, 192), Pictures(192, 64)
    sources = from_dataset(train, PAIR, ragged=["input"]), in_memory(validation, PAIR, ragged=["input"])
    return Toy(Learner(two_heads(Pooled()), PAIR), WeightedSum(), *sources, SETTINGS, ("value", 0.02))


# -- source and target domain beside each other: reversed gradients, a frozen norm, a part with a rate of its own ----


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Adapted(Learner):
    """The encoder hides the domain; a checkpoint is chosen by how sure it is about target samples without labels."""

    def __init__(self, model, kinds, target: TensorSource) -> None:
        super().__init__(model, kinds)
        self.judge, self.target = nn.Linear(8, 1), target

    def losses(self, batch, point):
        features = self.model.encoder(batch.inputs)
        guess = self.judge(Reversed.apply(features)).squeeze(1)
        domain = nn.functional.binary_cross_entropy_with_logits(guess, batch.domain.to(guess))
        return Losses({**self.task_losses(self.model.decode(features, point), batch), "domain": domain})

    def parameter_groups(self):
        return [ParameterGroup(self.judge.parameters(), rate=3.0, decay=0.0)]

    def sureness(self, evaluation, runtime):
        batches = self.target.batches(32, runtime.rank, runtime.world_size)
        sure = [self.predict(batch, OperatingPoint())["side"].softmax(1).amax(1).sum() for batch in batches]
        return float(runtime.sum(sum(sure, torch.zeros((), dtype=torch.float64)))) / len(self.target)

    def scores(self) -> dict[str, Score]:
        return {**super().scores(), "sureness": self.sureness}


def two_domains() -> Toy:
    train, validation = split(two_tasks())
    target = TensorSource(Batch(two_tasks(seed=9).inputs[:96] + 0.5))
    frozen = nn.BatchNorm1d(4).requires_grad_(False).eval()
    encoder = nn.Sequential(frozen, nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 8))
    learner = Adapted(two_heads(encoder), PAIR, target).double()
    beside = SideBySide([train, target], parts=(3, 1))
    return Toy(learner, WeightedSum(), beside, validation, replace(SETTINGS, monitor="sureness"), ("value", 0.5))


# -- a critic that ascends with its own optimizer, several steps for one of the rest; or in the same step ------------


class Moments(Learner):
    """A critic looks for a direction in which features of both domains differ; the encoder makes them alike."""

    def __init__(self, model, kinds) -> None:
        super().__init__(model, kinds)
        self.critic = nn.Linear(8, 1, bias=False)

    def gap(self, features, domain):
        looked = torch.tanh(self.critic(features).squeeze(1))
        return torch.where(domain == 0, looked, -looked).mean() - 0.1 * self.critic.weight.square().sum()

    def losses(self, batch, point):
        features = self.model.encoder(batch.inputs)
        tasks_own = self.task_losses(self.model.decode(features, point), batch)
        return Losses({**tasks_own, "gap": self.gap(features, batch.domain)})


class InTurns(Descent):
    """Two steps of the critic's own optimizer, which ascends the gap; then the gradients of all others."""

    def prepare(self, learner):
        self.inner = torch.optim.Adam(learner.critic.parameters(), lr=0.05, maximize=True)

    def get_extra_state(self):
        return self.inner.state_dict()

    def set_extra_state(self, state):
        self.inner.load_state_dict(state)

    def forward(self, learner, batch, point, runtime):
        critic = list(learner.critic.parameters())
        rest = [p for p in trained_parameters(learner) if all(p is not q for q in critic)]
        for _ in range(2):
            self.inner.zero_grad()
            for share in shares(learner, batch, point, runtime):
                share["gap"].backward(inputs=critic)
            sum_gradients(critic, runtime)
            self.inner.step()
        self.inner.zero_grad()  # the loop's optimizer leaves the critic alone
        values = 0
        for share in shares(learner, batch, point, runtime):
            share.stack().sum().backward(inputs=rest)
            values = values + share.stack().detach()
        sum_gradients(rest, runtime)
        return total(values, list(share), runtime)


class Ascending(Moments):
    def parameter_groups(self):
        return [ParameterGroup(self.critic.parameters(), rate=2.0, maximise=True)]


def moments(kind: type[Moments], descent: Descent) -> Toy:
    train, validation = split(two_tasks())
    other = TensorSource(Batch(two_tasks(seed=9).inputs[:64] * 2))
    learner = kind(two_heads(mlp(4, 16, 8)), PAIR).double()
    return Toy(learner, descent, SideBySide([train, other]), validation, SETTINGS, ("value", 0.4))


# -- private training: Poisson batches (here of 4, so that some are empty), every sample's gradient clipped ----------


class PrivatePoisson(Descent):
    """(sum of clipped gradients of single samples + noise) / expected batch size."""

    def __init__(self, expected: int, clip: float = 1.0, noise: float = 0.0) -> None:
        super().__init__()
        self.expected, self.clip, self.noise = expected, clip, noise
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, learner, batch, point, runtime):
        parameters = trained_parameters(learner)
        sums = [torch.zeros_like(p) for p in parameters]
        for one in (batch[i : i + 1] for i in range(len(batch))):
            loss = learner.losses(one, point).stack().sum()
            gradients = torch.autograd.grad(loss, parameters)
            factor = (self.clip / torch.nn.utils.get_total_norm(gradients)).clamp(max=1)
            sums = [held + factor * g for held, g in zip(sums, gradients, strict=True)]
        for i, (p, held) in enumerate(zip(parameters, sums, strict=True)):
            noise = torch.randn(p.shape, generator=draws(1000 * int(self.steps) + i), dtype=p.dtype)
            p.grad = (held + noise * (self.noise * self.clip if runtime.rank == 0 else 0)) / self.expected
        sum_gradients(parameters, runtime)
        self.steps += 1
        with torch.no_grad():
            values = 0
            for share in shares(learner, batch, point, runtime):
                values = values + share.stack()
        return total(values, list(share), runtime)


def poisson(noise: float = 0.0) -> Toy:
    train, validation = split(two_tasks())
    settings = replace(SETTINGS, batch_size=4, steps=150)
    learner = Learner(two_heads(mlp(4, 16, 8)), PAIR).double()
    return Toy(
        learner, PrivatePoisson(4, noise=noise), PoissonSource(train.samples), validation, settings, ("side", 0.8)
    )


# -- heads on concepts at inner modules of an ordinary network, which knows nothing of them --------------------------


class Concepts(Learner):
    """`network`: [B, 4] -> logits [B, 2]. A head on its third module learns "value" and is gone in the export."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, PAIR, shared=["0", "2"])
        self.heads = ByTask({"value": nn.Linear(16, 2)})

    def predict(self, batch, point):
        with Taps(self.model, ["2"]) as taps:
            logits = self.model(batch.inputs)
        return {"side": logits, "value": self.heads["value"](taps["2"])}


def concepts() -> Toy:
    network = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))
    return finished(Concepts(network), Jacobian(ProjectedRows()), two_tasks(), ("value", 0.4))


# -- a checkpoint chosen by F1 at the best threshold, which samples of a development split set ----------------------

CUTS = torch.linspace(0.05, 0.95, 19)


class Thresholded(Learner):
    def __init__(self, model, kinds, development: Source) -> None:
        super().__init__(model, kinds)
        self.development = development

    def best_f1(self, evaluation, runtime):
        counts = torch.zeros(3, len(CUTS), dtype=torch.float64)  # hits, said, true: sums over batches and processes
        for batch in self.development.batches(16, runtime.rank, runtime.world_size):
            said = self.predict(batch, OperatingPoint())["side"].softmax(1)[:, 1:] > CUTS
            true, known = batch.target("side")[:, None] == 1, batch.target("side")[:, None] >= 0
            counts += torch.stack([said & true, said & known, (true & known).expand_as(said)]).sum(1)
        hits, said, true = runtime.sum(counts)
        return float((2 * hits / (said + true).clamp(min=1)).max())

    def scores(self):
        return {**super().scores(), "best F1": self.best_f1}


def thresholded() -> Toy:
    samples = two_tasks()
    learner = Thresholded(two_heads(mlp(4, 16, 8)), PAIR, TensorSource(samples[160:192])).double()
    settings = replace(SETTINGS, monitor="best F1")
    return Toy(learner, WeightedSum(), TensorSource(samples[:160]), split(samples)[1], settings, ("side", 0.8))


MORE: Mapping[str, Callable[[], Toy]] = {
    "boxes": boxes,
    "series": series,
    "sized pictures": sized_pictures,
    "two domains": two_domains,
    "critic in turns": lambda: moments(Moments, InTurns()),
    "ascending critic": lambda: moments(Ascending, WeightedSum()),
    "poisson": poisson,
    "noisy poisson": lambda: poisson(noise=0.3),
    "concepts": concepts,
    "thresholded": thresholded,
}

ALL: Mapping[str, Callable[[], Toy]] = {**TOYS, **MORE}


def make(name: str) -> Toy:
    """A toy of either file with the same first weights each time."""
    torch.manual_seed(0)
    return ALL[name]()
