"""Settings of the multi-round study. Free of torch, so that the command's help stays quick."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from umbel.arguments import check_numbers
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError, unknown
from umbel.recipes.communications import LinkSettings, numbers, whole_numbers
from umbel.recipes.settings import DataSettings, check_seeds

Calibration = Literal["range", "per-snr"]
FadeOf = Literal["stage", "picture"]


@dataclass(frozen=True)
class MultiRoundSettings:
    """Rounds on the receiver's feedback, against one round of the same mean delay."""

    data: DataSettings = field(default_factory=lambda: DataSettings(data="mnist", train_size=10000))
    encoder: str = "conv"
    """Encoder of every network; `umbel list` shows them."""
    encoder_options: str = "widths=16/32/64"
    """Options of the encoder."""
    link: LinkSettings = field(default_factory=lambda: LinkSettings(test_snr_db="-5/0/3/5/10"))
    uses: str = "2/4"
    """New channel uses of each round, with / between."""
    single_uses: str = ""
    """Uses of the single-round networks; unset: five from the first round's to the total, evenly spaced."""
    thresholds: str = "0.5/0.6/0.7/0.8/0.9/0.95/0.98/0.99/0.995/0.999/0.9999"
    """Confidences to stop at, each above 0 and at most 1."""
    calibrate: Calibration = "range"
    """A temperature for each round from validation over the training SNRs, or another one at each test SNR."""
    coherence: FadeOf = "stage"
    """Fading: every round has a fade of its own (stage), or all rounds of a picture share it (picture)."""
    feedback_uses: float = 1.0
    """Channel uses of one feedback message, in the chart of what feedback costs."""
    feedback_error: float = 0.1
    """Probability that a feedback message arrives wrong, in the same chart."""
    seeds: int = 3
    """Repetitions, with seeds 0, 1, 2, ..."""
    descent: str = "equal"
    """How conflicts between the rounds are settled; `umbel list` shows the choices."""
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            epochs=15, validate_every=300, learning_rate=2e-3, monitor="loss", clip_norm=1.0, tensorboard=False
        )
    )

    def __post_init__(self) -> None:
        check_numbers(self)
        check_seeds(self.seeds, self.fit.seed)
        if self.calibrate not in get_args(Calibration):
            raise unknown("calibration", self.calibrate, get_args(Calibration))
        if self.coherence not in get_args(FadeOf):
            raise unknown("coherence", self.coherence, get_args(FadeOf))
        if len(self.rounds) < 2:
            raise UmbelError(f"--uses {self.uses}: {len(self.rounds)} round; give at least two, as in 2/4")
        if self.total < self.rounds[0] * 2:
            raise UmbelError(
                f"--uses {self.uses}: the first round takes more than half of all uses, so it cannot be repeated for "
                "the comparison; make it shorter"
            )
        self._check_singles()
        for tau in self.taus:
            if not 0 < tau <= 1:
                raise UmbelError(f"--thresholds {self.thresholds}: {tau:g} is no confidence above 0 and at most 1")
        if not 0 <= self.feedback_uses < float("inf"):
            raise UmbelError(f"--feedback-uses {self.feedback_uses}: give a finite number, at least 0")
        if not 0 <= self.feedback_error <= 0.5:
            raise UmbelError(f"--feedback-error {self.feedback_error}: give a probability from 0 to 0.5")

    def _check_singles(self) -> None:
        if missing := {self.rounds[0], self.total} - set(self.singles):
            raise UmbelError(
                f"--single-uses {self.single_uses}: {min(missing)} is not among them; they must reach from the first "
                f"round's {self.rounds[0]} uses to all rounds' {self.total}"
            )

    @property
    def rounds(self) -> list[int]:
        """New uses of each round."""
        return whole_numbers(self.uses, "--uses")

    @property
    def total(self) -> int:
        """Uses of all rounds."""
        return sum(self.rounds)

    @property
    def singles(self) -> list[int]:
        """Uses of the single-round networks, rising."""
        if self.single_uses.strip():
            return sorted(set(whole_numbers(self.single_uses, "--single-uses")))
        first, last = self.rounds[0], self.total
        return sorted({round(first + step * (last - first) / 4) for step in range(5)})

    @property
    def taus(self) -> list[float]:
        """Thresholds of the curves, rising."""
        return sorted(set(numbers(self.thresholds, "--thresholds")))

    @property
    def named_tau(self) -> float:
        """The threshold nearest to 0.9: the one that is shown over SNR."""
        return min(self.taus, key=lambda tau: abs(tau - 0.9))

    @property
    def middle_snr_db(self) -> float:
        """The test SNR at which claims are judged: the middle one."""
        values = self.link.test_values
        return values[(len(values) - 1) // 2]


QUICK = MultiRoundSettings(
    data=DataSettings(data="digits"),
    encoder_options="widths=16/32",
    link=LinkSettings(train_snr_db="-2/8", test_snr_db="-2/3/8", draws=5),
    uses="2/4",
    single_uses="2/3/4/5/6",
    seeds=2,
    fit=FitSettings(steps=250, validate_every=50, learning_rate=3e-3, monitor="loss", clip_norm=1.0, tensorboard=False),
)
