"""The parts of a slimmable model at every width, and whole models of them, as functions that can be timed."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from umbel.control.onnx_file import as_function, as_models, joined, open_session, with_weights_of_its_own
from umbel.control.timing import AtPoint, Backend, channels_last
from umbel.core import MultiTaskModel, OperatingPoint
from umbel.nn.slimming.dense import shrunk_copy

Run = Callable[[Any], Any]
Pair = tuple[float, float]
Groups = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Parts:
    """Dense parts with norms folded, run by one backend. A head includes the link before it.

    Attributes:
        inputs: What encoders and whole models take.
        encoders: Width -> inputs to features.
        heads: (Encoder's width, own width) -> for each group of equal heads, features to prediction.
        wholes: (Encoder's width, width of all heads) -> inputs to predictions.
        empty: Calls a network that does next to nothing; None where a call of a part costs as much in a whole model.
    """

    inputs: Any
    encoders: Mapping[float, Run]
    heads: Mapping[Pair, Sequence[Run]]
    wholes: Mapping[Pair, Run]
    empty: Callable[[], Any] | None


@torch.no_grad()
def build_parts(
    model: MultiTaskModel,
    groups: Groups,
    wholes: Sequence[Pair],
    inputs: Tensor,
    backend: Backend,
    point: OperatingPoint,
) -> Parts:
    """All parts of a model on the processor; nothing of it is changed.

    Args:
        model: Encoder and heads are `Slimmable`, with one grid.
        groups: Tasks with equal heads; the first one's head stands for all.
        wholes: Which whole models to build.
        inputs: A batch.
        backend: What is to run them.
        point: What links read.
    """
    widths = model.encoder.widths
    encoders = {w: shrunk_copy(model.encoder, OperatingPoint(width=w), fold=True).cpu() for w in widths}
    pairs = [(we, wd) for we in widths for wd in widths]
    branches = {pair: [_branch(model, group[0], *pair) for group in groups] for pair in pairs}
    if backend == "onnxruntime":
        return _by_onnx(encoders, branches, _places(model, groups), wholes, inputs, point)
    return _by_torch(encoders, branches, _places(model, groups), wholes, inputs, point)


def _places(model: MultiTaskModel, groups: Groups) -> list[int]:
    """For every task, its group."""
    return [next(place for place, group in enumerate(groups) if task in group) for task in model.task_names]


def _branch(model: MultiTaskModel, task: str, encoder_width: float, width: float) -> MultiTaskModel:
    """A link and a head at a pair of widths, as a model runs them."""
    point = OperatingPoint(width=encoder_width, head_widths={task: width})
    links = {task: copy.deepcopy(model.links[task])} if task in model.links else {}
    head = shrunk_copy(model.heads[task], point, fold=True)
    return MultiTaskModel(nn.Identity(), {task: head}, links).cpu().eval()


def _by_torch(
    encoders: Mapping[float, nn.Module],
    branches: Mapping[Pair, Sequence[MultiTaskModel]],
    places: Sequence[int],
    wholes: Sequence[Pair],
    inputs: Tensor,
    point: OperatingPoint,
) -> Parts:
    for module in (*encoders.values(), *(branch for row in branches.values() for branch in row)):
        channels_last(module)

    def whole(pair: Pair) -> Run:
        heads, links = {}, {}
        for task, place in enumerate(places):  # copies: every head of a model has weights of its own
            branch = copy.deepcopy(branches[pair][place])
            name = branch.task_names[0]
            heads[str(task)] = branch.heads[name]
            if name in branch.links:
                links[str(task)] = branch.links[name]
        return partial(MultiTaskModel(encoders[pair[0]], heads, links).eval(), point=point)

    heads = {pair: [partial(branch.decode, point=point) for branch in row] for pair, row in branches.items()}
    return Parts(channels_last(inputs), encoders, heads, {pair: whole(pair) for pair in wholes}, None)


def _by_onnx(
    encoders: Mapping[float, nn.Module],
    branches: Mapping[Pair, Sequence[MultiTaskModel]],
    places: Sequence[int],
    wholes: Sequence[Pair],
    inputs: Tensor,
    point: OperatingPoint,
) -> Parts:
    features = {width: encoder(inputs) for width, encoder in encoders.items()}
    nothing = torch.zeros(1)
    modules, given = [nn.ReLU(), *encoders.values()], [nothing, *[inputs] * len(encoders)]
    for pair, row in branches.items():
        modules += [AtPoint(branch, point) for branch in row]
        given += [features[pair[0]]] * len(row)
    nothing_model, *written = as_models(modules, given)
    models = iter(written)
    encoder_models = {width: next(models) for width in encoders}
    head_models = {pair: [next(models) for _ in row] for pair, row in branches.items()}

    def run(model: Any) -> Run:
        return as_function(open_session(model.SerializeToString()))

    def whole(pair: Pair) -> Run:
        heads = [with_weights_of_its_own(head_models[pair][place], task) for task, place in enumerate(places)]
        return run(joined(encoder_models[pair[0]], heads))

    return Parts(
        inputs.numpy(),
        {width: run(model) for width, model in encoder_models.items()},
        {pair: [run(model) for model in row] for pair, row in head_models.items()},
        {pair: whole(pair) for pair in wholes},
        partial(run(nothing_model), nothing.numpy()),
    )
