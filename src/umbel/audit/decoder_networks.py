"""Decoders that are trained: from a vector or a map of features upwards to a picture."""

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from umbel.arguments import check_numbers, one_of
from umbel.audit.decoders import Examples, LinearDecoder, Seen, rebuilding_loss, similarity
from umbel.data.source import seeded
from umbel.nn.build import seeded_start

_LEAST_SIDE = 4  # from which a vector is spread out
_LEAST_WIDTH, _MOST_WIDTH = 16, 128  # channels of maps between
_HIDDEN = 512
_DECAY = 1e-2
_CHECKS, _PATIENCE = 10, 4  # looks at validation, and how many without improvement end the training
_LOOKED_AT = 1000  # validation pictures of a look at most
_NUMBERS_A_STEP, _NUMBERS_A_LOOK = 2**19, 2**22  # of pictures at most: large ones would take too long
_CHUNK = 512


@dataclass(frozen=True)
class Effort:
    """How hard an attacker tries.

    Attributes:
        steps: Of a decoder's training at most; it ends earlier where validation no longer improves.
        batch_size: Pictures in a step; fewer of more than 4,096 numbers each.

    Raises:
        UmbelError: A number below 1.
    """

    steps: int = 500
    batch_size: int = 128

    def __post_init__(self) -> None:
        check_numbers(self, least={"steps": 1, "batch_size": 1})


EFFORTS = {"quick": Effort(500, 128), "full": Effort(2500, 128)}
"""By the name that the command takes."""


class DenseNetwork(nn.Module):
    """Vectors [B, d] to pictures through two dense layers of 512: quick, and strong where pictures are small."""

    rate = 4e-3

    def __init__(self, numbers: int, size: tuple[int, ...]) -> None:
        super().__init__()
        last = nn.Linear(_HIDDEN, math.prod(size))
        self.layers = nn.Sequential(
            nn.Linear(numbers, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, _HIDDEN), nn.GELU(), _from_zero(last)
        )
        self.size = size

    def forward(self, seen: Seen) -> Tensor:
        """What to add to the linear decoder's pictures, [B, C, H, W]."""
        return self.layers(seen.vectors).unflatten(1, self.size)


class UpwardNetwork(nn.Module):
    """A small map to pictures through transposed convolutions, each of which doubles the sides.

    vector [d]     ──► two dense layers ───────────────────────────────┐
    map [C, h, w]  ──► two 3x3 convolutions, positions stay where they are ─┴─► transposed convolutions ──► picture
    """

    rate = 5e-3

    def __init__(self, shape: tuple[int, ...], size: tuple[int, ...]) -> None:
        super().__init__()
        channels, *self.sides = size
        self.takes_maps = len(shape) == 3
        doublings = _doublings(shape[1:] if self.takes_maps else (_LEAST_SIDE, _LEAST_SIDE), self.sides)
        self.start = [math.ceil(side / 2**doublings) for side in self.sides]
        widths = [_width(left) for left in range(doublings, 0, -1)] or [_width(1)]
        self.enter = _convolved(shape[0], widths[0]) if self.takes_maps else _spread(shape[0], widths[0], self.start)
        self.upwards = nn.Sequential(nn.ReLU(), *_upwards(widths, channels, doublings))

    def forward(self, seen: Seen) -> Tensor:
        """What to add to the linear decoder's pictures, [B, C, H, W]."""
        entered = self.enter(seen.features if self.takes_maps else seen.vectors)
        if list(entered.shape[-2:]) != self.start:
            entered = F.interpolate(entered, size=self.start, mode="bilinear", align_corners=False)
        height, width = self.sides
        return self.upwards(entered)[..., :height, :width]


def _doublings(start: Sequence[int], size: Sequence[int]) -> int:
    """How often a map doubles its sides on its way to a size: the nearest whole number."""
    ratio = min(large / small for large, small in zip(size, start, strict=True))
    return max(0, round(math.log2(ratio)))


def _width(doublings_left: int) -> int:
    return max(_LEAST_WIDTH, min(_MOST_WIDTH, 8 * 2**doublings_left))


def _convolved(channels: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 2 * width, 3, padding=1), nn.ReLU(), nn.Conv2d(2 * width, width, 3, padding=1)
    )


def _spread(numbers: int, channels: int, start: Sequence[int]) -> nn.Module:
    return nn.Sequential(
        nn.Linear(numbers, _HIDDEN),
        nn.GELU(),
        nn.Linear(_HIDDEN, channels * math.prod(start)),
        nn.Unflatten(1, (channels, *start)),
    )


def _upwards(widths: list[int], channels: int, doublings: int) -> Iterator[nn.Module]:
    for before, after in itertools.pairwise(widths):
        yield nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
        yield nn.ReLU()
    last = nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1)
    yield _from_zero(last if doublings else nn.Conv2d(widths[-1], channels, 3, padding=1))


def _from_zero(layer: nn.Module) -> nn.Module:
    """The layer with weights of 0, so that training starts at the linear decoder's pictures."""
    for values in layer.parameters():
        nn.init.zeros_(values)
    return layer


NETWORKS = ("dense", "transposed convolution", "convolution")
"""Kinds of `TrainedDecoder`."""


def networks_for(shape: Sequence[int]) -> tuple[str, ...]:
    """Which kinds suit features of a shape: maps [C, h, w] keep their positions, unless they have only one."""
    is_map = len(shape) == 3 and shape[1] * shape[2] > 1
    return ("dense", "convolution") if is_map else ("dense", "transposed convolution")


class TrainedDecoder:
    """A linear decoder's pictures, corrected by a network that was trained on L1 + (1 - SSIM).

    The weights are those that were best on validation, by SSIM. The same examples, effort and seed give the same
    decoder.

    Args:
        kind: One of `NETWORKS`.
        train: What it learns from.
        validation: What chooses the weights.
        linear: Where it starts.
        effort: How long.
        seed: Of weights and order.
    """

    def __init__(
        self, kind: str, train: Examples, validation: Examples, linear: LinearDecoder, effort: Effort, seed: int
    ) -> None:
        self.linear = linear
        self.network = _network(kind, train, seed).to(train.pictures.device)
        most = _at_most(_LOOKED_AT, _NUMBERS_A_LOOK, validation.pictures)
        looked = Examples(validation.seen[:most], validation.pictures[:most])
        best, kept = self._score(looked), copy.deepcopy(self.network.state_dict())
        highest, waited = -math.inf, 0  # of the looks: the first steps may well be worse than the start
        for _ in self._trained(train, effort, seed):
            score = self._score(looked)
            highest, waited = (score, 0) if score > highest else (highest, waited + 1)
            if score > best:
                best, kept = score, copy.deepcopy(self.network.state_dict())
            if waited == _PATIENCE:
                break
        self.network.load_state_dict(kept)

    def __call__(self, seen: Seen) -> Tensor:
        """Pictures [n, C, H, W] in 0 to 1."""
        with torch.no_grad():
            parts = [self._raw(seen[start : start + _CHUNK]) for start in range(0, len(seen), _CHUNK)]
        return torch.cat(parts).clamp(0, 1)

    def _raw(self, seen: Seen) -> Tensor:
        return self.linear.raw(seen) + self.network(seen)

    def _score(self, examples: Examples) -> float:
        return float(similarity(self(examples.seen), examples.pictures).mean())

    def _trained(self, train: Examples, effort: Effort, seed: int) -> Iterator[None]:
        """Trains, and stops for every look at validation."""
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.0, weight_decay=_DECAY)
        every = max(1, effort.steps // _CHECKS)
        size = _at_most(effort.batch_size, _NUMBERS_A_STEP, train.pictures)
        for step, picked in enumerate(_orders(len(train), size, effort.steps, seed)):
            done = step / effort.steps
            optimizer.param_groups[0]["lr"] = self.network.rate * _schedule(done)
            on_device = picked.to(train.pictures.device)
            optimizer.zero_grad()
            rebuilding_loss(self._raw(train.seen[on_device]), train.pictures[on_device]).backward()
            optimizer.step()
            if (step + 1) % every == 0:
                yield


def _network(kind: str, train: Examples, seed: int) -> DenseNetwork | UpwardNetwork:
    one_of(kind, "kind of decoder", NETWORKS)
    features, vectors = train.seen.features, train.seen.vectors
    size = tuple(train.pictures.shape[1:])
    with seeded_start(seed, kind):
        if kind == "dense":
            return DenseNetwork(vectors.shape[1], size)
        return UpwardNetwork(tuple((features if kind == "convolution" else vectors).shape[1:]), size)


def _schedule(done: float) -> float:
    """Share of the rate when so much of the training is done: up in a twentieth, down as a cosine."""
    return min(1.0, 20 * done + 0.05) * (1 + math.cos(math.pi * done)) / 2


def _at_most(count: int, numbers: int, pictures: Tensor) -> int:
    """So many pictures, less where they would have more numbers than that; at least 16, at most all."""
    return min(len(pictures), count, max(16, numbers // pictures[0].numel()))


def _orders(count: int, size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """The samples of every step: all in a random order, then again in another."""
    order = torch.empty(0, dtype=torch.int64)
    generator = seeded(seed, 2)
    for _ in range(steps):
        if len(order) < size:
            order = torch.randperm(count, generator=generator)
        yield order[:size]
        order = order[size:]
