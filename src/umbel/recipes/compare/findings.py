"""What came of the comparison: claims, each of which may fall short, and plain sentences."""

import math
from collections.abc import Iterator, Sequence

from umbel.descent import DESCENTS
from umbel.recipes.compare.study import TUNED
from umbel.recipes.references import SINGLE
from umbel.report import Claim, Conflict, Estimate, Results, Row, summary
from umbel.study import Findings, Values, claim, improvement


def findings(results: Results) -> Findings:
    """All that follows from the runs and the measured conflicts."""
    return Findings(claims=tuple(_claims(results)), verdict=tuple(_verdict(results)))


def _joint(results: Results) -> list[str]:
    return [method.key for method in results.methods if method.key != SINGLE]


def _best(results: Results, arms: Sequence[str]) -> str:
    """The arm with the best mean delta-m on *validation*: the test split chooses nothing."""
    scores = {arm: improvement(results, arm, "validation").mean for arm in arms}
    return max(scores, key=lambda arm: scores[arm] if math.isfinite(scores[arm]) else -math.inf)


def _over_tuned(results: Results, arm: str) -> Values:
    """Points of delta-m that an arm has more than the tuned weights, seed by seed."""
    return improvement(results, arm) - improvement(results, TUNED)


def _claims(results: Results) -> Iterator[Claim]:
    """What the study set out to test, on the test split."""
    best = _best(results, _joint(results))
    statement = (
        f"One network for all tasks ({results.method(best).title}, chosen on validation) is at most 1 % worse than one "
        "network for each, on average"
    )
    yield claim("joint-not-worse", statement, improvement(results, best), at_least=-1.0, unit="%")
    entries = {arm: DESCENTS.get(arm.partition(":")[0]) for arm in _joint(results)}
    special = [arm for arm, entry in entries.items() if entry is not None and entry.passes == "T"]
    if special and TUNED in entries:
        arm = _best(results, special)
        statement = f"{arm} (the best gradient-based descent on validation) beats tuned fixed weights"
        yield claim("gradients-beat-weights", statement, _over_tuned(results, arm), above=0.0)


# -- sentences -------------------------------------------------------------------------------------------------------


def _verdict(results: Results) -> Iterator[str]:
    """Sentences, the most important first."""
    rows = [row for row in summary(results) if not row.is_reference]
    best = _best(results, _joint(results))
    row = next(row for row in rows if row.method.key == best)
    yield _headline(row)
    yield from _tasks(row)
    yield _descents(results, rows)
    if results.conflicts:
        yield _conflicts(results.conflicts)
    yield (
        f"One joint network has {row.method.parameters:,} parameters; the {len(results.tasks)} single-task networks "
        f"have {results.method(SINGLE).parameters:,} together."
    )


def _headline(row: Row) -> str:
    change = _percent(row.delta_m)
    if not row.delta_m.known:
        return (
            "The mean change over all tasks is unknown: a task has no finite metric on the test split, or its "
            "single-task reference is 0."
        )
    measured = (
        f"the descent that did best on validation ({row.method.title}) changes the tasks' metrics by {change} on "
        "average, on the test split."
    )
    if not row.delta_m.has_interval:
        return f"One seed says nothing for certain; in this one {measured}"
    outcome = {1: "helps on the whole", -1: "hurts on the whole", 0: "makes no clear difference on the whole"}
    return f"Joint training {outcome[row.delta_m.clear_sign]}: {measured}"


def _tasks(row: Row) -> list[str]:
    if not row.delta_m.has_interval:
        return [f"By task: {_listed([f'{task} ({_percent(e)})' for task, e in row.relative.items()])}."]
    groups: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for task, estimate in row.relative.items():
        groups[estimate.clear_sign].append(f"{task} ({_percent(estimate)})")
    begins = {1: "It helps", -1: "It hurts", 0: "No clear difference for"}
    return [f"{begins[sign]} {_listed(tasks)}." for sign, tasks in groups.items() if tasks]


def _listed(items: list[str], most: int = 8) -> str:
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else items[0]


def _descents(results: Results, rows: list[Row]) -> str:
    """How the ways of settling conflicts compare with tuned fixed weights."""
    known = {row.method.key: row.delta_m for row in rows if row.delta_m.known}
    if any(row.method.key == TUNED for row in rows) and len(known) < len(rows):
        return "Whether a special descent pays is unknown, as the mean change over all tasks is."
    if TUNED not in known or len(known) < 2:
        return "Fixed weights were not tuned in this run, so nothing is said about whether a special descent pays."
    arm = _best(results, [arm for arm in _joint(results) if arm != TUNED])
    gain = _over_tuned(results, arm).estimate
    than = {1: "more than", -1: "less than", 0: "not clearly different from"}[gain.clear_sign]
    return (
        f"Among the other descents {results.method(arm).title} did best on validation; on the test split its delta-m "
        f"is {than} that of tuned fixed weights ({_percent(gain)})."
    )


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


def _percent(estimate: Estimate) -> str:
    return estimate.text("%")
