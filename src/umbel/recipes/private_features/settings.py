"""Settings of the private features study. Free of torch, so that the command's help stays quick."""

from dataclasses import dataclass, field, replace

from umbel.arguments import check_numbers
from umbel.audit.settings import ATTACKER_NAMES, AttackSettings, Effort
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError
from umbel.recipes.settings import DataSettings, check_seeds, chosen_arms, names, numbers

OURS, NO_GATES, NO_LOSS, LINEAR = "private", "without-gates", "without-loss", "covariance"
PLAIN, UNIVERSAL, SINGLE, COMPONENTS = "plain-links", "universal", "own-encoders", "components"
REVERSAL, MIN_MAX = "gradient-reversal", "min-max"
NOISY, NOISE_ONLY = "private-noise", "noise-only"
ARMS = (OURS, NO_GATES, NO_LOSS, LINEAR, PLAIN, UNIVERSAL, SINGLE, COMPONENTS, REVERSAL, MIN_MAX, NOISY, NOISE_ONLY)
"""Every arm, in the order of the tables."""
NEEDED = (OURS, PLAIN, UNIVERSAL)
"""Arms that every claim reads."""

FIT = FitSettings(
    steps=1500, learning_rate=2e-3, batch_size=128, validate_every=150, monitor="loss", clip_norm=1.0, tensorboard=False
)
"""How each network of the full study is trained."""


@dataclass(frozen=True)
class PrivateFeaturesSettings:
    """Features of each task's own against others of the same size, judged by attackers."""

    data: DataSettings = field(default_factory=lambda: DataSettings(data="digit-pairs", resolution=14))
    encoder: str = "conv"
    """Encoder of every network; `umbel list` shows them."""
    encoder_options: str = "widths=16/32,norm=group"
    """Options of the encoder: "widths=16/32/64,norm=group"."""
    released: int = 16
    """Numbers that each task is sent; channels, for a task that predicts a map."""
    arms: str = ",".join(ARMS)
    """What is compared, with commas between."""
    decorrelation: str = "30/100/300"
    """Weights of the loss of dependence (HSIC) to choose from on validation, with / between."""
    covariance: str = "4/16/64"
    """Likewise of the loss that sees linear dependence only."""
    reversal: str = "0.1/0.3/1"
    """Weights of the reversed gradient to choose from."""
    confusion: str = "0.1/0.3/1"
    """Weights of the confusion of adversaries to choose from."""
    spare: float = 2.0
    """Points of the tasks' own scores that a weight may cost on validation, against features that all tasks share."""
    sigma: str = "0/0.05/0.1/0.2"
    """Noise of the arms with noise, in clip norms: drawn from these in training, and each is measured."""
    release_norm: float = 1.0
    """Norm that the features of the arms with noise are clipped to."""
    delta: float = 1e-5
    """For the epsilon of the noise."""
    effort: Effort = "quick"
    """Steps and variants that each attacker tries: quick, or full, which takes about four times as long."""
    attackers: str = ",".join(ATTACKER_NAMES)
    """Attackers of other tasks, with commas between; each takes part where it can."""
    attack_samples: int = 12_000
    """Samples that attackers learn from, at most."""
    attack_seeds: int = 1
    """Times that every attacker is trained on each network."""
    reconstruct: bool = True
    """Attack pictures too: rebuild the input from what is sent."""
    seeds: int = 3
    """Repetitions, with seeds 0, 1, 2, ..."""
    descent: str = "equal"
    """How the tasks' conflicts are settled; `umbel list` shows the choices."""
    fit: FitSettings = FIT

    def __post_init__(self) -> None:
        check_numbers(self, {"released": 1})
        check_seeds(self.seeds, self.fit.seed)
        _ = self.chosen_arms
        if not self.release_norm > 0:
            raise UmbelError(
                f"release_norm is {self.release_norm}; noise on what is not clipped is no privacy; above 0"
            )
        if not 0 < self.delta < 1:
            raise UmbelError(f"delta is {self.delta}; it is a probability, above 0 and below 1")
        _ = self.attack
        for flag, values in (
            ("sigma", self.sigmas),
            *((arm, self.weights(arm)) for arm in (OURS, LINEAR, REVERSAL, MIN_MAX)),
        ):
            if min(values) < 0:
                raise UmbelError(f"{flag}: {min(values):g} is below 0; give numbers of at least 0")

    @property
    def chosen_arms(self) -> tuple[str, ...]:
        """The arms that are trained, in the order of the tables."""
        return chosen_arms(self.arms, ARMS, NEEDED)

    @property
    def attack(self) -> AttackSettings:
        """How every network is attacked."""
        return AttackSettings(self.attack_seeds, self.effort, names(self.attackers), self.attack_samples)

    @property
    def sigmas(self) -> list[float]:
        """The noise levels, rising."""
        return sorted(set(numbers(self.sigma, "--sigma")))

    def weights(self, arm: str) -> list[float]:
        """The weights of an arm to choose from, rising; none for an arm without one."""
        texts = {
            OURS: (self.decorrelation, "--decorrelation"),
            NO_GATES: (self.decorrelation, "--decorrelation"),
            LINEAR: (self.covariance, "--covariance"),
            REVERSAL: (self.reversal, "--reversal"),
            MIN_MAX: (self.confusion, "--confusion"),
        }
        return sorted(set(numbers(*texts[arm]))) if arm in texts else []


QUICK = PrivateFeaturesSettings(
    data=DataSettings(data="digits-pairs"),
    encoder_options="widths=16/32,norm=group",
    arms=",".join((OURS, PLAIN, UNIVERSAL, REVERSAL)),
    decorrelation="100",
    reversal="1",
    attackers="linear,mlp",
    attack_samples=4000,
    reconstruct=False,
    seeds=2,
    fit=replace(FIT, steps=400, validate_every=100, learning_rate=3e-3),
)
"""Embedded digits side by side, two seeds."""
