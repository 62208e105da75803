"""Scores that no feature can be blamed for: without features at all, and from the labels of other tasks alone."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from umbel.audit.attackers.convolutional import Convolutional
from umbel.audit.attackers.fitting import raw_shape
from umbel.audit.attackers.linear import Linear
from umbel.audit.attackers.trees import Trees
from umbel.audit.forms import numbers_of, raw_of
from umbel.audit.judging import better, score_of
from umbel.audit.label_features import LabelCodes, label_columns, label_maps
from umbel.audit.problem import Answer, Attacker, Problem, size_of, with_labels
from umbel.core import Task, UmbelError

_MOST_NUMBERS = 2**24  # in a table of labels
_PRIORS = (0.5, 20.0)  # samples of the whole set that each cell of a table starts with

Targets = Mapping[str, Tensor]


def blind_floor(task: Task, train: Targets, validation: Targets, test: Targets) -> float:
    """What the best constant scores on the test: the most frequent class, the mean or the median, always yes.

    A dense task may have a constant for each position. The constant is chosen by the main metric on validation.

    Args:
        task: What is inferred.
        train: Task -> targets [n, ...]; of this task at least.
        validation: Likewise.
        test: Likewise.

    Raises:
        UmbelError: A split has no label of the task.
    """
    features = [torch.zeros(len(split[task.name]), 1) for split in (train, validation, test)]
    problem, tested, wanted = _problem(task, features, (train, validation, test), 0)
    return score_of(task, _best(problem, _constants(problem)), tested, wanted)


def label_floor(
    task: Task, served: Sequence[Task], train: Targets, validation: Targets, test: Targets, seed: int = 0
) -> float:
    """What those score on the test who know the labels of other tasks, together, and nothing else.

    A table of how often what goes with what, exact for classes; for values and maps also boosted trees and
    convolutions on the labels. The best on validation, or the best constant.

    Args:
        task: What is inferred.
        served: Whose labels are known; none of them is the task itself.
        train: Task -> targets [n, ...].
        validation: Likewise.
        test: Likewise.
        seed: Of what is learnt.

    Raises:
        UmbelError: A split has no label of the task.
    """
    splits = (train, validation, test)
    best, score = blind_floor(task, train, validation, test), math.nan
    for features, candidates in _views(task, served, splits):
        problem, tested, wanted = _problem(task, features, splits, seed)
        answer = _best(problem, [*candidates(problem), *_constants(problem)])
        reached = score_of(task, answer, problem.held_features, problem.held_targets)
        if better(task, reached, score):
            best, score = score_of(task, answer, tested, wanted), reached
    return best


def _problem(
    task: Task, features: Sequence[Tensor], splits: Sequence[Targets], seed: int
) -> tuple[Problem, Tensor, Tensor]:
    """What is learnt and chosen on train and validation; features and targets of the test."""
    pairs = [with_labels(task, x, split[task.name]) for x, split in zip(features, splits, strict=True)]
    if not all(len(x) for x, _ in pairs):
        raise UmbelError(f"task {task.name!r} cannot be attacked: a split has no label of it")
    (train, targets), (held, held_targets), (tested, wanted) = pairs
    return Problem(task, train, targets, held, held_targets, "quick", seed), tested, wanted


def _best(problem: Problem, answers: Sequence[Answer]) -> Answer:
    """The best on validation; the first among equals."""
    best, winner = math.nan, answers[0]
    for answer in answers:
        score = score_of(problem.task, answer, problem.held_features, problem.held_targets)
        if better(problem.task, score, best):
            best, winner = score, answer
    return winner


def _constants(problem: Problem) -> list[Answer]:
    form = problem.form
    if form is None:
        return [partial(_repeated, _learnt_constant(problem))]
    numbers, known = numbers_of(problem.task, form, problem.targets)
    axes = [0, *range(2, numbers.ndim)]
    mean = numbers.sum(axes, keepdim=True) / known.expand_as(numbers).sum(axes, keepdim=True).clamp(min=1)
    raws = [raw_of(form, mean)]
    if numbers.ndim > 2:
        raws.append(raw_of(form, (numbers.sum(0, keepdim=True) + mean) / (known.sum(0, keepdim=True) + 1)))
    if form == "values":
        hidden = torch.where(known, numbers, torch.nan).movedim(1, 0).flatten(1)
        raws.append(hidden.nanmedian(1).values.nan_to_num().reshape(mean.shape))
    if form == "yes/no":  # always yes may beat what is most frequent, as for F1
        raws += [torch.full_like(raws[0], value) for value in (-1.0, 1.0)]
    return [partial(_repeated, raw[0].expand(numbers.shape[1:])) for raw in raws]


def _repeated(raw: Tensor, features: Tensor) -> Tensor:
    return raw.expand(len(features), *raw.shape)


def _learnt_constant(problem: Problem) -> Tensor:
    """For targets that cannot be averaged: the raw prediction of the least mean loss."""
    shape = raw_shape(problem.task, problem.targets)
    start = torch.zeros(shape[0])
    if problem.targets.is_floating_point():  # a fair guess where raw predictions are in the target's units
        start = problem.targets.movedim(1, 0).flatten(1).nanmean(1)
    flat = nn.Parameter((start + 1e-3).reshape(shape[0], *(1,) * (len(shape) - 1)))
    optimizer = torch.optim.Adam([flat], lr=0.05)
    targets = problem.targets[:256]
    for _ in range(100):
        optimizer.zero_grad()
        problem.task.mean_loss(flat.expand(len(targets), *shape), targets).backward()
        optimizer.step()
    return flat.detach().expand(shape)


def _views(
    task: Task, served: Sequence[Task], splits: Sequence[Targets]
) -> Iterator[tuple[list[Tensor], Callable[[Problem], list[Answer]]]]:
    """Ways to see the labels: features of each split, and what learns from them."""
    train = splits[0]
    wanted = train[task.name]
    dense = wanted.ndim >= 3
    maps = [train[one.name] for one in served if train[one.name].ndim >= 3]
    if LabelCodes.fits(served, train, dense):
        codes = LabelCodes(served, train, size_of(wanted) if dense and maps else None)
        if codes.count * (1 if maps else wanted[:1].numel()) * task.outputs <= _MOST_NUMBERS:
            yield [codes(split) for split in splits], partial(_tables, codes.count)
    if not dense and any(train[one.name].is_floating_point() or train[one.name].ndim >= 3 for one in served):
        yield [label_columns(served, split) for split in splits], partial(_trained, (Trees(), Linear()))
    if maps:
        yield [label_maps(served, split, size_of(maps[0])) for split in splits], partial(_trained, (Convolutional(),))


def _trained(attackers: Sequence[Attacker], problem: Problem) -> list[Answer]:
    fitting = [one for one in attackers if one.fits(problem)]
    return [one.train(problem) for one in fitting[:1]]


def _tables(cells: int, problem: Problem) -> list[Answer]:
    """Answers that look up the codes of labels."""
    form, codes = problem.form, problem.features
    if form is None:
        return []
    numbers, known = numbers_of(problem.task, form, problem.targets)
    known = known.expand_as(numbers).float()
    if codes.ndim > 1:  # a code at each position: positions are the samples
        codes = codes.flatten()
        numbers, known = (x.movedim(1, -1).flatten(0, -2) for x in (numbers, known))
    sums = torch.zeros(cells, *numbers.shape[1:]).index_add_(0, codes, numbers)
    counts = torch.zeros(cells, *numbers.shape[1:]).index_add_(0, codes, known)
    overall = numbers.sum(0) / known.sum(0).clamp(min=1)
    return [partial(_looked_up, raw_of(form, (sums + prior * overall) / (counts + prior))) for prior in _PRIORS]


def _looked_up(table: Tensor, codes: Tensor) -> Tensor:
    """[n, K, ...]; of maps of codes [n, K, H, W]."""
    raw = table[codes]
    return raw.movedim(-1, 1) if codes.ndim > 1 else raw
