"""Maps as coloured tiles: classes, depth, normals, boundaries, reconstructions."""

from dataclasses import dataclass

import matplotlib
import numpy

from umbel.core import Task

Tile = numpy.ndarray
"""uint8 [H, W, 3]."""


@dataclass(frozen=True)
class Legend:
    """What the colours of a task's tiles mean.

    Attributes:
        title: Name of the task.
        classes: (name, colour) of each class that is to be seen.
        scale: Lowest and highest value of the colour map, with the unit; empty for classes.
    """

    title: str
    classes: tuple[tuple[str, tuple[int, int, int]], ...] = ()
    scale: tuple[str, str] | None = None


@dataclass(frozen=True)
class Strip:
    """One column of tiles: a heading and a tile for each sample, None where there is no label."""

    title: str
    subtitle: str
    tiles: tuple[Tile | None, ...]


def picture(values: numpy.ndarray) -> Tile:
    """A picture [C, H, W] with values in 0 to 1 and C of 1 or 3."""
    colours = numpy.repeat(values, 3, 0) if len(values) == 1 else values
    return (numpy.nan_to_num(colours).clip(0, 1) * 255).round().astype(numpy.uint8).transpose(1, 2, 0)


def class_colour(index: int) -> tuple[int, int, int]:
    """The colour of a class; the first twenty are easy to tell apart."""
    if index < 20:
        order = (index * 2) % 20 + (index >= 10)  # strong colours first, then their pale companions
        red, green, blue, _ = matplotlib.colormaps["tab20"](order)
    else:
        red, green, blue, _ = matplotlib.colormaps["hsv"]((index * 0.618) % 1)
    return round(255 * red), round(255 * green), round(255 * blue)


def hatched(tile: Tile, void: numpy.ndarray) -> Tile:
    """The tile with grey stripes where `void` [H, W] is true."""
    rows, columns = numpy.indices(void.shape)
    stripes = numpy.where((rows + columns) // max(1, len(void) // 32) % 3 == 0, 130, 200).astype(numpy.uint8)
    return numpy.where(void[..., None], stripes[..., None], tile)


def class_map(labels: numpy.ndarray) -> Tile:
    """Classes [H, W] in colours; negative is void."""
    table = numpy.array([class_colour(i) for i in range(max(1, int(labels.max()) + 1))], numpy.uint8)
    return hatched(table[labels.clip(min=0)], labels < 0)


def value_map(values: numpy.ndarray, low: float, high: float, colours: str = "viridis") -> Tile:
    """Values [H, W] in colours from `low` to `high`; NaN is void."""
    scaled = numpy.nan_to_num((values - low) / max(high - low, 1e-12)).clip(0, 1)
    tile = (matplotlib.colormaps[colours](scaled)[..., :3] * 255).round().astype(numpy.uint8)
    return hatched(tile, numpy.isnan(values))


def direction_map(vectors: numpy.ndarray) -> Tile:
    """Unit vectors [3, H, W] as red, green and blue; NaN is void."""
    return hatched(picture((vectors + 1) / 2), numpy.isnan(vectors).any(0))


def strips(task: Task, target: numpy.ndarray | None, prediction: numpy.ndarray) -> tuple[list[Strip], Legend | None]:
    """The columns of one map task: target (unless it is the input) and prediction.

    Args:
        task: The task.
        target: int [n, H, W] or float [n, C, H, W]; None when no sample has one.
        prediction: In natural units, [n, C, H, W].
    """
    count = len(prediction)
    if task.kind == "reconstruction":
        return [Strip(task.name, "prediction", tuple(map(picture, prediction)))], None
    if task.kind == "segmentation" or (target is not None and numpy.issubdtype(target.dtype, numpy.integer)):
        guess = prediction.argmax(1) if prediction.shape[1] > 1 else (prediction[:, 0] >= 0.5).astype(int)
        wanted = None if target is None else target.reshape(count, *target.shape[-2:]).astype(int)
        void = [True] * count if wanted is None else [bool((w < 0).all()) for w in wanted]
        seen = sorted({int(i) for i in numpy.unique(guess)} | set(numpy.unique([] if wanted is None else wanted)))
        named = tuple((_name(task, int(i)), class_colour(int(i))) for i in seen if i >= 0)
        tiles = [None if v or wanted is None else class_map(wanted[i]) for i, v in enumerate(void)]
        return _pair(task, tiles, [class_map(g) for g in guess]), Legend(task.name, named)
    void = [True] * count if target is None else [bool(numpy.isnan(t).all()) for t in target]
    if task.kind == "normals" and prediction.shape[1] == 3:
        tiles = [None if v or target is None else direction_map(target[i]) for i, v in enumerate(void)]
        return _pair(task, tiles, [direction_map(p) for p in prediction]), None
    low, high = (0.0, 1.0) if task.kind == "boundaries" else _range(target, prediction)
    colours = "gray" if task.kind == "boundaries" else "viridis"
    tiles = [None if v or target is None else value_map(target[i, 0], low, high, colours) for i, v in enumerate(void)]
    unit = f" {task.unit}" if task.unit else ""
    legend = None if task.kind == "boundaries" else Legend(task.name, (), (f"{low:.3g}{unit}", f"{high:.3g}{unit}"))
    return _pair(task, tiles, [value_map(p[0], low, high, colours) for p in prediction]), legend


def _name(task: Task, index: int) -> str:
    return task.labels[index] if index < len(task.labels) else f"class {index}"


def _pair(task: Task, targets: list[Tile | None], predictions: list[Tile]) -> list[Strip]:
    return [Strip(task.name, "target", tuple(targets)), Strip(task.name, "prediction", tuple(predictions))]


def _range(target: numpy.ndarray | None, prediction: numpy.ndarray) -> tuple[float, float]:
    """One scale for all samples: that of the labels, or of the predictions when there is no label."""
    for values in (target, prediction):
        if values is not None and (finite := values[numpy.isfinite(values)]).size:
            return float(finite.min()), float(finite.max())
    return 0.0, 1.0
