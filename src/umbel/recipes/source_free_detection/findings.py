"""What came of the study: claims by their intervals, charts, tables and sentences, from its results file alone."""

from collections.abc import Iterator

from umbel.recipes.source_free_detection.listings import listings
from umbel.recipes.source_free_detection.scores import SEEN, Scores, binned
from umbel.recipes.source_free_detection.sentences import verdict
from umbel.recipes.source_free_detection.settings import (
    FAST,
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
from umbel.report import Chart, Claim, Results, Series
from umbel.study import Findings, Values, chart, claim

MOST_WITHOUT, LEAST_WITH_LABELS = 60.0, 85.0
"""mAP50 in points between which there is a gap to close: of the source's detector, and of one taught with labels."""
MOST_LOST = 2.0
"""Points of mAP50 below the curve's peak from which on an adaptation counts as collapsed."""
LEAST_AREA = 0.7
"""Area under the ROC curve from which on the variance tells mild weather."""
SCORE = "sum"
"""How a picture's variance is made for claims: as in the paper."""
_DEPENDENT = "folds are dependent, the interval is corrected for it"
_PARTS = {
    RANDOM: "a split at random",
    REVERSED: "the reversed split",
    UNALIGNED: "no alignment",
    PAPER: "the paper's settings",
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
    """Of the arms that the study has, on the fold that nobody learnt from."""
    yield from _gap(scores)
    yield from _gains(scores)
    yield from _collapse(scores)
    for kind in scores.weathers:
        text = f"the detection variance ({SCORE}) tells mild {kind}, of a strength below the median: AUROC"
        yield _claim(scores, f"variance: mild {kind}", text, scores.tells_mild(kind, SCORE), at_least=LEAST_AREA)
    if scores.split:
        text = f"pictures of a greater detection variance ({SCORE}) have a greater recall: rank correlation"
        yield _claim(scores, "variance: recall", text, scores.tells_recall(SCORE), above=0.0)


def _gap(scores: Scores) -> Iterator[Claim]:
    if SOURCE in scores.arms:
        value, text = (
            scores.precision(SOURCE),
            f"the source's detector leaves a gap: its mAP50 is at most {MOST_WITHOUT:g}",
        )
        yield _claim(scores, "gap: source only", text, value, at_most=MOST_WITHOUT, unit="points")
    if ORACLE in scores.arms:
        value, text = (
            scores.precision(ORACLE),
            f"the gap can be closed: the oracle's mAP50 is at least {LEAST_WITH_LABELS:g}",
        )
        yield _claim(scores, "gap: oracle", text, value, at_least=LEAST_WITH_LABELS, unit="points")


def _gains(scores: Scores) -> Iterator[Claim]:
    """Our arm against each of the others."""
    bars = {
        SOURCE: ("the source's detector as it is", {"at_least": 3.0}),
        NORMS: ("norms re-estimated alone (AdaBN)", {"above": 0.0}),
        SLOW: ("a slow mean teacher alone", {"at_least": 1.0}),
        FAST: ("a fast mean teacher", {"at_least": 5.0}),
        **{arm: (name, {"above": 0.0}) for arm, name in _PARTS.items()},
    }
    for arm, (name, bar) in bars.items():
        if {arm, OURS} <= set(scores.arms):
            least = bar.get("at_least", 0.0)
            points = f"at least {least:g} point{'s' * (least != 1)} " if least else ""
            gain, text = scores.precision(OURS) - scores.precision(arm), f"adapted: mAP50 {points}above that of {name}"
            yield _claim(scores, f"over {arm}", text, gain, unit="points", **bar)


def _collapse(scores: Scores) -> Iterator[Claim]:
    if OURS not in scores.adapting:
        return
    peak = scores.peak(OURS)
    for name, value in {"chosen": scores.at_chosen(OURS), "last": scores.at_last(OURS)}.items():
        text = (
            f"the {name} step of the adaptation is at most {MOST_LOST:g} points of mAP50 below the best of its own "
            "curve (pictures adapted to)"
        )
        yield _claim(scores, f"no collapse: {name} step", text, peak - value, at_most=MOST_LOST, unit="points")


def _claim(scores: Scores, name: str, text: str, value: Values, unit: str = "", **bar: float) -> Claim:
    return claim(name, f"{text}; {_DEPENDENT}", scores.estimate(value), unit=unit, **bar)


# -- charts ----------------------------------------------------------------------------------------------------------


def _charts(scores: Scores) -> Iterator[Chart]:
    yield from _over_steps(scores)
    yield from _of_variance(scores)


def _over_steps(scores: Scores) -> Iterator[Chart]:
    columns = {"mAP50": ("mAP50 on the pictures adapted to, points", 100.0), "stability": ("stability, 0 to 1", 1.0)}
    notes = {
        "mAP50": "Labels draw this chart and choose nothing. Dashed: without steps.",
        "stability": "How well boxes of two views of a picture agree; the step where it is greatest is chosen.",
    }
    for column, (y_label, times) in columns.items():
        lines = [
            scores.line(scores.arms[arm], scores.over_steps(arm, column, times), group=arm) for arm in scores.adapting
        ]
        if not any(lines):
            continue
        if column == "mAP50":
            lines += _without_steps(scores)
        note = f"{notes[column]} The band is the 95 % interval over folds, which are dependent (corrected)."
        yield chart(f"{column} over steps", "steps of adaptation", y_label, lines, note, "Over the steps")


def _without_steps(scores: Scores) -> Iterator[Series | None]:
    """Level lines of what takes no steps, as long as the longest curve."""
    steps = {s for arm in scores.adapting for s in scores.over_steps(arm, "mAP50")}
    for arm in (SOURCE, NORMS):
        if arm in scores.arms and steps:
            level = scores.estimate(scores.precision(arm, SEEN))
            ends = tuple(sorted({min(steps), max(steps)}))
            yield Series(scores.arms[arm], ends, (level.mean,) * len(ends), (), "dashed", arm) if level.known else None


def _of_variance(scores: Scores) -> Iterator[Chart]:
    section, y_label = "What the variance tells", "in parts of the mean over pictures"
    note = "Means of pictures in bins of equal size; the band is the 95 % interval over folds (dependent, corrected)."
    weathers = [scores.line(kind, binned(scores.weather(kind), "strength", SCORE)) for kind in scores.weathers]
    if any(weathers):
        x_label = "strength of the weather, percent of the pictures below"
        yield chart("Variance against weather", x_label, f"variance, {y_label}", weathers, note, section)
    recall = scores.line("recall", binned(scores.split, SCORE, "recall", 5))
    if recall is not None:
        x_label = "detection variance of a picture adapted to, percent of the pictures below"
        yield chart("Recall against variance", x_label, f"recall, {y_label}", [recall], note, section)
