"""Predictions of an exported network without Umbel: export.json and model.onnx beside this file, NumPy, ONNX Runtime.

    python run_export.py new.csv            rows of a table that has the columns of export.json, in any order
    python run_export.py one.png two.jpg    pictures, for a network that takes them (with Pillow)
    python run_export.py samples.npy        arrays [samples, ...], for a network that takes those

Prints a line of JSON for each row: values in natural units, probabilities by name, maps as nested lists.
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


def picture(path: str, takes: dict[str, Any]) -> np.ndarray:
    """Bytes [C, H, W] of a picture, upright, at the size that the network takes."""
    from PIL import Image, ImageOps

    opened = ImageOps.exif_transpose(Image.open(path, formats=takes["formats"]))
    if opened.mode[0] in "IF":
        raise ValueError(f"{path}: save it with 8 bits for each channel")
    opened = opened.convert(takes["channels"])
    if takes["resized_to"]:
        opened = opened.resize([takes["resized_to"]] * 2, Image.Resampling.BILINEAR)
    return np.asarray(opened).reshape(opened.height, opened.width, -1).transpose(2, 0, 1)


def inputs(paths: list[str], takes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Name -> array, as the ONNX file takes them."""
    if takes["kind"] == "columns":
        columns = table(paths[0], takes)
        return {column["input"]: columns[column["name"]] for column in takes["columns"]}
    if takes["kind"] == "arrays":
        return {takes["input"]: np.load(paths[0]).astype(takes["dtype"])}
    if paths[0].endswith(".csv"):
        paths = [str(Path(paths[0]).parent / cell) for cell in table(paths[0], takes)[takes["column"]]]
    return {takes["input"]: np.stack([picture(path, takes) for path in paths])}


def main(paths: list[str]) -> None:
    """Print the predictions for the files on the command line."""
    folder = Path(__file__).parent
    about = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    given = inputs(paths, about["inputs"])
    for start in range(0, len(next(iter(given.values()))), 256):
        batch = {name: values[start : start + 256] for name, values in given.items()}
        answers = session.run([task["output"] for task in about["tasks"].values()], batch)
        for row in zip(*answers, strict=True):
            line = {}
            for (name, task), answer in zip(about["tasks"].items(), row, strict=True):
                labels = task["labels"] if answer.ndim == 1 else []
                plain = answer.tolist() if answer.size > 1 or answer.ndim > 1 else answer.item()
                line[name] = dict(zip(labels, answer.tolist(), strict=True)) if labels else plain
            print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])
