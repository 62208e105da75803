"""`umbel predict`: a trained run answers for new rows, pictures or films."""

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from umbel.command.arguments import parse
from umbel.command.picture_request import PictureRequest
from umbel.errors import UmbelError

if TYPE_CHECKING:
    import pandas as pd

    from umbel.inference import BoxPredictor, NewInputs, Predictor


@dataclass(frozen=True)
class _Predict:
    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint, or the folder of a training."""
    data: str = ""
    """New rows: a CSV, TSV or Parquet file, a folder of pictures, an .npy file, or - for CSV on standard input."""
    images: tuple[str, ...] = ()
    """Pictures: a folder, or files."""
    video: Path | None = None
    """A film, for a detector or a network of liveness (extra `video`)."""
    every: int = 1
    """Of a film: 1 for all frames, k for every k-th."""
    threshold: float | None = None
    """Of a detector: boxes with a lower score are left out; unset: each class's own, or 0.5. Of liveness: what is live
    from this probability on; unset: validation's."""
    draw: bool = False
    """Write the pictures or the film with their boxes, too; of liveness each picture beside its maps, with what is said
    of it."""
    out: Path | None = None
    """A new file for the predictions, .csv or .parquet, or .npz for arrays, or a new folder for those of a detector and
    for pictures or a film of liveness; unset: CSV on standard output."""
    keep: str = ""
    """Columns of the table to copy in front of the predictions, with commas between; unset: the number of the row."""
    point: str = ""
    """Widths of a controllable network, as width=0.5,heads=0.25; unset: full."""
    batch_size: int | None = None
    """Rows that go through the network at a time; unset: 256, of pictures for a detector 8, for liveness 16."""
    pictures_anywhere: bool = False
    """Read pictures outside the table's folder, too."""
    overwrite: bool = False
    """Write over a file of predictions that is there already."""
    json: bool = False
    """Print JSON: the predictions, or with --out what was written."""


def predict(arguments: list[str]) -> int:
    """Write the predictions of a trained run for new rows, in their order."""
    about = (
        "Predictions of a trained run for new rows or pictures, which need no targets: probabilities and natural "
        "units, a line for each row; of a detector boxes in pixels of the pictures, a line for each box, and with "
        "--out a folder of tables, COCO's JSON and drawings; of liveness the calibrated probability of live and the "
        "decision at the threshold of validation, and of a film their mean. No such number is for deciding who is let "
        "in anywhere. The data set that it learnt from is not needed."
    )
    parsed = parse(_Predict, None, arguments, "umbel predict", about)
    if not parsed.data and not parsed.images and parsed.video is None:
        raise UmbelError("say what to predict for: --data TABLE, --images FOLDER, or --video FILM")
    if parsed.data and (parsed.images or parsed.video):
        raise UmbelError("--data and --images or --video say two things to predict for; give one of them")

    from umbel.inference import BoxPredictor, load_any  # noqa: PLC0415 - imports torch

    predictor = load_any(parsed.checkpoint)
    if isinstance(predictor, BoxPredictor):
        return _boxes(parsed, predictor)
    if not parsed.data and any(task.kind == "liveness" for task in predictor.tasks):
        return _liveness(parsed, predictor)
    return _rows(parsed, predictor)


def _boxes(parsed: _Predict, predictor: "BoxPredictor") -> int:
    from umbel.command.predict_boxes import predict_boxes  # noqa: PLC0415

    _refuse_flags_of_rows(parsed, "and the run is a detector")
    images = parsed.images or tuple(filter(None, [parsed.data]))
    return predict_boxes(predictor, _of_pictures(parsed, images))


def _liveness(parsed: _Predict, predictor: "Predictor") -> int:
    from umbel.command.predict_liveness import predict_liveness  # noqa: PLC0415

    _refuse_flags_of_rows(parsed, "given with --data")
    return predict_liveness(predictor, _of_pictures(parsed, parsed.images))


def _refuse_flags_of_rows(parsed: _Predict, why: str) -> None:
    for flag in ("keep", "point", "pictures_anywhere", "overwrite"):
        if getattr(parsed, flag):
            raise UmbelError(f"--{flag.replace('_', '-')} is for rows of a table, {why}; leave it out")


def _of_pictures(parsed: _Predict, images: Sequence[str]) -> PictureRequest:
    asked = ("video", "every", "threshold", "draw", "out", "batch_size", "json")
    return PictureRequest(images=tuple(images), **{name: getattr(parsed, name) for name in asked})


def _rows(parsed: _Predict, predictor: "Predictor") -> int:
    from umbel.inference.prediction_files import check_out  # noqa: PLC0415

    for flag, unset in (("video", None), ("every", 1), ("threshold", None), ("draw", False)):
        if getattr(parsed, flag) != unset:
            raise UmbelError(
                f"--{flag} is for what detectors and networks of liveness say of --images or --video; {predictor.path} "
                "is given rows; leave it out"
            )
    if parsed.out is not None:
        table = parsed.data and parsed.data != "-"
        check_out(parsed.out, Path(parsed.data) if table else None, parsed.overwrite)
    inputs = _inputs(predictor, parsed)
    if parsed.out is not None and parsed.out.suffix.lower() == ".npz":
        _arrays(parsed, parsed.out, predictor, inputs)
    else:
        _table(parsed, predictor, inputs)
    return 0


def _arrays(parsed: _Predict, out: Path, predictor: "Predictor", inputs: "NewInputs") -> None:
    from umbel.engine import TerminalReporter  # noqa: PLC0415
    from umbel.files import write_atomically  # noqa: PLC0415
    from umbel.inference import array_bytes  # noqa: PLC0415

    if parsed.keep:
        raise UmbelError("--keep copies columns into a table; --out with a name in .npz holds arrays alone")
    with TerminalReporter() as reporter:
        arrays = predictor.predict_arrays(inputs, parsed.point, batch_size=_batch_size(parsed), reporter=reporter)
    _tell(inputs.notes)
    write_atomically(out, array_bytes(arrays))
    _show(parsed, predictor, inputs, None)


def _table(parsed: _Predict, predictor: "Predictor", inputs: "NewInputs") -> None:
    import pandas as pd  # noqa: PLC0415

    from umbel.engine import TerminalReporter  # noqa: PLC0415
    from umbel.files import write_atomically  # noqa: PLC0415
    from umbel.inference import row_names, table_bytes  # noqa: PLC0415
    from umbel.recipes.settings import names  # noqa: PLC0415

    columns = [column for of_task in predictor.columns.values() for column in of_task.values()]
    first = row_names(inputs, columns, names(parsed.keep))
    left = [task.name for task in predictor.tasks if task.name not in predictor.columns]
    maps = f"a table has no place for the maps or pictures of {', '.join(left)}; use --out with a name in .npz"
    with TerminalReporter() as reporter:
        predictions = predictor.predict(inputs, parsed.point, batch_size=_batch_size(parsed), reporter=reporter)
    _tell([*inputs.notes, *([maps] if left else [])])
    table = pd.DataFrame({**first, **{name: predictions[name].to_numpy() for name in predictions.columns}})
    if parsed.out is not None:
        write_atomically(parsed.out, table_bytes(table, parsed.out.suffix))
    _show(parsed, predictor, inputs, table)


def _batch_size(parsed: _Predict) -> int:
    from umbel.inference.predictor import BATCH_SIZE  # noqa: PLC0415

    return BATCH_SIZE if parsed.batch_size is None else parsed.batch_size


def _tell(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"umbel: {note}", file=sys.stderr)


def _inputs(predictor: "Predictor", parsed: _Predict) -> "NewInputs":
    if len(parsed.images) > 1:
        return predictor.read(list(parsed.images))
    data, pictures_anywhere = parsed.data or parsed.images[0], parsed.pictures_anywhere
    if data != "-":
        return predictor.read(Path(data), pictures_anywhere=pictures_anywhere)
    from umbel.data.cells import read_text_cells  # noqa: PLC0415
    from umbel.data.table_description import TableDescription  # noqa: PLC0415
    from umbel.inference.new_inputs import table_inputs  # noqa: PLC0415

    known, name = predictor.inputs, Path("standard input")
    if not isinstance(known, TableDescription):
        raise UmbelError("--data - reads a table, and the run learnt from none; give a folder of pictures or a file")
    lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
    return table_inputs(name, read_text_cells(name, lines), None, known, pictures_anywhere)


def _show(parsed: _Predict, predictor: "Predictor", inputs: "NewInputs", table: "pd.DataFrame | None") -> None:
    from umbel.inference import table_bytes  # noqa: PLC0415

    if parsed.json:
        record = {"checkpoint": str(predictor.path), "rows": len(inputs), "notes": list(inputs.notes)}
        if parsed.out is None and table is not None:
            record["predictions"] = table.astype(object).where(table.notna(), None).to_dict("records")
        else:
            record["out"] = str(parsed.out)
        print(json.dumps(record, indent=1, ensure_ascii=False))
    elif parsed.out is None and table is not None:
        sys.stdout.write(table_bytes(table).decode())
        sys.stdout.flush()
    else:
        print(f"{parsed.out}: predictions for {len(inputs):,} row{'s' if len(inputs) != 1 else ''}")
