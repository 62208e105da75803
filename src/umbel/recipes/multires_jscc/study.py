"""The study of multi-resolution communications: train every arm on every channel, then say what came of it."""

import dataclasses
import math
from collections.abc import Iterator

from umbel.channels import parse_channel
from umbel.channels.digital import find_codec
from umbel.core import UmbelError, unknown
from umbel.descent import make_descent
from umbel.engine import load, load_weights, resolve
from umbel.methods.multires_jscc import PICTURE
from umbel.recipes.build import columns_text, load_data
from umbel.recipes.communications.measure import over_snr
from umbel.recipes.multires_jscc.arms import (
    Bench,
    choose_semantics,
    count_trainings,
    folder_of,
    joint_goals,
    make_network,
    train_arm,
)
from umbel.recipes.multires_jscc.charts import charts, sheets
from umbel.recipes.multires_jscc.digital import COUNTS, Digital, arm_of, digital_runs, measure_digital
from umbel.recipes.multires_jscc.settings import (
    FIXED,
    GREEDY,
    INDEPENDENT,
    JOINT,
    NO_PAST,
    TRUNCATED,
    MultiresSettings,
)
from umbel.recipes.multires_jscc.verdict import Evidence, claims, verdict
from umbel.recipes.settings import names
from umbel.recipes.study import Study
from umbel.report import Curve, DataInfo, MethodInfo, Results, TaskInfo, describe_environment
from umbel.tasks import picture
from umbel.transmission import StagedLearner

_TEXTS = {
    JOINT: ("Multi-resolution", "all layers trained at once; decoders read every layer so far"),
    NO_PAST: ("No past layers", "the same, but a decoder reads its own layer alone"),
    GREEDY: ("Greedy", "layers trained one after the other; what came before is frozen"),
    INDEPENDENT: ("Independent", "one network for each number of channel uses, an upper bound"),
    TRUNCATED: ("Cut short", "the largest independent network, of whose code only the first uses arrive"),
    FIXED: ("One SNR", "the method, trained at the design SNR alone"),
    "sscc": ("Digital, whole file", "codec, CRC, 5G LDPC, QAM; best modulation and coding for each SNR; every byte"),
    "sscc-header-free": ("Digital, header-free", "the same; only bytes beyond the codec's smallest file count"),
}


def multires_jscc(settings: MultiresSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A setting that cannot work; before anything is trained.
    """
    if text := columns_text(settings.data):
        study.reporter.say(text)
    data = choose_semantics(settings, load_data(settings.data))
    bench = Bench(study, settings, settings.fit, data, joint_goals(settings, data))
    _check(bench)
    bench.fit = study.settle(settings, settings.fit)
    channels = settings.link.channel_names
    study.reporter.expect(count_trainings(settings, len({goal.stage for goal in bench.goals})))
    digital = measure_digital(bench)
    for seed in range(settings.seeds):
        for channel in channels:
            for arm in settings.arm_names:
                train_arm(bench, arm, channel, seed)
    bench.runs += digital_runs(bench, digital)
    return _results(bench, digital)


def _check(bench: Bench) -> None:
    """Find what would stop the study later on, before the folder is claimed."""
    settings, processes = bench.settings, bench.study.runtime.world_size
    make_descent(settings.descent)
    for codec in names(settings.codecs):
        find_codec(codec)
    for channel in settings.link.channel_names:
        if not parse_channel(channel).complex_uses:
            raise UmbelError(f"channel {channel}: multires_jscc counts complex uses; take awgn, rayleigh or rician")
        make_network(bench, JOINT, channel, 0)
    if bench.fit.batch_size % processes:
        raise UmbelError(f"batch size {bench.fit.batch_size} does not divide by {processes} processes")
    if bench.fit.monitor != "loss":
        raise unknown("monitor of this study", bench.fit.monitor, ["loss"])


def _results(bench: Bench, digital: Digital) -> Results:
    settings, study, data = bench.settings, bench.study, bench.data
    networks = {channel: _trained_joint(bench, channel) for channel in settings.link.channel_names}
    semantic = TaskInfo.of(bench.semantics[0])
    evidence = Evidence(settings, bench.runs, digital, semantic, math.prod(data.input_shape))
    found = claims(evidence)
    sizes = {split: len(getattr(data, split)) for split in ("train", "validation", "test")}
    shown = TaskInfo.of(picture(PICTURE, data.input_shape[0]))
    arms = list(dict.fromkeys(run.method for run in bench.runs))
    return Results(
        study="multires_jscc",
        title=f"Pictures and labels in {len(settings.layer_uses)} layers over a noisy channel: {data.title}",
        command=study.command,
        data=DataInfo(data.name, data.title, data.note, sizes),
        tasks=[shown, *map(TaskInfo.of, bench.semantics)],
        methods=[_method(bench, arm) for arm in arms],
        runs=bench.runs,
        settings=dataclasses.asdict(settings),
        environment=describe_environment(bench.fit.precision, _why(bench)),
        curves=list(_curves(bench)),
        samples=list(sheets(bench, digital, networks)) if study.runtime.is_main else (),
        claims=found,
        charts=charts(evidence),
        headline=[{"snr_db": evidence.middle}],
        verdict=verdict(evidence, found, _on_validation(bench, networks)),
        warnings=[*study.warnings, *digital.warnings, *_warnings(bench)],
    )


def _trained_joint(bench: Bench, channel: str) -> StagedLearner:
    learner = make_network(bench, JOINT, channel, 0)
    load_weights(learner, load(resolve(bench.study.folder(_joint_key(channel)))))
    return learner.to(bench.runtime.device).eval()


def _joint_key(channel: str, seed: int = 0) -> str:
    return f"{JOINT}/{folder_of(channel)}/seed-{seed}"


def _on_validation(bench: Bench, networks: dict[str, StagedLearner]) -> dict[str, dict[float, list[float]]]:
    """Channel -> SNR -> PSNR of each layer on validation: where users stop is chosen there."""
    goals = [goal for goal in bench.goals if goal.task.name == PICTURE]
    if bench.settings.mode != "quality" or len(goals) != len(bench.settings.layer_uses):
        return {}
    found = {}
    for channel, learner in networks.items():
        snrs_db, key = bench.settings.link.test_values, _joint_key(channel)
        measured = over_snr(bench.study, key, learner, bench.data.validation, bench.runtime, snrs_db, 1, "validation")
        found[channel] = {snr_db: [metrics[goal.name]["PSNR"] for goal in goals] for snr_db, metrics in measured}
    return found


def _method(bench: Bench, arm: str) -> MethodInfo:
    title, text = _TEXTS[arm]
    if arm in map(arm_of, COUNTS):
        return MethodInfo(arm, title, text)
    source = INDEPENDENT if arm == TRUNCATED else arm
    outcomes = bench.outcomes[source]
    last = len(bench.settings.layer_uses)
    layers = {INDEPENDENT: list(range(1, last + 1)), TRUNCATED: [last]}.get(arm, [0])
    channel = bench.settings.link.channel_names[0]
    count = sum(p.numel() for n in layers for p in make_network(bench, source, channel, 0, n).parameters())
    return MethodInfo(arm, title, text, count, [o.seconds_per_step for o in outcomes if o.seconds_per_step > 0])


def _why(bench: Bench) -> str:
    if bench.settings.fit.precision != "auto":
        return "asked for"
    faster = bench.fit.precision == "bf16"
    return f"a convolution's training step was {'' if faster else 'not '}clearly faster in bf16 when the study began"


def _warnings(bench: Bench) -> list[str]:
    found = []
    if bench.settings.seeds < 3:
        found.append(f"{bench.settings.seeds} seed(s): intervals are wide or missing; use 3 or more to publish.")
    low, high = bench.settings.link.train_range
    found.append(
        f"Networks were trained at {low:g} to {high:g} dB, for {bench.steps} steps each. "
        "All layers of a picture share one fade, in every arm and in the digital chain."
    )
    return found


def _curves(bench: Bench) -> Iterator[Curve]:
    """Validation metrics of the joint networks over training."""
    for channel in bench.settings.link.channel_names:
        for seed in range(bench.settings.seeds):
            yield from _of_network(bench, channel, seed)


def _of_network(bench: Bench, channel: str, seed: int) -> Iterator[Curve]:
    rows = bench.study.log(_joint_key(channel, seed), "validation")
    last = max(goal.stage for goal in bench.goals)
    for goal in (goal for goal in bench.goals if goal.stage == last and channel == _first(bench)):
        column = f"{goal.name}/{goal.task.main_metric}"
        kept = [row for row in rows if column in row]
        if kept:
            steps, values = [int(row["step"]) for row in kept], [row[column] for row in kept]
            yield Curve(JOINT, seed, goal.task.main_metric, steps, values, split="validation", task=goal.task.name)


def _first(bench: Bench) -> str:
    return bench.settings.link.channel_names[0]
