"""The controllable study: train every network for every seed, turn the dial, say what came of it."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from umbel.descent import make_descent
from umbel.recipes.build import columns_text, load_data
from umbel.recipes.controllable import arms
from umbel.recipes.controllable.arms import EQUAL, EXACT, PREFERENCE, RULE, SEPARATE, TITLES, Bench
from umbel.recipes.controllable.charts import charts
from umbel.recipes.controllable.measure import (
    dial,
    measure_plain,
    measure_preference,
    measure_tables,
    measure_times,
)
from umbel.recipes.controllable.reading import Measured, Numbers
from umbel.recipes.controllable.settings import ControllableSettings
from umbel.recipes.controllable.verdict import claims, middle, verdict
from umbel.recipes.references import check_training
from umbel.recipes.study import Study
from umbel.report import DataInfo, MethodInfo, Results, Run, TaskInfo, describe_environment
from umbel.search import ConfigurationTable, equal_widths

_SPLITS = ("train", "validation", "test")


def controllable_study(settings: ControllableSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A network that cannot be slimmed, unknown tasks or descent, ...; before anything is trained.
    """
    make_descent(settings.descent)
    if text := columns_text(settings.data):
        study.reporter.say(text)
    data = load_data(settings.data)
    settings.groups_of([task.name for task in data.tasks])
    check_training(settings.model, settings.fit, data, study.runtime.world_size)
    fit = study.settle(settings, settings.fit)
    bench = Bench(study, settings, fit, data)
    kinds = [settings.model.distillation, *settings.others]
    each = len(settings.model.grid) + len(kinds) + len(settings.percents)
    trials = len(settings.trials) * sum(kind != "none" for kind in kinds) + len(settings.penalty_trials)
    study.reporter.expect(settings.seeds * each + trials)
    measured = Measured()
    for seed in range(settings.seeds):
        _one_seed(bench, seed, measured)
    return _results(bench, measured)


def _one_seed(bench: Bench, seed: int, measured: Measured) -> None:
    """Train and measure the networks of one seed; the separate full one first, as the others' reference."""
    settings, study = bench.settings, bench.study
    references = None
    for width in reversed(settings.model.grid):
        learner = arms.train_separate(bench, width, seed, references)
        key = arms.separate_key(width, seed)
        references = references or bench.outcomes[key].main_validation()
        found = study.measured(key, "quality", lambda m=learner: measure_plain(bench, m))
        measured.separate[width, seed] = found
    for kind in (settings.model.distillation, *settings.others):
        learner, table = arms.train_supernet(bench, kind, seed, references)
        key = arms.supernet_key(kind, seed)
        found = study.measured(key, "tables", lambda m=learner, t=table: measure_tables(bench, m, t))
        measured.supernets[kind, seed] = found
        if kind == settings.model.distillation and seed == 0 and settings.latency:
            measured.times = study.measured(key, "times", lambda m=learner, t=table: measure_times(bench, m, t))
    _preference(bench, seed, references, measured)
    measured.dials[seed] = list(dial(bench, measured.supernets[settings.model.distillation, seed]))


def _preference(bench: Bench, seed: int, references: dict[str, float], measured: Measured) -> None:
    """For each budget the network that reads preferences; its widths are the best equal ones for the budget."""
    table = ConfigurationTable.from_json(measured.supernets[bench.settings.model.distillation, seed]["table"])
    for percent in reversed(bench.settings.percents):
        shape = arms.equal_shape(table, equal_widths(table, f"{percent}% macs"))
        penalty = _penalty(bench, measured, shape, references)
        learner = arms.train_preference(bench, shape, seed, references, penalty)
        found = bench.study.measured(
            arms.preference_key(shape, seed), "rays", lambda m=learner: measure_preference(bench, m)
        )
        measured.preference[percent, seed], measured.shapes[percent, seed] = found, shape


def _penalty(bench: Bench, measured: Measured, shape: dict[str, float], references: dict[str, float]) -> float:
    """The penalty of all networks that read the preference: the best of several by hypervolume on validation.

    Trials are trained once, for the first budget that asks.
    """
    if bench.penalty is None and bench.settings.penalty_trials:
        numbers, scores = Numbers(bench, measured), {}
        for value in bench.settings.penalty_trials:
            key = f"tuning/penalty-{value:g}"
            trial = arms.train_preference(bench, shape, arms.TUNING_SEED, references, value, trial=key)
            rays = bench.study.measured(
                key, "rays", lambda m=trial: measure_preference(bench, m, splits=("validation",))
            )
            scores[value] = numbers.volume_of([numbers.group_losses(ray["validation"], 0) for ray in rays], 0)
        bench.penalty = max(scores, key=scores.get)
    return 1.0 if bench.penalty is None else bench.penalty


def _results(bench: Bench, measured: Measured) -> Results:
    data, settings, study = bench.data, bench.settings, bench.study
    numbers = Numbers(bench, measured)
    runs = list(_runs(bench, measured, numbers))
    infos = [dataclasses.replace(TaskInfo.of(task), metrics=(task.main_metric,)) for task in data.tasks]
    middle_percent = middle(settings.percents)
    return Results(
        study="controllable",
        title=f"One network for every budget and preference: {data.title}",
        command=study.command,
        data=DataInfo(data.name, data.title, data.note, {s: len(getattr(data, s)) for s in _SPLITS}),
        tasks=infos,
        methods=list(_methods(bench, {run.method for run in runs})),
        runs=runs,
        reference=SEPARATE,
        settings=dataclasses.asdict(settings),
        environment=describe_environment(bench.fit.precision, "as asked" if settings.fit.precision != "auto" else ""),
        headline=[
            *({"width": width, "heads": width} for width in reversed(numbers.widths)),
            {"budget": f"{middle_percent:g} %", "preference": _text(_even(settings, bench))},
        ],
        charts=charts(numbers),
        claims=claims(numbers),
        verdict=verdict(numbers),
        warnings=[*study.warnings, *_warnings(bench)],
    )


def _even(settings: ControllableSettings, bench: Bench) -> tuple[float, ...]:
    """The ray that is nearest to equal preferences."""
    return min(settings.rays(len(bench.groups)), key=lambda ray: (max(ray) - min(ray), ray))


def _text(ray: Any) -> str:
    return "/".join(f"{share:g}" for share in ray)


def _runs(bench: Bench, measured: Measured, numbers: Numbers) -> Iterator[Run]:
    """Separate networks and controllable ones at one width; the dial's answers at every budget and ray."""
    main = bench.settings.model.distillation
    for (width, seed), found in measured.separate.items():
        point = {"width": width, "heads": width}
        yield _run(bench, SEPARATE, seed, found, point, arms.separate_key(width, seed))
    for kind, seed in measured.supernets:
        for width in numbers.widths:
            for heads in numbers.widths if kind == main else (width,):
                found = {"test": numbers.at_widths(kind, seed, width, heads)}
                method = EXACT if kind == main else f"distillation-{kind}"
                yield _run(bench, method, seed, found, {"width": width, "heads": heads}, arms.supernet_key(kind, seed))
    for seed in range(bench.settings.seeds):
        for percent in bench.settings.percents:
            for arm in (EXACT, RULE, EQUAL, PREFERENCE):
                for entry in numbers.entries(arm, percent, seed):
                    point = {"budget": f"{percent:g} %", "preference": _text(entry["ray"])}
                    shape = measured.shapes[percent, seed]
                    key = arms.preference_key(shape, seed) if arm == PREFERENCE else arms.supernet_key(main, seed)
                    chosen = shape if arm == PREFERENCE else {"point": entry["point"], "used": entry["used"]}
                    yield _run(bench, arm, seed, entry, point, key, chosen)


def _run(
    bench: Bench, arm: str, seed: int, found: dict, point: dict, key: str, chosen: dict[str, Any] | None = None
) -> Run:
    metric = {task.name: task.main_metric for task in bench.data.tasks}
    outcome = bench.outcomes[key]
    tested = {name: {metric[name]: round(value, 5)} for name, value in found["test"].items()}
    steps = {"steps": outcome.steps, "seconds": round(outcome.seconds, 1), "best_step": outcome.best_step}
    return Run(arm, seed, tested, point, settings=chosen or {}, **steps)


def _methods(bench: Bench, used: set[str]) -> Iterator[MethodInfo]:
    main = bench.settings.model.distillation
    seeds = range(bench.settings.seeds)
    for arm in (SEPARATE, EXACT, RULE, EQUAL, PREFERENCE, *(f"distillation-{kind}" for kind in bench.settings.others)):
        if arm not in used:
            continue
        prefix = {SEPARATE: f"{SEPARATE}/", PREFERENCE: f"{PREFERENCE}/"}.get(arm)
        if prefix is None:
            kind = arm.removeprefix("distillation-") if arm.startswith("distillation-") else main
            prefix = f"{EXACT}/{kind}/"
        keys = [key for key in bench.outcomes if key.startswith(prefix)]
        parameters = sum(bench.outcomes[key].parameters for key in keys if key.endswith("seed-0"))
        seconds = [sum(bench.outcomes[k].seconds_per_step for k in keys if k.endswith(f"seed-{s}")) for s in seeds]
        kind = arm.removeprefix("distillation-")
        title, about = TITLES.get(arm, (f"Distillation {kind}", f"the controllable network with distillation {kind}"))
        known = [value for value in seconds if math.isfinite(value)]
        yield MethodInfo(arm, title, about, parameters, known if arm in (SEPARATE, EXACT) else ())


def _warnings(bench: Bench) -> Iterator[str]:
    settings = bench.settings
    if settings.seeds < 3:
        yield f"{settings.seeds} seed(s) only: intervals are wide or missing; the full study has three or more."
    groups = bench.groups
    if any(len(group) > 1 for group in groups):
        yield (
            "Preferences turn groups of tasks, not each task: "
            + "; ".join(f"group {i + 1}: {', '.join(group)}" for i, group in enumerate(groups))
            + "."
        )
    if bench.strengths:
        chosen = ", ".join(f"{kind} {strength:g}" for kind, strength in bench.strengths.items())
        yield f"Weights of the distillations, chosen on validation: {chosen}."
    if bench.penalty is not None:
        yield f"Penalty of the networks that read the preference, chosen on validation: {bench.penalty:g}."
    yield (
        "Checkpoints of the controllable network are chosen by its full width on validation; narrower configurations "
        "take what comes with it, while each separate network chooses its own."
    )
