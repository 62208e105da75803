"""The networks of the study, each trained once, then measured at every SNR; and the runs that come of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from umbel.channels import Channel, parse_channel
from umbel.core import Learner, OperatingPoint, Task
from umbel.data import MultiTaskData
from umbel.descent import make_descent
from umbel.engine import FitSettings, Predictions, load, load_weights, resolve
from umbel.methods.multi_receiver import ReusedTransmitter, multi_receiver
from umbel.recipes.communications.clean import clean_classifier
from umbel.recipes.communications.predictions import predict_over_points
from umbel.recipes.multi_receiver.settings import MultiReceiverSettings
from umbel.recipes.settings import options
from umbel.recipes.study import Outcome, Study
from umbel.report import Run
from umbel.transmission import SnrRange, StagedLearner

JOINT, SAME, EACH = "joint", "single-same-total", "single-each"
REUSED, WEIGHTS, UNEQUAL = "reused-transmitter", "weights", "unequal"

Metrics = dict[str, dict[str, float]]
"""Task -> metric -> value."""


@dataclass(frozen=True)
class Group:
    """Tasks that share a transmission.

    Attributes:
        name: As "parity/large".
        tasks: One receiver each, in order.
    """

    name: str
    tasks: tuple[Task, ...]

    @property
    def names(self) -> list[str]:
        """Of the tasks."""
        return [task.name for task in self.tasks]


@dataclass
class Network:
    """A trained network that was measured.

    Attributes:
        outcome: Of the training.
        at: Key of a point (see `Bench.points`) -> task -> metric -> value on the test split.
    """

    outcome: Outcome
    at: dict[str, Metrics]

    @property
    def validation(self) -> Metrics:
        """On validation, at the middle of the training range."""
        return {goal.partition("/")[2].rpartition("@")[0]: values for goal, values in self.outcome.validation.items()}


@dataclass
class Bench:
    """What all arms share.

    Attributes:
        study: Folder, processes, progress.
        settings: Of the study.
        fit: How every network is trained, precision resolved.
        data: All tasks.
        groups: Tasks that share a transmission.
        channels: Text of each channel -> the channel.
        runs: What was measured so far.
        outcomes: Arm -> its outcomes, for sizes and times.
    """

    study: Study
    settings: MultiReceiverSettings
    fit: FitSettings
    data: MultiTaskData
    groups: list[Group]
    channels: dict[str, Channel]
    runs: list[Run] = field(default_factory=list)
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)

    def learner(
        self,
        tasks: Sequence[Task],
        channel: str,
        uses: int,
        seed: int,
        weights: Mapping[str, float] | None = None,
        snr_db: SnrRange | Mapping[str, SnrRange] | None = None,
    ) -> StagedLearner:
        """A fresh network: one receiver for each task, called as the task. Every arm has the same parts."""
        receivers = {task.name: [task] for task in tasks}
        snrs = self.settings.link.train_range if snr_db is None else snr_db
        more = options(self.settings.encoder_options, "--encoder-options")
        link, encoder = self.channels[channel], self.settings.encoder or None
        return multi_receiver(self.data.input_shape, receivers, uses, link, weights, snrs, encoder, seed=seed, **more)

    def points(self, group: Group | None) -> dict[str, OperatingPoint]:
        """Where networks are measured: each SNR by its number as text, and "unequal" for the receivers of a group."""
        found = {f"{snr:g}": OperatingPoint(snr_db=float(snr)) for snr in self.settings.link.test_values}
        if group and self.settings.unequal_values:
            first, others = self.settings.unequal_values
            found[UNEQUAL] = OperatingPoint(snr_db={n: others if i else first for i, n in enumerate(group.names)})
        return found

    def network(self, key: str, learner: StagedLearner, seed: int, group: Group | None = None) -> Network:
        """Train (or remember) and measure a network; `learner` ends with its best weights."""
        descent = make_descent(self.settings.descent if group else "equal")
        tasks = [goal.task.name for goal in learner.model.goals]
        data, fit = self.data.only(tasks), self.fit.replace(seed=seed)
        label = key.replace("%2F", "+").replace("/", ", ")
        outcome = self.study.trained(key, learner, descent, data, fit, label=label, tested=False)
        points, draws = self.points(group), self.settings.link.draws
        runtime = self.study.runtime.with_settings(self.fit.precision, 1)

        def measure() -> list[Metrics]:
            heard = predict_over_points(learner, data.test, runtime, list(points.values()), draws=draws)
            return [metrics_of(learner, predictions) for predictions in heard]

        values = self.study.measured(key, "test", measure)
        return Network(outcome, dict(zip(points, values, strict=True)))

    def add(self, arm: str, group: Group, seed: int, networks: Mapping[str, Network], **point: object) -> None:
        """Runs of an arm at every point: task -> the network that predicts it."""
        unique = list({id(n): n for n in networks.values()}.values())
        steps = max(n.outcome.steps for n in unique)
        seconds = sum(n.outcome.seconds for n in unique)
        self.outcomes.setdefault(arm, []).append(merged([n.outcome for n in unique]))
        for key, values in self.points(group).items():
            if any(key not in network.at for network in unique):
                continue
            snr = values["snr_db"] if key != UNEQUAL else values.as_dict()["snr_db"]
            where = {"pair": group.name, **point, "snr_db": snr}
            metrics = {task: network.at[key][task] for task, network in networks.items()}
            valid = {task: network.validation[task] for task, network in networks.items()}
            self.runs.append(Run(arm, seed, metrics, where, valid, steps, seconds))


def merged(outcomes: Sequence[Outcome]) -> Outcome:
    """What several networks cost together."""
    return Outcome(
        test={},
        validation={},
        steps=max(o.steps for o in outcomes),
        best_step=max(o.best_step for o in outcomes),
        seconds_per_step=sum(o.seconds_per_step for o in outcomes),
        seconds=sum(o.seconds for o in outcomes),
        parameters=sum(o.parameters for o in outcomes),
    )


def metrics_of(learner: StagedLearner, predictions: Predictions) -> Metrics:
    """Task -> metric -> value of the predictions of a split."""
    found: Metrics = {}
    for goal in learner.model.goals:
        metrics = {name: make() for name, make in goal.task.metrics.items()}
        for metric in metrics.values():
            goal.task.update(metric, predictions.raw[goal.name], predictions.targets[goal.name])
        found[goal.task.name] = {name: float(metric.compute()) for name, metric in metrics.items()}
    return found


def single_uses(settings: MultiReceiverSettings) -> dict[str, list[int]]:
    """Task -> the uses of its single-task networks: those of the shared transmission, and their even shares."""
    found: dict[str, set[int]] = {}
    for group in settings.groups:
        for task in group:
            found.setdefault(task, set()).update(settings.use_values)
            found[task].update(uses // len(group) for uses in settings.use_values)
    return {task: sorted(uses) for task, uses in found.items()}


def train_seed(bench: Bench, channel: str, seed: int) -> None:
    """All networks of one channel and seed."""
    settings = bench.settings
    singles: dict[tuple[str, int], Network] = {}
    for task, counts in single_uses(settings).items():
        for uses in counts:
            learner = bench.learner([bench.data.task(task)], channel, uses, seed)
            singles[task, uses] = bench.network(_single_key(task, channel, uses, seed), learner, seed)
    for group in bench.groups:
        names, count = group.names, len(group.tasks)
        for uses in settings.use_values:
            where = {"channel": channel, "uses": uses}
            each = {name: singles[name, uses] for name in names}
            share = {name: singles[name, uses // count] for name in names}
            bench.add(EACH, group, seed, each, **where, total_uses=uses * count)
            bench.add(SAME, group, seed, share, **where, total_uses=uses)
            joint = bench.network(
                _key("joint", group, channel, uses, seed), _joint(bench, group, channel, uses, seed), seed, group
            )
            bench.add(JOINT, group, seed, dict.fromkeys(names, joint), **where, total_uses=uses)
            if uses == settings.sweep_uses:
                _train_reused(bench, group, channel, seed)
                _train_unequal(bench, group, channel, seed)
                if channel == next(iter(bench.channels)):
                    _train_weights(bench, group, channel, seed, joint)


def _joint(bench: Bench, group: Group, channel: str, uses: int, seed: int, **more) -> StagedLearner:
    return bench.learner(group.tasks, channel, uses, seed, **more)


def _train_reused(bench: Bench, group: Group, channel: str, seed: int) -> None:
    """Each receiver reads the transmission that was made for the next task alone."""
    uses, found = bench.settings.sweep_uses, {}
    for index, task in enumerate(group.tasks):
        other = group.tasks[(index + 1) % len(group.tasks)]
        source = bench.learner([other], channel, uses, seed)
        load_weights(source, load(resolve(bench.study.folder(_single_key(other.name, channel, uses, seed)))))
        fresh = bench.learner([task], channel, uses, seed)
        learner = ReusedTransmitter(fresh.model, fresh.snr_db, source.model)
        key = f"reused/{_safe(task.name)}-by-{_safe(other.name)}/{_safe(channel)}/uses-{uses}/seed-{seed}"
        found[task.name] = bench.network(key, learner, seed)
    bench.add(REUSED, group, seed, found, channel=channel, uses=uses, total_uses=uses)


def _train_unequal(bench: Bench, group: Group, channel: str, seed: int) -> None:
    """One network for the unequal SNRs: each range reaches from the training range's nearer end to its value."""
    if bench.settings.unequal_values is None:
        return
    uses, (low, high) = bench.settings.sweep_uses, bench.settings.link.train_range
    values = bench.points(group)[UNEQUAL]["snr_db"]
    ranges = {
        name: (min(low, snr), snr) if snr <= (low + high) / 2 else (snr, max(high, snr)) for name, snr in values.items()
    }
    learner = _joint(bench, group, channel, uses, seed, snr_db=ranges)
    network = bench.network(_key("unequal", group, channel, uses, seed), learner, seed, group)
    where = {"channel": channel, "uses": uses, "total_uses": uses}
    bench.add(UNEQUAL, group, seed, dict.fromkeys(group.names, network), **where)


def _train_weights(bench: Bench, group: Group, channel: str, seed: int, joint: Network) -> None:
    """The first task's weight swept; equal weights are the joint network itself."""
    uses, count = bench.settings.sweep_uses, len(group.tasks)
    for weight in bench.settings.weight_values:
        shares = {name: (1 - weight) / (count - 1) if i else weight for i, name in enumerate(group.names)}
        network = joint
        if abs(weight - 1 / count) > 1e-9:
            learner = _joint(bench, group, channel, uses, seed, weights=shares)
            key = _key(f"weights/{weight:g}", group, channel, uses, seed)
            network = bench.network(key, learner, seed, group)
        where = {"channel": channel, "uses": uses, "total_uses": uses, "weight": weight}
        bench.add(WEIGHTS, group, seed, dict.fromkeys(group.names, network), **where)


def train_clean(bench: Bench, task: Task, seed: int) -> tuple[Learner, Outcome]:
    """A classifier of clean pictures, with the same layers: what a digital link's ends decide by."""
    data = bench.data.only([task.name])
    more = options(bench.settings.encoder_options, "--encoder-options")
    learner = clean_classifier(data.input_shape, task, bench.settings.encoder or None, seed=seed, **more)
    key = f"clean/{_safe(task.name)}/seed-{seed}"
    fit = bench.fit.replace(seed=seed)
    return learner, bench.study.trained(
        key, learner, make_descent("equal"), data, fit, label=f"{task.name} of clean pictures, {seed}"
    )


def count_trainings(settings: MultiReceiverSettings) -> int:
    """How many networks the study trains, for the progress."""
    channels, groups, count = len(settings.link.channel_names), settings.groups, 0
    singles = single_uses(settings)
    count += channels * sum(len(uses) for uses in singles.values())
    count += channels * len(groups) * (len(settings.use_values) + (settings.unequal_values is not None))
    count += channels * len({(task, group[(i + 1) % len(group)]) for group in groups for i, task in enumerate(group)})
    count += sum(abs(weight - 1 / len(group)) > 1e-9 for group in groups for weight in settings.weight_values)
    return settings.seeds * (count + (len(singles) if settings.digital else 0))


def _single_key(task: str, channel: str, uses: int, seed: int) -> str:
    return f"single/{_safe(task)}/{_safe(channel)}/uses-{uses}/seed-{seed}"


def _key(arm: str, group: Group, channel: str, uses: int, seed: int) -> str:
    return f"{arm}/{_safe(group.name)}/{_safe(channel)}/uses-{uses}/seed-{seed}"


def _safe(name: str) -> str:
    quoted = quote(name, safe="", errors="surrogatepass")
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted


def channels_of(settings: MultiReceiverSettings) -> dict[str, Channel]:
    """Text -> channel."""
    return {text: parse_channel(text) for text in settings.link.channel_names}
