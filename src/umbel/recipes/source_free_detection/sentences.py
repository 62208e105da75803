"""The verdict of a study of source-free detection, in sentences."""

from collections.abc import Iterator, Sequence

from umbel.recipes.source_free_detection.networks import SCORES as VARIANCES
from umbel.recipes.source_free_detection.scores import Scores
from umbel.recipes.source_free_detection.settings import (
    FAST,
    FIXED,
    NORMS,
    ORACLE,
    OURS,
    PAPER,
    RANDOM,
    REVERSED,
    SLOW,
    SOURCE,
    UNALIGNED,
)
from umbel.report import REFUTED, Claim, Estimate, Results
from umbel.study import Values

POINTS = "points of mAP50"


def verdict(results: Results, scores: Scores, claims: Sequence[Claim]) -> Iterator[str]:
    """Plain sentences, the most important first; what makes no clear difference is called a tie."""
    yield from _gain(scores)
    yield from _rivals(scores)
    yield from _parts(scores)
    yield from _collapse(scores)
    yield from _choice(scores)
    yield from _variance(scores)
    if missed := [claim.name for claim in claims if claim.state == REFUTED]:
        yield f"Claimed and refuted: {'; '.join(missed)}."
    yield (
        f"Measured on {results.repeats_text}, each with a source detector of its own seed and the fold as its test. "
        "Folds share most of their pictures, so their numbers are dependent; intervals are corrected for it "
        "(Nadeau and Bengio), which no correction does exactly."
    )


def compared(value: Estimate, unit: str = POINTS) -> str:
    """A difference in words: "clearly more (+2.1 ± 0.8 points of mAP50)", "a tie (+0.3 ± 1.2 ...)"."""
    if not value.known:
        return "not measured"
    if not value.has_interval:
        return f"{value.text(unit)} in one repeat, which has no interval"
    word = {1: "clearly more", -1: "clearly less", 0: "a tie"}[value.clear_sign]
    return f"{word} ({value.text(unit)})"


def _gain(scores: Scores) -> Iterator[str]:
    before, after = (scores.estimate(scores.precision(arm)) for arm in (SOURCE, OURS))
    if not (before.known and after.known):
        return
    gain = scores.estimate(scores.precision(OURS) - scores.precision(SOURCE))
    sentence = (
        f"On pictures of the target that nobody learnt from, the source's detector has an mAP50 of "
        f"{before.text('', signed=False)} as it is and of {after.text('', signed=False)} adapted without a label: "
        f"{compared(gain)}"
    )
    oracle = scores.estimate(scores.precision(ORACLE))
    yield sentence + (f"; taught with labels it has {oracle.text('', signed=False)}." if oracle.known else ".")


def _rivals(scores: Scores) -> Iterator[str]:
    norms = _over(scores, NORMS)
    if norms.known:
        alone = scores.estimate(scores.precision(NORMS) - scores.precision(SOURCE))
        yield (
            f"Norms re-estimated alone (AdaBN), which need no training, against the source's detector: "
            f"{compared(alone)}. All the rest on top of them: {compared(norms)}."
        )
    names = {SLOW: "a slow mean teacher alone", FAST: "a fast mean teacher", FIXED: "fixed labels"}
    listed = [f"{name} {compared(one)}" for arm, name in names.items() if (one := _over(scores, arm)).known]
    if listed:
        yield f"Adapted, against {'; against '.join(listed)}."


def _parts(scores: Scores) -> Iterator[str]:
    names = {
        UNALIGNED: "no alignment",
        RANDOM: "a split at random",
        REVERSED: "the reversed split",
        PAPER: "the paper's settings",
    }
    listed = [f"{name} {compared(one)}" for arm, name in names.items() if (one := _over(scores, arm)).known]
    if listed:
        yield f"What the parts do, adapted against {'; against '.join(listed)}."


def _over(scores: Scores, arm: str) -> Estimate:
    """By how much our arm is better on the test fold."""
    return scores.estimate(scores.precision(OURS) - scores.precision(arm))


def _collapse(scores: Scores) -> Iterator[str]:
    names = {OURS: "the adaptation", SLOW: "the slow teacher", FAST: "the fast teacher"}
    listed = []
    for arm, name in names.items():
        lost = scores.estimate(scores.peak(arm) - scores.at_last(arm))
        if arm in scores.adapting and lost.known:
            listed.append(f"{name} {lost.text('', signed=False)}")
    if listed:
        yield f"Points of mAP50 below the best of their own curves, {', '.join(listed)} at the last step."


def _choice(scores: Scores) -> Iterator[str]:
    if OURS not in scores.adapting:
        return
    chosen, together = scores.at_chosen(OURS), scores.estimate(scores.stability_tells(scores.adapting))
    lost, won = (scores.estimate(one) for one in (scores.peak(OURS) - chosen, chosen - scores.at_last(OURS)))
    if lost.known:
        yield (
            f"Choosing the step by stability, without labels, costs the adaptation {lost.text('', signed=False)} "
            f"points against the best step and gives {won.text()} against the last; over the checkpoints of all arms "
            f"the rank correlation of stability and mAP50 is {together.text('', 2, unknown='not known')}."
        )


def _variance(scores: Scores) -> Iterator[str]:
    areas = [f"{kind} {_number(scores, scores.tells_mild(kind, VARIANCES[0]))}" for kind in scores.weathers]
    if areas:
        yield (
            f"How well the detection variance (sum, as in the paper) tells mild weather, AUROC: {', '.join(areas)}; "
            "0.5 is guessing."
        )
    if scores.split:
        told = ", ".join(f"{score} {_number(scores, scores.tells_recall(score))}" for score in VARIANCES)
        yield f"On the target, the rank correlation of the variance with recall is, by the way it is made: {told}."


def _number(scores: Scores, values: Values) -> str:
    return scores.estimate(values).text("", 2, signed=False, unknown="not known")
