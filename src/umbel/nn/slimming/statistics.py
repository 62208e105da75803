"""`recalibrate`: measure the batch-norm statistics of chosen configurations, the encoder and each head by itself."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from umbel.core import Batch, MultiTaskModel, OperatingPoint, UmbelError, at_point, axes_of, drawn_point, unknown
from umbel.nn.slimming.grid import WIDTH_NAMES
from umbel.nn.slimming.model import Slimmable
from umbel.nn.slimming.setting import Sums, evaluating

_SEED = 0  # of the noise of links while measuring, and of what is drawn for them


def points_of_batches(model: MultiTaskModel, point: OperatingPoint, count: int) -> list[OperatingPoint]:
    """The points at which statistics of one configuration are measured, one for each of `count` batches.

    What the point does not say, and parts of the model want drawn (the signal-to-noise ratio of a link, say), is drawn
    for each batch as at the end of training, from a fixed seed. Statistics then are those over the whole range, as the
    running ones are that training took. Widths are never drawn: the point's own are measured.
    """
    generator = torch.Generator().manual_seed(_SEED)
    given = (*WIDTH_NAMES, *point)
    axes = {name: axis for name, axis in axes_of(model).items() if name not in given}
    return [drawn_point(axes, generator, 1.0).with_values(**point) for _ in range(count)]


def check_widths(model: MultiTaskModel, point: OperatingPoint) -> None:
    """Refuse a point that this model does not have.

    Raises:
        UmbelError: `head_widths` names an unknown task, or a width is off the grid.
    """
    parts = [model.encoder, *(model.heads[name] for name in model.task_names)]
    for part in parts:
        if isinstance(part, Slimmable):
            part.widths_at(point)
    for name in point.get("head_widths", {}):
        if name not in model.heads:
            raise unknown("task in head_widths", name, model.task_names)


def recalibrate(
    model: MultiTaskModel | Slimmable,
    batches: Iterable[Batch | Tensor],
    points: Iterable[OperatingPoint] | None = None,
) -> None:
    """Measure batch-norm statistics over given batches. Weights and the full configuration's statistics stay.

    Separable: the encoder is measured once for each of its widths that occur in `points`, and then each head once for
    each pair (encoder width, own width), from the encoder's features, which are computed once for each width. So a
    grid of w widths and T heads takes w measurements of the encoder and w w T of (cheap) heads.

    Mean and variance are those of all values of all batches, whatever the order of the batches. While one part is
    measured, its layers normalise with the statistics of each batch, as in training, so large batches are closest to
    the truth; heads see features of the *calibrated* encoder, as they will in use. Dropout and the like are off.
    Links with noise draw it from a fixed seed, so that two runs give the same. Differs from "post-statistics" of Yu &
    Huang (ICCV 2019): the exact mean and pooled variance, not the average of batches' statistics.

    Args:
        model: Whose encoder or heads are `Slimmable`, or one `Slimmable`.
        batches: Inputs, or batches with inputs; run through once for each width and kept in memory.
        points: Which configurations; None measures the whole grid. With a link, its other values matter too: of several
            points with the same widths the first one counts. What a point does not say and a part wants drawn is drawn
            for each batch as in training, from a fixed seed.

    Raises:
        UmbelError: No batch, a width off the grid, or an unknown task.
    """
    inputs = [batch.inputs if isinstance(batch, Batch) else batch for batch in batches]
    if not inputs:
        raise UmbelError("recalibrate was given no batch; give some of the training set")
    if isinstance(model, Slimmable):
        _recalibrate_alone(model, inputs, points)
        return
    chosen = _every_point(model) if points is None else list(points)
    for point in chosen:
        check_widths(model, point)
    with evaluating(model):
        for group in _by_encoder_width(model, chosen):
            if isinstance(model.encoder, Slimmable):
                _measure(model.encoder, inputs, group[0])
            drawn = points_of_batches(model, group[0], len(inputs))
            features = [at_point(model.encoder, x, point) for x, point in zip(inputs, drawn, strict=True)]
            for name in model.task_names:
                _measure_head(model, name, features, group)


def _recalibrate_alone(slim: Slimmable, inputs: Sequence[Tensor], points: Iterable[OperatingPoint] | None) -> None:
    if slim.head_of is not None:
        raise UmbelError(f"{slim.name} by itself: recalibrate the model it belongs to, which knows the features")
    chosen = [OperatingPoint(width=width) for width in slim.widths] if points is None else points
    with evaluating(slim):
        for point in {slim.widths_at(point): point for point in chosen}.values():
            _measure(slim, inputs, point)


def _every_point(model: MultiTaskModel) -> list[OperatingPoint]:
    """Points that hold every encoder width with every head width: all heads turn together, as they are separable."""
    parts = [model.encoder, *(model.heads[name] for name in model.task_names)]
    widths = next((part.widths for part in parts if isinstance(part, Slimmable)), None)
    if widths is None:
        raise UmbelError("recalibrate: neither the encoder nor a head of this model is slimmable")
    heads = [name for name in model.task_names if isinstance(model.heads[name], Slimmable)]
    return [OperatingPoint(width=w, head_widths=dict.fromkeys(heads, v)) for w in widths for v in widths]


def _by_encoder_width(model: MultiTaskModel, points: Sequence[OperatingPoint]) -> list[list[OperatingPoint]]:
    groups: dict[float, list[OperatingPoint]] = {}
    for point in points:
        groups.setdefault(point.get("width", 1.0), []).append(point)
    return list(groups.values())


def _measure(slim: Slimmable, inputs: Sequence[Tensor], point: OperatingPoint) -> None:
    """Fill the tables of one configuration. The full one keeps its running statistics."""
    setting = slim.setting(*slim.widths_at(point))
    if setting.row is None or not slim.norms:
        return
    sums: dict[nn.Module, Sums] = {}
    for x in inputs:
        slim.observed(x, setting, sums=sums)
    for norm, measured in sums.items():
        norm.store(setting.row, measured)
    slim.calibrated[setting.row] = True


def _measure_head(model: MultiTaskModel, name: str, features: list[Tensor], points: Sequence[OperatingPoint]) -> None:
    head = model.heads[name]
    if not isinstance(head, Slimmable) or not head.norms:
        return
    for point in {head.widths_at(point): point for point in reversed(points)}.values():
        received = features
        if name in model.links:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(_SEED)
                drawn = points_of_batches(model, point, len(features))
                received = [at_point(model.links[name], x, at) for x, at in zip(features, drawn, strict=True)]
        _measure(head, received, point)
