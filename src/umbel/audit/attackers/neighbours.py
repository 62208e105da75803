"""The nearest neighbours: what samples with similar features have in common."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from umbel.audit.attackers.decoders import resized
from umbel.audit.attackers.fitting import Standardised
from umbel.audit.forms import Form, numbers_of, raw_of
from umbel.audit.judging import better, score_of
from umbel.audit.problem import Answer, Problem

_COUNTS = (1, 3, 8, 20, 50, 120)
_TUNED_ON = {"quick": 1500, "full": 5000}  # validation samples at most
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
        most = _TUNED_ON[problem.effort] // (30 if problem.is_dense else 1)
        held, targets = problem.held_features[:most], problem.held_targets[:most]
        if problem.is_dense:
            answers = [_Dense(near, problem.size) for near in _voters(*_positions(problem, form), form)]
        else:
            numbers, known = numbers_of(problem.task, form, problem.targets)
            answers = list(_voters(problem.features, numbers, known, form))
        best, winner = math.nan, answers[0]
        for answer in answers:
            score = score_of(problem.task, answer, held, targets)
            if better(problem.task, score, best):
                best, winner = score, answer
        return winner


def _voters(features: Tensor, numbers: Tensor, known: Tensor, form: Form) -> list["_Votes"]:
    standard = Standardised(features)
    prepared: list[Callable[[Tensor], Tensor]] = [torch.nn.Flatten(), standard, lambda x: F.normalize(standard(x))]
    voters = []
    for prepare in prepared:
        project = _projection(prepare(features))
        references = project(prepare(features))
        lookup = _Lookup(prepare, project, references, max(_COUNTS))
        voters += [_Votes(lookup, k, numbers, known, form) for k in _COUNTS if k <= len(references)]
    return voters


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
    """Finds neighbours; remembers those of the last features, since all k share them."""

    def __init__(
        self,
        prepare: Callable[[Tensor], Tensor],
        project: Callable[[Tensor], Tensor],
        references: Tensor,
        most: int,
    ) -> None:
        self.prepare, self.project, self.references = prepare, project, references
        self.most = min(most, len(references))
        self.lengths = references.square().sum(1)
        self.last: tuple[Tensor, Tensor] | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """Indices of the nearest references, the nearest first: [n, most]."""
        if self.last is not None and self.last[0] is features:
            return self.last[1]
        queries = self.project(self.prepare(features))
        size = max(_AT_ONCE // len(self.references), 1)
        nearest = [
            (self.lengths - 2 * some @ self.references.T).topk(self.most, largest=False).indices
            for some in queries.split(size)
        ]
        self.last = (features, torch.cat(nearest))
        return self.last[1]


@dataclass(frozen=True, eq=False)
class _Votes:
    """The mean of the k nearest samples' numbers; where none of them is labelled, of all samples."""

    lookup: _Lookup
    k: int
    numbers: Tensor
    known: Tensor
    form: Form

    def __call__(self, features: Tensor) -> Tensor:
        nearest = self.lookup(features)[:, : self.k]
        over_all = self.numbers.sum(0) / self.known.sum(0).clamp(min=1)
        votes = self.known[nearest].sum(1)
        mean = self.numbers[nearest].sum(1) / votes.clamp(min=1)
        return raw_of(self.form, torch.where(votes > 0, mean, over_all))


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


@dataclass(frozen=True, eq=False)
class _Dense:
    """Votes at each position of maps, brought to the target's size."""

    votes: _Votes
    size: tuple[int, int]

    def __call__(self, features: Tensor) -> Tensor:
        count, channels, height, width = features.shape
        flat = features.movedim(1, -1).reshape(-1, channels)
        raw = self.votes(flat).reshape(count, height, width, -1).movedim(-1, 1)
        return resized(raw, self.size)
