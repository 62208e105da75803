"""Cross-task inference: what others' features tell of a task, by the best of several attackers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from umbel.audit.attackers import ATTACKERS
from umbel.audit.floors import blind_floor, label_floor
from umbel.audit.judging import Tally, better, interval, score_of, tally
from umbel.audit.observed import Observed
from umbel.audit.problem import Answer, Attacker, Problem, with_labels
from umbel.audit.records import Inference
from umbel.audit.settings import AttackSettings
from umbel.core import Task, UmbelError, unknown
from umbel.core.seeding import own_randomness, seed_default
from umbel.data import seeded
from umbel.engine.progress import Reporter, Silent

Group = tuple[str, ...]
_SHIFTS = 15  # thresholds of yes/no answers that are tried


def infer(
    train: Observed,
    validation: Observed,
    test: Observed,
    tasks: Sequence[Task],
    settings: AttackSettings | None = None,
    receivers: Sequence[Group] | None = None,
    reporter: Reporter | None = None,
    wanted: Sequence[str] | None = None,
) -> tuple[Inference, ...]:
    """Try to infer every task from what every receiver, and some together, got of a frozen network.

    For each seed every attacker is trained on `train`; the one that is best on `validation` is taken, and what it has
    on `test` is reported. So the score is that of the strongest attacker without being chosen on the samples that it
    is reported on. Receivers that get the same features are attacked once. Torch's generators are left as they were.

    Args:
        train: What attackers learn from: features as they are released, with labels.
        validation: What their variants, and the best of them, are chosen by.
        test: What they are judged on.
        tasks: All whose labels are known, with their metrics: label floors are made of these.
        settings: How hard; by default three seeds, quick.
        receivers: Groups of receivers whose features are put together, ("a",) for one alone; None: those of
            `receivers_of`.
        reporter: Is told the progress, in attacks.
        wanted: Names of the tasks that are inferred; None: all.

    Returns:
        One entry for each group and task, in that order.

    Raises:
        UmbelError: A receiver that was not observed, features that are not finite, or a split without a label.
    """
    settings = settings or AttackSettings()
    splits = tuple(
        _first(split, most)
        for split, most in zip(
            (train, validation, test), (settings.most, settings.most_held, settings.most_held), strict=True
        )
    )
    _check(splits, tasks, receivers)
    for name in wanted or ():
        if name not in (known := [task.name for task in tasks]):
            raise unknown("task", name, known)
    groups = receivers_of(train, settings.groups) if receivers is None else [tuple(group) for group in receivers]
    tasks = [task.fitted([splits[0].targets[task.name]]) for task in tasks]
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        return _all_entries(splits, tasks, groups, settings, reporter or Silent(), wanted)


def receivers_of(observed: Observed, groups: bool = True) -> list[Group]:
    """Who attacks: every receiver alone; of several with different features also all but one task's, and all.

    Args:
        observed: What each of them got.
        groups: Whether those who put their features together are among them.
    """
    alone: list[Group] = [(name,) for name in observed.features]
    different = {id(features) for features in observed.features.values()}
    if not groups or len(different) < 2:
        return alone
    served = list(dict.fromkeys(task for tasks in observed.serves.values() for task in tasks))
    together = [tuple(name for name, tasks in observed.serves.items() if one not in tasks) for one in served]
    candidates = [*together, tuple(observed.features)]
    return list(dict.fromkeys([*alone, *(one for one in candidates if len(one) > 1)]))


def _first(observed: Observed, most: int) -> Observed:
    """The first samples; features that were one tensor are one still."""
    if len(observed) <= most:
        return observed
    cut = {id(features): features[:most] for features in observed.features.values()}
    return replace(
        observed,
        features={name: cut[id(features)] for name, features in observed.features.items()},
        targets={name: target[:most] for name, target in observed.targets.items()},
        inputs=observed.inputs[:most],
    )


def _check(splits: Sequence[Observed], tasks: Sequence[Task], receivers: Sequence[Group] | None) -> None:
    for split in splits:
        for name in (name for group in receivers or () for name in group):
            if name not in split.features:
                raise unknown("receiver", name, split.features)
        for task in tasks:
            if task.name not in split.targets:
                raise unknown("task", task.name, split.targets)
        for name, features in split.features.items():
            if not bool(torch.isfinite(features).all()):
                raise UmbelError(f"what {name!r} receives is not finite; an audit cannot attack it")


@dataclass(frozen=True, eq=False)
class _Attacks:
    """What came of all attackers on one tensor of features and one task."""

    tests: Mapping[str, tuple[float, ...]]
    validation: Mapping[str, tuple[float, ...]]
    chosen: tuple[str, ...]
    ends: tuple[float, float]


def _all_entries(
    splits: tuple[Observed, ...],
    tasks: Sequence[Task],
    groups: Sequence[Group],
    settings: AttackSettings,
    reporter: Reporter,
    wanted: Sequence[str] | None,
) -> tuple[Inference, ...]:
    train, validation, test = splits
    inferred = [task for task in tasks if wanted is None or task.name in wanted]
    targets = (train.targets, validation.targets, test.targets)
    blind = {task.name: blind_floor(task, *targets) for task in tasks}
    by_name = {task.name: task for task in tasks}
    attacks: dict[tuple[object, str], _Attacks] = {}
    floors: dict[tuple[tuple[str, ...], str], float] = {}
    entries: list[Inference] = []
    reporter.begin("cross-task inference", len(groups) * len(inferred))
    for group in groups:
        parts = tuple(dict.fromkeys(id(train.features[name]) for name in group))
        serves = tuple(dict.fromkeys(one for name in group for one in train.serves[name]))
        for task in inferred:
            if (parts, task.name) not in attacks:
                attacks[parts, task.name] = _attack(splits, group, task, settings)
            others = tuple(one for one in serves if one != task.name and one in by_name)
            if (others, task.name) not in floors:
                known = [by_name[one] for one in others]
                with own_randomness(seeded(settings.seed, 15).initial_seed(), torch.device("cpu")):
                    floors[others, task.name] = (
                        label_floor(task, known, *targets, seed=settings.seed) if known else blind[task.name]
                    )
            done = attacks[parts, task.name]
            entries.append(_entry(group, task, task.name in serves, done, blind[task.name], floors[others, task.name]))
            reporter.step(len(entries), {f"{entries[-1].seen} → {task.name}": entries[-1].score})
    reporter.end()
    return tuple(entries)


def _entry(group: Group, task: Task, served: bool, attacks: _Attacks, blind: float, floor: float) -> Inference:
    return Inference(
        seen="+".join(group),
        wanted=task.name,
        served=served,
        metric=task.main_metric,
        higher_is_better=task.higher_is_better,
        attackers=dict(attacks.tests),
        validation=dict(attacks.validation),
        chosen=attacks.chosen,
        scores=tuple(attacks.tests[name][seed] for seed, name in enumerate(attacks.chosen)),
        blind=blind,
        label_floor=floor,
        low=attacks.ends[0],
        high=attacks.ends[1],
    )


def _attack(splits: tuple[Observed, ...], group: Group, task: Task, settings: AttackSettings) -> _Attacks:
    """Every attacker and seed on what a group has, for one task."""
    (x, y), (held_x, held_y), (test_x, test_y) = (
        with_labels(task, split.together(group), split.targets[task.name]) for split in splits
    )
    mixed = torch.randperm(len(test_x), generator=seeded(settings.seed, 16))
    test_x, test_y = test_x[mixed], test_y[mixed]  # groups that are resampled must not follow the files' order
    problem = Problem(task, x, y, held_x, held_y, settings.effort, settings.seed)
    attackers = [ATTACKERS[name] for name in settings.attackers if ATTACKERS[name].fits(problem)]
    if not attackers:
        raise UmbelError(
            f"task {task.name!r}: none of the attackers {', '.join(settings.attackers)} can infer it from features "
            f"of shape {list(x.shape[1:])}; allow more of them"
        )
    answers: dict[str, list[Answer]] = {one.name: _answers(one, problem, settings) for one in attackers}
    held = {name: _scores(task, some, held_x, held_y) for name, some in answers.items()}
    chosen = []
    for seed in range(settings.seeds):
        best = attackers[0].name
        for name in answers:
            best = name if better(task, held[name][seed], held[best][seed]) else best
        chosen.append(best)
    tests = {name: _scores(task, some, test_x, test_y) for name, some in answers.items()}
    tallies: dict[int, Tally] = {}
    for seed, name in enumerate(chosen):
        answer = answers[name][seed]
        if id(answer) not in tallies:
            tallies[id(answer)] = tally(task, answer, test_x, test_y)
    ends = interval(
        [tallies[id(answers[name][seed])] for seed, name in enumerate(chosen)], settings.resamples, settings.seed
    )
    return _Attacks(tests, held, tuple(chosen), ends)


def _answers(attacker: Attacker, problem: Problem, settings: AttackSettings) -> list[Answer]:
    """One for each seed; the same object for all where its seed changes nothing."""
    answers: list[Answer] = []
    for seed in range(settings.seeds if attacker.varies else 1):
        own = seeded(settings.seed, 17, seed).initial_seed()
        seed_default(own, torch.device("cpu"))
        answers.append(_with_threshold(problem, attacker.train(problem.with_seed(own))))
    return answers if attacker.varies else answers * settings.seeds


def _scores(task: Task, answers: Sequence[Answer], features: Tensor, targets: Tensor) -> tuple[float, ...]:
    different = {id(answer): answer for answer in answers}
    scores = {key: score_of(task, answer, features, targets) for key, answer in different.items()}
    return tuple(scores[id(answer)] for answer in answers)


def _with_threshold(problem: Problem, answer: Answer) -> Answer:
    """Answers of yes/no moved so that the metric on validation is best: F1 is seldom best at probability one half."""
    task = problem.task
    metric = task.metrics[task.main_metric]()
    if problem.form != "yes/no" or getattr(metric, "ranks_outputs", False):
        return answer
    with torch.no_grad():
        some = torch.cat([answer(part).float().flatten() for part in problem.held_features[:2000].split(64)])
    ends = torch.linspace(0.02, 0.98, _SHIFTS)
    thresholds = [0.0, *torch.quantile(some[:: max(len(some) // 100_000, 1)], ends).tolist()]
    best, winner = math.nan, answer
    for threshold in dict.fromkeys(thresholds):
        moved = _Moved(answer, threshold)
        score = score_of(task, moved, problem.held_features, problem.held_targets)
        if better(task, score, best):
            best, winner = score, moved
    return winner


@dataclass(frozen=True, eq=False)
class _Moved:
    answer: Answer
    threshold: float

    def __call__(self, features: Tensor) -> Tensor:
        return self.answer(features) - self.threshold
