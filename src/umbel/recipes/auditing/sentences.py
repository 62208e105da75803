"""An audit in plain sentences."""

import math
from collections.abc import Collection, Iterator, Sequence

from umbel.audit import Audit, Reconstruction
from umbel.audit.encoder import RECEIVER
from umbel.recipes.auditing.leaks import Leak, leaks_of
from umbel.report.summary import point_text

IMPOSSIBLE = (
    "No method can promise that nothing else is told: features with which a task is done well cannot keep every other "
    "attribute from being inferred (Stadler et al., ICML 2024), and these attackers show what they found, never that "
    "there is nothing to be found."
)
_MOST = 6


def sentences(audits: Sequence[Audit], tasks: Collection[str]) -> Iterator[str]:
    """What was found, the worst first; what is guaranteed; and what cannot be.

    Args:
        audits: One for each operating point.
        tasks: Names of the tasks.
    """
    yield from _inferred(audits, tasks)
    yield from _rebuilt(audits, tasks)
    yield from dict.fromkeys(sentence for audit in audits for sentence in _promised(audit))
    yield IMPOSSIBLE


def _inferred(audits: Sequence[Audit], tasks: Collection[str]) -> Iterator[str]:
    leaks = sorted(filter(lambda leak: leak.counts, leaks_of(audits[0])), key=_size, reverse=True)
    if not leaks:
        yield "Nothing was inferred across tasks: there is no task for which some of the features are not meant."
        return
    for leak in leaks[:_MOST]:
        yield _sentence(leak, tasks)
    if rest := leaks[_MOST:]:
        yield f"{len(rest)} more pairs, of which none leaks more, are in the table."
    if turned := [text for audit in audits[1:] if (text := _most(audit, tasks))]:
        yield f"The most that leaks at the other operating points: {'; '.join(turned)}."


def _most(audit: Audit, tasks: Collection[str]) -> str:
    """The worst pair at an operating point; empty where none has a leakage."""
    leaks = [leak for leak in leaks_of(audit) if leak.counts and not math.isnan(leak.share)]
    if not leaks:
        return ""
    worst = max(leaks, key=_size)
    seen = _who(worst.inference.seen, tasks)
    return f"{worst.leakage_text} at {point_text(audit.point)} ({worst.inference.wanted} from what {seen})"


def _size(leak: Leak) -> float:
    """Where a pair stands among the others; what has no leakage stands last."""
    return -math.inf if math.isnan(leak.share) else leak.share


def _sentence(leak: Leak, tasks: Collection[str]) -> str:
    one = leak.inference
    told = f"From what {_who(one.seen, tasks)}, an attacker tells {one.wanted} with {one.metric} {leak.score_text}"
    floor = f"floor {leak.floor_text}"
    if one.floor != one.blind:
        floor += " (what the labels that these features are meant for tell)"
    if math.isnan(leak.ceiling):
        return f"{told}: {floor}; nobody gets features meant for it, so there is no ceiling."
    if math.isnan(leak.share):
        because = "so the floor explains it all" if one.floor != one.blind else "so there is nothing to leak"
        return f"{told}: {floor}, ceiling {leak.ceiling_text}, {because}."
    at_floor = ", no more than the floor" if leak.at_floor else ""
    return f"{told}: {floor}, ceiling {leak.ceiling_text}: normalised leakage {leak.leakage_text}{at_floor}."


def _who(seen: str, tasks: Collection[str]) -> str:
    """Receivers and their verb: "task left gets", "left and right get together", "the encoder gives"."""
    if seen == RECEIVER:
        return "the encoder gives"
    names = seen.split("+")
    if len(names) == 1:
        return f"{'task ' if seen in tasks else ''}{seen} gets"
    return f"{', '.join(names[:-1])} and {names[-1]} get together"


def _promised(audit: Audit) -> Sequence[str]:
    """What is guaranteed to all receivers together where there are several; each one's is in the table."""
    together = [one for one in audit.guarantees if one.startswith("all together")]
    return [*together, *(one for one in audit.guarantees if one.startswith("delta"))] if together else audit.guarantees


def _rebuilt(audits: Sequence[Audit], tasks: Collection[str]) -> Iterator[str]:
    different = {(one.ssim, one.psnr): one for one in reversed(audits[0].reconstruction)}  # not twice the same features
    for one in sorted(different.values(), key=_ssim, reverse=True)[:_MOST]:
        averaged = f", averaged over {one.releases} releases" if one.releases > 1 else ""
        yield (
            f"From what {_who(one.seen, tasks)}{averaged}, a decoder rebuilds the input with SSIM {_ssim(one):.2f} "
            f"[{one.low:.2f}, {one.high:.2f}] and PSNR {sum(one.psnr) / len(one.psnr):.1f} dB; the best picture that "
            f"needs no features has {one.blind_ssim:.2f} and {one.blind_psnr:.1f} dB."
        )


def _ssim(one: Reconstruction) -> float:
    return sum(one.ssim) / len(one.ssim)
