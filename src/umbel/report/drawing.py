"""What all figures share: style, colours, bands over seeds, heat maps, and the way to a page."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from umbel.report.results import Results
from umbel.report.summary import Estimate

# Okabe & Ito's palette, which people with any colour vision tell apart; markers differ too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#5B4A9E")
MARKERS = "osD^vPX*"
LINES = ("-", "--", ":", "-.")
REFERENCE = "#444444"
WIDTH = 5.2

STYLE: Any = {  # matplotlib's types spell out all keys
    "svg.fonttype": "path",
    "svg.hashsalt": "umbel",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Picture:
    """A finished figure.

    Attributes:
        title: Heading on the page.
        alt: What it shows, for those who cannot see it.
        svg: The drawing.
    """

    title: str
    alt: str
    svg: bytes

    @property
    def data_uri(self) -> str:
        """The drawing as the address of an image that needs no file."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode("ascii")


def finished(figure: Figure, title: str, alt: str) -> Picture:
    """The figure drawn, with its heading and its words."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(title, alt, buffer.getvalue())


def new_axes(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure of that size in inches and its only axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def looks_of(results: Results) -> dict[str, dict[str, str]]:
    """Method -> colour, marker and line; the reference is grey."""
    looks, index = {}, 0
    for method in results.methods:
        if method.key == results.reference:
            looks[method.key] = {"color": REFERENCE, "marker": "o", "linestyle": "--"}
            continue
        wrapped, place = divmod(index, len(COLOURS))
        line = LINES[wrapped % len(LINES)]
        looks[method.key] = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": line}
        index += 1
    return looks


def short(text: str, length: int = 26) -> str:
    """The text, cut where it is longer than a figure has room for."""
    return text if len(text) <= length else text[: length - 1] + "…"


def heat(axes: Axes, values: numpy.ndarray, least: float, text: str, size: float, centre: float | None = 0.0) -> Any:
    """A heat map with the numbers in it: diverging around a centre, orange below and violet above.

    Args:
        axes: Where it is drawn.
        values: [rows, columns]; NaN is a blank cell.
        least: Least distance from the centre that has the full colour.
        text: Format of the numbers; empty leaves them out.
        size: Of the numbers, in points.
        centre: The value without colour; None colours from the lowest value to the highest.
    """
    finite = values[numpy.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if centre is not None:
        limit = max(least, abs(low - centre), abs(high - centre)) or 1.0
        low, high = centre - limit, centre + limit
    image = axes.imshow(values, cmap="cividis" if centre is None else "PuOr", vmin=low, vmax=high, aspect="auto")
    axes.grid(visible=False)
    middle, span = (low + high) / 2, max(high - low, 1e-12)
    for place, value in numpy.ndenumerate(values):
        if text and math.isfinite(value):
            dark = value < middle if centre is None else abs(value - middle) > 0.325 * span
            told = format(value, text).replace("-", "−")
            colour = "white" if dark else "black"
            axes.text(place[1], place[0], told, ha="center", va="center", fontsize=size, color=colour)
    return image


def band(axes: Axes, curves: Sequence[tuple[Sequence[int], Sequence[float]]], look: dict[str, str], label: str) -> None:
    """Mean over seeds with a band of its 95 % interval, at the steps that all seeds have, a few hundred at most.

    A value that is not finite leaves a gap.
    """
    common = sorted(set.intersection(*(set(steps) for steps, _ in curves)))
    if not common:
        return
    common = common[:: max(1, len(common) // 200)]
    tables = [dict(zip(steps, values, strict=True)) for steps, values in curves]
    estimates = [Estimate.of(t[step] for t in tables) for step in common]
    mean = numpy.array([e.mean for e in estimates])
    width = numpy.nan_to_num(numpy.array([e.half_width for e in estimates]))
    axes.plot(common, mean, color=look["color"], linestyle=look["linestyle"], linewidth=1.6, label=label)
    if width.any():
        axes.fill_between(common, mean - width, mean + width, color=look["color"], alpha=0.15, linewidth=0)
