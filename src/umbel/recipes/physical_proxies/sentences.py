"""The verdict of a study of physical proxies, in sentences."""

from collections.abc import Iterator, Sequence

from umbel.recipes.physical_proxies.measuring import (
    CONSTANT,
    HTER,
    HTER_THERE,
    LIVE_DEPTH,
    MEAN_MAP,
    SIGMA,
    SIGMA_TELLS,
)
from umbel.recipes.physical_proxies.places import ATTACK, SEEN, UNSEEN
from umbel.recipes.physical_proxies.scores import Scores
from umbel.recipes.physical_proxies.settings import BINARY, BINARY_CHANGED, CHANGED, OURS
from umbel.report import REFUTED, Claim, Results
from umbel.study import Values


def verdict(results: Results, scores: Scores, claims: Sequence[Claim]) -> Iterator[str]:
    """Plain sentences, the most important first; what makes no clear difference is called a tie."""
    if {OURS, BINARY} <= set(scores.arms):
        yield from _places(scores)
        yield _thresholds(scores)
        yield _attack(scores)
    if OURS in scores.arms:
        yield from _changes(scores)
        yield from _others(scores)
        yield from _depth(scores)
        yield from _sigma(scores)
        yield from _trainings(scores)
    if missed := [claim.name for claim in claims if claim.state == REFUTED]:
        yield f"Claimed and refuted: {'; '.join(missed)}."
    yield f"Measured on {results.repeats_text}, each with rendered pictures of its own."
    yield (
        "All faces, cameras and attacks are rendered: this compares methods under changes that are known, and does not "
        "measure how well people are told from attacks in the world. No number is for deciding who is let in anywhere."
    )


def compared(values: Values, unit: str = "") -> str:
    """A difference in words: "clearly more (+0.031 ± 0.008)", "a tie (+0.003 ± 0.012)"."""
    estimate = values.estimate
    if not estimate.known:
        return "not measured"
    text = estimate.text(unit, 3)
    if not estimate.has_interval:
        return f"{text} with one seed, which shows nothing"
    word = {1: "clearly more", -1: "clearly less", 0: "a tie"}[estimate.clear_sign]
    return f"{word} ({text})"


def _places(scores: Scores) -> Iterator[str]:
    ours, alone = scores.mean(OURS), scores.mean(BINARY)
    yield (
        f"In places that were not trained on ({', '.join(scores.places)}, one at a time), the detector with physical "
        f"proxies has an AUC of {_number(ours)} and the detector alone {_number(alone)}: {compared(ours - alone)}."
    )
    if len(scores.places) > 1:
        gains = [f"{place} {compared(gain)}" for place, gain in scores.gains(OURS, BINARY).items()]
        yield f"Place by place: {'; '.join(gains)}."


def _thresholds(scores: Scores) -> str:
    here, there = ([scores.mean(arm, metric=name) for arm in (OURS, BINARY)] for name in (HTER, HTER_THERE))
    return (
        f"With the threshold of the places learnt from, HTER there is {_number(here[0])} against {_number(here[1])}: "
        f"{compared(here[0] - here[1])}. HTER saturates at 0.5 when a threshold does not transfer, so that all is "
        "accepted or all refused; how well the scores are ordered is told by AUC. A threshold from the labels of the "
        f"test itself, which nobody has, would give {_number(there[0])} against {_number(there[1])}."
    )


def _attack(scores: Scores) -> str:
    ours, alone = (scores.mean(arm, ATTACK) for arm in (OURS, BINARY))
    return (
        f"Against masks, which no training had, in places that were trained on: AUC {_number(ours)} with proxies, "
        f"{_number(alone)} alone: {compared(ours - alone)}."
    )


def _changes(scores: Scores) -> Iterator[str]:
    """What training pictures changed as by other cameras are worth, alone and beside proxies."""
    alone, both = scores.mean(BINARY_CHANGED), scores.mean(CHANGED)
    if alone.estimate.known:
        yield (
            "Training pictures changed as by other cameras, which need no further labels, give the detector alone an "
            f"AUC of {_number(alone)} in unseen places: against proxies without such changes, "
            f"{compared(alone - scores.mean(OURS))}."
        )
    if alone.estimate.known and both.estimate.known:
        yield f"Proxies beside such changes: AUC {_number(both)}, against the changes alone {compared(both - alone)}."


def _others(scores: Scores) -> Iterator[str]:
    """Ours against every other arm, those with all seeds first."""
    gains = {arm: scores.gain(OURS, arm) for arm in scores.arms if arm not in (OURS, BINARY)}
    gains = {arm: gain for arm, gain in gains.items() if gain.estimate.known}
    if many := [f"{scores.arms[arm]}: {compared(gain)}" for arm, gain in gains.items() if scores.repeated(arm)]:
        yield f"AUC of physical proxies in unseen places against others. {'; '.join(many)}."
    few = [
        f"{scores.title(arm)} {gain.estimate.text('', 3)}" for arm, gain in gains.items() if not scores.repeated(arm)
    ]
    if few:
        yield f"The same against arms with fewer seeds, of which one alone shows nothing. {'; '.join(few)}."


def _depth(scores: Scores) -> Iterator[str]:
    error, constant, floor = (scores.mean(OURS, UNSEEN, name, "depth") for name in (LIVE_DEPTH, CONSTANT, MEAN_MAP))
    if error.estimate.known:
        seen = scores.mean(OURS, SEEN, LIVE_DEPTH, "depth")
        yield (
            f"The depth of live faces is off by {_number(error)} in unseen places and by {_number(seen)} in seen ones "
            f"(MAE); the best constant by {_number(constant)}, the mean map of training faces by {_number(floor)}: "
            f"against the mean map, {compared(error - floor)}."
        )


def _sigma(scores: Scores) -> Iterator[str]:
    more = scores.mean(OURS, UNSEEN, SIGMA) - scores.mean(OURS, SEEN, SIGMA)
    if more.estimate.known:
        yield (
            f"The attention's sigma in unseen places against seen ones: {compared(more)}; it tells the two apart with "
            f"an AUC of {_number(scores.mean(OURS, UNSEEN, SIGMA_TELLS))}, where 0.5 is guessing."
        )


def _trainings(scores: Scores) -> Iterator[str]:
    parts = []
    for arm, title in scores.arms.items():
        chosen = scores.chosen(arm)
        if arm in (OURS, BINARY) and chosen:
            parts.append(f"{title} {sum(part >= 1 for part in chosen)} of {len(chosen)}")
    if parts:
        told = ", ".join(parts)
        yield f"Trainings whose last checkpoint was the best on validation, so that more may be to learn: {told}."


def _number(values: Values) -> str:
    return values.estimate.text("", 3, signed=False, unknown="not known")
