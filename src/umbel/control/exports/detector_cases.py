"""Pictures on which an exported detector is compared with the original, and how."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from umbel.control.exports.answering import decoder_of
from umbel.control.exports.check import TOLERANCE, in_scale
from umbel.core import Task, UmbelError, pad_inputs
from umbel.nn.detection import PICTURE, Detector

BOX_TOLERANCE = 1e-3
"""Largest difference of a corner in pixels, of pictures of up to 100 pixels; of larger ones as much more."""
SCORE_TOLERANCE = 1e-4
"""Largest difference of a score."""
_SHAPES = ((0.75, 1.0), (1.0, 0.75), (1.0, 1.0), (0.61, 0.83), (0.31, 0.97))  # height and width by the longer side
_ENOUGH, _MOST = 30, 20  # boxes that are compared, and pictures that are drawn for them
_EITHER_WAY = 0.02  # of the boxes: overlaps that are the limit to the last digit

Answers = tuple[Tensor, ...]
"""Boxes [d, 4], scores [d], classes [d], and the answers [outputs] of further tasks."""


@dataclass(frozen=True, eq=False)
class DetectorCase:
    """A picture, and what the original detector answers.

    Attributes:
        picture: uint8 [3, H, W].
        expected: Its answers, those of further tasks decoded.
    """

    picture: Tensor
    expected: Answers


@torch.no_grad()
def detector_cases(detector: Detector, tasks: Sequence[Task]) -> list[DetectorCase]:
    """Drawn pictures of several shapes, as many as it takes until the detector has seen some boxes in them.

    Args:
        detector: In evaluation mode, on the processor.
        tasks: Those of its further heads.

    Raises:
        UmbelError: An answer is not finite.
    """
    cases: list[DetectorCase] = []
    boxes = 0
    while len(cases) < len(_SHAPES) or (boxes < _ENOUGH and len(cases) < _MOST):
        shape = _SHAPES[len(cases) % len(_SHAPES)]
        height, width = (max(16, round(part * detector.input_shape[1])) for part in shape)
        picture = torch.from_numpy(_drawn(height, width, len(cases)))
        answers = answers_of(detector, tasks, picture)
        if not all(bool(answer.isfinite().all()) for answer in answers):
            raise UmbelError("the detector gives values that are not finite; mend it first")
        cases.append(DetectorCase(picture, answers))
        boxes += len(answers[1])
    return cases


def answers_of(detector: Detector, tasks: Sequence[Task], picture: Tensor) -> Answers:
    """What a detector answers to one picture, uint8 [3, H, W]."""
    raw = detector(pad_inputs(PICTURE, [picture]))
    rows = raw["boxes"][0][raw["boxes"][0][:, 5] >= 0]
    return rows[:, :4], rows[:, 4], rows[:, 5].long(), *(decoder_of(task)(raw[task.name])[0] for task in tasks)


def _drawn(height: int, width: int, seed: int) -> np.ndarray:
    """Discs and rectangles on a noisy ground, uint8 [3, H, W]."""
    generator = np.random.default_rng(seed)
    pixels = generator.normal(generator.uniform(60, 200, (3, 1, 1)), 12, (3, height, width))
    rows, columns = np.indices((height, width))
    for _ in range(12):
        y, x, size = generator.uniform(0, height), generator.uniform(0, width), max(height, width)
        half_height, half_width = generator.uniform(size / 30, size / 6, 2)
        down, across = np.abs(rows - y) / half_height, np.abs(columns - x) / half_width
        inside = (down**2 + across**2 < 1) if generator.random() < 0.7 else np.maximum(down, across) < 1
        pixels[:, inside] = generator.normal(generator.uniform(0, 255, (3, 1)), 10, (3, int(inside.sum())))
    return pixels.clip(0, 255).astype(np.uint8)


@torch.no_grad()
def detector_differences(
    file: str, run: Callable[[Tensor], Answers], tasks: Sequence[Task], cases: Sequence[DetectorCase], boxes: str
) -> dict[str, float]:
    """Task -> largest difference of a file's answers: of boxes in pixels, of others relative to their scale.

    Of the boxes one in fifty may be without a counterpart: where two overlap by the limit to the last digit, either may
    be left out.

    Args:
        file: Name of the file.
        run: What answers: picture -> answers.
        tasks: Those of further heads.
        cases: From `detector_cases`.
        boxes: Name of the task of the boxes.

    Raises:
        UmbelError: The answers differ by more.
    """
    worst, lost, count = 0.0, 0, 0
    further = dict.fromkeys((task.name for task in tasks), 0.0)
    for case in cases:
        answers = run(case.picture)
        limit = BOX_TOLERANCE * max(1.0, max(case.picture.shape) / 100)
        distance, alone = _matched(answers, case.expected, limit)
        worst, lost, count = max(worst, distance), lost + alone, count + len(case.expected[1])
        for task, given, wanted in zip(tasks, answers[3:], case.expected[3:], strict=True):
            mine, theirs = in_scale(task, given), in_scale(task, wanted)
            far = float((mine - theirs).abs().max()) / max(1.0, float(theirs.abs().max()))
            further[task.name] = max(further[task.name], far)
    if lost > max(1, _EITHER_WAY * count):
        raise UmbelError(f"{file}: {lost} of {count} boxes differ from the original detector's; nothing was exported")
    for name, far in further.items():
        if not far <= TOLERANCE:
            raise UmbelError(
                f"{file}: task {name!r} differs from the original detector by {far:.2g} of its scale, more than "
                f"{TOLERANCE:g}; nothing was exported"
            )
    return {boxes: worst, **further}


def _matched(given: Answers, wanted: Answers, limit: float) -> tuple[float, int]:
    """The largest difference of boxes that have a counterpart, and how many on either side have none."""
    if not len(given[1]) or not len(wanted[1]):
        return 0.0, max(len(given[1]), len(wanted[1]))
    far = (given[0].double()[:, None] - wanted[0].double()[None]).abs().amax(2)
    alike = (given[1][:, None] - wanted[1][None]).abs() <= SCORE_TOLERANCE
    alike &= given[2][:, None] == wanted[2][None]
    far = torch.where(alike, far, torch.inf)
    nearest = torch.cat([far.amin(1), far.amin(0)])
    met = nearest <= limit
    return float(nearest[met].max()) if bool(met.any()) else 0.0, int((~met).sum())
