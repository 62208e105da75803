"""Operating points as a user writes them: "width=0.5,heads=0.25" or "width=0.5,depth=1,seg=0.25"; or a file."""

import json
from collections.abc import Sequence
from pathlib import Path

from umbel.core import OperatingPoint
from umbel.errors import UmbelError, unknown


def parse_point(text: str, tasks: Sequence[str]) -> OperatingPoint:
    """The configuration that a text names; what it does not name has full width.

    Args:
        text: "width=0.5" (the encoder), "heads=0.25" (all heads), "TASK=0.75" (one head), with commas between; "full";
            or the path of a JSON file that `umbel search --json` printed.
        tasks: The network's tasks.

    Raises:
        UmbelError: Text of another form, an unknown task, a number that is none, or a file that is no such answer.
    """
    if text.strip() == "full":
        return _point(1.0, dict.fromkeys(tasks, 1.0))
    if "=" not in text:
        return _from_file(Path(text), tasks)
    widths: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in ("width", "heads", *tasks):
            raise unknown("task in --point", name, ("width", "heads", *tasks))
        if name in widths:
            raise UmbelError(f"--point names {name!r} twice")
        try:
            widths[name] = float(value)
        except ValueError:
            raise UmbelError(f"--point: {part!r} is not of the form name=number, as in width=0.5") from None
    every = widths.get("heads", 1.0)
    return _point(widths.get("width", 1.0), {task: widths.get(task, every) for task in tasks})


def point_text(point: OperatingPoint) -> str:
    """A configuration as `parse_point` reads it."""
    heads = point["head_widths"]
    if len(set(heads.values())) == 1:
        return f"width={point['width']:g},heads={next(iter(heads.values())):g}"
    return ",".join([f"width={point['width']:g}", *(f"{task}={width:g}" for task, width in heads.items())])


def _point(width: float, heads: dict[str, float]) -> OperatingPoint:
    return OperatingPoint(width=width, head_widths=heads)


def _from_file(path: Path, tasks: Sequence[str]) -> OperatingPoint:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        width, heads = record["point"]["width"], dict(record["point"]["head_widths"])
    except OSError as error:
        raise UmbelError(
            f"--point {path}: neither widths (width=0.5,heads=0.25) nor a file that can be read ({error.strerror})"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UmbelError(f"--point {path}: not what `umbel search --json` prints") from None
    for task in heads:
        if task not in tasks:
            raise unknown(f"task in {path}", task, tasks)
    return _point(float(width), {task: float(heads.get(task, 1.0)) for task in tasks})
