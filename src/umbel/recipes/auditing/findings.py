"""What came of an audit: tables, heat maps, charts over the noise, and plain sentences, from its records alone."""

import math
from collections.abc import Iterator, Sequence

from umbel.audit import Audit, Membership, Reconstruction
from umbel.audit.kept import audits_of
from umbel.recipes.auditing.leaks import Leak, leaks_of
from umbel.recipes.auditing.sentences import sentences
from umbel.report import Chart, Listing, Matrix, Results, Series
from umbel.report.grid import arrow
from umbel.report.schema import build
from umbel.report.summary import point_text
from umbel.study import Findings

_SCORES = (
    "Score: of the attacker that was best on validation, in the task's main metric on the test split, mean over the "
    "attackers' seeds; its 95 % interval is over test samples and seeds. Floor: what is known without these features, "
    "from the most frequent label or from the labels of the tasks that they are meant for. Ceiling: what the same "
    "attackers tell from features that are meant for the task. Leakage: (score - floor) / (ceiling - floor), 0 for "
    "nothing beyond the floor and 1 for as much as features that are meant for it; its interval is the score's, with "
    "floor and ceiling taken as they are."
)
_PICTURES = (
    "SSIM and PSNR of the input as the best decoder rebuilds it, mean over the decoders' seeds; SSIM is 1 for the very "
    "picture. Floor: the best picture that needs no features, the same for all samples."
)
_PROMISES = (
    "Of the one input whose features are sent, whatever attackers do; nothing is said of the samples of the training."
)
_HEATMAPS = 4  # operating points that have one of their own


def findings(results: Results) -> Findings:
    """All that follows from the audits in a results file."""
    audits = audits_of(results)
    return Findings(
        charts=tuple(_charts(results, audits)),
        matrices=tuple(_matrices(audits)),
        listings=tuple(_listings(audits)),
        verdict=(*_members(results), *sentences(audits, [task.name for task in results.tasks])),
    )


def _members(results: Results) -> Sequence[str]:
    """What is told of the membership of training samples, a sentence for each rate of false alarms."""
    kept = results.facts.get("membership")
    return str(build(Membership, kept, "facts.membership: ")).splitlines() if kept else ()


def place_text(audit: Audit, audits: Sequence[Audit]) -> str:
    """What an audit's operating point has that not all have, in words; empty where there is nothing."""
    differing = {name: v for name, v in audit.point.items() if any(other.point.get(name) != v for other in audits)}
    return point_text(differing)


# -- tables ----------------------------------------------------------------------------------------------------------


def _listings(audits: Sequence[Audit], short: bool = False) -> Iterator[Listing]:
    at = ("at",) if len(audits) > 1 else ()
    leaks = [
        (audit, leak)
        for audit in audits
        for leak in leaks_of(audit)
        if leak.counts or not (short or (leak.of_input and audit is not audits[0]))
    ]
    if leaks:
        numbers = ("score", "floor", "ceiling", "leakage")
        columns = ("seen", "inferred", *at, *numbers, "best attacker")
        rows = [_leak_row(leak, [place_text(audit, audits)] if at else []) for audit, leak in leaks]
        yield Listing("Who can tell what", columns, tuple(rows), numbers, _SCORES)
    rebuilt = [(audit, one) for audit in audits for one in audit.reconstruction]
    if rebuilt:
        numbers = ("SSIM", "PSNR in dB", "SSIM floor", "PSNR floor in dB")
        columns = ("seen", *at, *numbers, "best decoder")
        rows = [_rebuilt_row(one, [place_text(audit, audits)] if at else []) for audit, one in rebuilt]
        yield Listing("How well the input is rebuilt", columns, tuple(rows), numbers, _PICTURES)
    promised = dict.fromkeys(told for audit in audits for told in audit.guarantees)
    if len(promised) > 1 and not short:
        yield Listing("What the noise guarantees", ("guarantee",), tuple((told,) for told in promised), note=_PROMISES)


def short_listings(results: Results) -> list[Listing]:
    """The tables for a terminal: the first operating point, without what features meant for the task tell."""
    return [one.without(("best attacker", "best decoder")) for one in _listings(audits_of(results)[:1], short=True)]


def _rebuilt_row(one: Reconstruction, at: Sequence[str]) -> tuple[str, ...]:
    averaged = f", mean of {one.releases} releases" if one.releases > 1 else ""
    ssim = f"{_mean(one.ssim):.3f} [{one.low:.3f}, {one.high:.3f}]"
    floors = (f"{one.blind_ssim:.3f}", f"{one.blind_psnr:.1f}")
    seen = one.seen.replace("+", " + ") + averaged
    return (seen, *at, ssim, f"{_mean(one.psnr):.1f}", *floors, _often(one.chosen))


def _leak_row(leak: Leak, at: Sequence[str]) -> tuple[str, ...]:
    one = leak.inference
    wanted = f"{one.wanted}: {one.metric}\u00a0{arrow(one.higher_is_better)}"
    numbers = (leak.score_text, leak.floor_text, leak.ceiling_text, leak.leakage_text)
    return (one.seen.replace("+", " + "), wanted, *at, *numbers, _often(one.chosen))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _often(chosen: Sequence[str]) -> str:
    """What was chosen, the most frequent first."""
    return ", ".join(sorted(set(chosen), key=lambda name: (-chosen.count(name), name)))


# -- heat maps -------------------------------------------------------------------------------------------------------


def _matrices(audits: Sequence[Audit]) -> Iterator[Matrix]:
    for audit in audits[:_HEATMAPS]:
        if not audit.inference:
            continue
        at = f", {place}" if (place := place_text(audit, audits)) else ""
        leaks = [leak for leak in leaks_of(audit) if not leak.of_input]
        note = "0: nothing beyond the floor. 1: as much as features that are meant for the task. Blank: not defined."
        cells = {(leak.inference.seen, leak.inference.wanted): leak.share for leak in leaks}
        yield _matrix(f"Normalised leakage{at}", leaks, cells, "leakage", note, 0.0)
    if audits[0].inference:
        at = f", {place}" if (place := place_text(audits[0], audits)) else ""
        leaks = leaks_of(audits[0])
        for metric in dict.fromkeys(leak.inference.metric for leak in leaks):
            some = [leak for leak in leaks if leak.inference.metric == metric]
            cells = {(leak.inference.seen, leak.inference.wanted): leak.inference.score for leak in some}
            note = "Scores of the best attacker; floors and intervals are in the table above."
            yield _matrix(f"What attackers tell: {metric}{at}", some, cells, metric, note, None)


def _matrix(
    title: str,
    leaks: Sequence[Leak],
    cells: dict[tuple[str, str], float],
    unit: str,
    note: str,
    centre: float | None,
) -> Matrix:
    rows = tuple(dict.fromkeys(leak.inference.seen for leak in leaks))
    columns = tuple(dict.fromkeys(leak.inference.wanted for leak in leaks))
    values = tuple(tuple(cells.get((row, column), float("nan")) for column in columns) for row in rows)
    return Matrix(title, rows, columns, values, "features of", "task that is inferred", unit, note, centre=centre)


# -- charts ----------------------------------------------------------------------------------------------------------

_AXES = {
    "sigma": "noise: sigma, in multiples of the clip norm",
    "releases": "releases of the same input that are averaged",
}


def _charts(results: Results, audits: Sequence[Audit]) -> Iterator[Chart]:
    for axis, label in _AXES.items():
        places = {_place(audit, axis) for audit in audits} - {None}
        if len(places) < 2:
            continue
        first = next(audit for audit in audits if _place(audit, axis) is not None)
        others = {name: value for name, value in first.point.items() if name != axis}
        chosen = [a for a in audits if {n: v for n, v in a.point.items() if n != axis} == others]
        along = sorted(chosen, key=lambda audit: _place(audit, axis) or 0.0)
        yield from _along(results, along, axis, label)


def _place(audit: Audit, axis: str) -> float | None:
    """Where an audit is on an axis; None where it has no number there, or several."""
    value = audit.point.get(axis)
    if isinstance(value, dict):
        value = next(iter(value.values())) if len(set(value.values())) == 1 else None
    return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)


def _along(results: Results, audits: Sequence[Audit], axis: str, label: str) -> Iterator[Chart]:
    """Utility, leakage and reconstruction as one value of the point turns."""
    places = [_place(audit, axis) or 0.0 for audit in audits]
    own = [s for task in results.tasks if (s := _own(results, audits, places, task.name, task.metric)) is not None]
    if own:
        note = "The network's own score on the test split, for each task."
        yield Chart(f"Use over {axis}", label, "own metric", tuple(own), note, "What turning it does")
    pairs = [(leak.inference.seen, leak.inference.wanted) for leak in leaks_of(audits[0]) if leak.counts]
    lines = [_leak_line(audits, places, seen, wanted) for seen, wanted in pairs]
    if lines:
        note = "Normalised leakage of the best attacker, with the 95 % interval of its score."
        yield Chart(f"Leakage over {axis}", label, "normalised leakage", tuple(lines), note, "What turning it does")
    seen = dict.fromkeys(one.seen for one in audits[0].reconstruction)
    if seen:
        rebuilt = tuple(_ssim_line(audits, places, name) for name in seen)
        note = "SSIM of the input as the best decoder rebuilds it; 1 is the very picture."
        yield Chart(f"Reconstruction over {axis}", label, "SSIM", rebuilt, note, "What turning it does")


def _own(results: Results, audits: Sequence[Audit], places: Sequence[float], task: str, metric: str) -> Series | None:
    def at(audit: Audit) -> float:
        point = {name: value for name, value in audit.point.items() if name != "releases"}
        runs = [run for run in results.runs if run.method == "network" and run.point == point]
        return runs[0].metrics.get(task, {}).get(metric, float("nan")) if runs else float("nan")

    values = tuple(at(audit) for audit in audits)
    return Series(f"{task}: {metric}", tuple(places), values) if not all(map(math.isnan, values)) else None


def _leak_line(audits: Sequence[Audit], places: Sequence[float], seen: str, wanted: str) -> Series:
    values, widths = [], []
    for audit in audits:
        leak = next(one for one in leaks_of(audit) if (one.inference.seen, one.inference.wanted) == (seen, wanted))
        low, high = leak.interval
        values.append(leak.share)
        widths.append((high - low) / 2)
    return Series(f"{wanted} from {seen}", tuple(places), tuple(values), tuple(widths), group=wanted)


def _ssim_line(audits: Sequence[Audit], places: Sequence[float], seen: str) -> Series:
    ones = [next(one for one in audit.reconstruction if one.seen == seen) for audit in audits]
    values, widths = [_mean(one.ssim) for one in ones], [(one.high - one.low) / 2 for one in ones]
    return Series(f"from {seen}", tuple(places), tuple(values), tuple(widths))
