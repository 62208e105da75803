"""What is measured of the networks of the controllable study: main metrics on the test split and on validation."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from umbel.control import measure_latency, quality_table, time_model, training_inputs, with_latency, with_quality
from umbel.core import Learner, Task, UmbelError
from umbel.engine import evaluate
from umbel.methods.preference_conditioned import PreferenceLearner
from umbel.metrics import as_loss
from umbel.nn import dense_model, fixed_model
from umbel.recipes.controllable.settings import ControllableSettings
from umbel.recipes.turnable import make_ready
from umbel.report import Profile, TaskInfo
from umbel.search import Budget, ConfigurationTable, equal_widths, proportional_rule, search
from umbel.study import Bench, Job, Measurement, Trained

EXACT, RULE, EQUAL = "controllable", "paper-rule", "equal-heads"
"""Arms that answer a budget and preferences with widths of the same controllable network."""
LATENCY = "latency"
"""Name of the profile of times, in milliseconds: asked, predicted and got."""
_RULES = {EXACT: search, RULE: proportional_rule, EQUAL: equal_widths}
_DECIMALS = 5
_TIME_PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)
_STATISTICS_SAMPLES = 1024


def asked(percent: float, ray: Sequence[float]) -> dict[str, str]:
    """The point of a run that answers a budget and a preference of each group."""
    return {"budget": f"{percent:g} %", "preference": "/".join(f"{share:g}" for share in ray)}


def task_losses(tasks: Sequence[Task | TaskInfo], metrics: Mapping[str, float]) -> dict[str, float]:
    """Task -> loss, from its main metric."""
    return {task.name: as_loss(metrics[task.name], task.higher_is_better) for task in tasks}


class Measure:
    """Measures the networks of a study.

    Attributes:
        groups: Tasks whose preferences turn together.
        rays: Preferences of the groups that are asked for.
    """

    def __init__(self, bench: Bench[ControllableSettings]) -> None:
        self.bench, self.settings, self.data = bench, bench.settings, bench.data
        self.groups = self.settings.groups_of([task.name for task in bench.data.tasks])
        self.rays = self.settings.rays(len(self.groups))

    def separate(self, trained: Trained) -> Iterator[Measurement]:
        """Of a network of one width."""
        width = trained.job.place["width"]
        test, validation = self._both(trained.model)
        yield self._measurement(test, {"width": width, "heads": width}, validation)

    def configurations(self, trained: Trained) -> Iterator[Measurement | Profile]:
        """Of a controllable network: every pair of widths; of the main one what it answers, too, and times."""
        table = self.ready(trained.job, trained.model)
        test = with_quality(table, quality_table(trained.model, self.data.test, trained.runtime))
        for width, heads in itertools.product(table.encoder_widths, table.head_widths):
            point = trained.model.point(width, heads)
            both = test.quality_at(point), table.quality_at(point)
            yield self._measurement(both[0], {"width": width, "heads": heads}, both[1])
        if trained.job.arm == EXACT:
            yield from self._answers(table, test)
            if trained.job.repeat == 0 and self.settings.latency:
                yield self._times(trained.model, table)

    def _answers(self, table: ConfigurationTable, test: ConfigurationTable) -> Iterator[Measurement]:
        """Every budget and preference, answered by each rule from the table of validation."""
        for percent, ray, arm in itertools.product(self.settings.percents, self.rays, _RULES):
            choice = _RULES[arm](table, f"{percent}% macs", self._by_task(ray))
            chosen = {"point": choice.point.as_dict(), "used": choice.cost["macs"] / choice.limit}
            if chosen["used"] > 1:
                raise UmbelError(f"rule {choice.rule!r} exceeds the budget of {percent:g} %: a fault of the search")
            both = test.quality_at(choice.point), choice.quality
            yield self._measurement(both[0], asked(percent, ray), both[1], settings=chosen, arm=arm)

    def _times(self, learner: Learner, table: ConfigurationTable) -> Profile:
        """Times asked for, predicted and got on this machine, from the fastest configuration to the full one."""
        timed = with_latency(table, measure_latency(learner.model, say=self.bench.study.reporter.say))
        fastest = (timed.encoder_costs["latency_ms"] + timed.head_costs["latency_ms"].min(2).sum(0)).min()
        slowest, rows = max(fastest, timed.full_cost("latency_ms")), []
        for number, place in enumerate(_TIME_PLACES):
            budget = Budget(fastest + place * (slowest - fastest), "latency_ms")
            ray = self.rays[(number * 3) % len(self.rays)]
            choice = search(timed, budget, self._by_task(ray), ordered=False)
            got = time_model(dense_model(learner.model, choice.point), self.data.input_shape)
            rows.append((choice.limit, choice.cost["latency_ms"], got))
        columns = dict(zip(("asked", "predicted", "got"), zip(*rows, strict=True), strict=True))
        return Profile(EXACT, LATENCY, columns, repeat=0)

    def preferences(self, trained: Trained) -> Iterator[Measurement]:
        """Of a network that reads the preference: every preference, for the budgets that it stands for."""
        shape = {name: trained.job.place[name] for name in ("width", "heads")}
        for ray, fixed in self.fixed(trained.model):
            test, validation = self._both(fixed)
            for percent in trained.job.place["budgets"]:
                yield self._measurement(test, asked(percent, ray), validation, settings=shape)

    def fixed(self, learner: PreferenceLearner) -> Iterator[tuple[tuple[float, ...], Learner]]:
        """A network at each preference, with statistics that were measured there."""
        runtime = self.bench.runtime
        inputs = training_inputs(self.data.train, runtime, _STATISTICS_SAMPLES)
        for ray in self.rays:
            with runtime.autocast():
                fixed = fixed_model(learner.model, learner.at(ray), inputs)
            yield ray, Learner(fixed, self.data.tasks)

    def ready(self, job: Job, learner: Learner) -> ConfigurationTable:
        """The table of a trained controllable network on validation; it is what `umbel search` takes from then on."""
        return make_ready(self.bench.study.folder(job.key), learner, self.data, self.bench.runtime)

    def _both(self, learner: Learner) -> tuple[dict[str, float], dict[str, float]]:
        """Task -> main metric on the test split and on validation."""
        runtime = self.bench.runtime
        return evaluate(learner, self.data.test, runtime).main(), evaluate(
            learner, self.data.validation, runtime
        ).main()

    def _by_task(self, ray: Sequence[float]) -> dict[str, float]:
        """Task -> preference, from one number for each group."""
        return {task: share for group, share in zip(self.groups, ray, strict=True) for task in group}

    def _measurement(
        self, test: Mapping[str, float], point: dict, validation: Mapping[str, float], **more: Any
    ) -> Measurement:
        """From main metrics by task, to so many decimals as a table of hundreds of runs is worth."""
        metrics = {task.name: task.main_metric for task in self.data.tasks}
        both = ({n: {metrics[n]: round(value, _DECIMALS)} for n, value in of.items()} for of in (test, validation))
        return Measurement(next(both), point, next(both), **more)
