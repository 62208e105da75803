"""DP-SGD: what a network learns from one sample is bounded, and hidden in noise."""

from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.arguments import names, real_number, text, whole_number
from umbel.core import (
    Batch,
    Descent,
    Learner,
    Losses,
    OperatingPoint,
    Runtime,
    Sampling,
    UmbelError,
    flatten,
    write,
)
from umbel.descent.private.samples import sample_gradients, trained_by_name
from umbel.descent.private.suited import check_suited
from umbel.privacy import TrainingGuarantee, sampled_noise, training_guarantee, usual_delta


class DPSGD(Descent):
    """Descend the mean of clipped gradients of single samples, with noise: differentially private training.

        g_i    = ∇ Σ_t L_t(sample i)
        update = (Σ_i g_i min(1, C / ||g_i||) + σ C N(0, I)) / (q N)

    C is the clip norm, σ the noise multiplier, q N the batch size that is expected: how many samples really came is not
    told. Every trained parameter gets noise, whether or not a sample taught it; freeze what is not to be trained.
    Samples must come into a batch independently, which `fit` sees to. Batches may be empty.

    The guarantee is about the samples of the training split. It says nothing of the inputs that the network is used on:
    that is `umbel.nn.FeatureRelease`. It holds against whoever does not know the seed, since noise is a function of
    (seed, step), so that runs can be resumed.

    The forward pass sees one sample at a time; noise in it (dropout, channels) is drawn for each. Processes add up
    their clipped sums, and the noise is added once. Pieces (`accumulate`) change nothing: `chunk` saves memory.

    Source: Abadi et al., "Deep learning with differential privacy", CCS 2016.
    Differs from the paper: divides by the expected batch size, as its accounting assumes; losses of several tasks are
    summed before a sample's gradient is clipped; a task's loss on a sample is the mean over the labels of this sample.

    Args:
        clip_norm: C, above 0.
        noise_multiplier: σ, at least 0; unset: 1, or what `epsilon` asks for.
        epsilon: Wished for the whole training, above 0; `fit` finds the noise multiplier.
        delta: Above 0, below 1; unset: the greatest power of ten below 1 / number of samples.
        expected_batch_size: q N, where no `fit` says it: in a loop of one's own.
        auxiliary: Names of the learner's losses beside those of its tasks; each must be a mean over samples.
        chunk: Samples that are taken apart at once; see `sample_gradients`.
        unit: What a sample is, for the guarantee.

    Attributes:
        guarantee: What `fit` promises; None in a loop of one's own.

    Raises:
        UmbelError: An argument out of its range, or both a noise multiplier and an epsilon.
    """

    independent_samples = True

    def __init__(
        self,
        clip_norm: float = 1.0,
        noise_multiplier: float | None = None,
        epsilon: float | None = None,
        delta: float | None = None,
        expected_batch_size: int | None = None,
        auxiliary: Sequence[str] = (),
        chunk: int | None = None,
        unit: str = "sample",
    ) -> None:
        super().__init__()
        if epsilon is not None and noise_multiplier is not None:
            raise UmbelError("dp-sgd takes a noise_multiplier or an epsilon that one is found for; give one of the two")
        if epsilon is None and noise_multiplier is None:
            noise_multiplier = 1.0
        self.clip_norm = _positive(clip_norm, "clip_norm")
        self.noise_multiplier = None if noise_multiplier is None else real_number(noise_multiplier, "noise_multiplier")
        if self.noise_multiplier is not None and self.noise_multiplier < 0:
            raise UmbelError(f"noise_multiplier is {self.noise_multiplier:g}; give a number, at least 0")
        self.epsilon = None if epsilon is None else _positive(epsilon, "epsilon")
        self.delta = None if delta is None else _positive(delta, "delta")
        if self.delta is not None and self.delta >= 1:
            raise UmbelError(f"delta is {self.delta:g}; give a number below 1 / number of samples")
        self.expected_batch_size = expected_batch_size
        if expected_batch_size is not None:
            self.expected_batch_size = whole_number(expected_batch_size, "expected_batch_size", least=1)
        self.auxiliary = names(auxiliary, "auxiliary losses")
        self.chunk = None if chunk is None else whole_number(chunk, "chunk", least=1)
        self.unit = text(unit, "unit of privacy")
        self.guarantee: TrainingGuarantee | None = None
        self._expected, self._noise = self.expected_batch_size, self.noise_multiplier

    def learns_from(self, sampling: Sampling) -> None:
        """Take the expected batch size and account for all steps.

        Raises:
            UmbelError: Samples do not come independently, another batch size was expected, or the accounting fails.
        """
        if not sampling.independent:
            raise UmbelError(
                "dp-sgd needs batches into which every sample comes by itself; draw them by umbel.data.PoissonSource"
            )
        if self.expected_batch_size not in (None, sampling.batch_size):
            raise UmbelError(
                f"expected_batch_size is {self.expected_batch_size}, but batches of {sampling.batch_size} samples are "
                "drawn; leave it out"
            )
        q, steps, samples = sampling.probability, sampling.steps, sampling.samples
        delta = usual_delta(samples) if self.delta is None else self.delta
        noise = sampled_noise(self.epsilon, q, steps, delta) if self.epsilon is not None else self.noise_multiplier
        assert noise is not None, "one of the two was given"
        self.guarantee = training_guarantee(self.clip_norm, noise, q, steps, samples, delta, self.unit)
        self._expected, self._noise = sampling.batch_size, noise

    def prepare(self, learner: Learner) -> None:
        """Refuse layers that mix samples."""
        check_suited(learner)

    def forward(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> Losses:
        """Clip, sum, add noise.

        Raises:
            UmbelError: See `sample_gradients`; nobody said how large a batch is expected, or how much noise.
        """
        if self._expected is None or self._noise is None:
            raise UmbelError(
                "dp-sgd does not know what batch size is expected, or how much noise; train with umbel.fit, or give "
                "expected_batch_size and noise_multiplier"
            )
        check_suited(learner, fixed=True)
        generator = torch.Generator(runtime.device).manual_seed(int(torch.randint(2**62, ())))
        parameters = list(trained_by_name(learner).values())
        sums = [torch.zeros_like(p) for p in parameters]
        losses = _BatchLosses(learner, self.auxiliary, runtime.device)
        for samples in sample_gradients(learner, batch, point, self.auxiliary, self.chunk, runtime):
            for i, more in enumerate(samples.clipped_sum(self.clip_norm)):
                sums[i] += more
            losses.add(samples.means, samples.weights)
        vector = flatten(sums, parameters)
        if runtime.rank == 0:
            noise = torch.randn(vector.shape, generator=generator, dtype=vector.dtype, device=vector.device)
            vector += noise * (self._noise * self.clip_norm)
        write(runtime.sum(vector) / self._expected, parameters)
        return losses.means(runtime)

    def statements(self) -> tuple[str, ...]:
        """The guarantee, with what it does not cover."""
        if self.guarantee is None:
            return ()
        return (
            f"training-set privacy: {self.guarantee}. It says nothing of inputs in use, does not count other trainings "
            "(tuning), and holds while the seed is secret.",
        )


class _BatchLosses:
    """The mean losses of a whole batch, from those of its samples."""

    def __init__(self, learner: Learner, auxiliary: Sequence[str], device: torch.device) -> None:
        self.names = [*(task.name for task in learner.tasks), *auxiliary]
        self.sums = torch.zeros(2, len(self.names), dtype=torch.float64, device=device)

    def add(self, means: Tensor, weights: Tensor) -> None:
        self.sums += torch.stack([(means * weights).sum(0), weights.sum(0)])

    def means(self, runtime: Runtime) -> Losses:
        sums, weights = runtime.sum(self.sums)
        return Losses.of(self.names, (sums / torch.where(weights > 0, weights, 1)).float())


def _positive(value: float, what: str) -> float:
    number = real_number(value, what)
    if number <= 0:
        raise UmbelError(f"{what} is {number:g}; give a number above 0")
    return number
