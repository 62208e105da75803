"""Settings of the study of multi-resolution communications. Free of torch."""

from dataclasses import dataclass, field
from typing import Literal

from umbel.arguments import check_numbers
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError, unknown
from umbel.recipes.communications.settings import LinkSettings, numbers, whole_numbers
from umbel.recipes.settings import DataSettings, check_seeds, names

JOINT, NO_PAST, GREEDY, INDEPENDENT, FIXED = "joint", "no-past", "greedy", "independent", "joint-fixed"
ARMS = (JOINT, NO_PAST, GREEDY, INDEPENDENT, FIXED)
"""What can be trained; "truncated" comes with "independent", the digital chain with any."""
TRUNCATED = "truncated"
COUNTS = {"sscc": "whole file", "sscc-header-free": "header-free"}
"""Arms of the digital chain with the best coding at each SNR -> how they count a file's bytes: all of them, or what
exceeds the codec's smallest file."""
IDEAL = {"capacity": "sscc-capacity", "finite block": "sscc-finite-block"}
"""Bounds -> their arms; as those of `FIXED_CHAIN`, their points say in "count" how bytes are counted."""
FIXED_CHAIN = "sscc-fixed"
"""The arm of the chain whose coding is the best at the design SNR and stays so."""


@dataclass(frozen=True)
class MultiresSettings:
    """Pictures and labels in layers: the method, its ablations, and separate source and channel coding."""

    data: DataSettings = field(default_factory=lambda: DataSettings(data="cifar10", train_size=12_000))
    semantics: str = ""
    """Tasks whose labels are sent beside the picture, with commas between; unset: the first of the set."""
    first_labels: str = ""
    """Tasks that must survive first: layer 1 holds nothing but these labels."""
    uses: str = "128/128/256"
    """Channel uses of each layer, with / between."""
    mode: Literal["quality", "resolution"] = "quality"
    """quality: every layer refines the full picture; resolution: every layer doubles its size."""
    picture_weights: str = "semantic-first"
    """Weight of the picture in each layer, as 0.1/0.5/0.9; semantic-first: rising from 0.3 to 0.7."""
    picture_scale: float = 50.0
    """Factor of the picture's squared error beside the cross-entropy."""
    encoder: str = ""
    """Encoder; unset: pixel."""
    encoder_options: str = ""
    """Options of the encoder; unset: width=48,blocks=2 for pixel."""
    decoder_width: int = 48
    """Channels of the decoders."""
    decoder_blocks: int = 1
    """Residual blocks of the decoders."""
    link: LinkSettings = field(default_factory=lambda: LinkSettings(draws=3))
    arms: str = ",".join(ARMS)
    """Arms to train, with commas between; joint is always among them."""
    greedy_passes: float = 1.0
    """Steps of each stage of the greedy arm, relative to joint training."""
    design_snr_db: float = 10.0
    """SNR for which the fixed digital chain and the joint-fixed arm are designed."""
    codecs: str = "webp"
    """Codecs of the digital chain, with commas between (webp, jxl, jpeg2000, jpeg); none leaves the chain out."""
    sscc_images: int = 500
    """Test pictures for the digital chain."""
    real_decoding: bool = False
    """Decode every block of the digital chain for real, where block error tables would do."""
    descent: str = "equal"
    """How the goals of all layers are settled; `umbel list` shows the ways."""
    seeds: int = 3
    """Repetitions, with seeds 0, 1, 2, ..."""
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            steps=2400,
            batch_size=32,
            learning_rate=2e-3,
            schedule="one-cycle",
            clip_norm=1.0,
            monitor="loss",
            validate_every=600,
            tensorboard=False,
        )
    )

    def __post_init__(self) -> None:
        check_numbers(self, signed=("design_snr_db",))
        check_seeds(self.seeds, self.fit.seed)
        for name in ("decoder_width", "sscc_images"):
            if getattr(self, name) < 1:
                raise UmbelError(f"{name} is {getattr(self, name)}; at least 1 is needed")
        if self.decoder_blocks < 0 or not self.greedy_passes > 0 or not self.picture_scale > 0:
            raise UmbelError("decoder_blocks must not be negative; greedy_passes and picture_scale are greater than 0")
        if self.mode not in ("quality", "resolution"):
            raise unknown("mode", self.mode, ("quality", "resolution"))
        for arm in names(self.arms):
            if arm not in ARMS:
                raise unknown("arm", arm, ARMS)
        self.layer_uses, self.shares()

    @property
    def layer_uses(self) -> list[int]:
        """Channel uses of each layer."""
        return whole_numbers(self.uses, "--uses")

    @property
    def totals(self) -> list[int]:
        """Channel uses up to and with each layer."""
        uses = self.layer_uses
        return [sum(uses[: layer + 1]) for layer in range(len(uses))]

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self.layer_uses)

    @property
    def middle_snr_db(self) -> float:
        """The test SNR at which claims are judged unless they say otherwise: the middle one, of two the lower."""
        values = self.link.test_values
        return values[(len(values) - 1) // 2]

    @property
    def around_design(self) -> tuple[float, float, float]:
        """5 dB below the design SNR, the design SNR, and 5 dB above it."""
        return self.design_snr_db - 5, self.design_snr_db, self.design_snr_db + 5

    @property
    def encoder_text(self) -> str:
        """Options of the encoder, as they are written."""
        return self.encoder_options or ("width=48,blocks=2" if self.encoder in ("", "pixel") else "")

    @property
    def arm_names(self) -> list[str]:
        """The arms that are trained, the method first."""
        return [arm for arm in ARMS if arm == JOINT or arm in names(self.arms)]

    def shares(self) -> list[float]:
        """The picture's weight in each layer.

        Raises:
            UmbelError: Another number of weights than layers, or one outside 0 to 1.
        """
        if self.picture_weights == "semantic-first":
            return [0.7 - 0.4 * left / max(1, self.layers - 1) for left in reversed(range(self.layers))]
        weights = numbers(self.picture_weights, "--picture-weights")
        if len(weights) != self.layers or not all(0 <= weight <= 1 for weight in weights):
            raise UmbelError(
                f"--picture-weights {self.picture_weights}: give {self.layers} numbers from 0 to 1, one for each layer"
            )
        return weights


QUICK = MultiresSettings(
    data=DataSettings(data="digits"),
    uses="4/4/8",
    encoder_options="width=32,blocks=1",
    decoder_width=32,
    picture_scale=20.0,
    link=LinkSettings(test_snr_db="0/5/10", draws=5),
    sscc_images=200,
    seeds=2,
    fit=FitSettings(
        steps=200,
        batch_size=64,
        learning_rate=4e-3,
        schedule="one-cycle",
        clip_norm=1.0,
        monitor="loss",
        precision="float32",
        validate_every=100,
        tensorboard=False,
    ),
)
