"""The controllable study: which networks are trained, all with the same encoder and the same steps, and in which order.

Widths for a budget, weights of distillations and penalties are chosen on validation; `findings` says what came of it.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from umbel.core import Learner, Task, UmbelError
from umbel.engine import evaluate
from umbel.methods.controllable_ablations import fresh_dense_model
from umbel.methods.preference_conditioned import PreferenceLearner, conditioned_model
from umbel.metrics import relative_improvement
from umbel.recipes.build import describe, make_learner, open_data, predicts_maps
from umbel.recipes.controllable.measure import EQUAL, EXACT, RULE, Measure, asked, task_losses
from umbel.recipes.controllable.settings import ControllableSettings
from umbel.recipes.turnable import ready_table
from umbel.report import Results, TaskInfo
from umbel.search import ConfigurationTable, equal_widths, group_losses, hypervolume
from umbel.study import Arm, Bench, Job, Study, Training

SEPARATE, PREFERENCE, DISTILLATION, TRIAL = "separate", "preference", "distillation-", "trial-"
"""Two arms, and what stands before a name: of a distillation, and of the arm that a trial chooses something for."""
CORNER = 1.1
"""The reference point of hypervolumes: so many times the losses of the smallest configuration."""
_TRIAL_SEED = 1000


def arms(settings: ControllableSettings) -> list[Arm]:
    """The arms, in the order of the tables."""
    rule = "the same network; head widths in proportion to the preferences, as the paper says"
    reads = "for each budget a network of that cost that reads the preference (FiLM)"
    same = "the controllable network with distillation"
    return [
        Arm(SEPARATE, "Separate networks", "a network for each width, trained by itself"),
        Arm(EXACT, "Controllable", "one slimmable network; widths found by the exact search on validation"),
        Arm(RULE, "Proportional rule", rule, EXACT),
        Arm(EQUAL, "Equal head widths", "the same network; one width for all heads, the best for the budget", EXACT),
        Arm(PREFERENCE, "Preference as input", reads),
        *(Arm(DISTILLATION + kind, f"Distillation {kind}", f"{same} {kind}") for kind in settings.others),
    ]


def controllable_study(settings: ControllableSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A network that cannot be slimmed, unknown tasks or descent, ...; before anything is trained.
    """
    data = open_data(settings.data, say=study.reporter.say)
    _check_losses(data.tasks)
    bench = Bench(study, settings, settings.fit, data, settings.descent)
    networks = _Networks(bench)
    facts = networks.run()
    tasks = [dataclasses.replace(TaskInfo.of(task), metrics=(task.main_metric,)) for task in data.tasks]
    return bench.results(
        "controllable",
        f"One network for every budget and preference: {data.title}",
        arms(settings),
        tasks=tasks,
        reference=SEPARATE,
        facts=facts,
        headline=tuple(_headline(settings, networks.measure.rays)),
        warnings=_warnings(networks.measure.groups),
    )


def _check_losses(tasks: Sequence[Task]) -> None:
    for task in tasks:
        if task.higher_is_better and task.unit:
            raise UmbelError(
                f"task {task.name!r}: its metric {task.main_metric} is neither a part from 0 to 1 nor an error, so "
                "there is no loss to make of it; leave the task out with --tasks"
            )


class _Networks:
    """All networks of the study: separate ones, controllable ones, and those that read the preference."""

    def __init__(self, bench: Bench[ControllableSettings]) -> None:
        self.bench, self.settings, self.data = bench, bench.settings, bench.data
        self.measure = Measure(bench)
        self.names = [task.name for task in bench.data.tasks]
        self.kinds = {EXACT: self.settings.model.distillation}
        self.kinds |= {DISTILLATION + kind: kind for kind in self.settings.others}
        self.references = [Job.at(SEPARATE, seed, width=1.0) for seed in range(self.settings.seeds)]

    def run(self) -> dict[str, Any]:
        """Train and measure everything; what was chosen by trials on validation."""
        bench, settings, first = self.bench, self.settings, self.references[0]
        full_shape = {"width": 1.0, "heads": 1.0, "penalty": 1.0}
        bench.check([Job.at(EXACT, 0, first, strength=1.0), Job.at(PREFERENCE, 0, first, **full_shape)], self.make)
        narrow = [Job.at(SEPARATE, j.repeat, j, width=w) for j in self.references for w in settings.model.grid[-2::-1]]
        bench.run([*self.references, *narrow], self.make, self.measure.separate)
        strengths = {arm: self._strength(arm) for arm in self.kinds}
        supernets = [Job.at(arm, j.repeat, j, strength=strengths[arm]) for j in self.references for arm in self.kinds]
        bench.run(supernets, self.make, self.measure.configurations)
        tables = {job.repeat: ready_table(bench.study.folder(job.key)) for job in supernets if job.arm == EXACT}
        penalty = self._penalty(tables[0])
        readers = [job for j in self.references for job in self._readers(j, tables[j.repeat], penalty)]
        bench.run(readers, self.make, self.measure.preferences)
        facts: dict[str, Any] = {}
        if settings.strength_trials:
            facts["strengths"] = {kind: strengths[arm] for arm, kind in self.kinds.items() if kind != "none"}
        return facts | ({"penalty": penalty} if settings.penalty_trials else {})

    def make(self, job: Job) -> Training:
        """How the network of a job is trained; a trial is a shorter training of the same."""
        arm, place, fit = job.arm.removeprefix(TRIAL), job.place, None
        if arm != job.arm:
            steps = max(1, round(self.bench.steps * self.settings.tuning_budget))
            fit = self.bench.fit.replace(seed=job.repeat, steps=steps)
        about: dict[str, Any] = {"fit": fit, "references": job.needs}
        if arm in (SEPARATE, PREFERENCE):
            full = make_learner(self.settings.model, self.data, job.repeat)
            shape = full.point(place["width"], place.get("heads"))
            dense = fresh_dense_model(full.model, shape, job.repeat)
            if arm == SEPARATE:
                return Training(Learner(dense, self.data.tasks), **about)
            model = conditioned_model(dense, self.data.input_shape, job.repeat)
            learner = PreferenceLearner(model, self.data.tasks, groups=self.measure.groups, penalty=place["penalty"])
            return Training(learner, **about)
        kind, maps = self.kinds[arm], predicts_maps(self.data)
        model = dataclasses.replace(self.settings.model, distillation=kind, strength=place["strength"])
        described = describe(self.settings.data, model, self.data, job.repeat, maps)
        return Training(make_learner(model, self.data, job.repeat, maps), describe=described, **about)

    def _readers(self, reference: Job, table: ConfigurationTable, penalty: float) -> Iterator[Job]:
        """The networks that read the preference: one of the best equal widths for each budget, those alike but once."""
        budgets: dict[tuple[float, float], list[float]] = {}
        for percent in reversed(self.settings.percents):
            budgets.setdefault(_equal_shape(table, percent), []).append(percent)
        for (width, heads), percents in budgets.items():
            shape = {"width": width, "heads": heads}
            yield Job.at(PREFERENCE, reference.repeat, reference, budgets=tuple(percents), **shape, penalty=penalty)

    # -- choices on validation ---------------------------------------------------------------------------------------

    def _strength(self, arm: str) -> float:
        """The weight of an arm's distillation: as set, or the best of several.

        Best is the mean over configurations and tasks of the relative improvement over the separate full network.
        """
        if self.kinds[arm] == "none":
            return 0.0
        full = self.references[0]

        def score(job: Job) -> float:
            table, reference = self.measure.ready(job, self.bench.learner(job)), self.bench.validation(full)
            gains = [
                relative_improvement(quality, reference[task.name], task.higher_is_better)
                for task, of_task in zip(self.data.tasks, table.quality, strict=True)
                for quality in of_task.ravel()
                if reference[task.name]  # nothing is relative to 0; the results say so
            ]
            return float(np.mean(gains)) if gains else 0.0

        trials = {v: Job.at(TRIAL + arm, _TRIAL_SEED, full, strength=v) for v in self.settings.strength_trials}
        return self._best(trials, score, self.settings.model.strength)

    def _penalty(self, table: ConfigurationTable) -> float:
        """The penalty of all networks that read the preference: the best of several by hypervolume."""
        width, heads = _equal_shape(table, self.settings.percents[-1])
        full, smallest = self.references[0], dict(zip(self.names, table.quality[:, 0, 0].tolist(), strict=True))

        def losses(metrics: Mapping[str, float]) -> np.ndarray:
            of_tasks, of_full = (task_losses(self.data.tasks, of) for of in (metrics, self.bench.validation(full)))
            return np.array(group_losses(of_tasks, of_full, self.measure.groups))

        def score(job: Job) -> float:
            fixed = [learner for _, learner in self.measure.fixed(self.bench.learner(job))]
            front = [losses(evaluate(one, self.data.validation, self.bench.runtime).main()) for one in fixed]
            return hypervolume(front, CORNER * losses(smallest))

        trials = {
            value: Job.at(TRIAL + PREFERENCE, _TRIAL_SEED, full, width=width, heads=heads, penalty=value)
            for value in self.settings.penalty_trials
        }
        return self._best(trials, score, 1.0)

    def _best(self, trials: Mapping[float, Job], score: Callable[[Job], float], unset: float) -> float:
        """The value whose trial has the best score, which is remembered; `unset` without trials."""
        self.bench.run(list(trials.values()), self.make, lambda trained: ())
        scores = {v: self.bench.study.measured(j.key, "score", float, lambda j=j: score(j)) for v, j in trials.items()}
        return max(scores, key=lambda value: scores[value], default=unset)


def _equal_shape(table: ConfigurationTable, percent: float) -> tuple[float, float]:
    """Widths of the encoder and of all heads: the best for a budget without preferences."""
    point = equal_widths(table, f"{percent}% macs").point
    return point["width"], point["head_widths"][table.tasks[0]]


def _headline(settings: ControllableSettings, rays: Sequence[tuple[float, ...]]) -> Iterator[dict[str, Any]]:
    """Encoder and heads at one width; the middle budget at the preferences that are nearest to equal."""
    yield from ({"width": width, "heads": width} for width in reversed(settings.model.grid))
    yield asked(settings.middle_percent, min(rays, key=lambda ray: (max(ray) - min(ray), ray)))


def _warnings(groups: Sequence[Sequence[str]]) -> Iterator[str]:
    if any(len(group) > 1 for group in groups):
        listed = "; ".join(f"group {number}: {', '.join(group)}" for number, group in enumerate(groups, 1))
        yield f"Preferences turn groups of tasks, not each task: {listed}."
    yield (
        "Checkpoints of the controllable network are chosen by its full width on validation; narrower configurations "
        "take what comes with it, while each separate network chooses its own."
    )
