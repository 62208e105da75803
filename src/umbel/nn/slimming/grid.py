"""Widths: the grid they come from, what a point says about them, and how many channels each one means."""

import math
from collections.abc import Iterable, Mapping, Sequence

from umbel.core import OperatingPoint, UmbelError

WIDTHS = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
"""The usual widths: eighths of the full width, from a quarter on."""

WIDTH_NAMES = ("width", "head_widths")
"""The values of an operating point that say widths: the encoder's, and each head's by its task."""


def check_grid(widths: Iterable[float]) -> tuple[float, ...]:
    """The widths in rising order.

    Raises:
        UmbelError: None at all, one outside (0, 1], one twice, or 1 is missing.
    """
    given = tuple(widths)
    if not given or not all(_is_number(width) and 0 < width <= 1 for width in given):
        raise UmbelError(f"widths {given}: give numbers above 0 and up to 1")
    if len(set(given)) < len(given) or 1 not in given:
        raise UmbelError(f"widths {given}: give each once, and 1.0 (the full width) among them")
    return tuple(sorted(float(width) for width in given))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def active_channels(channels: int, width: float, divisor: int = 8) -> int:
    """How many of `channels` channels are active at a width: the first ones, in a multiple that hardware likes.

        width * channels, rounded to the nearest multiple of `divisor`; the next one up where that would lose more
        than a tenth; at least `divisor`, never more than `channels`, and all of them at width 1

    It never falls when the width rises. Layers of at most `divisor` channels always keep them all.
    Source: `make_divisible` of Yu et al., "Slimmable neural networks", ICLR 2019.
    """
    wanted = width * channels
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    if rounded < 0.9 * wanted:
        rounded += divisor
    return channels if width == 1 else min(channels, rounded)


def encoder_width(point: OperatingPoint, widths: Sequence[float]) -> float:
    """The encoder's width at a point: its `width`, or 1 when it has none.

    Raises:
        UmbelError: It is off the grid.
    """
    return _on_grid(point.get("width", 1.0), widths, "width")


def head_width(point: OperatingPoint, task: str, widths: Sequence[float]) -> float:
    """The width of a task's head at a point: its entry in `head_widths`, or 1 when it has none.

    Raises:
        UmbelError: It is off the grid, or `head_widths` is no mapping.
    """
    chosen = point.get("head_widths", {})
    if not isinstance(chosen, Mapping):
        raise UmbelError(f"head_widths is {chosen!r}; give a mapping of task names to widths")
    return _on_grid(chosen.get(task, 1.0), widths, f"head width of task {task!r}")


def _on_grid(value: object, widths: Sequence[float], what: str) -> float:
    if not _is_number(value) or value not in widths:
        raise UmbelError(f"{what} is {value!r}; this model has the widths {', '.join(map(str, widths))}")
    return float(value)
