"""The arms of the multi-round study: which networks are trained, all with the same encoder and the same steps."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from umbel.channels import Truncate, parse_channel
from umbel.core import Learner, Task, UmbelError
from umbel.data import MultiTaskData
from umbel.descent import make_descent
from umbel.engine import FitSettings
from umbel.methods.multi_round import check_classification, multi_round
from umbel.methods.multi_round_ablations import CutModel, PrefixLearner
from umbel.recipes.communications.clean import clean_classifier
from umbel.recipes.multi_round.settings import MultiRoundSettings
from umbel.recipes.settings import options
from umbel.recipes.study import Outcome, Study
from umbel.transmission import Goal, Stage, StagedLearner, build_transmission

ROUNDS = "multi-round"
LATEST = "no-combine"
REPEAT = "repetition"
SINGLE = "single-round"
PREFIX = "prefix"
GENIE = "label-genie"
RANDOM = "random"
COST = "feedback-cost"
ERROR = "feedback-error"

TITLES = {
    ROUNDS: ("Multi-round", "rounds until the receiver is sure; every decoder reads all rounds so far"),
    LATEST: ("No combining", "the same rounds, but a decoder reads the latest alone"),
    REPEAT: ("Repetition", "the first round's latent again and again, combined by maximum ratio"),
    SINGLE: ("Single round", "a network of its own for each number of uses, all sent at once"),
    PREFIX: ("Cut latent", "one latent of all uses, of which the first ones are sent; trained with random cuts"),
    GENIE: (
        "Label genie",
        "the transmitter classifies and sends its label alone, by the best of several textbook signal sets",
    ),
    RANDOM: ("Random escalation", "the multi-round network; as many samples as there end after each round, but any"),
    COST: ("Feedback with cost", "multi-round, where each message of feedback takes channel uses"),
    ERROR: ("Feedback with errors", "multi-round, where messages of feedback arrive wrong now and then"),
}
"""Key of an arm -> title and what it does."""


@dataclass(frozen=True)
class Network:
    """One network to train.

    Attributes:
        arm: Its arm.
        channel: As it was written; empty for the classifier of the label genie, which has none.
        uses: Of its stages; empty likewise.
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
        return f"{quote(self.channel or 'none', safe='')}/{arm}/seed-{self.seed}"

    @property
    def label(self) -> str:
        """For the progress."""
        link = f" {'+'.join(map(str, self.uses))}, {self.channel}" if self.channel else ""
        return f"{self.arm}{link}, seed {self.seed}"


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
        yield Network(GENIE, "", (), seed)
        for channel in settings.link.channel_names:
            for uses in settings.singles:
                yield Network(SINGLE, channel, (uses,), seed)
            yield Network(ROUNDS, channel, tuple(rounds), seed)
            yield Network(LATEST, channel, tuple(rounds), seed)
            yield Network(REPEAT, channel, (rounds[0],) * (total // rounds[0]), seed)
            yield Network(PREFIX, channel, (total,), seed)


def make_learner(settings: MultiRoundSettings, data: MultiTaskData, network: Network) -> Learner:
    """A fresh network. The same seed gives the same encoder to every arm.

    Raises:
        UmbelError: Encoder, its options or the channel cannot be had.
    """
    chosen = options(settings.encoder_options, "--encoder-options")
    try:
        if network.arm == GENIE:
            encoder, seed = settings.encoder or None, network.seed
            return clean_classifier(data.input_shape, data.tasks[0], encoder, seed=seed, **chosen)
        return _over_channel(settings, data, network, chosen)
    except (TypeError, ValueError, RuntimeError) as error:  # "widths=wide", say
        if not chosen:
            raise
        raise UmbelError(f"--encoder-options {settings.encoder_options}: no such network ({error})") from error


def _over_channel(settings: MultiRoundSettings, data: MultiTaskData, network: Network, chosen: dict) -> StagedLearner:
    task, channel, snr_db = data.tasks[0], parse_channel(network.channel), settings.link.train_range
    about = {"encoder": settings.encoder or None, "seed": network.seed, "coherence": settings.coherence, **chosen}
    if len(network.uses) > 1:
        combine = {LATEST: "latest", REPEAT: "maximum-ratio"}.get(network.arm, "concatenate")
        return multi_round(data.input_shape, task, network.uses, channel, snr_db, combine=combine, **about)
    through = Truncate(channel) if network.arm == PREFIX else channel
    model = build_transmission(data.input_shape, [Stage(network.uses[0])], [Goal(task)], through, **about)
    if network.arm != PREFIX:
        return StagedLearner(model, snr_db)
    cut = CutModel(model.encoder, list(model.codes), model.stages, list(model.receivers))
    return PrefixLearner(cut, snr_db, settings.singles)


def train(bench: Bench, network: Network) -> Learner:
    """The network with its best weights, trained now or remembered."""
    learner = make_learner(bench.settings, bench.data, network)
    bench.outcomes[network] = bench.study.trained(
        network.key,
        learner,
        make_descent(bench.settings.descent),
        bench.data,
        replace(bench.fit, seed=network.seed),
        label=network.label,
        tested=network.arm == GENIE,
    )
    return learner
