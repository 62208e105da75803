"""Tables of a study of source-free detection: all arms, what the variance tells, choosing without labels."""

from collections.abc import Iterator, Sequence

from umbel.recipes.source_free_detection.networks import SCORES as VARIANCES
from umbel.recipes.source_free_detection.scores import OWN, SEEN, TEST, Scores
from umbel.recipes.source_free_detection.settings import SOURCE
from umbel.report import Estimate, Listing
from umbel.study import Values

NOTE = (
    "±: 95 %; folds are dependent, since they share most of their pictures, and the interval is corrected for it "
    "(Nadeau and Bengio: the variance times 1/k + test/training pictures instead of 1/k)."
)
"""Under every table."""


def listings(scores: Scores) -> Iterator[Listing]:
    """The tables for which something was measured."""
    parts = (_arms(scores), _variance(scores), _chosen(scores))
    yield from (part for part in parts if part is not None)


def told(value: Estimate, places: int = 1, signed: bool = False) -> str:
    """A mean and its half width; "-" where nothing was measured."""
    return value.text("", places, signed, unknown="-")


def _arms(scores: Scores) -> Listing | None:
    rows = []
    for arm, title in scores.arms.items():
        numbers = [scores.precision(arm, place, metric) for place in (TEST, SEEN, OWN) for metric in ("mAP50", "mAP")]
        gain = scores.precision(arm) - scores.precision(SOURCE) if arm != SOURCE else Values({})
        texts = [told(scores.estimate(values)) for values in numbers]
        if any(text != "-" for text in texts):
            rows.append((title, texts[0], told(scores.estimate(gain), signed=True), *texts[1:]))
    columns = (
        "test fold, mAP50",
        "over source only",
        "test fold, mAP",
        "adapted to, mAP50",
        "adapted to, mAP",
        "source, mAP50",
        "source, mAP",
    )
    note = (
        "Points. Test fold: pictures of the target that nobody learnt from; adapted to: the other folds, whose labels "
        "only the oracle saw; source: its own test pictures. Differences are taken repeat by repeat. "
    )
    return _listing("All arms on three kinds of pictures", "arm", columns, rows, note)


def _variance(scores: Scores) -> Listing | None:
    rows = []
    for kind in scores.weathers:
        for score in VARIANCES:
            area, strength = (f(kind, score) for f in (scores.tells_mild, scores.tells_strength))
            rows.append((f"{kind}, {score}", _two(scores, area), _two(scores, strength), "-"))
    for score in VARIANCES if scores.split else ():
        rows.append((f"target, {score}", "-", "-", _two(scores, scores.tells_recall(score))))
    columns = ("AUROC of mild weather", "rank correlation with strength", "rank correlation with recall")
    note = (
        "Of the source's detector, by three ways to make a picture's number. Mild: strength below the median; the "
        "pictures of the weather are the same for every repeat, so that their intervals are over detectors alone. "
        "Target: the pictures adapted to; recall at the detector's own thresholds. "
    )
    return _listing("What the detection variance tells", "pictures and number", columns, rows, note)


def _two(scores: Scores, values: Values) -> str:
    return told(scores.estimate(values), 2)


def _chosen(scores: Scores) -> Listing | None:
    rows = []
    for arm in scores.adapting:
        peak, chosen, last = scores.peak(arm), scores.at_chosen(arm), scores.at_last(arm)
        precisions = [told(scores.estimate(values)) for values in (peak, chosen, last)]
        differences = [told(scores.estimate(chosen - other), signed=True) for other in (peak, last)]
        rows.append((scores.arms[arm], _two(scores, scores.stability_tells([arm])), *precisions, *differences))
    if rows:
        together = _two(scores, scores.stability_tells(scores.adapting))
        rows.append(("all arms together", together, "-", "-", "-", "-", "-"))
    columns = (
        "rank correlation of stability and mAP50",
        "mAP50 at the peak",
        "chosen",
        "last",
        "chosen against peak",
        "chosen against last",
    )
    note = (
        "Over the checkpoints of a repeat, on the pictures adapted to. The step is chosen by stability, without "
        "labels; the peak is known with labels only. Points. "
    )
    return _listing("Choosing a step without labels", "arm", columns, rows, note)


def _listing(
    title: str, first: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], note: str
) -> Listing | None:
    return Listing(title, (first, *columns), tuple(rows), columns, note + NOTE) if rows else None
