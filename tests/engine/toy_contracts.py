"""What later methods need of the contracts, each in about twenty lines: the toys beside those of `toy_learners`."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from toy_learners import PAIR, SETTINGS, TOYS, Toy, draws, mlp, normal, split, two_heads

from umbel import tasks
from umbel.core import (
    Batch,
    Learner,
    MultiTaskModel,
    Task,
    lengths_of,
    pad_inputs,
    pad_targets,
    sizes_of,
    within,
)
from umbel.data.stream import from_dataset, in_memory
from umbel.descent import WeightedSum

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
    settings = replace(SETTINGS, steps=90)
    sources = from_dataset(train, PAIR, ragged=["input"]), in_memory(validation, PAIR, ragged=["input"])
    return Toy(Learner(two_heads(Pooled()), PAIR), WeightedSum(), *sources, settings, ("value", 0.02))


MORE: Mapping[str, Callable[[], Toy]] = {
    "boxes": boxes,
    "series": series,
    "sized pictures": sized_pictures,
}

ALL: Mapping[str, Callable[[], Toy]] = {**TOYS, **MORE}


def make(name: str) -> Toy:
    """A toy of either file with the same first weights each time."""
    torch.manual_seed(0)
    return ALL[name]()
