"""Membership inference: can it be told from a network's answers on which samples it was trained (LiRA)."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from umbel.arguments import instance
from umbel.audit.ranking import judged, resampled
from umbel.core import UmbelError
from umbel.privacy import TrainingGuarantee, most_found
from umbel.report.records import Record

FALSE_ALARMS = (0.001, 0.01)
"""Rates at which an attack is judged: a few members found for sure are worse than many guessed."""

_OWN_VARIANCE = 64  # networks from which each sample has enough scores for variances of its own
_LEAST = 4  # networks, so that those beside one of them have scores of both kinds


@dataclass(frozen=True)
class Membership(Record):
    """How well an attacker tells members of a training set from others. `str` gives it as a few lines.

    Every network in turn is the one that is attacked, and the others are what the attacker trained for comparison.

    Attributes:
        networks: How many were trained, each on a random half of the samples.
        samples: How many there are.
        auc: Probability that a member is ranked above another sample; 0.5 is guessing.
        auc_low: Lower end of its 95 % interval, over networks and samples.
        auc_high: Upper end.
        rates: Rates of false alarms.
        found: Part of the members that is found at each; NaN where there are too few others to tell.
        found_low: Lower ends of their 95 % intervals.
        found_high: Upper ends.
        allowed: What a guarantee allows any attack to find at each; empty without one.
        guarantee: That guarantee in words; empty without one.
    """

    networks: int
    samples: int
    auc: float
    auc_low: float
    auc_high: float
    rates: tuple[float, ...]
    found: tuple[float, ...]
    found_low: tuple[float, ...]
    found_high: tuple[float, ...]
    allowed: tuple[float, ...] = ()
    guarantee: str = ""

    def under(self, guarantee: TrainingGuarantee) -> "Membership":
        """The same, beside what a guarantee of each of the trainings allows any attack to find.

        Args:
            guarantee: As `DPSGD(...).guarantee` of a training on half of the samples.

        Raises:
            UmbelError: It is something else.
        """
        instance(guarantee, TrainingGuarantee, "the guarantee", "a TrainingGuarantee, as DPSGD(...).guarantee")
        allowed = tuple(most_found(rate, guarantee.epsilon, guarantee.delta) for rate in self.rates)
        return replace(self, allowed=allowed, guarantee=str(guarantee))

    def __str__(self) -> str:
        lines = [
            f"membership, {self.networks} networks, each on a half of {self.samples:,} samples: "
            f"AUC {self.auc:.3f} ({self.auc_low:.3f} to {self.auc_high:.3f}); guessing has 0.5"
        ]
        for i, rate in enumerate(self.rates):
            allowed = f"; the guarantee allows {100 * self.allowed[i]:.3g} %" if self.allowed else ""
            shown = f"{100 * self.found[i]:.3g} % ({100 * self.found_low[i]:.3g} to {100 * self.found_high[i]:.3g})"
            told = "too few samples to tell" if math.isnan(self.found[i]) else f"{shown} of the members are found"
            lines.append(f"at {100 * rate:g} % false alarms: {told}; guessing finds {100 * rate:g} %{allowed}")
        if self.guarantee:
            lines.append(self.guarantee)
        return "\n".join(lines)


def membership(
    scores: Float[Tensor, "networks samples *tasks"],
    members: Bool[Tensor, "networks samples"],
    seed: int = 0,
) -> Membership:
    """Attack every network with all others, and say how many members are found.

    Args:
        scores: How sure each network is of each sample's labels, the higher the surer; see
            `umbel.audit.label_confidence`. NaN where a sample has no label.
        members: Which samples each network was trained on; each sample by chance, independently of all others.
        seed: Of the intervals' draws.

    Raises:
        UmbelError: Fewer than 4 networks, scores that are infinite or of other networks or samples than `members`, or
            a network without members or without others.

    Source: Carlini, Chien, Nasr, Song, Terzis, Tramèr, "Membership inference attacks from first principles", S&P
    2022: LiRA, online, with one query a sample. Differs from the paper: few networks, each of which is attacked with
    the others; tasks count as independent.
    """
    scores, members = _checked(scores, members)
    evidence = likelihood_ratios(scores, members)
    auc, *found = judged(evidence, members, FALSE_ALARMS)
    ends = resampled(evidence, members, FALSE_ALARMS, seed)
    return Membership(
        networks=scores.shape[0],
        samples=scores.shape[1],
        auc=auc,
        auc_low=ends[0][0],
        auc_high=ends[0][1],
        rates=FALSE_ALARMS,
        found=tuple(found),
        found_low=tuple(low for low, _ in ends[1:]),
        found_high=tuple(high for _, high in ends[1:]),
    )


def likelihood_ratios(
    scores: Float[Tensor, "networks samples *tasks"], members: Bool[Tensor, "networks samples"]
) -> Float[Tensor, "networks samples"]:
    """How much likelier each network's score of each sample is if the sample was a member.

        Λ = ln N(s; μ_in, v_in) - ln N(s; μ_out, v_out)

    μ and v are of the scores that the *other* networks give the sample, those that learnt from it (in) and those that
    did not (out). Below 64 networks the variances are shared by all samples. Logarithms of several tasks are added up.

    Args:
        scores: As `membership` takes them.
        members: Likewise.

    Returns:
        0 where nothing can be said: a sample without label, or one that all other networks, or none, learnt from.
    """
    scores = scores.double().reshape(*scores.shape[:2], -1)
    present, known = members[..., None], ~torch.isnan(scores)
    scores = scores.nan_to_num()
    total = torch.zeros(scores.shape, dtype=torch.float64)
    usable = torch.ones_like(known)
    for sign, chosen in ((1.0, present & known), (-1.0, ~present & known)):
        mean, variance, count = _of_others(scores, chosen)
        total += sign * -0.5 * ((scores - mean).square() / variance + variance.log())
        usable &= count > 0
    return torch.where(usable & known, total, 0.0).sum(2)


def _of_others(scores: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and number of the chosen scores of all networks but the one in each row: [networks, n, tasks]."""
    centre = (scores * chosen).sum(0) / chosen.sum(0).clamp(min=1)
    own = torch.where(chosen, scores - centre, 0.0)
    count = chosen.sum(0) - chosen.long()
    sums, squares = own.sum(0) - own, own.square().sum(0) - own.square()
    mean = sums / count.clamp(min=1)
    spread, freedom = (squares - count * mean.square()).clamp(min=0), (count - 1).clamp(min=0)
    shared = spread.sum(1, keepdim=True) / freedom.sum(1, keepdim=True).clamp(min=1)
    variance = spread / freedom.clamp(min=1) if len(scores) >= _OWN_VARIANCE else shared.expand_as(spread)
    least = 1e-6 * shared + torch.finfo(torch.float64).tiny
    return centre + mean, torch.where(freedom > 1, variance, shared).maximum(least), count


def _checked(scores: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    scores, members = scores.detach().cpu(), members.detach().cpu()
    if scores.ndim < 2 or scores.shape[:2] != members.shape or members.dtype != torch.bool:
        raise UmbelError(
            f"membership: scores {list(scores.shape)} and members {list(members.shape)} ({members.dtype}); give scores "
            "[networks, samples] or [networks, samples, tasks] and for each of them whether it was a member"
        )
    if len(scores) < _LEAST:
        raise UmbelError(f"membership: {len(scores)} networks; at least {_LEAST} are needed to compare one with others")
    if bool(torch.isinf(scores).any()):
        raise UmbelError("membership: a score is infinite; clamp losses before they become scores")
    if not bool((members.any(1) & ~members.all(1)).all()):
        raise UmbelError("membership: a network has no member or nobody else; train each on a random half")
    return scores, members
