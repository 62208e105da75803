"""What came of the comparison, in plain sentences, and what it claims."""

import math
from collections.abc import Sequence
from dataclasses import replace

from umbel.descent import DESCENTS
from umbel.recipes.bench import SINGLE
from umbel.recipes.compare.arms import TUNED
from umbel.report import Claim, Conflict, Estimate, Results, Row, Run, delta_m, summary


def verdict(results: Results) -> list[str]:
    """Sentences, the most important first."""
    rows = [row for row in summary(results) if not row.is_reference]
    best = _best(results, _joint(results))
    row = next(r for r in rows if r.method.key == best)
    sentences = [_headline(row), *_tasks(row)]
    sentences.append(_descents(results, rows))
    if results.conflicts:
        sentences.append(_conflicts(results.conflicts))
    alone = results.method(SINGLE)
    sentences.append(
        f"One joint network has {row.method.parameters:,} parameters; the {len(results.tasks)} single-task networks "
        f"have {alone.parameters:,} together."
    )
    return sentences


def _conflicts(conflicts: Sequence[Conflict]) -> str:
    """How the tasks' gradients agree."""
    worst = min(conflicts, key=lambda conflict: conflict.mean)
    negative = f"negative in {worst.fraction_negative:.0%} of the measurements"
    if len(conflicts) == 1:
        return f"The gradients of the two tasks have a mean cosine of {worst.mean:+.2f} ({negative})."
    mean = sum(conflict.mean for conflict in conflicts) / len(conflicts)
    return (
        f"Gradients of two tasks agree with a mean cosine of {mean:+.2f}; the least of all, {worst.first} and "
        f"{worst.second}, with {worst.mean:+.2f} ({negative})."
    )


def _best(results: Results, arms: Sequence[str]) -> str:
    """The arm with the best mean delta-m on *validation*: the test split chooses nothing."""
    scores = {arm: _validation_delta_m(results, arm) for arm in arms}
    return max(scores, key=lambda arm: scores[arm] if math.isfinite(scores[arm]) else -math.inf)


def _joint(results: Results) -> list[str]:
    return [method.key for method in results.methods if method.key != SINGLE]


def _validation_delta_m(results: Results, method: str) -> float:
    pairs = [(_on_validation(run), _on_validation(reference)) for run, reference in _paired(results, method)]
    return _mean([delta_m(results.tasks, run, reference) for run, reference in pairs])


def _paired(results: Results, method: str) -> list:
    references = {run.repeat: run for run in results.runs if run.method == SINGLE}
    return [(run, references[run.repeat]) for run in results.runs if run.method == method and run.repeat in references]


def _on_validation(run: Run) -> Run:
    return replace(run, metrics=run.validation)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _headline(row: Row) -> str:
    change = _percent(row.delta_m)
    if not row.delta_m.known:
        return (
            "The mean change over all tasks is unknown: a task has no finite metric on the test split, or its "
            "single-task reference is 0."
        )
    if not row.delta_m.has_interval:
        return (
            f"One seed says nothing for certain; in this one the descent that did best on validation "
            f"({row.method.title}) changes the tasks' metrics by {change} on average, on the test split."
        )
    outcome = {1: "helps on the whole", -1: "hurts on the whole", 0: "makes no clear difference on the whole"}
    return (
        f"Joint training {outcome[row.delta_m.clear_sign]}: the descent that did best on validation "
        f"({row.method.title}) changes the tasks' metrics by {change} on average, on the test split."
    )


def _tasks(row: Row) -> list[str]:
    if not row.delta_m.has_interval:
        return [f"By task: {_listed([f'{task} ({_percent(e)})' for task, e in row.relative.items()])}."]
    groups = {1: [], -1: [], 0: []}
    for task, estimate in row.relative.items():
        groups[estimate.clear_sign].append(f"{task} ({_percent(estimate)})")
    words = {1: "It helps", -1: "It hurts", 0: "No clear difference for"}
    return [f"{words[sign]} {_listed(found)}." for sign, found in groups.items() if found]


def _listed(items: list[str], most: int = 8) -> str:
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else items[0]


def _percent(estimate: Estimate) -> str:
    if not estimate.known:
        return "an unknown amount"
    interval = f" ± {estimate.half_width:.1f}" if estimate.has_interval else ""
    return f"{estimate.mean:+.1f}{interval} %"


def _descents(results: Results, rows: list[Row]) -> str:
    """How the ways of settling conflicts compare with tuned fixed weights."""
    known = {row.method.key: row.delta_m for row in rows if row.delta_m.known}
    if any(row.method.key == TUNED for row in rows) and len(known) < len(rows):
        return "Whether a special descent pays is unknown, as the mean change over all tasks is."
    if TUNED not in known or len(known) < 2:
        return "Fixed weights were not tuned in this run, so nothing is said about whether a special descent pays."
    gain, arm = _gain_over_tuned(results, [arm for arm in _joint(results) if arm != TUNED])
    words = {1: "more than", -1: "less than", 0: "not clearly different from"}
    return (
        f"Among the other descents {results.method(arm).title} did best on validation; on the test split its delta-m "
        f"is {words[gain.clear_sign]} that of tuned fixed weights ({_percent(gain)})."
    )


def _gain_over_tuned(results: Results, arms: Sequence[str]) -> tuple[Estimate, str]:
    """delta-m of the best of the arms (by validation) minus that of the tuned weights, seed by seed; and that arm."""
    arm = _best(results, arms)
    tuned = {run.repeat: delta_m(results.tasks, run, ref) for run, ref in _paired(results, TUNED)}
    own = {run.repeat: delta_m(results.tasks, run, ref) for run, ref in _paired(results, arm)}
    return Estimate.of(own[seed] - tuned[seed] for seed in own if seed in tuned), arm


def claims(results: Results) -> list[Claim]:
    """What the study set out to test; each is measured on the test split and may fall short."""
    best = _best(results, _joint(results))
    gain = Estimate.of(delta_m(results.tasks, run, ref) for run, ref in _paired(results, best))
    statement = (
        f"One network for all tasks ({results.method(best).title}, chosen on validation) is at most 1 % worse than one "
        "network for each, on average"
    )
    found = [Claim.measured("joint-not-worse", statement, gain.mean, -1.0, ">=", gain.half_width, "%")]
    known = [(m.key, DESCENTS.get(m.key.partition(":")[0])) for m in results.methods]
    special = [key for key, entry in known if entry is not None and entry.passes == "T"]
    if special and any(m.key == TUNED for m in results.methods):
        more, arm = _gain_over_tuned(results, special)
        statement = f"{arm} (the best gradient-based descent on validation) beats tuned fixed weights"
        found.append(
            Claim.measured("gradients-beat-weights", statement, more.mean, 0.0, ">", more.half_width, "points")
        )
    return found
