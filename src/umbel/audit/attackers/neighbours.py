"""The nearest neighbours: what samples with similar features have in common."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from umbel.audit.attackers.decoders import resized
from umbel.audit.attackers.fitting import Standardised
from umbel.audit.forms import Form, numbers_of, raw_of
from umbel.audit.judging import better, score_of
from umbel.audit.problem import Answer, Problem

_COUNTS = (1, 4, 12, 30, 80)
_TUNED_ON = {"quick": 1000, "full": 5000}  # validation samples at most
_REFERENCES = 4000  # positions of maps at most
_AXES = 128  # beyond so many numbers, the directions of the greatest variance
_AT_ONCE = 2**23  # distances at a time


class Neighbours:
    """Votes of the k nearest training samples; k and the metric are tuned.

    Metrics: Euclidean on features as released, on standardised features, and the angle between the latter. For a dense
    task the samples are positions of maps: a sample of those of the training set.
    """

    name = "neighbours"
    varies = False

    def fits(self, problem: Problem) -> bool:
        """Where targets can be averaged, and a dense task's features have positions."""
        return problem.form is not None and (problem.is_map or not problem.is_dense)

    def train(self, problem: Problem) -> Answer:
        """See `Attacker.train`."""
        form = problem.form
        assert form is not None
        if problem.is_dense:
            features, numbers, known = _positions(problem, form)
        else:
            features, (numbers, known) = problem.features, numbers_of(problem.task, form, problem.targets)
        most = max(_TUNED_ON[problem.effort] // (30 if problem.is_dense else 1), 1)
        held, targets = problem.held_features[:most], problem.held_targets[:most]
        best, winner = math.nan, None
        for lookup in _lookups(features):
            nearest = lookup(_by_position(held) if problem.is_dense else held)
            for k in (k for k in _COUNTS if k <= lookup.most):
                vote = _Votes(k, numbers, known, form)
                place = _Placed(held.shape[2:], problem.size) if problem.is_dense else None
                seen = nearest.reshape(len(held), -1)
                score = score_of(problem.task, _Answer(None, vote, place), seen, targets)
                if winner is None or better(problem.task, score, best):
                    best, winner = score, _Answer(lookup, vote, place)
        assert winner is not None
        return winner


def _lookups(features: Tensor) -> list["_Lookup"]:
    standard = Standardised(features)
    prepared: list[Callable[[Tensor], Tensor]] = [torch.nn.Flatten(), standard, lambda x: F.normalize(standard(x))]
    return [_Lookup(prepare, features) for prepare in prepared]


def _projection(flat: Tensor) -> Callable[[Tensor], Tensor]:
    """The directions of the greatest variance where there are many numbers; a sketch with a start of its own."""
    if flat.shape[1] <= _AXES:
        return lambda x: x
    centre = flat.mean(0)
    centred = flat[:5000] - centre
    _, _, axes = torch.linalg.svd(centred.T @ centred) if flat.shape[1] <= 1024 else torch.svd_lowrank(centred, _AXES)
    axes = axes[:_AXES].T if flat.shape[1] <= 1024 else axes
    return lambda x: (x - centre) @ axes


class _Lookup:
    """Finds the nearest of some samples, by the distance of their prepared features."""

    def __init__(self, prepare: Callable[[Tensor], Tensor], features: Tensor) -> None:
        self.prepare, self.project = prepare, _projection(prepare(features))
        self.references = self.project(prepare(features))
        self.most = min(max(_COUNTS), len(features))
        self.lengths = self.references.square().sum(1)

    def __call__(self, features: Tensor) -> Tensor:
        """Indices of the nearest references, the nearest first: [n, most]."""
        queries = self.project(self.prepare(features))
        size = max(_AT_ONCE // len(self.references), 1)
        nearest = [
            torch.addmm(self.lengths, some, self.references.T, alpha=-2).topk(self.most, largest=False).indices
            for some in queries.split(size)
        ]
        return torch.cat(nearest)


@dataclass(frozen=True, eq=False)
class _Votes:
    """The mean of the k nearest samples' numbers; where none of them is labelled, of all samples."""

    k: int
    numbers: Tensor
    known: Tensor
    form: Form

    def __call__(self, nearest: Tensor) -> Tensor:
        nearest = nearest[:, : self.k]
        over_all = self.numbers.sum(0) / self.known.sum(0).clamp(min=1)
        votes = self.known[nearest].sum(1)
        mean = self.numbers[nearest].sum(1) / votes.clamp(min=1)
        return raw_of(self.form, torch.where(votes > 0, mean, over_all))


@dataclass(frozen=True)
class _Placed:
    """Answers at positions, brought to the target's size."""

    positions: Sequence[int]
    size: tuple[int, int]

    def __call__(self, raw: Tensor) -> Tensor:
        return resized(raw.reshape(-1, *self.positions, raw.shape[1]).movedim(-1, 1), self.size)


@dataclass(frozen=True, eq=False)
class _Answer:
    """Look up, vote, place. Without a lookup it reads neighbours that are known, [n, positions * most]."""

    lookup: _Lookup | None
    vote: _Votes
    place: _Placed | None

    def __call__(self, features: Tensor) -> Tensor:
        if self.lookup is None:
            most = min(max(_COUNTS), len(self.vote.numbers))
            nearest = features.reshape(-1, most)
        else:
            nearest = self.lookup(features if self.place is None else _by_position(features))
        raw = self.vote(nearest)
        return raw if self.place is None else self.place(raw)


def _by_position(maps: Tensor) -> Tensor:
    """[n, C, h, w] as [n * h * w, C]."""
    return maps.movedim(1, -1).flatten(0, -2)


def _positions(problem: Problem, form: Form) -> tuple[Tensor, Tensor, Tensor]:
    """Some positions of training maps as samples: features [n, C], numbers [n, K], and which are labelled."""
    height, width = problem.features.shape[-2:]
    generator = torch.Generator().manual_seed(0)
    per_map = height * width
    samples = torch.randperm(len(problem), generator=generator)[:_REFERENCES]
    chosen = torch.randint(per_map, (len(samples), max(_REFERENCES // len(samples), 1)), generator=generator)
    numbers, known = numbers_of(problem.task, form, problem.targets[samples])
    numbers, known = (
        F.interpolate(x.float(), (height, width), mode="nearest-exact").flatten(2).movedim(1, -1)
        for x in (numbers, known)
    )
    features = problem.features[samples].flatten(2).movedim(1, -1)
    picked = [x.gather(1, chosen[:, :, None].expand(-1, -1, x.shape[2])).flatten(0, 1) for x in (features, numbers)]
    labels = known.gather(1, chosen[:, :, None].expand(-1, -1, known.shape[2])).flatten(0, 1) > 0
    return picked[0], picked[1], labels
