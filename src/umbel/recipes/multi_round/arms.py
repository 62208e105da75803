"""The arms of the multi-round study: which networks are trained, all with the same encoder and the same steps."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import torch

from umbel.channels import Truncate, parse_channel
from umbel.core import Learner, OperatingPoint, Sweep, Task, UmbelError
from umbel.data import MultiTaskData
from umbel.descent import make_descent
from umbel.engine import FitSettings
from umbel.methods.multi_round import check_classification, multi_round
from umbel.recipes.multi_round.settings import MultiRoundSettings
from umbel.recipes.settings import options
from umbel.recipes.study import Outcome, Study
from umbel.transmission import Goal, SnrRange, Stage, StagedLearner, StagedModel, build_transmission

ROUNDS = "multi-round"
LATEST = "no-combine"
REPEAT = "repetition"
SINGLE = "single-round"
PREFIX = "prefix"
RANDOM = "random"
COST = "feedback-cost"
ERROR = "feedback-error"

TITLES = {
    ROUNDS: ("Multi-round", "rounds until the receiver is sure; every decoder reads all rounds so far"),
    LATEST: ("No combining", "the same rounds, but a decoder reads the latest alone"),
    REPEAT: ("Repetition", "the first round's latent again and again, combined by maximum ratio"),
    SINGLE: ("Single round", "a network of its own for each number of uses, all sent at once"),
    PREFIX: ("Cut latent", "one latent of all uses, of which the first ones are sent; trained with random cuts"),
    RANDOM: ("Random escalation", "the multi-round network; as many samples as there end after each round, but any"),
    COST: ("Feedback with cost", "multi-round, where each message of feedback takes channel uses"),
    ERROR: ("Feedback with errors", "multi-round, where messages of feedback arrive wrong now and then"),
}
"""Key of an arm -> title and what it does."""


class PrefixLearner(StagedLearner):
    """One latent that serves every cut: how many of its first uses are sent is drawn anew for each step.

    Args:
        model: One stage over `Truncate`.
        snr_db: Range of the SNR in training.
        cuts: Numbers of uses to draw from; the last one is all.
    """

    def __init__(self, model: StagedModel, snr_db: SnrRange, cuts: list[int]) -> None:
        super().__init__(model, snr_db)
        self.cuts = list(cuts)

    def draw_point(self, generator: torch.Generator, progress: float) -> OperatingPoint:
        """An SNR and a cut."""
        point = super().draw_point(generator, progress)
        drawn = int(torch.randint(len(self.cuts), (), generator=generator))
        return point.with_values(uses=self.cuts[drawn])

    def sweep(self) -> Sweep:
        """The middle of the training range and the middle cut: what validation is measured at."""
        return Sweep([point.with_values(uses=self.cuts[len(self.cuts) // 2]) for point in super().sweep()])


@dataclass(frozen=True)
class Network:
    """One network to train.

    Attributes:
        arm: Its arm.
        channel: As it was written.
        uses: Of its stages.
        seed: Of the repetition.
    """

    arm: str
    channel: str
    uses: tuple[int, ...]
    seed: int

    @property
    def key(self) -> str:
        """Its folder."""
        arm = f"{self.arm}-{self.uses[0]}" if self.arm == SINGLE else self.arm
        return f"{quote(self.channel, safe='')}/{arm}/seed-{self.seed}"


@dataclass
class Bench:
    """What all arms share.

    Attributes:
        study: Folder, processes, progress.
        settings: Of the study.
        fit: How every network is trained, precision resolved.
        data: With the one task only.
        outcomes: Network -> how its training went.
    """

    study: Study
    settings: MultiRoundSettings
    fit: FitSettings
    data: MultiTaskData
    outcomes: dict[Network, Outcome] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """What is predicted."""
        return self.data.tasks[0]


def one_task(data: MultiTaskData) -> MultiTaskData:
    """The data with its first task alone, which must be a classification.

    Raises:
        UmbelError: It is none.
    """
    check_classification(data.tasks[0])
    return data.only([data.tasks[0].name])


def networks(settings: MultiRoundSettings) -> Iterator[Network]:
    """All networks of the study; those of one seed and channel together, single rounds first."""
    rounds, total = settings.rounds, settings.total
    for seed in range(settings.seeds):
        for channel in settings.link.channel_names:
            for uses in settings.singles:
                yield Network(SINGLE, channel, (uses,), seed)
            yield Network(ROUNDS, channel, tuple(rounds), seed)
            yield Network(LATEST, channel, tuple(rounds), seed)
            yield Network(REPEAT, channel, (rounds[0],) * (total // rounds[0]), seed)
            yield Network(PREFIX, channel, (total,), seed)


def make_learner(settings: MultiRoundSettings, data: MultiTaskData, network: Network) -> Learner:
    """A fresh network. The same seed gives the same encoder to every arm."""
    task, channel = data.tasks[0], parse_channel(network.channel)
    chosen = options(settings.encoder_options, "--encoder-options")
    about = {"encoder": settings.encoder or None, "seed": network.seed, "coherence": settings.coherence}
    snr_db = settings.link.train_range
    try:
        if len(network.uses) > 1:
            combine = {LATEST: "latest", REPEAT: "maximum-ratio"}.get(network.arm, "concatenate")
            return multi_round(
                data.input_shape, task, network.uses, channel, snr_db, combine=combine, **about, **chosen
            )
        through = Truncate(channel) if network.arm == PREFIX else channel
        stages, goals = [Stage(network.uses[0])], [Goal(task)]
        model = build_transmission(data.input_shape, stages, goals, through, **about, **chosen)
        return PrefixLearner(model, snr_db, settings.singles) if network.arm == PREFIX else StagedLearner(model, snr_db)
    except (TypeError, ValueError, RuntimeError) as error:  # "widths=wide", say
        if not chosen:
            raise
        raise UmbelError(f"--encoder-options {settings.encoder_options}: no such network ({error})") from error


def train(bench: Bench, network: Network) -> Learner:
    """The network with its best weights, trained now or remembered."""
    learner = make_learner(bench.settings, bench.data, network)
    bench.outcomes[network] = bench.study.trained(
        network.key,
        learner,
        make_descent(bench.settings.descent),
        bench.data,
        replace(bench.fit, seed=network.seed),
        label=f"{network.arm} {'+'.join(map(str, network.uses))}, {network.channel}, seed {network.seed}",
        tested=False,
    )
    return learner
