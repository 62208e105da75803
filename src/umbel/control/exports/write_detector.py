"""`export_detector`: a detector as files that other programs run, each loaded back and compared with it."""

import copy
import hashlib
import io
import json
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import umbel
from umbel.control.exports import run_export
from umbel.control.exports.check import TOLERANCE
from umbel.control.exports.detecting import BOXES, CLASSES, SCORES, Detecting
from umbel.control.exports.detector_cases import (
    BOX_TOLERANCE,
    SCORE_TOLERANCE,
    Answers,
    DetectorCase,
    answers_of,
    detector_cases,
    detector_differences,
)
from umbel.control.exports.files import METADATA, first_line
from umbel.control.exports.names import plain_names
from umbel.control.exports.record import FORMAT, task_entry, with_versions
from umbel.control.exports.write import RECORD, RUNNER, Exported, as_json, check_formats, json_text
from umbel.control.onnx_file import open_session
from umbel.control.place import check_place, place_of, put_in_place
from umbel.core import Task, UmbelError
from umbel.data.padded_pictures import PaddedPictures
from umbel.data.picture_files import PICTURE_FORMATS
from umbel.engine.folder import output_folder
from umbel.nn.detection import PICTURE, Detector, load_weights, save_weights

DETECTOR_FILES: Mapping[str, str] = {
    "torch": "model.ts",
    "onnx": "model.onnx",
    "safetensors": "model.safetensors",
}
"""Format -> its file."""
_OPSET = 17

Run = Callable[[Tensor], Answers]


def export_detector(
    detector: Detector,
    inputs: PaddedPictures,
    tasks: Sequence[Task],
    folder: Path | str,
    *,
    formats: Sequence[str] = ("torch", "onnx", "safetensors"),
    about: Mapping[str, Any] | None = None,
) -> Exported:
    """Write a detector with its preprocessing and its choice among overlapping boxes, and check every file.

    ONNX and torch's file take one picture of bytes, uint8 [3, H, W], of any size, and give "boxes" float32 [d, 4] in
    its pixels, "scores" float32 [d], best first, "classes" int64 [d], and the answers of further tasks. What is not in
    them is resizing, which `run_export.py` does as training did (the longer side to the resolution, by Pillow). The
    number of boxes is free. torch's file is TorchScript: `torch.export` takes no detector, whose number of boxes
    depends on the picture. The file of weights is for `build_detector(weights=...)`.

    Each file is loaded back and run on drawn pictures of several shapes: the boxes must be those of the original to
    1e-3 pixels (of pictures of 100 pixels; of larger ones as much more), scores to 1e-4. Otherwise nothing is left.

    Args:
        detector: Copied, not changed.
        inputs: What it learnt from: `MultiTaskData.inputs`.
        tasks: All its tasks.
        folder: New or empty; its parents are made.
        formats: Which files; see `available_formats`. With ONNX comes `run_export.py`, which runs it without Umbel.
        about: What else `export.json` shall hold, as JSON has it.

    Raises:
        UmbelError: A folder that is not empty, packages that are missing, a detector that cannot be written or whose
            file answers differently, no space.
    """
    folder = output_folder(folder).absolute()
    chosen = check_formats(formats)
    check_place(folder)
    extra = as_json(dict(about or {}))
    detector = copy.deepcopy(detector).cpu().float().eval()
    boxes = next(task for task in tasks if task.output == "boxes")
    further = [task for task in tasks if task is not boxes]
    cases = detector_cases(detector, further)
    outputs = plain_names([task.name for task in further], "task", {PICTURE, BOXES, SCORES, CLASSES})
    described = _description(detector, inputs, boxes, further, outputs, cases)
    described = with_versions({**described, "about": extra}, chosen)
    with place_of(folder) as partial:
        run = _write(detector, further, outputs, described, cases[0].picture, partial, chosen)
        worst = {
            name: detector_differences(DETECTOR_FILES[name], run[name], further, cases, boxes.name) for name in chosen
        }
        record = described | {
            "files": {name: _file(partial / DETECTOR_FILES[name], name, described) for name in chosen},
            "differences": worst,
            "tolerance": {"pixels": BOX_TOLERANCE, "scores": SCORE_TOLERANCE, "answers": TOLERANCE},
        }
        (partial / RECORD).write_text(json_text(record), encoding="utf-8")
        put_in_place(partial, folder)
    return Exported(folder, {name: folder / DETECTOR_FILES[name] for name in chosen}, {}, outputs, worst, record)


def _description(
    detector: Detector,
    inputs: PaddedPictures,
    boxes: Task,
    further: Sequence[Task],
    outputs: Mapping[str, str],
    cases: Sequence[DetectorCase],
) -> dict[str, Any]:
    parameters = sum(p.numel() for p in detector.parameters())
    size = sum(x.numel() * x.element_size() for x in (*detector.parameters(), *detector.buffers()))
    answers = dict(zip((task.name for task in further), cases[0].expected[3:], strict=True))
    entries = {task.name: task_entry(task, outputs[task.name], answers[task.name][None]) for task in further}
    for entry in entries.values():
        entry["shape"] = entry["shape"][1:]  # of one picture
    return {
        "format": FORMAT,
        "point": None,
        "widths": None,
        "inputs": {
            "kind": "picture",
            "input": PICTURE,
            "shape": [3, "height", "width"],
            "dtype": "uint8",
            "channels": "RGB",
            "formats": list(PICTURE_FORMATS),
            "longer_side": inputs.resolution,
        },
        "tasks": {
            boxes.name: {
                "kind": "detection",
                "answers": "boxes",
                "outputs": {"boxes": BOXES, "scores": SCORES, "classes": CLASSES},
                "means": "x1, y1, x2, y2 in pixels of the picture that was given, the best score first; scores from 0 "
                "to 1; the place of each class in `labels`. Boxes that overlap a better one of their class are left "
                "out already",
                "labels": list(boxes.labels),
                **_limits(detector),
            },
            **entries,
        },
        "detector": detector.family,
        "cost": {"total": {"parameters": parameters, "bytes": size}},
        "compared": {"pictures": len(cases), "boxes": sum(len(case.expected[1]) for case in cases)},
        "versions": {"umbel": umbel.__version__, "torch": torch.__version__},
    }


def _limits(detector: Detector) -> dict[str, Any]:
    holder = detector.roi_heads if detector.family == "fasterrcnn" else detector
    return {
        "lowest_score": holder.score_thresh,
        "largest_overlap": holder.nms_thresh,
        "most_boxes": holder.detections_per_img,
    }


def _write(
    detector: Detector,
    further: Sequence[Task],
    outputs: Mapping[str, str],
    described: Mapping[str, Any],
    picture: Tensor,
    folder: Path,
    formats: Sequence[str],
) -> dict[str, Run]:
    """Write the files and give, for each format, what runs its file."""
    run: dict[str, Run] = {}
    if "safetensors" in formats:
        run["safetensors"] = _write_weights(detector, further, folder / DETECTOR_FILES["safetensors"])
    if "torch" in formats or "onnx" in formats:
        script = _traced(Detecting(detector, further), picture)
        if "torch" in formats:
            path = folder / DETECTOR_FILES["torch"]
            run["torch"] = _quietly(lambda: (script.save(str(path)), torch.jit.load(str(path)))[1])
        if "onnx" in formats:
            names = [BOXES, SCORES, CLASSES, *outputs.values()]
            run["onnx"] = _write_onnx(script, picture, names, described, folder / DETECTOR_FILES["onnx"])
            shutil.copyfile(run_export.__file__, folder / RUNNER)
    return run


def _quietly(make: Callable[[], Any]) -> Any:
    """What `make` gives, without the warnings of torch's tracer, whose result is checked by running it."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return make()


def _traced(network: Detecting, picture: Tensor) -> Any:
    try:
        return _quietly(lambda: torch.jit.trace(network, (picture,), check_trace=False))
    except Exception as error:  # torch's own errors are of many kinds
        raise UmbelError(f"torch cannot trace this detector: {first_line(error)}") from error


def _write_weights(detector: Detector, further: Sequence[Task], path: Path) -> Run:
    """Write the weights; what answers is a detector that has them from the file and from nowhere else."""
    save_weights(detector, path)
    loaded = copy.deepcopy(detector)
    with torch.no_grad():
        for tensor in loaded.state_dict().values():
            tensor.zero_()
    load_weights(loaded, path)
    return lambda picture: answers_of(loaded, further, picture)


def _write_onnx(script: Any, picture: Tensor, names: Sequence[str], described: Mapping[str, Any], path: Path) -> Run:
    """Write ONNX through torch's tracing exporter; the other one takes no detector."""
    import onnx  # noqa: PLC0415

    free: dict[str, dict[int, str]] = {name: {0: "found"} for name in (BOXES, SCORES, CLASSES)}
    free[PICTURE] = {1: "height", 2: "width"}
    buffer = io.BytesIO()
    given = {"input_names": [PICTURE], "output_names": list(names), "dynamic_axes": free, "opset_version": _OPSET}
    try:
        _quietly(lambda: torch.onnx.export(script, (picture,), buffer, dynamo=False, **given))
        model = onnx.load_model_from_string(buffer.getvalue())
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA, json.dumps(described, ensure_ascii=False, allow_nan=False)
        path.write_bytes(model.SerializeToString())
        session = open_session(path)
    except OSError:  # a full disk, which is not the detector's fault
        raise
    except Exception as error:  # the exporter's and the runtime's own errors are of many kinds
        raise UmbelError(f"this detector cannot be written as ONNX: {first_line(error)}") from error
    return lambda one: tuple(map(torch.from_numpy, session.run(list(names), {PICTURE: one.numpy()})))


def _file(path: Path, name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """A file's name, size, SHA-256, and the names of what it takes and gives."""
    content = path.read_bytes()
    entry = {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if name == "safetensors":
        return entry
    takes = {"name": PICTURE, "dtype": "uint8", "shape": described["inputs"]["shape"]}
    further = [task["output"] for task in described["tasks"].values() if "output" in task]
    return {**entry, "inputs": [takes], "outputs": [BOXES, SCORES, CLASSES, *further]}
