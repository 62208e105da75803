"""Networks trained on random halves of a set, so that what they know of single samples can be compared."""

from collections.abc import Callable

import torch
from torch import Tensor

from umbel.arguments import whole_number
from umbel.audit.lira import Membership, membership
from umbel.core import Descent, Learner, OperatingPoint, UmbelError
from umbel.data import Source, TensorSource, seeded
from umbel.descent import DPSGD
from umbel.engine import FabricRuntime, FitSettings, fit, open_runtime
from umbel.engine.evaluation import evaluating
from umbel.engine.progress import Reporter, Silent
from umbel.privacy import TrainingGuarantee

_LEAST_LOSS, _MOST_LOSS = 1e-12, 1e4
_MOST_NETWORKS = 10_000


def label_confidence(
    learner: Learner, source: Source, runtime: FabricRuntime, point: OperatingPoint | None = None, seed: int = 0
) -> Tensor:
    """How sure a network is of the labels of each sample: [n, tasks], NaN where a sample is not labelled.

        -ln(exp(loss) - 1)

    which for the cross-entropy is the logit ln(p / (1 - p)) of the probability p of the true label. Over networks it is
    about normal. Losses below 0 count as 0.

    Args:
        learner: Left in the mode it was in.
        source: The samples, in order.
        runtime: Device and precision; every process computes all of it.
        point: Operating point; by default the first of the learner's sweep.
        seed: Of whatever is random in the model.
    """
    point = learner.sweep()[0] if point is None else point
    parts: list[Tensor] = []
    with evaluating(learner, runtime, seed):
        for on_cpu in source.batches(256):
            batch = on_cpu.to(runtime.device)
            with runtime.autocast():
                made = learner.predict(batch, point)
            by_task = [t.sample_losses(made[t.name].double(), t.target_of(batch)) for t in learner.tasks]
            parts.append(torch.stack(by_task, 1).double().clamp(_LEAST_LOSS, _MOST_LOSS).cpu())
    losses = torch.cat(parts)
    return -(losses + torch.log(-torch.expm1(-losses)))  # as above, without overflow


def membership_of_trainings(
    train: Callable[[Tensor, int], Tensor],
    samples: int,
    networks: int = 16,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Membership:
    """Train networks on random halves, and attack each with all others.

    Args:
        train: (samples to learn from, int64 in rising order; seed) -> scores of all samples, [n] or [n, tasks], the
            higher the surer.
        samples: n.
        networks: How many, at least 4; the attack is better with more.
        seed: From which all randomness follows.
        reporter: Is told the progress, in networks.

    Raises:
        UmbelError: Too few networks or samples, or scores of another shape.
    """
    networks = whole_number(networks, "networks of a membership attack", least=4, most=_MOST_NETWORKS)
    samples = whole_number(samples, "samples of a membership attack", least=10)
    reporter = reporter or Silent()
    members = torch.rand(networks, samples, generator=seeded(seed, 19)) < 0.5
    scores: list[Tensor] = []
    reporter.begin("membership", networks)
    for number in range(networks):
        given = train(members[number].nonzero()[:, 0], seeded(seed, 20, number).initial_seed() % 2**31)
        if len(given) != samples or (scores and given.shape != scores[0].shape):
            raise UmbelError(f"membership: scores of shape {list(given.shape)}; give one for each of {samples} samples")
        scores.append(given.detach().cpu())
        reporter.step(number + 1, {})
    reporter.end()
    return membership(torch.stack(scores), members, seed)


def attack_membership(
    make_learner: Callable[[int], Learner],
    descent: Callable[[], Descent],
    train: TensorSource,
    validation: Source,
    settings: FitSettings,
    networks: int = 16,
    runtime: FabricRuntime | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Membership:
    """Find out how well members of a training set are told, by training as a network was trained, on random halves.

    A network that was trained on all samples is not attacked itself: it has no others to be told from. What is found of
    trainings on half of the samples is what to expect of its kind, rather more than less.

    Args:
        make_learner: A seed -> a fresh learner, as the network in question was made.
        descent: Makes the descent that taught it. Where that gives a guarantee, the guarantee is compared.
        train: The samples whose membership is inferred.
        validation: Chooses the best step, as it did.
        settings: As it was trained; the seed is exchanged.
        networks: How many are trained, at least 4.
        runtime: Processes; one by default.
        seed: From which all randomness follows.
        reporter: Is told the progress, in networks.

    Raises:
        UmbelError: Too few networks or samples, or a training fails.
    """
    runtime = runtime or open_runtime()
    whole = TensorSource(train.samples)
    guarantees: list[TrainingGuarantee] = []

    def trained(index: Tensor, own_seed: int) -> Tensor:
        learner, teaching = make_learner(own_seed), descent()
        done = fit(learner, teaching, train.select(index), validation, settings.replace(seed=own_seed), runtime=runtime)
        if isinstance(teaching, DPSGD) and teaching.guarantee is not None:
            guarantees.append(teaching.guarantee)
        return label_confidence(learner, whole, runtime.with_settings(done.settings.precision, 1))

    found = membership_of_trainings(trained, len(train), networks, seed, reporter)
    return found.under(max(guarantees, key=lambda one: one.epsilon)) if guarantees else found
