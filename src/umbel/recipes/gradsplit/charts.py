"""The charts of the gradient split study."""

from collections.abc import Sequence

from umbel.recipes.bench import SINGLE
from umbel.recipes.gradsplit.arms import title_of
from umbel.recipes.gradsplit.reading import Numbers, Pair
from umbel.report import Chart, Estimate, Series

_MOST_TASKS = 8
_WHO, _PRICE, _OTHER = "Who helps whom", "Quality and price", "Another set"


def charts(numbers: Numbers) -> list[Chart]:
    """The measured matrix, quality over time, this set against another one."""
    drawn = [_matrix(numbers), _prices(numbers)]
    return [*drawn, _other(numbers)] if numbers.bench.on_other else drawn


def _series(label: str, xs: Sequence[float], estimates: Sequence[Estimate], **more: str) -> Series:
    means, half = tuple(e.mean for e in estimates), tuple(e.half_width for e in estimates)
    return Series(label, tuple(xs), means, half, style="dots", **more)


def _matrix(numbers: Numbers) -> Chart:
    pairs = list(numbers.pairs())
    shown = _shown(numbers, pairs)
    places = {group: place for place, group in enumerate(shown, 1)}
    series = []
    for task in shown:
        mine = [pair for pair in pairs if pair.task == task and pair.group in places and pair.group != task]
        series.append(_series(f"a step of {task}", [places[p.group] for p in mine], [p.gain for p in mine]))
    series.append(Series("no effect", (1, len(shown)), (0, 0), style="dashed", group="zero"))
    named = ", ".join(f"{place} {group}" for group, place in places.items())
    left_out = len(numbers.bench.tasks) - len(shown)
    note = (
        f"Groups: {named}{f' and {left_out} more, not shown' if left_out else ''}. How much a small step along a "
        "task's gradient, in the group's filters alone, lowers the loss of the group's task, measured in the warm-up; "
        "below 0 the task hurts the group. Not symmetric. What a task does to its own group is left out."
    )
    return Chart("The measured matrix", "group", "gain in %", tuple(series), note, _WHO)


def _shown(numbers: Numbers, pairs: Sequence[Pair]) -> list[str]:
    """All tasks, or those that hurt or are hurt most."""
    worst = {task: 0.0 for task in numbers.bench.tasks}
    for pair in pairs:
        if pair.task != pair.group and pair.gain.known:
            for name in (pair.task, pair.group):
                worst[name] = min(worst[name], pair.gain.mean)
    kept = sorted(worst, key=worst.get)[:_MOST_TASKS]
    return [task for task in numbers.bench.tasks if task in kept]


def _prices(numbers: Numbers) -> Chart:
    series = []
    for arm in numbers.arms:
        time = numbers.step_time(arm)
        if arm != SINGLE and time.known:
            series.append(_series(title_of(arm)[0], [time.mean], [numbers.mean_delta_m(arm)], group=arm))
    note = "Test split; median time of a step of training. Further up and further left is better."
    axes = ("time of a step, in steps of joint training", "delta-m, %")
    return Chart("What each way gains and costs", *axes, tuple(series), note, _PRICE)


def _other(numbers: Numbers) -> Chart:
    other = numbers.bench.other
    task = numbers.bench.data.task(other.tasks[0].name)
    series = []
    for arm in numbers.arms:
        home = numbers.at_home(arm)
        if home.known:
            series.append(_series(title_of(arm)[0], [home.mean], [numbers.on_other_set(arm)], group=arm))
    axes = (f"{task.main_metric} on {numbers.bench.data.name}", f"{task.main_metric} on {other.name}")
    note = f"Test splits; no network learnt the task on {other.name}."
    return Chart(f"{task.name} where it was not learnt", *axes, tuple(series), note, _OTHER)
