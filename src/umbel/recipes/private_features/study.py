"""The study of private features: which networks are trained, all with the same parts, and how they are attacked.

Weights are chosen on validation from networks of seed 0 (`chosen_weight`); then every arm is trained with every seed.
What came of it is in `findings`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from umbel.audit import EFFORTS, Inference, Observed, infer, observe, rebuild, receivers_of
from umbel.core import Learner, OneOf, OperatingPoint
from umbel.descent import make_descent
from umbel.engine import evaluate
from umbel.methods.private_features import private_features
from umbel.methods.private_features_ablations import (
    PrincipalComponents,
    noise_only,
    plain_links,
    single_encoders,
    universal,
    without_decorrelation,
    without_gates,
)
from umbel.methods.private_features_adversaries import gradient_reversal
from umbel.methods.private_features_min_max import AlternatingSteps, min_max
from umbel.nn import build_model
from umbel.recipes.build import open_data, with_options
from umbel.recipes.private_features.scores import ATTACK, BLIND, LABEL_FLOOR, Scores
from umbel.recipes.private_features.settings import (
    COMPONENTS,
    LINEAR,
    MIN_MAX,
    NO_GATES,
    NO_LOSS,
    NOISE_ONLY,
    NOISY,
    OURS,
    PLAIN,
    REVERSAL,
    SINGLE,
    UNIVERSAL,
    PrivateFeaturesSettings,
)
from umbel.report import Profile, Results, SampleSheet, TaskInfo
from umbel.study import Arm, Bench, Job, Measurement, Study, Trained, Training

TUNING = ", weights tried"
"""Behind the key of an arm: networks of seed 0 with each weight."""
CHOSEN = "weights chosen on validation"
"""Name of the fact: arm -> weight."""
REBUILT = "reconstruction"
"""Name of the profiles with what was rebuilt of pictures."""
JOINT = "joint"
"""Jobs of ordinary joint networks, whose features principal components are taken of; no row of the tables."""
CLOSELY = (OURS, PLAIN, UNIVERSAL)
"""Arms of which all is attacked: receivers who put together what they got, each task's own features, pictures."""


def arms(settings: PrivateFeaturesSettings) -> list[Arm]:
    """The arms, in the order of the tables."""
    every = [
        Arm(OURS, "Private features", "Gates across tasks, and the loss of dependence between what tasks are sent"),
        Arm(NO_GATES, "Private, without gates", "Plain links, and the loss of dependence"),
        Arm(NO_LOSS, "Private, without the loss", "Gates across tasks alone"),
        Arm(LINEAR, "Private, linear loss", "Gates, and the loss of linear dependence alone"),
        Arm(PLAIN, "Plain links", "A link for each task, trained for nothing but its task"),
        Arm(UNIVERSAL, "Universal features", "All tasks are sent the same, as large as what one is sent elsewhere"),
        Arm(SINGLE, "Encoders of their own", "An encoder for each task, which learns from that task alone"),
        Arm(COMPONENTS, "Principal components", "The first components of a joint network's features, for all tasks"),
        Arm(REVERSAL, "Gradient reversal", "Plain links, and adversaries whose gradient is reversed"),
        Arm(MIN_MAX, "Min-max", "Plain links, and adversaries with steps of their own that are to be confused"),
        Arm(NOISY, "Private, with noise", "Private features, clipped and with Gaussian noise, trained with it"),
        Arm(NOISE_ONLY, "Noise alone", "Plain links, clipped and with Gaussian noise, trained with it"),
    ]
    tried = [Arm(arm.key + TUNING, f"{arm.title}: weights tried") for arm in every if settings.weights(arm.key)]
    return [*every, *tried]


def private_features_study(settings: PrivateFeaturesSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A task, encoder or descent that is not known, one task only, ...; before anything is trained.
    """
    data = open_data(settings.data, say=study.reporter.say)
    bench = Bench(study, settings, settings.fit, data, settings.descent)
    make, measure = partial(_training, bench), partial(_measure, settings, study)
    least = {arm: settings.weights(arm)[0] for arm in settings.chosen_arms if settings.weights(arm)}
    least[NOISY] = 0.0
    bench.check(jobs(settings, least), make)
    bench.run(list(tuning_jobs(settings)), make, measure)
    tasks = [TaskInfo.of(task) for task in data.tasks]
    chosen = {arm: chosen_weight(bench, arm, tasks) for arm in settings.chosen_arms if settings.weights(arm)}
    if NOISY in settings.chosen_arms:
        chosen[NOISY] = chosen[OURS]
    bench.run(list(jobs(settings, chosen)), make, measure)
    return bench.results(
        "private_features",
        f"Features that serve their task and hide the rest: {data.title}",
        arms(settings),
        facts={CHOSEN: chosen},
        samples=tuple(_sheets(study)),
        headline=({"seen": None, "weight": None},),
    )


# -- networks ------------------------------------------------------------------------------------------------------


def tuning_jobs(settings: PrivateFeaturesSettings) -> Iterator[Job]:
    """Universal features of seed 0, which say what a weight may cost, and a network for each weight to choose from."""
    yield Job(UNIVERSAL, 0)
    for arm in settings.chosen_arms:
        if len(weights := settings.weights(arm)) > 1:
            yield from (Job.at(arm + TUNING, 0, weight=weight) for weight in weights)


def jobs(settings: PrivateFeaturesSettings, chosen: Mapping[str, float]) -> Iterator[Job]:
    """Every arm with every seed, but what was trained to choose weights."""
    for seed in range(settings.seeds):
        for arm in settings.chosen_arms:
            if arm == COMPONENTS:
                yield (joint := Job(JOINT, seed))
                yield Job.at(arm, seed, joint)
            elif (arm, seed) != (UNIVERSAL, 0):
                yield Job.at(arm, seed, **({"weight": chosen[arm]} if arm in chosen else {}))


def _training(bench: Bench[PrivateFeaturesSettings], job: Job) -> Training:
    """How a network is trained: all alike, but that min-max has steps of its adversaries beside."""
    settings, arm = bench.settings, job.arm.removesuffix(TUNING)
    options = settings.encoder_options
    learner = with_options(options, partial(_learner, bench, arm, job))
    descent = make_descent(settings.descent)
    return Training(learner, AlternatingSteps(descent) if arm == MIN_MAX else descent)


def _learner(bench: Bench[PrivateFeaturesSettings], arm: str, job: Job, **options: Any) -> Learner:
    """A fresh network; the same seed gives every arm the same encoder, links and heads, as far as it has them."""
    settings, data = bench.settings, bench.data
    network = data.input_shape, data.tasks, settings.encoder or None
    given = {"released": settings.released, "seed": job.repeat, **options}
    noise = {"clip_norm": settings.release_norm, "sigma": OneOf(tuple(settings.sigmas))}
    weight = job.place.get("weight", 0.0)
    if arm == JOINT:
        return Learner(build_model(*network, seed=job.repeat, vector_head="conv", **options), data.tasks)
    if arm == COMPONENTS:
        joint = bench.learner(job.needs[0]).model
        return PrincipalComponents(joint, data.tasks, data.train, data.input_shape, settings.released, seed=job.repeat)
    makers = {
        OURS: partial(private_features, decorrelation=weight, kind="hsic"),
        NO_GATES: partial(without_gates, decorrelation=weight, kind="hsic"),
        LINEAR: partial(private_features, decorrelation=weight, kind="covariance"),
        NO_LOSS: without_decorrelation,
        PLAIN: plain_links,
        UNIVERSAL: universal,
        SINGLE: single_encoders,
        REVERSAL: partial(gradient_reversal, weight=weight),
        MIN_MAX: partial(min_max, weight=weight),
        NOISY: partial(private_features, decorrelation=weight, kind="hsic", **noise),
        NOISE_ONLY: partial(noise_only, **noise),
    }
    return makers[arm](*network, **given)


def chosen_weight(bench: Bench[PrivateFeaturesSettings], arm: str, tasks: Sequence[TaskInfo]) -> float:
    """The weight of an arm that leaks least on validation, of those that cost the tasks no more than is to spare.

    Where all cost more: the one that costs least.
    """
    settings = bench.settings
    weights = settings.weights(arm)
    if len(weights) == 1:
        return weights[0]
    scores = Scores(bench.table, tasks, "validation")
    cost = {weight: scores.cost(arm + TUNING, weight=weight).mean for weight in weights}
    leak = {weight: scores.leakage(arm + TUNING, weight=weight).mean for weight in weights}
    if cheap := [weight for weight in weights if cost[weight] <= settings.spare]:
        return min(cheap, key=lambda weight: leak[weight])
    return min(weights, key=lambda weight: cost[weight])


# -- measurements --------------------------------------------------------------------------------------------------


def _measure(settings: PrivateFeaturesSettings, study: Study, trained: Trained) -> Iterator[Measurement | Profile]:
    """A network's own scores, what attackers tell from what it sends, and what of the picture they rebuild."""
    arm, place = trained.job.arm, dict(trained.job.place)
    if arm == JOINT:
        return
    place, kept = (place, {}) if arm.endswith(TUNING) else ({}, place)  # a chosen weight is no place of its own
    sigmas = settings.sigmas if arm in (NOISY, NOISE_ONLY) else [None]
    for sigma in sigmas:
        where = place if sigma is None else {**place, "sigma": sigma}
        point = trained.model.sweep()[0] if sigma is None else OperatingPoint(sigma=sigma)
        test, validation = (
            evaluate(trained.model, split, trained.runtime, point).metrics
            for split in (trained.data.test, trained.data.validation)
        )
        yield Measurement(test, where, validation, kept)
        yield from _attacked(settings, study, trained, point, where)


def _attacked(
    settings: PrivateFeaturesSettings, study: Study, trained: Trained, point: OperatingPoint, where: dict[str, Any]
) -> Iterator[Measurement | Profile]:
    """What attackers that learn from the training split, and are chosen on validation, get on the test split."""
    data, most = trained.data, settings.attack.most
    seen = [
        observe(trained.model, source, trained.runtime, point, seed=number, most=most)
        for number, source in enumerate((data.train, data.validation, data.test), 1)
    ]
    arm = trained.job.arm
    groups = receivers_of(seen[0], groups=arm in CLOSELY)
    for group in groups:
        wanted = [task.name for task in data.tasks if arm in CLOSELY or task.name not in group]
        cells = infer(*seen, data.tasks, settings.attack, [group], wanted=wanted)
        test = {cell.wanted: _cell(cell) for cell in cells}
        validation = {cell.wanted: {ATTACK: _on_validation(cell)} for cell in cells}
        yield Measurement(test, {**where, "seen": "+".join(group)}, validation)
    if settings.reconstruct and (arm in CLOSELY or where.get("sigma")):
        yield from _rebuilt(settings, study, trained, seen, groups, where)


def _rebuilt(
    settings: PrivateFeaturesSettings,
    study: Study,
    trained: Trained,
    seen: Sequence[Observed],
    groups: Sequence[Sequence[str]],
    where: dict[str, Any],
) -> Iterator[Profile]:
    """How alike pictures that are rebuilt from what receivers get are to the originals."""
    effort, together = EFFORTS[settings.attack.effort], [group for group in groups if len(group) > 1]
    rebuilt = rebuild(*seen, groups=together, effort=effort, seeds=settings.attack.seeds)
    if (trained.job.repeat, dict(where)) == (0, {}):
        rebuilt.draw(study.out / picture_file(trained.job.arm))
    for entry in rebuilt.entries:
        columns = {"ssim": entry.ssim, "psnr": entry.psnr, "blind ssim": (entry.blind_ssim,) * len(entry.ssim)}
        yield Profile(trained.job.arm, REBUILT, columns, trained.job.repeat, {**where, "seen": entry.seen})


def picture_file(arm: str) -> str:
    """Beside the results: pictures that were rebuilt from what the network of seed 0 sends."""
    return f"rebuilt-{arm}.png"


def _sheets(study: Study) -> Iterator[SampleSheet]:
    for arm in CLOSELY:
        if (study.out / picture_file(arm)).exists():
            alt = "test pictures, and what decoders make of them from what each task is sent"
            yield SampleSheet(arm, picture_file(arm), "Pictures rebuilt from what is sent", alt)


def _cell(cell: Inference) -> dict[str, float]:
    """An entry as metrics of a run."""
    interval = {"low": cell.low, "high": cell.high}
    return {ATTACK: cell.score, BLIND: cell.blind, LABEL_FLOOR: cell.label_floor, **interval}


def _on_validation(cell: Inference) -> float:
    """What the chosen attackers have on validation, mean over their seeds."""
    scores = [cell.validation[name][seed] for seed, name in enumerate(cell.chosen)]
    return sum(scores) / len(scores)
