"""The networks of the study: the method, its ablations, and the classifier of the digital chain."""

import dataclasses
from dataclasses import dataclass, field, replace

from umbel.channels import Channel, parse_channel
from umbel.core import Learner, Task, UmbelError, unknown
from umbel.data import MultiTaskData
from umbel.descent import make_descent
from umbel.engine import FitSettings
from umbel.methods.multires_ablations import GreedyStage, joint_again, truncated
from umbel.methods.multires_jscc import PICTURE, attribute_first, multires_goals, multires_jscc
from umbel.metrics import MeanConfidence
from umbel.nn import build_model
from umbel.recipes.communications.measure import over_snr, runs_of
from umbel.recipes.multires_jscc.settings import FIXED, GREEDY, INDEPENDENT, NO_PAST, TRUNCATED, MultiresSettings
from umbel.recipes.settings import names, options
from umbel.recipes.study import Outcome, Study
from umbel.report import Run
from umbel.transmission import Goal, StagedLearner

CLASSIFIER = "classifier"


@dataclass
class Bench:
    """What all arms of the study share.

    Attributes:
        study: Folder, processes, progress.
        settings: Of the study.
        fit: How every network is trained, precision resolved.
        data: The data with the semantic tasks.
        goals: Of the joint network.
        runs: What was measured on the test split.
        outcomes: Key of an arm -> the outcomes of its trainings.
    """

    study: Study
    settings: MultiresSettings
    fit: FitSettings
    data: MultiTaskData
    goals: list[Goal]
    runs: list[Run] = field(default_factory=list)
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)

    @property
    def semantics(self) -> tuple[Task, ...]:
        """The tasks of the labels."""
        return self.data.tasks

    @property
    def steps(self) -> int:
        """Steps of one joint training."""
        return self.fit.total_steps(self.data.train.steps(self.fit.batch_size))

    @property
    def runtime(self):
        """Device and precision of evaluations."""
        return self.study.runtime.with_settings(self.fit.precision, 1)


def choose_semantics(settings: MultiresSettings, data: MultiTaskData) -> MultiTaskData:
    """The data with the semantic tasks alone; classes are also asked how sure they are.

    Raises:
        UmbelError: No pictures, no such task, or a task that is a picture itself.
    """
    if len(data.input_shape) != 3 or data.input_shape[0] not in (1, 3):
        raise UmbelError(
            f"multires_jscc sends pictures of 1 or 3 channels; {data.name} has inputs of shape {data.input_shape}"
        )
    wanted = list(names(settings.semantics)) or [data.tasks[0].name]
    wanted += [name for name in names(settings.first_labels) if name not in wanted]
    known = [task.name for task in data.tasks]
    for name in wanted:
        if name not in known:
            raise unknown("semantic task", name, known)
    if PICTURE in wanted:
        raise UmbelError(f"a semantic task is called {PICTURE!r}, as the picture itself is; rename the column")
    chosen = data.only(wanted)
    return replace(chosen, tasks=tuple(map(_sure, chosen.tasks)))


def _sure(task: Task) -> Task:
    if task.kind != "classification":
        return task
    return replace(task, metrics={**task.metrics, "confidence": MeanConfidence})


def joint_goals(settings: MultiresSettings, data: MultiTaskData) -> list[Goal]:
    """The goals of the method."""
    goals = multires_goals(data.tasks, data.input_shape[0], settings.shares(), settings.mode, settings.picture_scale)
    first = names(settings.first_labels)
    return attribute_first(goals, first) if first else goals


def make_network(bench: Bench, arm: str, channel: str, seed: int, layer: int = 0) -> StagedLearner:
    """A fresh network of an arm.

    Args:
        bench: What the arms share.
        arm: One of `ARMS`.
        channel: As on the command line.
        seed: Of the start.
        layer: For "independent": the layer whose goals and total uses it has.
    """
    settings, goals, uses = bench.settings, bench.goals, bench.settings.layer_uses
    if arm == INDEPENDENT:
        of_layer = [goal for goal in goals if goal.stage == layer]
        total = sum(goal.weight for goal in of_layer)
        goals = [replace(goal, stage=1, weight=goal.weight / total) for goal in of_layer]
        uses = [settings.totals[layer - 1]]
    snr_db = (settings.design_snr_db,) * 2 if arm == FIXED else settings.link.train_range
    return _built(settings, bench.data, goals, uses, parse_channel(channel), snr_db, seed, arm == NO_PAST)


def _built(settings, data, goals, uses, channel: Channel, snr_db, seed: int, latest: bool) -> StagedLearner:
    text = settings.encoder_options or ("width=48,blocks=2" if settings.encoder in ("", "pixel") else "")
    try:
        return multires_jscc(
            data.input_shape,
            goals,
            uses,
            channel,
            snr_db,
            settings.encoder or None,
            seed=seed,
            combine="latest" if latest else "concatenate",
            coherence="picture",
            decoder_width=settings.decoder_width,
            decoder_blocks=settings.decoder_blocks,
            **options(text, "--encoder-options"),
        )
    except (TypeError, ValueError, RuntimeError) as error:  # "width=wide", say
        raise UmbelError(f"--encoder-options {text}: no such network ({error})") from error


def train_arm(bench: Bench, arm: str, channel: str, seed: int) -> None:
    """Train an arm's networks on one channel and measure them on the test split."""
    if arm == GREEDY:
        _train_greedy(bench, channel, seed)
    elif arm == INDEPENDENT:
        for layer in range(1, len(bench.settings.layer_uses) + 1):
            _train_independent(bench, channel, seed, layer)
    else:
        key = f"{arm}/{folder_of(channel)}/seed-{seed}"
        learner = make_network(bench, arm, channel, seed)
        outcome = train(bench, key, learner, seed, f"{arm}, {channel}, seed {seed}")
        _measure(bench, arm, key, learner, outcome, channel, seed)


def train(bench: Bench, key: str, learner: Learner, seed: int, label: str, steps: int | None = None) -> Outcome:
    """Train one network of the study; its test comes later, at each SNR."""
    outcome = bench.study.trained(
        key,
        learner,
        make_descent(bench.settings.descent),
        bench.data,
        replace(bench.fit, seed=seed, steps=steps or bench.steps),
        describe={"settings": dataclasses.asdict(bench.settings), "key": key},
        label=label,
        tested=False,
    )
    bench.outcomes.setdefault(key.split("/", maxsplit=1)[0], []).append(outcome)
    return outcome


def _train_greedy(bench: Bench, channel: str, seed: int) -> None:
    """Stage after stage on one model; the last checkpoint holds all of it."""
    learner = make_network(bench, GREEDY, channel, seed)
    snr_db = bench.settings.link.train_range
    steps = max(1, round(bench.steps * bench.settings.greedy_passes))
    parts = []
    for stage in sorted({goal.stage for goal in bench.goals}):
        key = f"{GREEDY}/{folder_of(channel)}/stage-{stage}/seed-{seed}"
        label = f"greedy stage {stage}, {channel}, seed {seed}"
        parts.append(train(bench, key, GreedyStage(learner.model, snr_db, stage), seed, label, steps))
    whole = replace(parts[-1], steps=sum(p.steps for p in parts), seconds=sum(p.seconds for p in parts))
    _measure(bench, GREEDY, key, joint_again(learner.model, snr_db), whole, channel, seed)


def _train_independent(bench: Bench, channel: str, seed: int, layer: int) -> None:
    key = f"{INDEPENDENT}/{folder_of(channel)}/uses-{bench.settings.totals[layer - 1]}/seed-{seed}"
    learner = make_network(bench, INDEPENDENT, channel, seed, layer)
    label = f"independent, {bench.settings.totals[layer - 1]} uses, {channel}, seed {seed}"
    outcome = train(bench, key, learner, seed, label)
    _measure(bench, INDEPENDENT, key, learner, outcome, channel, seed, layer)
    if layer == len(bench.settings.layer_uses):
        cut = truncated(learner)
        for earlier, uses in enumerate(bench.settings.totals[:-1], start=1):
            _measure(bench, TRUNCATED, key, cut, outcome, channel, seed, earlier, uses=uses)


def _measure(
    bench: Bench, arm: str, key: str, learner, outcome: Outcome, channel: str, seed: int, layer: int = 0, **point
) -> None:
    """The runs of a trained network over the SNRs. `layer` says which layer's place a single-stage network takes."""
    link, totals = bench.settings.link, bench.settings.totals
    name = "-".join(["test", *(f"{key}-{value}" for key, value in point.items())])
    bench.study.reporter.say(f"measuring {key}" + (f" cut to {point['uses']} uses" if point else ""))
    snrs_db = snrs_of(bench.settings, arm)
    measured = over_snr(bench.study, key, learner, bench.data.test, bench.runtime, snrs_db, link.draws, name, **point)

    def place(goal: Goal) -> tuple[str, dict[str, object]]:
        at = layer or goal.stage
        return goal.task.name, {"layer": at, "uses": totals[at - 1]}

    found = [(snr_db, {goal: dict(values) for goal, values in metrics.items()}) for snr_db, metrics in measured]
    bench.runs += runs_of(arm, seed, outcome, found, learner.model.goals, place, channel=channel)


def snrs_of(settings: MultiresSettings, arm: str) -> list[float]:
    """Where an arm is measured: the SNRs of the test, and 5 dB beside its design for the one made for a single SNR."""
    values = set(settings.link.test_values)
    if arm == FIXED:
        values |= {settings.design_snr_db + shift for shift in (-5.0, 0.0, 5.0)}
    return sorted(values)


def count_trainings(settings: MultiresSettings, layers: int) -> int:
    """How many networks the study trains, the classifier of the digital chain included."""
    networks = sum(layers if arm in (GREEDY, INDEPENDENT) else 1 for arm in settings.arm_names)
    return settings.seeds * len(settings.link.channel_names) * networks + bool(names(settings.codecs))


def train_classifier(bench: Bench, task: Task) -> Learner:
    """A classifier of clean pictures, for what the digital chain delivers."""
    data = bench.data.only([task.name])
    learner = Learner(build_model(data.input_shape, data.tasks, "conv", seed=0), data.tasks)
    bench.study.trained(
        CLASSIFIER,
        learner,
        make_descent("equal"),
        data,
        replace(bench.fit, steps=bench.steps),
        describe={"settings": dataclasses.asdict(bench.settings), "key": CLASSIFIER},
        label=f"classifier of clean pictures ({task.name})",
        tested=False,
    )
    return learner.eval()


def folder_of(channel: str) -> str:
    """A folder's name for a channel."""
    return channel.replace(":", "_").replace(",", "_").replace("=", "-").replace("/", "_")
