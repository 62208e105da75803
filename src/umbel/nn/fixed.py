"""`fixed_model`: an ordinary model for one preference, with batch-norm statistics of its own."""

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from umbel.core import Batch, Inputs, MultiTaskModel, OperatingPoint, UmbelError, at_point
from umbel.nn.conditioning import PreferenceConditioned
from umbel.nn.slimming.setting import evaluating
from umbel.nn.slimming.statistics import points_of_batches

_SEED = 0  # of the noise of links while measuring


def fixed_model(
    model: MultiTaskModel, point: OperatingPoint, batches: Iterable[Batch | Tensor] | None = None
) -> MultiTaskModel:
    """An ordinary copy of a model for one point: parts that read preferences are fixed, everything else is copied.

    It costs what the ordinary model costs. A conditioned network trained over a range of preferences has running
    statistics that average over them; with `batches` those of its fixed parts are measured at this point, as
    `recalibrate` does for slimmable ones: first the encoder's, then the heads' on features of the measured encoder.
    A layer's statistics are the means of those that the batches give it (of variances, too), so use large batches of
    the same size. Dropout and the like are off, and noise of links comes from a fixed seed.

    Args:
        model: With parts that are `PreferenceConditioned`. It is not changed.
        point: The preferences, and whatever else links depend on. What it does not say and a part wants drawn is drawn
            for each batch that is measured as in training, from a fixed seed.
        batches: Inputs, or batches with inputs, of the training set; kept in memory. None keeps the statistics.

    Raises:
        UmbelError: What `preferences_at` refuses, or `batches` without any.
    """

    def fixed(part: nn.Module) -> nn.Module:
        return part.fixed_at(point) if isinstance(part, PreferenceConditioned) else copy.deepcopy(part)

    heads = {name: fixed(model.heads[name]) for name in model.task_names}
    links = {name: copy.deepcopy(model.links[name]) for name in model.task_names if name in model.links}
    result = MultiTaskModel(fixed(model.encoder), heads, links).train(model.training)
    if batches is not None:
        inputs = [batch.inputs if isinstance(batch, Batch) else batch for batch in batches]
        if not inputs:
            raise UmbelError("fixed_model was given no batch to measure statistics on; give some of the training set")
        _measure(model, result, inputs, point)
    return result


def _measure(model: MultiTaskModel, result: MultiTaskModel, inputs: list[Inputs], point: OperatingPoint) -> None:
    """Measure the fixed parts of `result`, part by part."""
    with evaluating(result):
        if isinstance(model.encoder, PreferenceConditioned):
            _measure_part(result.encoder, inputs)
        drawn = points_of_batches(model, point, len(inputs))
        features = [at_point(result.encoder, x, at) for x, at in zip(inputs, drawn, strict=True)]
        for name in model.task_names:
            if not isinstance(model.heads[name], PreferenceConditioned):
                continue
            received = features
            if name in result.links:
                with torch.random.fork_rng(devices=[]):
                    torch.default_generator.manual_seed(_SEED)
                    received = [at_point(result.links[name], x, at) for x, at in zip(features, drawn, strict=True)]
            _measure_part(result.heads[name], received)


def _measure_part(part: nn.Module, inputs: Sequence[Inputs]) -> None:
    """Give the batch normalisations of an ordinary part in evaluation mode the mean statistics of these inputs."""
    norms = [layer for layer in part.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
        norm.train()
    for x in inputs if norms else ():
        part(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
