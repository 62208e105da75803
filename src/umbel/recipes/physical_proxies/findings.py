"""What came of the study: claims by their intervals, charts, tables and sentences, from its results file alone."""

from collections.abc import Iterator, Sequence

from umbel.recipes.physical_proxies.listings import listings
from umbel.recipes.physical_proxies.measuring import CONSTANT, HTER, LIVE_DEPTH, MEAN_MAP, SIGMA, SIGMA_TELLS
from umbel.recipes.physical_proxies.places import ATTACK, SEEN, UNSEEN
from umbel.recipes.physical_proxies.scores import Scores, second_least
from umbel.recipes.physical_proxies.sentences import verdict
from umbel.recipes.physical_proxies.settings import (
    AUXILIARY,
    BINARY,
    BINARY_CHANGED,
    CENTRAL,
    CHANGED,
    DEPTH,
    LEARNT,
    MATERIAL,
    MINED,
    NO_ATTENTION,
    NO_MINING,
    NO_REGULARISER,
    OURS,
    REFLECTION,
    SIGMOID,
    SINGLE_SIDE,
    SOFTMAX,
    TEXTURE,
)
from umbel.report import Chart, Claim, Results, Series
from umbel.study import Findings, Values, chart, claim, line

GAIN = 0.03
"""By how much the AUC of unseen places is to be above that of the detector alone, and HTER below it."""
PART = 0.25
"""Part of a constant's error that the depth of live faces may have."""
WANTED, OF = 3, 4
"""In how many of how many places the gain is wanted."""
RIVALS = (BINARY, AUXILIARY, SINGLE_SIDE, BINARY_CHANGED, CENTRAL, TEXTURE)
"""Whose AUC is to be exceeded; a rival with fewer seeds than ours is in the tables alone."""
KINDS = (SEEN, UNSEEN, ATTACK)
_LINES = {
    **dict.fromkeys((OURS, BINARY, AUXILIARY, SINGLE_SIDE, BINARY_CHANGED, CHANGED), "line"),
    **dict.fromkeys((CENTRAL, TEXTURE), "dashed"),
}
_PARTS = {
    "Proxies, mining and camera changes": (
        DEPTH,
        REFLECTION,
        MATERIAL,
        BINARY,
        MINED,
        NO_MINING,
        BINARY_CHANGED,
        CHANGED,
    ),
    "Ways to weigh": (NO_ATTENTION, SIGMOID, SOFTMAX, LEARNT, NO_REGULARISER, AUXILIARY),
}


def findings(results: Results) -> Findings:
    """All that follows from the results file."""
    scores = Scores(results)
    claims = tuple(_claims(scores))
    return Findings(
        claims=claims,
        charts=tuple(_charts(scores)),
        listings=tuple(listings(scores)),
        verdict=tuple(verdict(results, scores, claims)),
    )


# -- claims ----------------------------------------------------------------------------------------------------------


def _claims(scores: Scores) -> Iterator[Claim]:
    """Of the arms that the study has; every difference is one of the same seed."""
    if OURS not in scores.arms:
        return
    if BINARY in scores.arms:
        yield from _over_binary(scores)
    for rival in RIVALS:
        if scores.repeated(rival):
            gain = scores.gain(OURS, rival)
            text = f"unseen places, mean over them: AUC above that of {scores.arms[rival]}"
            yield claim(f"over {rival}", text, gain, above=0.0, unit="")
    if scores.repeated(BINARY_CHANGED) and scores.repeated(CHANGED):
        gain = scores.gain(CHANGED, BINARY_CHANGED)
        text = (
            f"unseen places, mean over them: AUC of {scores.arms[CHANGED]} above that of {scores.arms[BINARY_CHANGED]}"
        )
        yield claim("beside camera changes", text, gain, above=0.0, unit="")
    yield from _depth(scores)
    yield from _sigma(scores)


def _over_binary(scores: Scores) -> Iterator[Claim]:
    gains = scores.gains(OURS, BINARY)
    for place, gain in gains.items():
        text = f"place {place} unseen: AUC at least {GAIN:g} above that of the detector alone"
        yield claim(f"place {place}", text, gain, at_least=GAIN, unit="")
    if len(gains) == OF:
        text = (
            f"AUC at least {GAIN:g} above that of the detector alone in at least {WANTED} of {OF} unseen places (the "
            "second least gain of each seed)"
        )
        yield claim(f"{WANTED} of {OF} places", text, second_least(list(gains.values())), at_least=GAIN, unit="")
    ours, alone = (scores.mean(arm).estimate.text("", 3, signed=False) for arm in (OURS, BINARY))
    difference = scores.mean(OURS, metric=HTER) - scores.mean(BINARY, metric=HTER)
    text = (
        f"unseen places, mean over them: HTER at least {GAIN:g} below that of the detector alone (it saturates at 0.5; "
        f"AUC beside it: {ours} against {alone})"
    )
    yield claim("HTER", text, difference, at_most=-GAIN, unit="")
    attack = scores.gain(OURS, BINARY, ATTACK)
    text = "unseen attack (masks in seen places), mean over trainings: AUC above that of the detector alone"
    yield claim("unseen attack", text, attack, above=0.0, unit="")


def _depth(scores: Scores) -> Iterator[Claim]:
    for pictures in (UNSEEN, SEEN):
        error, constant = (scores.mean(OURS, pictures, metric, "depth") for metric in (LIVE_DEPTH, CONSTANT))
        text = f"live depth, {pictures}: MAE at most {PART:g} of the best constant's"
        yield claim(f"depth: {pictures}", text, error / constant, at_most=PART, unit="")
    floor = scores.mean(OURS, UNSEEN, MEAN_MAP, "depth")
    text = f"live depth, {UNSEEN}: MAE below that of the mean map of live training faces"
    yield claim("depth: mean map", text, scores.mean(OURS, UNSEEN, LIVE_DEPTH, "depth") - floor, below=0.0, unit="")


def _sigma(scores: Scores) -> Iterator[Claim]:
    more = scores.mean(OURS, UNSEEN, SIGMA) - scores.mean(OURS, SEEN, SIGMA)
    text = "the attention's mean sigma is higher in unseen places than in seen ones: difference"
    yield claim("sigma", text, more, above=0.0, unit="")
    text = "sigma tells samples of the unseen place from those of seen ones better than guessing: AUC"
    yield claim("sigma tells", text, scores.mean(OURS, UNSEEN, SIGMA_TELLS), above=0.5, unit="")


# -- charts ----------------------------------------------------------------------------------------------------------


def _charts(scores: Scores) -> Iterator[Chart]:
    yield from _by_place(scores)
    yield from _errors(scores)
    yield from _parts(scores)


def _by_place(scores: Scores) -> Iterator[Chart]:
    lines = [
        line(scores.arms[arm], {x: scores.at(arm, place) for x, place in enumerate(scores.places, 1)}, style, arm)
        for arm, style in _LINES.items()
        if arm in scores.arms
    ]
    note = "Lines join what belongs to one arm; places have no order. Bars: 95 %, over seeds. 0.5 is guessing."
    yield from _drawn("AUC on the place held out", _numbered("place", scores.places), "AUC", lines, note, "Places")


def _errors(scores: Scores) -> Iterator[Chart]:
    note = (
        "Mean over the places held out at the same part of accepted attacks, then over seeds; bars: 95 %. Each curve "
        "was thinned out to 60 points, between which it is drawn straight."
    )
    for pictures in KINDS:
        lines = [line(title, scores.rejections(arm, pictures), group=arm) for arm, title in scores.arms.items()]
        labels = "part of the attacks that is accepted", "part of the live faces that is refused"
        yield from _drawn(f"Errors at every threshold: {pictures}", *labels, lines, note, "Thresholds", log_x=True)


def _parts(scores: Scores) -> Iterator[Chart]:
    note = (
        "Means over the places that both have; differences of the same seed. Bars: 95 %, over seeds; without: trained "
        "with one seed, which shows nothing by itself."
    )
    for title, arms in _PARTS.items():
        lines = [
            line(scores.title(arm), _against_ours(scores, arm), group=arm)
            for arm in arms
            if {arm, OURS} <= set(scores.arms)
        ]
        y_label = f"AUC minus that of {scores.arms.get(OURS, OURS)}"
        yield from _drawn(title, _numbered("pictures", KINDS), y_label, lines, note, "Parts")


def _against_ours(scores: Scores, arm: str) -> dict[float, Values]:
    return {x: scores.gain(arm, OURS, pictures) for x, pictures in enumerate(KINDS, 1)}


def _numbered(what: str, names: Sequence[str]) -> str:
    return f"{what} ({', '.join(f'{number} {name}' for number, name in enumerate(names, 1))})"


def _drawn(
    title: str, x_label: str, y_label: str, lines: Sequence[Series | None], note: str, section: str, **more: bool
) -> Iterator[Chart]:
    """The chart, where something was measured."""
    if any(lines):
        yield chart(title, x_label, y_label, lines, note, section, **more)
