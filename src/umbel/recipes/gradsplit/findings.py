"""What came of the gradient split study: claims, each of which may fall short, the measured matrix, charts, sentences.

Everything follows from the runs (whose settings hold the matrices), the costs of the methods and the facts.
"""

from collections.abc import Iterator

from umbel.recipes.gradsplit.study import JOINT, MACS, MEASURED, OWN, RANDOM
from umbel.recipes.references import SINGLE
from umbel.report import REFUTED, Chart, Claim, Estimate, Matrix, Results
from umbel.report.schema import finite_again
from umbel.study import Findings, Table, Values, chart, claim, improvement, line

HURTS = -1.0
"""delta-m of joint training on validation, in percent, below which it is said to hurt."""
GAIN = 0.5
_MOST_PAIRS = 12


def findings(results: Results) -> Findings:
    """All that follows from the results file."""
    matrices = _Matrices(results)
    claims = tuple(_claims(results, matrices))
    return Findings(
        claims=claims,
        charts=tuple(_charts(results)),
        matrices=(matrices.drawn(),),
        verdict=tuple(_verdict(results, claims, matrices)),
    )


def _gain(results: Results, arm: str) -> Values:
    """Points of delta-m that the measured split has more than another arm, seed by seed."""
    return improvement(results, MEASURED) - improvement(results, arm)


class _Matrices:
    """What the warm-ups measured, and what the random arm accepted instead: repeat -> rows of tasks, columns of groups.

    Attributes:
        tasks: Their names, which are those of the groups.
    """

    def __init__(self, results: Results) -> None:
        runs = Table(results.runs)
        self.measured = {repeat: finite_again(run.settings) for repeat, run in runs.runs_of(MEASURED).items()}
        self.random = {repeat: run.settings["accept"] for repeat, run in runs.runs_of(RANDOM).items()}
        self.tasks: list[str] = next(iter(self.measured.values()))["tasks"]
        self.pairs = [(task, group) for group in self.tasks for task in self.tasks if task != group]
        """All pairs of a task and another's group."""

    def _place(self, task: str, group: str) -> tuple[int, int]:
        return self.tasks.index(task), self.tasks.index(group)

    def gain(self, task: str, group: str) -> Estimate:
        """Mean relative decrease of the group's loss by a step of the task, in percent.

        Its interval is that over seeds, or that of the warm-up where there is one seed.
        """
        i, g = self._place(task, group)
        over_seeds = Estimate.of(100 * one["mean"][i][g] for one in self.measured.values())
        if len(self.measured) > 1 or not over_seeds.known:
            return over_seeds
        (one,) = self.measured.values()
        known = one["count"][i][g] > 1
        return Estimate(over_seeds.mean, 100 * one["half_width"][i][g], one["count"][i][g]) if known else over_seeds

    def refused(self, task: str, group: str) -> int:
        """Seeds in which the group refuses the task."""
        i, g = self._place(task, group)
        return sum(not one["accept"][i][g] for one in self.measured.values())

    def density(self) -> Values:
        """Part of the pairs of different tasks that are accepted."""
        places = [self._place(*pair) for pair in self.pairs]
        return Values(
            {repeat: sum(one["accept"][i][g] for i, g in places) / len(places) for repeat, one in self.measured.items()}
        )

    def controlled(self) -> list[int]:
        """Seeds in which the random matrix is another one than the measured."""
        both = self.measured.keys() & self.random.keys()
        return [repeat for repeat in both if self.random[repeat] != self.measured[repeat]["accept"]]

    def drawn(self) -> Matrix:
        """Mean gains over the seeds; what a task does to its own group is blank."""
        rows = [
            [float("nan") if task == group else self.gain(task, group).mean for group in self.tasks]
            for task in self.tasks
        ]
        note = (
            "How much a small step along a task's gradient, in the group's filters alone, lowers the loss of the "
            "group's task, measured in the warm-up, mean over the seeds; below 0 the task hurts the group. Not "
            "symmetric. What a task does to its own group is left out."
        )
        return Matrix(
            "The measured matrix",
            self.tasks,
            self.tasks,
            rows,
            "task whose gradient moves the filters",
            "group of filters",
            "gain in %",
            note,
            "Who helps whom",
        )


# -- claims ----------------------------------------------------------------------------------------------------------


def _claims(results: Results, matrices: _Matrices) -> Iterator[Claim]:
    """What the study set out to test, in points of delta-m on the test split."""
    arms = {method.key for method in results.methods}
    joint = improvement(results, JOINT, "validation")  # so that the test split decides nothing
    fine = f"joint training does not hurt here: delta-m is {joint.estimate.text('%')} on validation"
    yield claim(
        "beats-joint",
        f"Where joint training hurts (delta-m below {HURTS:g} % on validation), the measured split beats it",
        _gain(results, JOINT),
        at_least=GAIN,
        reason="" if joint.mean < HURTS else fine,
    )
    yield claim(
        "beats-own",
        "The measured split is at least as good as groups that learn from their own tasks only",
        _gain(results, OWN),
        at_least=0.0,
        reason="" if OWN in arms else "own is not among --others",
    )
    over_random, controlled = _gain(results, RANDOM), matrices.controlled()
    yield claim(
        "beats-random",
        "The measured matrix is at least as good as a random one of the same density",
        Values({repeat: over_random[repeat] for repeat in controlled}),
        at_least=0.0,
        reason=_no_control(len(controlled), len(matrices.measured))
        if RANDOM in arms
        else "random is not among --others",
    )


def _no_control(controlled: int, seeds: int) -> str:
    """Why a random matrix is no control; empty where it is."""
    if not controlled:
        return "all or no pairs are accepted, so that there is one matrix of that density only"
    few = f"in {seeds - controlled} of {seeds} seeds all or no pairs are accepted, which leaves one seed: no interval"
    return few if controlled == 1 < seeds else ""


# -- charts ----------------------------------------------------------------------------------------------------------


def _step_time(results: Results, arm: str) -> Estimate:
    """Time of a step in steps of joint training."""
    own, joint = (Values(dict(enumerate(results.method(key).seconds_per_step))) for key in (arm, JOINT))
    return (own / joint).estimate


def _charts(results: Results) -> Iterator[Chart]:
    """Quality over time, this set against another one."""
    series = []
    for method in results.methods:
        time = _step_time(results, method.key)
        if method.key != SINGLE and time.known:
            series.append(line(method.title, {time.mean: improvement(results, method.key)}, "dots", method.key))
    note = "Test split; median time of a step of training. Further up and further left is better."
    axes = ("time of a step, in steps of joint training", "delta-m, %")
    yield chart("What each way gains and costs", *axes, series, note, "Quality and price")
    if results.facts.get("other set"):
        yield _other_chart(results)


def _other_chart(results: Results) -> Chart:
    there = _OtherSet(results)
    series = []
    for method in results.methods:
        home = there.table(method.key, there.home_metric).estimate
        if home.known:
            series.append(line(method.title, {home.mean: there.values(method.key)}, "dots", method.key))
    axes = (f"{there.home_metric} on {results.data.name}", f"{there.home_metric} on {there.name}")
    note = f"Test splits; no network learnt the task on {there.name}."
    return chart(f"{there.task} where it was not learnt", *axes, series, note, "Another set")


class _OtherSet:
    """The set on which a task was tested besides, from the facts."""

    def __init__(self, results: Results) -> None:
        facts = results.facts["other set"]
        self.name, self.task, self.frequent = facts["name"], facts["task"], facts["most frequent class"]
        self.table = Table(results.runs, self.task)
        self.home_metric = next(task.metric for task in results.tasks if task.name == self.task)
        self._metric = facts["metric"]

    def values(self, arm: str) -> Values:
        """The task's metric on the other set."""
        return self.table(arm, self._metric)


# -- sentences -------------------------------------------------------------------------------------------------------


def _verdict(results: Results, claims: tuple[Claim, ...], matrices: _Matrices) -> Iterator[str]:
    """Sentences, the most important first."""
    yield _headline(results)
    yield _compared(results)
    yield from _null(results, claims, matrices)
    if results.facts.get("other set"):
        yield _other_set(results)
    yield _matrix(matrices)
    yield _price(results)
    yield _times(results)


def _headline(results: Results) -> str:
    joint, gain = improvement(results, JOINT).estimate, _gain(results, JOINT).estimate
    if not (joint.known and gain.known):
        return "The mean change over all tasks is unknown: a metric is not finite, or a reference is 0."
    if not gain.has_interval:
        return (
            f"One seed says nothing for certain; in this one joint training changes the tasks' metrics by "
            f"{joint.text('%')} on average against single-task networks; the measured split changes this by "
            f"{gain.text('points')}."
        )
    hurts = {1: "helps", -1: "hurts", 0: "makes no clear difference"}[joint.clear_sign]
    split = {1: "is better", -1: "is worse", 0: "is not clearly different"}[gain.clear_sign]
    return (
        f"Joint training {hurts} here ({joint.text('%')} on average against single-task networks, on the test "
        f"split), and the measured split {split} ({gain.text('points')} against joint training)."
    )


def _compared(results: Results) -> str:
    others = [method for method in results.methods if method.key not in (SINGLE, MEASURED, JOINT)]
    gains = {method.title: _gain(results, method.key).estimate for method in others}
    if not gains:
        return "Nothing else was trained."
    told = {title: f"{title} {gain.text('points')}" for title, gain in gains.items()}
    if len(results.repeat_numbers) == 1:
        return f"The measured split against the others: {', '.join(told.values())}."
    parts = []
    for sign, than in {1: "better than", -1: "worse than", 0: "not clearly different from"}.items():
        titles = [f"{t} ({gain.text('points')})" for t, gain in gains.items() if gain.clear_sign == sign]
        if titles:
            parts.append(f"{than} {', '.join(titles)}")
    return f"The measured split is {'; '.join(parts)}."


def _null(results: Results, claims: tuple[Claim, ...], matrices: _Matrices) -> Iterator[str]:
    """What did not come out, plainly."""
    density = matrices.density()
    if same := sum(part == 1 for part in density.values()):
        yield (
            f"In {same} of {len(density)} seeds the warm-up found no task that clearly hurts a group: nothing was "
            "refused, so that the measured split was joint training, with the same gradients."
        )
    if refuted := [one.name for one in claims if one.state == REFUTED]:
        yield f"Null result: what was claimed did not come out for {', '.join(refuted)}."
    gain = _gain(results, JOINT).estimate
    if gain.has_interval and gain.clear_sign <= 0:
        yield "Null result: the measured split does not clearly beat joint training on this data with this network."


def _other_set(results: Results) -> str:
    there = _OtherSet(results)
    values = {method.title: there.values(method.key).estimate for method in results.methods}
    listed = ", ".join(f"{t} {v.text(places=3, signed=False, unknown='unknown')}" for t, v in values.items())
    note = f" The most frequent class is {100 * there.frequent:.1f} % of it." if there.frequent is not None else ""
    return f"{there.task} ({there.home_metric}) on {there.name}, where no network learnt it: {listed}.{note}"


def _matrix(matrices: _Matrices) -> str:
    """The measured matrix in words: of every group, or the most telling pairs where there are many."""
    many = len(matrices.measured) > 1
    over = "mean ± 95 % interval over seeds" if many else "± 95 % interval of the warm-up"
    accepted = f"Groups accept {100 * matrices.density().mean:.0f} % of the pairs of different tasks."
    start = f"Measured in the warm-up, how much a step of a task in a group's filters lowers the group's loss ({over}"
    if len(matrices.pairs) > _MOST_PAIRS:
        known = [pair for pair in matrices.pairs if matrices.gain(*pair).known]
        worst = sorted(known, key=lambda pair: matrices.gain(*pair).mean)[:5]
        listed = "; ".join(f"{task} in the group of {group} {_pair(matrices, task, group)}" for task, group in worst)
        return f"{start}), the most harmful pairs: {listed}. {accepted}"
    groups = []
    for group in matrices.tasks:
        parts = [f"{task} {_pair(matrices, task, group)}" for task in matrices.tasks if task != group]
        groups.append(f"in the group of {group}: {', '.join(parts)}")
    return f"{start}): {'; '.join(groups)}. {accepted}"


def _pair(matrices: _Matrices, task: str, group: str) -> str:
    refused = matrices.refused(task, group)
    note = f", refused in {refused} of {len(matrices.measured)}" if refused else ""
    return matrices.gain(task, group).text("%", 3, unknown="not measured") + note


def _price(results: Results) -> str:
    """Arms that cost the same are named together."""
    by_cost: dict[tuple[float, int], list[str]] = {}
    for method in results.methods:
        by_cost.setdefault((method.costs[MACS], method.parameters), []).append(method.title)
    listed = "; ".join(f"{', '.join(titles)}: {macs:,.0f} and {size:,}" for (macs, size), titles in by_cost.items())
    return f"Multiply-accumulates for one sample and parameters: {listed}."


def _times(results: Results) -> str:
    times = {m.title: _step_time(results, m.key) for m in results.methods if m.key not in (SINGLE, JOINT)}
    listed = ", ".join(f"{title} {time.mean:.2f}" for title, time in times.items() if time.known)
    return (
        f"Median time of a step of training, in steps of joint training: {listed}. A step with a measurement in the "
        "warm-up takes longer."
    )
