"""The study of layered transmission: which networks are trained, and what is measured of them over the SNR.

The digital chain that they are compared with is in `digital`; `findings` says what came of it all.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from umbel.channels import parse_channel
from umbel.core import OperatingPoint, Task, UmbelError, unknown
from umbel.data import MultiTaskData
from umbel.engine import evaluate
from umbel.methods.multires_ablations import GreedyStage, joint_again, truncated
from umbel.methods.multires_jscc import PICTURE, attribute_first, multires_goals, multires_jscc
from umbel.metrics import MeanConfidence
from umbel.recipes.build import open_data, with_options
from umbel.recipes.multires_jscc.digital import DigitalChain
from umbel.recipes.multires_jscc.settings import (
    FIXED,
    FIXED_CHAIN,
    GREEDY,
    IDEAL,
    INDEPENDENT,
    JOINT,
    NO_PAST,
    TRUNCATED,
    MultiresSettings,
)
from umbel.recipes.settings import names
from umbel.report import Curve, Results, TaskInfo
from umbel.study import Arm, Bench, Job, Measurement, Study, Trained, Training
from umbel.tasks import picture
from umbel.transmission import Goal, StagedLearner

Metrics = dict[str, dict[str, float]]


def arms(settings: MultiresSettings) -> list[Arm]:
    """The arms, in the order of the tables."""
    largest, cut = OperatingPoint(layer=settings.layers), "of whose code only the first uses arrive"
    chain, count = "codec, CRC, 5G LDPC, QAM", "points say how bytes are counted"
    return [
        Arm(JOINT, "Multi-resolution", "all layers trained at once; decoders read every layer so far"),
        Arm(NO_PAST, "No past layers", "the same, but a decoder reads its own layer alone"),
        Arm(GREEDY, "Greedy", "layers trained one after the other; what came before is frozen"),
        Arm(INDEPENDENT, "Independent", "one network for each number of channel uses, an upper bound"),
        Arm(TRUNCATED, "Cut short", f"the largest independent network, {cut}", of=INDEPENDENT, at=largest),
        Arm(FIXED, "One SNR", "the method, trained at the design SNR alone"),
        Arm("sscc", "Digital, whole file", f"{chain}; best modulation and coding for each SNR; every byte"),
        Arm("sscc-header-free", "Digital, header-free", "the same; only bytes beyond the codec's smallest file count"),
        Arm(FIXED_CHAIN, "Digital, one coding", f"{chain}; the best for {settings.design_snr_db:g} dB; {count}"),
        Arm(IDEAL["capacity"], "Ideal codes, capacity", f"codec and codes that reach capacity; {count}"),
        Arm(IDEAL["finite block"], "Ideal codes, finite blocks", f"codec and the best codes so short; {count}"),
    ]


def multires_study(settings: MultiresSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A setting that cannot work; before anything is trained.
    """
    data = choose_semantics(settings, open_data(settings.data, say=study.reporter.say))
    bench = Bench(study, settings, settings.fit, data, settings.descent)
    if settings.fit.monitor != "loss":
        raise unknown("monitor of this study", settings.fit.monitor, ["loss"])
    digital = DigitalChain(bench)
    bench.check(digital.jobs(), digital.make)
    bench.run(list(jobs(settings)), lambda job: make_training(bench, job), _Measure(settings))
    bench.run(digital.jobs(), digital.make, digital.measure)
    first = settings.link.channel_names[0]
    return bench.results(
        "multires_jscc",
        f"Pictures and labels in {settings.layers} layers over a noisy channel: {data.title}",
        arms(settings),
        tasks=map(TaskInfo.of, (picture(PICTURE, data.input_shape[0]), *data.tasks)),
        counted=lambda job: job.place.get("channel") == first,
        headline=({"snr_db": settings.middle_snr_db, "count": None},),
        facts={"picture_values": math.prod(data.input_shape)},
        curves=tuple(_curves(bench)),
        samples=tuple(digital.sheets()) if study.runtime.is_main else (),
        warnings=(_warning(bench),),
    )


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
    if PICTURE in wanted:
        raise UmbelError(f"a semantic task is called {PICTURE!r}, as the picture itself is; rename the column")
    chosen = data.only(wanted)
    return replace(chosen, tasks=tuple(map(_with_confidence, chosen.tasks)))


def _with_confidence(task: Task) -> Task:
    if task.kind != "classification":
        return task
    return replace(task, metrics={**task.metrics, "confidence": MeanConfidence})


# -- networks ----------------------------------------------------------------------------------------------------------


def jobs(settings: MultiresSettings) -> Iterator[Job]:
    """All networks; each stage of the greedy ones is a job that goes on with the network of the stage before."""
    for seed in range(settings.seeds):
        for channel in settings.link.channel_names:
            for arm in settings.arm_names:
                if arm not in (GREEDY, INDEPENDENT):
                    yield Job.at(arm, seed, channel=channel)
                    continue
                before: tuple[Job, ...] = ()
                for layer in range(1, settings.layers + 1):
                    job = Job.at(arm, seed, *before, channel=channel, layer=layer)
                    yield job
                    before = (job,) if arm == GREEDY else ()


def make_training(bench: Bench[MultiresSettings], job: Job) -> Training:
    """A greedy stage goes on with the network of the stage before it, for as many steps as the settings say."""
    settings = bench.settings
    if job.arm != GREEDY:
        return Training(make_learner(settings, bench.data, job))
    before = bench.learner(job.needs[0]) if job.needs else make_learner(settings, bench.data, job)
    stage = GreedyStage(before.model, settings.link.train_range, job.place["layer"])
    steps = max(1, round(bench.steps * settings.greedy_passes))
    return Training(stage, fit=bench.fit.replace(seed=job.repeat, steps=steps))


def make_learner(settings: MultiresSettings, data: MultiTaskData, job: Job) -> StagedLearner:
    """A fresh network of all layers; for "independent" one of the goals and total uses of the job's layer.

    Raises:
        UmbelError: Encoder, its options or the channel cannot be had.
    """
    channel, goals, uses = parse_channel(job.place["channel"]), joint_goals(settings, data), settings.layer_uses
    if not channel.complex_uses:
        raise UmbelError(
            f"channel {job.place['channel']}: multires_jscc counts complex uses; take awgn, rayleigh or rician"
        )
    if job.arm == INDEPENDENT:
        of_layer = [goal for goal in goals if goal.stage == job.place["layer"]]
        total = sum(goal.weight for goal in of_layer)
        goals = [replace(goal, stage=1, weight=goal.weight / total) for goal in of_layer]
        uses = [settings.totals[job.place["layer"] - 1]]
    about = {
        "seed": job.repeat,
        "combine": "latest" if job.arm == NO_PAST else "concatenate",
        "coherence": "picture",
        "decoder_width": settings.decoder_width,
        "decoder_blocks": settings.decoder_blocks,
    }
    snr_db = (settings.design_snr_db,) * 2 if job.arm == FIXED else settings.link.train_range
    encoder, shape = settings.encoder or None, data.input_shape

    def build(**options: Any) -> StagedLearner:
        return multires_jscc(shape, goals, uses, channel, snr_db, encoder, **about, **options)

    return with_options(settings.encoder_text, build)


def joint_goals(settings: MultiresSettings, data: MultiTaskData) -> list[Goal]:
    """The goals of the method."""
    goals = multires_goals(data.tasks, data.input_shape[0], settings.shares(), settings.mode, settings.picture_scale)
    first = names(settings.first_labels)
    return attribute_first(goals, first) if first else goals


# -- measurement -------------------------------------------------------------------------------------------------------


def snrs_of(settings: MultiresSettings, arm: str) -> list[float]:
    """Where an arm is measured: the SNRs of the test, and 5 dB beside its design for the one made for a single SNR."""
    more = settings.around_design if arm == FIXED else ()
    return sorted({*settings.link.test_values, *more})


class _Measure:
    """What is measured of the networks: every layer at every SNR."""

    def __init__(self, settings: MultiresSettings) -> None:
        self.settings, self.last = settings, settings.layers

    def __call__(self, trained: Trained) -> Iterator[Measurement]:
        """Of the greedy stages the last is measured; to its runs those before it add their time, and nothing else."""
        job, learner = trained.job, trained.model
        layer = job.place.get("layer", 0)
        if job.arm == GREEDY and layer < self.last:
            for snr_db in snrs_of(self.settings, GREEDY):
                yield from (Measurement({}, self._point(job, of, snr_db)) for of in range(1, self.last + 1))
        elif job.arm == GREEDY:
            yield from self._over_snr(trained, GREEDY, joint_again(learner.model, self.settings.link.train_range))
        else:
            yield from self._over_snr(trained, job.arm, learner, layer)
        if job.arm == INDEPENDENT and layer == self.last:
            cut = truncated(learner)
            for earlier in range(1, self.last):
                uses = self.settings.totals[earlier - 1]
                yield from self._over_snr(trained, TRUNCATED, cut, earlier, uses=uses)

    def _point(self, job: Job, layer: int, snr_db: float) -> dict[str, Any]:
        uses = self.settings.totals[layer - 1]
        return {"channel": job.place["channel"], "layer": layer, "uses": uses, "snr_db": snr_db}

    def _over_snr(
        self, trained: Trained, arm: str, learner: StagedLearner, only: int = 0, **sent: Any
    ) -> Iterator[Measurement]:
        """`only` says which layer's place a network of a single stage takes; the joint one also sees validation."""
        data, runtime = trained.data, trained.runtime
        for snr_db in snrs_of(self.settings, arm):
            point = OperatingPoint(snr_db=float(snr_db), **sent)
            test = evaluate(learner, data.test, runtime, point, draws=self.settings.link.draws).metrics
            validation = evaluate(learner, data.validation, runtime, point).metrics if arm == JOINT else {}
            for layer in range(1, self.last + 1):
                goals = [goal for goal in learner.model.goals if (only or goal.stage) == layer]
                if goals:
                    place = self._point(trained.job, layer, snr_db)
                    yield Measurement(_of(goals, test), place, _of(goals, validation), arm=arm)


def _of(goals: list[Goal], metrics: Metrics) -> Metrics:
    """Metrics of goals as those of their tasks; nothing where nothing was measured."""
    return {goal.task.name: metrics[goal.name] for goal in goals} if metrics else {}


def _curves(bench: Bench[MultiresSettings]) -> Iterator[Curve]:
    """Validation metrics of the joint networks' last layer over training, on the first channel."""
    settings = bench.settings
    last = [goal for goal in joint_goals(settings, bench.data) if goal.stage == settings.layers]
    for seed in range(settings.seeds):
        rows = bench.study.log(Job.at(JOINT, seed, channel=settings.link.channel_names[0]).key, "validation")
        for goal in last:
            name, column = goal.task.main_metric, f"{goal.name}/{goal.task.main_metric}"
            if kept := [row for row in rows if column in row]:
                steps, values = [int(row["step"]) for row in kept], [row[column] for row in kept]
                yield Curve(JOINT, seed, name, steps, values, split="validation", task=goal.task.name)


def _warning(bench: Bench[MultiresSettings]) -> str:
    low, high = bench.settings.link.train_range
    return (
        f"Networks were trained at {low:g} to {high:g} dB, for {bench.steps} steps each. "
        "All layers of a picture share one fade, in every arm and in the digital chain."
    )
