"""Settings of the broadcast study. Free of torch, so that the command's help stays quick."""

from dataclasses import dataclass, field

from umbel.arguments import check_numbers
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError
from umbel.recipes.communications import numbers, whole_numbers
from umbel.recipes.settings import DataSettings, check_seeds

PICTURES = ("picture", "pyramid")
"""Words for what is no task of the set: the picture at full size after every stage, or one that doubles in size."""


@dataclass(frozen=True)
class ReceiverSpec:
    """What one receiver wants, and over what channel.

    Attributes:
        name: Of the receiver.
        tasks: Tasks of the set, or "picture" or "pyramid".
        channel: As `umbel.channels.parse_channel` takes it.
        snr_db: Lowest and highest SNR in training.
    """

    name: str
    tasks: tuple[str, ...]
    channel: str
    snr_db: tuple[float, float]

    @property
    def middle_db(self) -> float:
        """Middle of its SNRs."""
        return sum(self.snr_db) / 2


@dataclass(frozen=True)
class BroadcastSettings:
    """Receivers of one transmission, against a network for each of them."""

    data: DataSettings = field(default_factory=lambda: DataSettings(data="mnist", train_size=10000))
    receivers: str = "watch:digit:awgn:0/5,counter:parity:rayleigh:0/10,screen:picture+digit:rayleigh:5/15"
    """Receivers as name:task+task:channel:lowest/highest SNR in dB, with commas between; a task is one of the set, or
    picture, or pyramid (a picture that doubles in size with every stage). Options of a channel have ; between."""
    uses: str = "49/49"
    """Channel uses of each stage, with / between; a multiple of the feature map's cells keeps places."""
    encoder: str = ""
    """Encoder of every network; unset: one that suits what is wanted."""
    encoder_options: str = ""
    """Options of the encoder and the decoders: "width=32,decoder_width=32"."""
    picture_scale: float = 30.0
    """Factor of the squared error of pictures beside the classes' cross-entropy."""
    test_snr_db: str = "-5/0/5/10/15"
    """SNRs of the evaluation, the same for all receivers, with / between."""
    spare: float = 0.01
    """Accuracy that a receiver gives away, on validation, to leave early."""
    draws: int = 3
    """Noise and fading draws for each sample of an evaluation."""
    seeds: int = 3
    """Repetitions, with seeds 0, 1, 2, ..."""
    descent: str = "equal"
    """How conflicts between receivers and stages are settled; `umbel list` shows the choices."""
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            epochs=15, validate_every=300, learning_rate=2e-3, monitor="loss", clip_norm=1.0, tensorboard=False
        )
    )

    def __post_init__(self) -> None:
        check_numbers(self)
        if not self.picture_scale:
            raise UmbelError("picture_scale is 0; it must be greater than 0")
        check_seeds(self.seeds, self.fit.seed)
        if self.draws < 1:
            raise UmbelError(f"draws is {self.draws}; each sample must be sent at least once")
        if not 0 <= self.spare < 1:
            raise UmbelError(f"--spare {self.spare}: give a part of the samples, at least 0 and below 1")
        _ = self.test_values
        stages, count = self.stages, len(self.specs)
        if len(stages) < 2:
            raise UmbelError(f"--uses {self.uses}: one stage; give at least two, as in 8/8")
        if min(stages) < count:
            raise UmbelError(f"--uses {self.uses}: networks of their own share each stage, so it needs {count} uses")

    @property
    def stages(self) -> list[int]:
        """Uses of each stage."""
        return whole_numbers(self.uses, "--uses")

    @property
    def specs(self) -> list[ReceiverSpec]:
        """The receivers."""
        specs = [_spec(text.strip()) for text in self.receivers.split(",") if text.strip()]
        names = [spec.name for spec in specs]
        if len(set(names)) < max(len(names), 1):
            raise UmbelError(f"--receivers {self.receivers}: give at least one, each with a name of its own")
        return specs

    @property
    def test_values(self) -> list[float]:
        """The SNRs of the evaluation, in dB, rising."""
        return sorted(set(numbers(self.test_snr_db, "--test-snr-db")))

    def own_stages(self, index: int) -> list[int]:
        """Uses of each stage of the network that receiver `index` has for itself: its share of the broadcast's."""
        count = len(self.specs)
        return [uses // count + (index < uses % count) for uses in self.stages]


def _spec(text: str) -> ReceiverSpec:
    """One receiver from its text; a channel may have options of its own after a colon."""
    parts = [part.strip() for part in text.split(":")]
    if len(parts) not in (4, 5) or not all(parts):
        raise UmbelError(f"--receivers: {text!r} is not name:tasks:channel:SNR, as in watch:digit:awgn:0/5")
    name, wanted, *channel, ratio = parts
    tasks = tuple(task.strip() for task in wanted.split("+") if task.strip())
    values = numbers(ratio, f"--receivers {name}: SNR")
    if not tasks or len(set(tasks)) < len(tasks):
        raise UmbelError(f"--receivers: {name} wants {wanted!r}; name each task once, with + between")
    if len(values) > 2 or values[0] > values[-1]:
        raise UmbelError(f"--receivers: {name} has SNR {ratio}; give lowest/highest, or one number")
    return ReceiverSpec(name, tasks, ":".join(channel).replace(";", ","), (values[0], values[-1]))


QUICK = BroadcastSettings(
    data=DataSettings(data="digits"),
    uses="4/8",
    encoder_options="width=32,blocks=1,decoder_width=32,decoder_blocks=1",
    test_snr_db="0/5/10",
    seeds=2,
    fit=FitSettings(steps=200, validate_every=50, learning_rate=3e-3, monitor="loss", clip_norm=1.0, tensorboard=False),
)
