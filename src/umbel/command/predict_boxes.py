"""`umbel predict` of a detector: boxes in pictures or in a film, as tables, COCO's JSON and drawings."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umbel.errors import UmbelError

if TYPE_CHECKING:
    from PIL import Image

    from umbel.data.films import Film, Moment
    from umbel.inference import BoxPredictor, PictureBoxes
    from umbel.inference.listed_pictures import ListedPictures

_TOLD = 3
_TABLES = (".csv", ".tsv", ".parquet", ".npz", ".json")
"""What other networks' predictions are written as."""


@dataclass(frozen=True)
class BoxRequest:
    """What is asked of a detector.

    Attributes:
        images: Folders and files of pictures; none where there is a film.
        video: A film.
        every: Which of its frames.
        threshold: Boxes with a lower score are left out; None: each class's own.
        draw: Whether drawings are wanted.
        out: A new folder; None prints the boxes.
        batch_size: Pictures that go through the detector together; None: the usual few.
        json: Whether JSON is printed.
    """

    images: Sequence[str]
    video: Path | None
    every: int
    threshold: float | None
    draw: bool
    out: Path | None
    batch_size: int | None
    json: bool


def predict_boxes(predictor: "BoxPredictor", request: BoxRequest) -> int:
    """Find boxes and write or print them.

    Raises:
        UmbelError: Neither pictures nor a film or both, drawings without a folder, a folder that is there already, or
            nothing that can be read.
    """
    from umbel.control.place import check_place  # noqa: PLC0415
    from umbel.data.films import Film  # noqa: PLC0415
    from umbel.inference.listed_pictures import listed_pictures  # noqa: PLC0415

    if bool(request.images) == (request.video is not None):
        raise UmbelError("say where to look for boxes: --images FOLDER, --images FILE FILE ..., or --video FILM")
    if request.video is None and request.every != 1:
        raise UmbelError("--every is for the frames of a film; leave it out with pictures")
    if request.draw and request.out is None:
        raise UmbelError("--draw writes pictures; say into which new folder with --out")
    if request.out is not None:
        if request.out.suffix in _TABLES:
            raise UmbelError(
                f"--out {request.out}: a detector writes a new folder with tables in it; give a name without "
                f"{request.out.suffix}, or leave --out out to print the boxes"
            )
        check_place(request.out)
    source = Film(request.video, request.every) if request.video else listed_pictures(list(request.images))
    if request.out is None:
        _print(predictor, request, source)
    else:
        _write(predictor, request, source, request.out)
    return 0


def _answers(
    predictor: "BoxPredictor", request: BoxRequest, source: "ListedPictures | Film"
) -> "Iterator[tuple[str | Moment, Image.Image, PictureBoxes]]":
    """Each picture or frame with its answer; a progress bar once it takes long, and notes at the end."""
    from umbel.data.films import Film  # noqa: PLC0415
    from umbel.engine import TerminalReporter  # noqa: PLC0415
    from umbel.inference.box_predictor import PICTURES_TOGETHER  # noqa: PLC0415
    from umbel.inference.late_progress import LateProgress  # noqa: PLC0415

    size = PICTURES_TOGETHER if request.batch_size is None else request.batch_size
    pictures: Iterable[tuple[Any, Image.Image]] = source
    done = 0
    with TerminalReporter() as reporter:
        progress = LateProgress(reporter, source.count if isinstance(source, Film) else len(source))
        for done, (of, picture, answer) in enumerate(predictor.stream(pictures, request.threshold, size), 1):
            yield of, picture, answer
            progress.at(done)
        progress.end()
    notes = _notes(source)
    if not done:
        raise UmbelError(
            f"nothing could be read: {notes[-1]}" if notes else f"{request.video}: there is no frame in it"
        )
    for note in notes:
        print(f"umbel: {note}", file=sys.stderr)


def _notes(source: "ListedPictures | Film") -> list[str]:
    from umbel.data.films import Film  # noqa: PLC0415

    if isinstance(source, Film):
        return [source.damage] if source.damage else []
    count = len(source.skipped)
    if not count:
        return []
    few = source.skipped[:_TOLD]
    more = f"; {count - len(few)} more" if count > len(few) else ""
    return [f"{count} of {len(source)} pictures skipped: {'; '.join(few)}{more}"]


def _print(predictor: "BoxPredictor", request: BoxRequest, source: "ListedPictures | Film") -> None:
    from umbel.data.films import Film  # noqa: PLC0415
    from umbel.inference.box_files import BoxTable  # noqa: PLC0415

    film = isinstance(source, Film)
    if request.json:
        pictures = [_plain(predictor, *answer) for answer in _answers(predictor, request, source)]
        record = {**_asked(predictor, request), "skipped": _skipped(source)}
        print(json.dumps({**record, "frames" if film else "pictures": pictures}, indent=1, ensure_ascii=False))
        return
    table = BoxTable(sys.stdout, ["frame", "time_s"] if film else ["file"], predictor.labels)
    for of, _, answer in _answers(predictor, request, source):
        table.add([of] if isinstance(of, str) else [of.number, f"{of.seconds:.3f}"], answer)
    sys.stdout.flush()


def _plain(
    predictor: "BoxPredictor", of: "str | Moment", picture: "Image.Image", answer: "PictureBoxes"
) -> dict[str, Any]:
    from umbel.inference.answers import answer_columns  # noqa: PLC0415
    from umbel.inference.box_files import further_values  # noqa: PLC0415

    named = {"file": of} if isinstance(of, str) else {"frame": of.number, "time_s": round(of.seconds, 3)}
    boxes = [
        {"class": predictor.labels[int(kind)], "score": round(score, 5), "box": [round(v, 3) for v in corners]}
        for *corners, score, kind in answer.boxes.tolist()
    ]
    further = further_values(predictor.further, answer_columns(predictor.further), answer)
    size = {"width": picture.width, "height": picture.height}
    return {**named, **size, "boxes": boxes, **({"answers": further} if further else {})}


def _write(predictor: "BoxPredictor", request: BoxRequest, source: "ListedPictures | Film", out: Path) -> None:
    from umbel.control.place import place_of, put_in_place  # noqa: PLC0415
    from umbel.data.films import Film  # noqa: PLC0415
    from umbel.inference.box_files import PictureFiles  # noqa: PLC0415
    from umbel.inference.drawn_names import SKIPPED  # noqa: PLC0415

    out = out.absolute()
    film = source if isinstance(source, Film) else None
    with place_of(out) as partial:
        with PictureFiles(partial, predictor.labels, predictor.further, request.draw, film) as files:
            for of, picture, answer in _answers(predictor, request, source):
                files.add(of, picture, answer)
        if skipped := _skipped(source):
            (partial / SKIPPED).write_text("".join(f"{line}\n" for line in skipped), encoding="utf-8")
        written = sorted(path.name + ("/" if path.is_dir() else "") for path in partial.iterdir())
        put_in_place(partial, out)
    what = "frames" if film else "pictures"
    if request.json:
        told = {what: files.count, "boxes": files.boxes, "skipped": _skipped(source)}
        record = {**_asked(predictor, request), **told, "out": str(request.out), "files": written}
        print(json.dumps(record, indent=1, ensure_ascii=False))
        return
    boxes = f"{files.boxes:,} box{'' if files.boxes == 1 else 'es'}"
    of_these = f"{files.count:,} {what if files.count != 1 else what[:-1]}"
    print(f"{request.out}: {boxes} in {of_these}; {', '.join(written)}")


def _asked(predictor: "BoxPredictor", request: BoxRequest) -> dict[str, Any]:
    """Of which detector, and from which score on the boxes of each class are told."""
    own = predictor.thresholds if request.threshold is None else (request.threshold,) * len(predictor.labels)
    return {"checkpoint": str(predictor.path), "thresholds": dict(zip(predictor.labels, own, strict=True))}


def _skipped(source: "ListedPictures | Film") -> list[str]:
    from umbel.data.films import Film  # noqa: PLC0415

    return [*filter(None, [source.damage])] if isinstance(source, Film) else list(source.skipped)
