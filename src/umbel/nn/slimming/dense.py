"""`dense`: the ordinary network of one configuration, with nothing slimmable left in it."""

import copy

from torch import Tensor, nn

from umbel.core import MultiTaskModel, OperatingPoint
from umbel.nn.slimming.catalogue import PLAIN
from umbel.nn.slimming.fold import fold_norms
from umbel.nn.slimming.layers import SlimConvTranspose2d, SlimLinear, SlimPReLU
from umbel.nn.slimming.model import Slimmable
from umbel.nn.slimming.norms import BATCH_NORMS, SlimGroupNorm, SlimLayerNorm
from umbel.nn.slimming.setting import Call, Setting, evaluating
from umbel.nn.slimming.statistics import check_widths
from umbel.nn.slimming.trial import example_input, observe


def dense(slim: Slimmable, point: OperatingPoint, fold: bool = True) -> nn.Module:
    """The ordinary module that one configuration is, in evaluation mode, with weights of its own.

    It has the structure of the module that was made slimmable, with smaller layers, and answers as the slimmable one
    at `point` does (to rounding, when norms are folded). `feature_shape` is that of the configuration.

    Args:
        slim: An encoder or a head.
        point: The configuration.
        fold: Fold batch normalisations into the convolution or linear layer whose output only they read.

    Raises:
        UmbelError: A width off the grid, or a configuration whose batch-norm statistics were not measured.
    """
    slim.check_calibrated(point)
    return shrunk_copy(slim, point, fold)


def dense_model(model: MultiTaskModel, point: OperatingPoint, fold: bool = True) -> MultiTaskModel:
    """The ordinary model of one configuration: `dense` of the encoder and of every head; links are copied.

    Raises:
        UmbelError: As `dense`, or `head_widths` names an unknown task.
    """
    for part in (model.encoder, *(model.heads[name] for name in model.task_names)):
        if isinstance(part, Slimmable):
            part.check_calibrated(point)
    return dense_copy(model, point, fold)


def dense_copy(model: MultiTaskModel, point: OperatingPoint, fold: bool = False) -> MultiTaskModel:
    """As `dense_model`, whatever the batch-norm statistics are worth: to train a network of that size, say.

    Raises:
        UmbelError: A width off the grid, or `head_widths` names an unknown task.
    """
    check_widths(model, point)

    def plain(part: nn.Module) -> nn.Module:
        return shrunk_copy(part, point, fold) if isinstance(part, Slimmable) else copy.deepcopy(part)

    links = copy.deepcopy({name: model.links[name] for name in model.task_names if name in model.links})
    encoder = plain(model.encoder)
    return MultiTaskModel(encoder, {name: plain(model.heads[name]) for name in model.task_names}, links).eval()


def shrunk_copy(slim: Slimmable, point: OperatingPoint, fold: bool) -> nn.Module:
    """As `dense`, whatever the statistics are worth (to count, or to measure time)."""
    widths = slim.widths_at(point)
    setting = slim.setting(*widths)
    with evaluating(slim):
        calls, output = observe(slim, widths)
    names = {part: name for name, part in slim.module.named_modules()}
    by_name = {names[call.layer]: call for call in calls}
    result = copy.deepcopy(slim.module)
    for name, layer in result.named_modules():
        if type(layer) in PLAIN:
            if name in by_name:
                _shrink(layer, by_name[name], setting)
            _make_plain(layer)
    if hasattr(result, "feature_shape") and isinstance(output, Tensor):
        result.feature_shape = (output.shape[1], *result.feature_shape[1:])
    if fold:
        fold_norms(result.eval(), example_input(slim, widths[0]))
    return result.eval()


def _make_plain(layer: nn.Module) -> None:
    layer.__class__ = PLAIN[type(layer)]
    for name in ("means", "variances"):
        layer._buffers.pop(name, None)
    for name in ("divisor", "fixed_output", "over_processes"):
        layer.__dict__.pop(name, None)


def _shrink(layer: nn.Module, call: Call, setting: Setting) -> None:
    """Leave in a layer what is active at a setting."""
    inputs, outputs = call.channels_in, call.channels_out
    if isinstance(layer, BATCH_NORMS):
        _shrink_batch_norm(layer, setting.row, outputs)
    elif isinstance(layer, SlimGroupNorm):
        layer.num_groups, layer.num_channels = layer.groups_at(outputs), outputs
        _keep_first(layer, outputs)
    elif isinstance(layer, SlimLayerNorm):
        layer.normalized_shape = (outputs, *layer.normalized_shape[1:])
        _keep_first(layer, outputs)
    elif isinstance(layer, SlimPReLU):
        layer.num_parameters = min(layer.num_parameters, outputs)
        _keep_first(layer, layer.num_parameters)
    elif isinstance(layer, SlimLinear):
        layer.in_features, layer.out_features = inputs, outputs
        _keep_first(layer, outputs, inputs)
    else:
        _, groups = layer.sizes(inputs, setting.width)
        layer.in_channels, layer.out_channels, layer.groups = inputs, outputs, groups
        transposed = isinstance(layer, SlimConvTranspose2d)
        rows, columns = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
        _keep_first(layer, rows, columns, biases=outputs)


def _shrink_batch_norm(layer: nn.Module, row: int | None, channels: int) -> None:
    layer.num_features = channels
    _keep_first(layer, channels)
    if layer.running_mean is not None:
        mean, variance = layer.statistics_at(row, channels)
        layer.running_mean, layer.running_var = mean.clone(), variance.clone()


def _keep_first(layer: nn.Module, rows: int, columns: int | None = None, biases: int | None = None) -> None:
    """Cut a layer's weight to its first rows and columns, and its bias to as many entries as rows (or `biases`)."""
    cuts = {"weight": (slice(rows), slice(columns)), "bias": (slice(rows if biases is None else biases),)}
    for name, cut in cuts.items():
        parameter = getattr(layer, name, None)
        if parameter is not None:
            kept = parameter.detach()[cut[: parameter.ndim]].clone()
            setattr(layer, name, nn.Parameter(kept, parameter.requires_grad))
