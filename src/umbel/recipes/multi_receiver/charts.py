"""Figures of the study: accuracy over uses, over all uses together, over SNR, and the trade-off of the weights."""

import math
from collections.abc import Mapping, Sequence

from umbel.metrics import confidence_interval
from umbel.recipes.multi_receiver.arms import EACH, JOINT, REUSED, SAME, UNEQUAL, WEIGHTS
from umbel.recipes.multi_receiver.digital import FREE, GENIE, WHOLE
from umbel.recipes.multi_receiver.reading import BySeed
from umbel.recipes.multi_receiver.verdict import Case, Questions, cases
from umbel.report import Chart, Run, Series


def charts(runs: Sequence[Run], questions: Questions) -> list[Chart]:
    """All figures, group by group and channel by channel."""
    found: list[Chart] = []
    for case in cases(runs, questions):
        found += [_over_uses(case), _over_total(case)]
        found += [_over_snr(case, task) for task in case.group.names]
        if case.channel == questions.channels[0] and questions.settings.weight_values:
            found.append(_trade_off(case))
    return found


def _series(label: str, values: Mapping[float, BySeed], style: str = "line", group: str = "") -> Series | None:
    """Mean and interval over seeds at each x that was measured."""
    known = {x: confidence_interval(list(v.values())) for x, v in sorted(values.items()) if v}
    if not known:
        return None
    means, widths = zip(*known.values(), strict=True)
    widths = tuple(widths) if any(map(math.isfinite, widths)) else ()
    return Series(label, tuple(known), means, widths, style, group)


def _only(series: Sequence[Series | None]) -> tuple[Series, ...]:
    return tuple(one for one in series if one is not None)


def _over_uses(case: Case) -> Chart:
    uses = case.questions.uses
    series = [
        _series("shared", {n: case.at(JOINT, n) for n in uses}, group=JOINT),
        _series("single-task, same total", {n: case.at(SAME, n) for n in uses}, group=SAME),
        _series("single-task, n each", {n: case.at(EACH, n) for n in uses}, group=EACH),
        _series("digital labels", {n: case.at(GENIE, n) for n in uses}, "dashed", GENIE),
        _series("transmitter of another task", {n: case.at(REUSED, n) for n in uses}, "dots", REUSED),
    ]
    return Chart(
        f"Accuracy over channel uses at {case.questions.snr_db:g} dB",
        "channel uses n",
        "mean accuracy of the tasks in %",
        _only(series),
        "With n uses each the single-task networks take n times the receivers in all.",
        case.name,
        log_x=True,
    )


def _over_total(case: Case) -> Chart:
    uses, digital = case.questions.uses, case.questions.settings.digital_values
    series = [
        _series("shared", {n: case.at(JOINT, n) for n in uses}, group=JOINT),
        _series("single-task networks", case.single_curve(), group=SAME),
        _series("digital labels", {n: case.at(GENIE, n) for n in uses}, "dashed", GENIE),
        _series("coded picture, whole file", {n: case.at(WHOLE, n) for n in digital}, "dots", WHOLE),
        _series("coded picture, header-free", {n: case.at(FREE, n) for n in digital}, "dots", FREE),
    ]
    return Chart(
        f"Accuracy over all uses together at {case.questions.snr_db:g} dB",
        "channel uses of all transmissions together",
        "mean accuracy of the tasks in %",
        _only(series),
        "The coded picture serves all receivers at once; its modulation and coding are chosen on validation.",
        case.name,
        log_x=True,
    )


def _over_snr(case: Case, task: str) -> Chart:
    settings = case.questions.settings
    uses, snrs = settings.sweep_uses, settings.link.test_values

    def over(arm: str, uses: int = uses) -> dict[float, BySeed]:
        return {snr: case.at(arm, uses, task, snr_db=snr) for snr in snrs}

    most = settings.digital_values[-1]
    series = [
        _series("shared", over(JOINT), group=JOINT),
        _series("single-task, same total", over(SAME), group=SAME),
        _series("single-task, n each", over(EACH), group=EACH),
        _series("transmitter of another task", over(REUSED), group=REUSED),
        _series("shared, for unequal SNRs", over(UNEQUAL), group=UNEQUAL),
        _series("digital labels", over(GENIE), "dashed", GENIE),
        _series(f"coded picture, whole file, {most} uses", over(WHOLE, most), "dashed", WHOLE),
        _series(f"coded picture, header-free, {most} uses", over(FREE, most), "dashed", FREE),
    ]
    low, high = settings.link.train_range
    return Chart(
        f"Accuracy of {task} over SNR, {uses} uses",
        "SNR in dB (Es/N0 for each complex use)",
        f"accuracy of {task} in %",
        _only(series),
        f"Trained at {low:g} to {high:g} dB. A receiver's accuracy depends on its own SNR alone.",
        case.name,
    )


def _trade_off(case: Case) -> Chart:
    """Accuracy of the second task against that of the first, one point for each weight."""
    settings = case.questions.settings
    first, second = case.group.names[:2]
    uses = settings.sweep_uses

    def place(label: str, arm: str, style: str, points: Sequence[Mapping[str, float]], group: str) -> Series | None:
        ends = [(case.at(arm, uses, first, **p), case.at(arm, uses, second, **p)) for p in points]
        ends = [end for end in ends if end[0] and end[1]]
        if not ends:
            return None
        x = tuple(sum(a.values()) / len(a) for a, _ in ends)
        means, widths = zip(*(confidence_interval(list(b.values())) for _, b in ends), strict=True)
        return Series(label, x, means, widths if any(map(math.isfinite, widths)) else (), style, group)

    swept = [{"weight": weight} for weight in settings.weight_values]
    series = [
        place("shared, weights swept", WEIGHTS, "line", swept, WEIGHTS),
        place("shared, equal weights", JOINT, "dots", [{}], JOINT),
        place("single-task, same total", SAME, "dots", [{}], SAME),
        place("single-task, n each", EACH, "dots", [{}], EACH),
    ]
    weights = ", ".join(f"{weight:g}" for weight in settings.weight_values)
    return Chart(
        f"What one task gains and the other pays, {uses} uses, {case.questions.snr_db:g} dB",
        f"accuracy of {first} in %",
        f"accuracy of {second} in %",
        _only(series),
        f"Along the line the weight of {first} is {weights}; up and to the right is better.",
        case.name,
    )
