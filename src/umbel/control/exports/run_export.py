"""Predictions of an exported network without Umbel: export.json and model.onnx beside this file, NumPy, ONNX Runtime.

    python run_export.py new.csv            rows of a table that has the columns of export.json, in any order
    python run_export.py one.png two.jpg    pictures, for a network or a detector that takes them (with Pillow)
    python run_export.py samples.npy        arrays [samples, ...], for a network that takes those

Prints a line of JSON for each row: values in natural units, probabilities by name, maps as nested lists, boxes in
pixels of the picture.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def table(path: str, takes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Header -> cells of a CSV file; a line that is too short or too long is an error."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        header, *rows = ([cell.strip() for cell in row] for row in csv.reader(file, strict=True) if row)
    if len({*header}) < len(header):
        raise ValueError(f"{path}: two columns have one name")
    columns: dict[str, Any] = dict(zip(header, zip(*rows, strict=True), strict=True))
    gaps = {"", *(word.casefold() for word in takes.get("missing", ()))}
    for column in takes.get("columns", ()):
        cells = columns[column["name"]]
        if column["kind"] == "number":
            texts = ["" if cell.casefold() in gaps else cell for cell in cells]
            cells = [float(text or "nan") for text in texts]
            for text, number in zip(texts, cells, strict=True):
                if "_" in text or (text and not abs(number) <= takes["largest"]):
                    raise ValueError(f"{column['name']}: {text!r} is no number, or too large")
        columns[column["name"]] = np.array(cells, dtype=float if column["kind"] == "number" else object)
    return columns


def opened(path: str, takes: dict[str, Any]) -> Any:
    """A picture of Pillow's, upright, with the channels that the network takes."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(Image.open(path, formats=takes["formats"]))
    if upright.mode[0] in "IF":
        raise ValueError(f"{path}: save it with 8 bits for each channel")
    return upright.convert(takes["channels"])


def pixels(image: Any, size: Any) -> np.ndarray:
    """Bytes [C, H, W] of a picture, resized to a width and height where some are given."""
    from PIL import Image

    if size and tuple(size) != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(image.height, image.width, -1).transpose(2, 0, 1)


def inputs(paths: list[str], takes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Name -> array, as the ONNX file takes them."""
    if takes["kind"] == "columns":
        columns = table(paths[0], takes)
        return {column["input"]: columns[column["name"]] for column in takes["columns"]}
    if takes["kind"] == "arrays":
        return {takes["input"]: np.load(paths[0]).astype(takes["dtype"])}
    if paths[0].endswith(".csv"):
        paths = [str(Path(paths[0]).parent / cell) for cell in table(paths[0], takes)[takes["column"]]]
    size = [takes["resized_to"]] * 2 if takes["resized_to"] else None
    return {takes["input"]: np.stack([pixels(opened(path, takes), size) for path in paths])}


def detections(session: Any, about: dict[str, Any], path: str) -> dict[str, Any]:
    """What a detector finds in a picture: boxes in pixels of the picture, and the answers of further tasks."""
    image, takes, line = opened(path, about["inputs"]), about["inputs"], {}
    size = image.size
    if takes["longer_side"]:
        size = [max(1, round(side * takes["longer_side"] / max(image.size))) for side in image.size]
    scale = np.array([image.width / size[0], image.height / size[1]] * 2)
    for name, task in about["tasks"].items():
        outputs = task["outputs"].values() if "outputs" in task else [task["output"]]
        answers = session.run(list(outputs), {takes["input"]: pixels(image, size)})
        if "outputs" in task:
            labels, rows = task["labels"], zip(*answers, strict=True)
            line[name] = [
                {"class": labels[kind], "score": float(score), "box": (box * scale).tolist()}
                for box, score, kind in rows
            ]
        else:
            line[name] = decided(about, name, named(task, answers[0]))
    return line


def named(task: dict[str, Any], answer: np.ndarray) -> Any:
    """An answer by the names of its labels, where it has some."""
    labels = task["labels"] if answer.ndim == 1 else []
    plain = answer.tolist() if answer.size > 1 or answer.ndim > 1 else answer.item()
    return dict(zip(labels, answer.tolist(), strict=True)) if labels else plain


def decided(about: dict[str, Any], name: str, answer: Any) -> Any:
    """An answer; of a task of liveness with the decision at the threshold that validation gave.

    No number is for deciding who is let in anywhere.
    """
    kept = about["about"].get("liveness")
    if not kept or kept["task"] != name:
        return answer
    return {**answer, "decision": "live" if answer["live"] >= kept["threshold"] else "attack"}


def main(paths: list[str]) -> None:
    """Print the predictions for the files on the command line."""
    folder = Path(__file__).parent
    about = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    if about["inputs"]["kind"] == "picture":
        for path in paths:
            print(json.dumps({"file": path, **detections(session, about, path)}, ensure_ascii=False))
        return
    given = inputs(paths, about["inputs"])
    for start in range(0, len(next(iter(given.values()))), 256):
        batch = {name: values[start : start + 256] for name, values in given.items()}
        answers = session.run([task["output"] for task in about["tasks"].values()], batch)
        for row in zip(*answers, strict=True):
            tasks = zip(about["tasks"].items(), row, strict=True)
            line = {name: decided(about, name, named(task, answer)) for (name, task), answer in tasks}
            print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])
