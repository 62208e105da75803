"""Tables of a study of physical proxies: all arms, places, types of attack, maps, sigmas, how trainings ended."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from umbel.recipes.physical_proxies.measuring import (
    AREA,
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
from umbel.recipes.physical_proxies.settings import BINARY
from umbel.report import Listing
from umbel.study import Values

NOTE = "±: 95 %, over seeds, each with pictures of its own; a number without it is of one seed and shows nothing."
"""Under every table."""


def listings(scores: Scores) -> Iterator[Listing]:
    """The tables for which something was measured."""
    parts = (_arms(scores), *_by_place(scores), _types(scores), _maps(scores), _sigmas(scores), _trainings(scores))
    yield from (part for part in parts if part is not None)


def told(values: Values, places: int = 3, signed: bool = False) -> str:
    """A mean and its half width; "-" where nothing was measured."""
    return values.estimate.text("", places, signed, unknown="-")


def _arms(scores: Scores) -> Listing | None:
    rows = []
    for arm in scores.arms:
        title = scores.title(arm)
        errors = [told(scores.mean(arm, UNSEEN, name)) for name in (HTER, HTER_THERE, "APCER", "BPCER", "ACER")]
        gain = "-" if arm == BINARY else told(scores.gain(arm, BINARY), signed=True)
        others = [told(scores.mean(arm, pictures)) for pictures in (SEEN, ATTACK)]
        rows.append((title, told(scores.mean(arm)), gain, *errors, *others))
    columns = (
        "AUC",
        "AUC over binary",
        "HTER",
        "HTER, threshold of the test itself (a lower bound, as a rule)",
        "APCER",
        "BPCER",
        "ACER",
        "seen places, AUC",
        "unseen attack, AUC",
    )
    note = (
        "On the place held out, where nothing else is said; means over the places (over those named, where an arm has "
        "some alone). Thresholds are those of equal errors on validation pictures of the places learnt from. HTER "
        "counts all attacks together, APCER is that of the worst type. Where a threshold does not transfer, nearly all "
        "is accepted or refused and HTER is near 0.5. A threshold from the test's own labels, as some papers have it, "
        "is one that no user has. Differences are of the same seed and place. "
    )
    return _listing("All arms, mean over the places held out", "arm", columns, rows, note)


def _by_place(scores: Scores) -> Iterator[Listing | None]:
    notes = {
        AREA: "0.5 is guessing. ",
        HTER: "With the threshold of the places learnt from; near 0.5 where it does not transfer at all. ",
    }
    columns = (*(f"place {place}" for place in scores.places), "mean")
    for metric, note in notes.items():
        rows = []
        for arm in scores.arms:
            title = scores.title(arm)
            each = [told(scores.at(arm, place, metric=metric)) for place in scores.places]
            rows.append((title, *each, told(scores.mean(arm, metric=metric))))
        yield _listing(f"{metric} on the place held out", "arm", columns, rows, note)


def _types(scores: Scores) -> Listing | None:
    names = scores.names("liveness", "APCER ")
    cells = [(pictures, name) for pictures in (UNSEEN, SEEN, ATTACK) for name in names]
    rows = [(arm, [told(scores.mean(arm, *cell)) for cell in cells]) for arm in scores.arms]
    there = [place for place in range(len(cells)) if any(texts[place] != "-" for _, texts in rows)]
    columns = tuple(f"{cells[place][1].removeprefix('APCER ')}, {cells[place][0]}" for place in there)
    table = [(scores.title(arm), *(texts[place] for place in there)) for arm, texts in rows]
    note = (
        "Part of the attacks of a type that is accepted as live, at the threshold of validation; means over the places "
        "held out. Masks were in no training. "
    )
    return _listing("APCER by type of attack", "arm", columns, table, note)


def _maps(scores: Scores) -> Listing | None:
    cells = {
        "live depth, MAE": ("depth", LIVE_DEPTH),
        "of the best constant": ("depth", CONSTANT),
        "of the mean map": ("depth", MEAN_MAP),
        "reflection, MAE": ("reflection", "MAE"),
        "material, mIoU": ("material", "mIoU"),
    }
    rows = []
    for arm in scores.arms:
        title = scores.title(arm)
        for pictures in (UNSEEN, SEEN):
            texts = [told(scores.mean(arm, pictures, metric, task)) for task, metric in cells.values()]
            rows.append((f"{title}, {pictures}", *texts))
    note = (
        "Means over the places held out. Floors of the depth of live faces: the best single number, and the mean map, "
        "of live training faces. Reflection and material are of all pictures, attacks among them. "
    )
    return _listing("The proxies' maps", "arm and pictures", tuple(cells), rows, note)


def _sigmas(scores: Scores) -> Listing | None:
    rows = []
    for arm in scores.arms:
        title = scores.title(arm)
        for name in scores.names("liveness", SIGMA):
            texts = [told(scores.mean(arm, pictures, name)) for pictures in (SEEN, UNSEEN, ATTACK)]
            tells = [told(scores.mean(arm, pictures, SIGMA_TELLS)) for pictures in (UNSEEN, ATTACK)]
            branch = name.removeprefix(SIGMA).strip() or "all branches"
            rows.append((f"{title}, {branch}", *texts, *(tells if name == SIGMA else ("-", "-"))))
    columns = (SEEN, UNSEEN, ATTACK, "tells the unseen place (AUC)", "tells the unseen attack (AUC)")
    note = (
        "Mean sigma of the Gaussian attention over channels, samples and the places held out. AUC: how well the mean "
        "over branches tells these pictures from those of seen places; 0.5 is guessing. "
    )
    return _listing("How unsure the attention is", "arm and branch", columns, rows, note)


def _trainings(scores: Scores) -> Listing | None:
    rows = []
    for arm in scores.arms:
        title = scores.title(arm)
        if chosen := scores.chosen(arm):
            steps = sorted({run.steps for run in scores.trainings(arm)})
            last = f"{sum(part >= 1 for part in chosen)} of {len(chosen)}"
            seconds = fmean(run.seconds for run in scores.trainings(arm))
            span = str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
            error = told(scores.validation_error(arm))
            rows.append((title, span, f"{100 * fmean(chosen):.0f} %", last, error, f"{seconds:.0f}"))
    columns = ("steps", "checkpoint chosen at", "the last one chosen", "validation EER", "seconds a training")
    note = (
        "All networks have the same steps; of each the checkpoint with the least loss on validation is taken. Where "
        "many chose their last one, they may have had more to learn. EER: of other people in the places learnt from. "
    )
    return _listing("How trainings ended", "arm", columns, rows, note)


def _listing(
    title: str, first: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], note: str
) -> Listing | None:
    """Rows in which something was measured."""
    kept = tuple(row for row in rows if any(text != "-" for text in row[1:]))
    return Listing(title, (first, *columns), kept, columns, note + NOTE) if kept else None
