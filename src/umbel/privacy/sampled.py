"""What training on Poisson-sampled batches with noise guarantees to the samples that a network learnt from."""

import importlib
import logging
import math
from dataclasses import dataclass
from types import ModuleType

from scipy.optimize import brentq

from umbel.arguments import one_of, real_number, text, whole_number
from umbel.errors import UmbelError
from umbel.privacy.gaussian import at_least_0, probability

ACCOUNTANTS = ("pld", "rdp")
"""Privacy loss distributions, which are nearly exact; Rényi differential privacy, a quick upper bound."""

_MEANINGLESS = 50.0  # an epsilon from which nothing follows; its distributions would take minutes
_INTERVAL = 1e-3  # of the grid of privacy losses: errs by a thousandth or so, upwards, and takes well under a second
_PRECISION = 1e-3  # of a noise multiplier that is looked for, relative; always on the careful side
_NO_NOISE, _ALL_NOISE = 1e-3, 1e6  # multipliers below which an epsilon is in millions, and above which it is 0
_SMALLEST = 1e-9  # epsilon that is told from 0
_LEAST_NOISE, _MOST_NOISE = -4.0, 9.0  # logarithms of noise multipliers among which one is looked for


@dataclass(frozen=True)
class TrainingGuarantee:
    """What a training guarantees, with all that an epsilon means nothing without. `str` gives it as one line.

    Attributes:
        epsilon: For all steps together, whoever sees the weights after every step; infinite without noise.
        delta: As asked for.
        unit: What is protected: one of these is there or not (add-remove neighbours).
        clip_norm: Largest norm of one sample's gradient.
        noise_multiplier: Standard deviation of the noise on the sum of the gradients, in multiples of `clip_norm`.
        probability: How likely a sample is to be in a batch, each by itself: q.
        steps: How many batches were drawn.
        samples: How many there are.
        accountant: One of `ACCOUNTANTS`.
    """

    epsilon: float
    delta: float
    unit: str
    clip_norm: float
    noise_multiplier: float
    probability: float
    steps: int
    samples: int
    accountant: str

    def __str__(self) -> str:
        how = (
            f"one {self.unit} of {self.samples:,} in training, add-remove neighbours; clip norm {self.clip_norm:g}, "
            f"noise multiplier {self.noise_multiplier:g}, q {self.probability:.4g}, {self.steps:,} steps"
        )
        if math.isinf(self.epsilon):
            return f"no guarantee: the training has next to no noise ({how})"
        line = f"epsilon {self.epsilon:.2f} at delta {self.delta:g} ({how}; accountant {self.accountant})"
        if self.delta * self.samples >= 1:
            line += f"; a delta of 1/{self.samples} or more allows that a whole sample is given away: lower it"
        return line


def usual_delta(samples: int) -> float:
    """The greatest power of ten below 1 / number of samples.

    Args:
        samples: At least 1.

    Raises:
        UmbelError: Fewer.
    """
    return 10.0 ** -len(str(whole_number(samples, "number of samples", least=1)))


def sampled_epsilon(
    noise_multiplier: float, sampling: float, steps: int, delta: float, accountant: str = "pld"
) -> tuple[float, str]:
    """The epsilon of the Poisson-subsampled Gaussian mechanism after several steps, under add-remove neighbours.

    Each step sums what is clipped to norm C of the samples that were drawn, each with probability q, and adds Gaussian
    noise of standard deviation noise multiplier × C. Privacy loss distributions give the epsilon nearly exactly,
    rounded up; they take minutes where it is large, so from a bound of 50 on the bound itself is given.

    Args:
        noise_multiplier: At least 0; below 0.001 it is no noise.
        sampling: q, above 0, at most 1.
        steps: At least 1.
        delta: Above 0, below 1; well below 1 / number of samples.
        accountant: One of `ACCOUNTANTS`.

    Returns:
        Epsilon, infinite without noise, and which accountant it is of.

    Raises:
        UmbelError: The extra `[privacy]` is missing, or an argument out of its range.

    Source: Abadi et al., "Deep learning with differential privacy", CCS 2016; Mironov, Talwar, Zhang, "Rényi
    differential privacy of the sampled Gaussian mechanism", 2019; Koskela, Jälkö, Honkela, "Computing tight
    differential privacy guarantees using FFT", AISTATS 2020. Computed by dp-accounting.
    """
    one_of(accountant, "accountant", ACCOUNTANTS)
    noise_multiplier, sampling = at_least_0(noise_multiplier, "noise multiplier"), _sampling(sampling)
    steps, delta = whole_number(steps, "steps", least=1), probability(delta)
    if noise_multiplier < _NO_NOISE:
        return math.inf, accountant
    noise_multiplier = min(noise_multiplier, _ALL_NOISE)
    bound = _accounted("rdp", noise_multiplier, sampling, steps, delta)
    if accountant == "rdp" or bound >= _MEANINGLESS:
        return bound, "rdp"
    return min(bound, _accounted("pld", noise_multiplier, sampling, steps, delta)), "pld"


def sampled_noise(epsilon: float, sampling: float, steps: int, delta: float) -> float:
    """The least noise multiplier that gives an epsilon, see `sampled_epsilon`.

    Args:
        epsilon: Above 0.
        sampling: q, above 0, at most 1.
        steps: At least 1.
        delta: Above 0, below 1.

    Returns:
        A noise multiplier, rounded up by at most a thousandth.

    Raises:
        UmbelError: The extra `[privacy]` is missing, no noise gives so small an epsilon, or an argument out of range.
    """
    epsilon = real_number(epsilon, "epsilon")
    if epsilon <= 0:
        raise UmbelError(f"epsilon is {epsilon:g}; give a number above 0")

    def surplus(log_noise: float, accountant: str = "pld") -> float:
        reached = sampled_epsilon(math.exp(log_noise), sampling, steps, delta, accountant)[0]
        return math.log(max(reached, _SMALLEST) / epsilon)

    high = 0.0
    while surplus(high, "rdp") > 0:
        high += 0.5
        if high > _MOST_NOISE:
            raise UmbelError(
                f"epsilon {epsilon:g} needs noise beyond {math.exp(_MOST_NOISE):.0f} clip norms in {steps} steps of "
                f"probability {sampling:g}; allow a larger epsilon, or draw fewer samples in fewer steps"
            )
    high = brentq(surplus, high - 0.5, high, args=("rdp",), xtol=_PRECISION) + _PRECISION if high else high
    low = high - 0.15  # for what the bound asks for is a little more than enough
    while low > _LEAST_NOISE and surplus(low) <= 0:
        low, high = low - 0.5, low
    if surplus(low) <= 0:
        return math.exp(low)
    return math.exp(brentq(surplus, low, high, xtol=_PRECISION / 2) + _PRECISION / 2)


def training_guarantee(
    clip_norm: float,
    noise_multiplier: float,
    sampling: float,
    steps: int,
    samples: int,
    delta: float | None = None,
    unit: str = "sample",
) -> TrainingGuarantee:
    """What a training by DP-SGD guarantees to each sample that it learnt from.

    It holds for the weights after every step, and so for whatever is computed from them alone. It does not cover what
    else was taken from the training samples: scales of inputs and targets, class weights, logged losses of training
    batches, the choice among several trainings (tuning). Nor does it say anything of the inputs that the network is
    used on; that is `guarantee`. It holds as long as nobody knows the seed: whoever does can draw the same noise.

    Args:
        clip_norm: C, above 0.
        noise_multiplier: Noise on the sum of clipped gradients, in multiples of C, at least 0.
        sampling: q, how likely a sample is to be in a batch, each by itself.
        steps: At least 1.
        samples: How many there are.
        delta: Above 0, below 1; unset: `usual_delta`.
        unit: What one sample is, as in "picture", "person": all samples of a person must be one for the latter.

    Raises:
        UmbelError: The extra `[privacy]` is missing, or an argument out of its range.
    """
    clip_norm = real_number(clip_norm, "clip norm")
    if clip_norm <= 0:
        raise UmbelError(f"clip norm is {clip_norm:g}; give a number above 0")
    samples = whole_number(samples, "number of samples", least=1)
    delta = usual_delta(samples) if delta is None else probability(delta)
    epsilon, accountant = sampled_epsilon(noise_multiplier, sampling, steps, delta)
    return TrainingGuarantee(
        epsilon, delta, text(unit, "unit of privacy"), clip_norm, noise_multiplier, sampling, steps, samples, accountant
    )


def most_found(false_positives: float, epsilon: float, delta: float) -> float:
    """The largest part of the members of a training set that any attack can find, at a rate of false alarms.

        min(e^epsilon f + delta, 1 - e^-epsilon (1 - delta - f))

    Args:
        false_positives: f, the part of the others that it takes for members, 0 to 1.
        epsilon: At least 0; may be infinite.
        delta: Above 0, below 1.

    Returns:
        From 0 to 1.

    Raises:
        UmbelError: A number out of its range.

    Source: Kairouz, Oh, Viswanath, "The composition theorem for differential privacy", ICML 2015.
    """
    rate, delta = real_number(false_positives, "rate of false positives"), probability(delta)
    if not 0 <= rate <= 1:
        raise UmbelError(f"rate of false positives is {rate:g}; give a number from 0 to 1")
    if not (isinstance(epsilon, float) and epsilon == math.inf):
        epsilon = at_least_0(epsilon, "epsilon")
    kept = math.exp(-epsilon)
    few = 1.0 if rate + delta > kept else (rate / kept if kept else 0.0) + delta
    return max(0.0, min(1.0, few, 1 - kept * (1 - delta - rate)))


def _sampling(value: float) -> float:
    number = real_number(value, "sampling probability")
    if not 0 < number <= 1:
        raise UmbelError(f"sampling probability is {number:g}; give a number above 0, at most 1")
    return number


def _accounted(accountant: str, noise_multiplier: float, sampling: float, steps: int, delta: float) -> float:
    dp = _dp_accounting()
    part = importlib.import_module(f"dp_accounting.{accountant}")
    neighbours = dp.NeighboringRelation.ADD_OR_REMOVE_ONE
    account = (
        part.PLDAccountant(neighbours, value_discretization_interval=_INTERVAL)
        if accountant == "pld"
        else part.RdpAccountant(neighboring_relation=neighbours)
    )
    event = dp.GaussianDpEvent(noise_multiplier)
    sampled = event if sampling == 1 else dp.PoissonSampledDpEvent(sampling, event)
    quiet = logging.getLogger("absl")  # says of each order that it is left out, which only makes the bound larger
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        account.compose(dp.SelfComposedDpEvent(sampled, steps))
        return float(account.get_epsilon(delta))
    finally:
        quiet.setLevel(level)


def _dp_accounting() -> ModuleType:
    try:
        return importlib.import_module("dp_accounting")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "dp_accounting":
            raise
        raise UmbelError(
            'the epsilon of a training needs the package dp_accounting; run: pip install "umbel[privacy]"'
        ) from error
