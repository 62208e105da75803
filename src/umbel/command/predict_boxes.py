"""`umbel predict` of a detector: boxes in pictures or in a film, as tables, COCO's JSON and drawings."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umbel.command.picture_request import (
    PictureRequest,
    counted,
    finish_folder,
    named,
    skipped_notes,
    skipped_of,
)
from umbel.errors import UmbelError

if TYPE_CHECKING:
    from PIL import Image

    from umbel.data.films import Film, Moment
    from umbel.inference import BoxPredictor, PictureBoxes
    from umbel.inference.listed_pictures import ListedPictures


def predict_boxes(predictor: "BoxPredictor", request: PictureRequest) -> int:
    """Find boxes and write or print them.

    Raises:
        UmbelError: Neither pictures nor a film or both, drawings without a folder, a folder that is there already, or
            nothing that can be read.
    """
    request.check("say where to look for boxes", "a detector writes", "the boxes")
    source = request.source()
    if request.out is None:
        _print(predictor, request, source)
    else:
        _write(predictor, request, source, request.out)
    return 0


def _answers(
    predictor: "BoxPredictor", request: PictureRequest, source: "ListedPictures | Film"
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
    notes = skipped_notes(source)
    if not done:
        raise UmbelError(
            f"nothing could be read: {notes[-1]}" if notes else f"{request.video}: there is no frame in it"
        )
    for note in notes:
        print(f"umbel: {note}", file=sys.stderr)


def _print(predictor: "BoxPredictor", request: PictureRequest, source: "ListedPictures | Film") -> None:
    from umbel.inference.box_files import BoxTable  # noqa: PLC0415
    from umbel.inference.picture_folders import first_cells, first_columns  # noqa: PLC0415

    film = _film(source)
    if request.json:
        pictures = [_plain(predictor, *answer) for answer in _answers(predictor, request, source)]
        record = {**_asked(predictor, request), "skipped": skipped_of(source)}
        print(json.dumps({**record, "frames" if film else "pictures": pictures}, indent=1, ensure_ascii=False))
        return
    table = BoxTable(sys.stdout, first_columns(film), predictor.labels)
    for of, _, answer in _answers(predictor, request, source):
        table.add(first_cells(of), answer)
    sys.stdout.flush()


def _plain(
    predictor: "BoxPredictor", of: "str | Moment", picture: "Image.Image", answer: "PictureBoxes"
) -> dict[str, Any]:
    from umbel.inference.answers import answer_columns  # noqa: PLC0415
    from umbel.inference.box_files import further_values  # noqa: PLC0415

    boxes = [
        {"class": predictor.labels[int(kind)], "score": round(score, 5), "box": [round(v, 3) for v in corners]}
        for *corners, score, kind in answer.boxes.tolist()
    ]
    further = further_values(predictor.further, answer_columns(predictor.further), answer)
    size = {"width": picture.width, "height": picture.height}
    return {**named(of), **size, "boxes": boxes, **({"answers": further} if further else {})}


def _write(predictor: "BoxPredictor", request: PictureRequest, source: "ListedPictures | Film", out: Path) -> None:
    from umbel.control.place import place_of  # noqa: PLC0415
    from umbel.inference.box_files import PictureFiles  # noqa: PLC0415

    out, film = out.absolute(), _film(source)
    with place_of(out) as partial:
        with PictureFiles(partial, predictor.labels, predictor.further, request.draw, film) as files:
            for of, picture, answer in _answers(predictor, request, source):
                files.add(of, picture, answer)
        written = finish_folder(partial, out, skipped_of(source))
    if request.json:
        told = {"frames" if film else "pictures": files.count, "boxes": files.boxes, "skipped": skipped_of(source)}
        record = {**_asked(predictor, request), **told, "out": str(request.out), "files": written}
        print(json.dumps(record, indent=1, ensure_ascii=False))
        return
    boxes = f"{files.boxes:,} box{'' if files.boxes == 1 else 'es'}"
    print(f"{request.out}: {boxes} in {counted(files.count, film is not None)}; {', '.join(written)}")


def _asked(predictor: "BoxPredictor", request: PictureRequest) -> dict[str, Any]:
    """Of which detector, and from which score on the boxes of each class are told."""
    own = predictor.thresholds if request.threshold is None else (request.threshold,) * len(predictor.labels)
    return {"checkpoint": str(predictor.path), "thresholds": dict(zip(predictor.labels, own, strict=True))}


def _film(source: "ListedPictures | Film") -> "Film | None":
    from umbel.data.films import Film  # noqa: PLC0415

    return source if isinstance(source, Film) else None
