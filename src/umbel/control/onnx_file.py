"""ONNX: written by torch's exporter, run by ONNX Runtime. Both are imported only when they are used."""

import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from umbel.core import UmbelError

INPUT = "input"
"""Name of the input of every exported file."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What the extra `export` installs."""


def has_onnx() -> bool:
    """Whether the packages are installed."""
    return all(find_spec(name) is not None for name in PACKAGES)


def require_onnx(what: str) -> None:
    """Stop when a package is not installed.

    Args:
        what: What needs them, as the line begins.

    Raises:
        UmbelError: Names what is missing and the command that installs it.
    """
    if not has_onnx():
        missing = ", ".join(name for name in PACKAGES if find_spec(name) is None)
        raise UmbelError(f'{what} needs {missing}: pip install "umbel[export]"')


def versions() -> dict[str, str]:
    """Package -> its version."""
    return {name: version(name) for name in PACKAGES}


def to_onnx(
    program: ExportedProgram, inputs: Sequence[str], outputs: Sequence[str], optimize: bool = True
) -> torch.onnx.ONNXProgram:
    """An exported program as ONNX, with these names of its inputs and outputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts; the result is checked by running it
        written = torch.onnx.export(
            program, dynamo=True, input_names=inputs, output_names=outputs, optimize=optimize, verbose=False
        )
    taken = {*inputs, *outputs}
    for node in written.model.graph:  # the exporter names its values after operations, and a task may be called "relu"
        for value in node.outputs:
            if value.name in taken and not value.is_graph_output():
                value.name = f"{value.name}_inside"
    return written


def open_session(source: Path | bytes) -> Any:
    """An `onnxruntime.InferenceSession` on the processor, with as many threads as torch has."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    given = source if isinstance(source, bytes) else str(source)
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])


def as_function(session: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A session with one input as a function; it gives the first output."""
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


class _SideBySide(nn.Module):
    """Modules with an input and an output each."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> tuple[Any, ...]:
        return tuple(part(x) for part, x in zip(self.parts, inputs, strict=True))


@torch.no_grad()
def as_models(modules: Sequence[nn.Module], inputs: Sequence[Tensor]) -> list[Any]:
    """Each module as an `onnx.ModelProto` of its own: one tensor in, one or several out.

    They are exported together and taken apart again, because an export costs about a second however small it is.

    Args:
        modules: In evaluation mode, on the processor.
        inputs: One for each, of the size that they will have.
    """
    from onnx.utils import Extractor  # noqa: PLC0415

    copies = tuple(x.clone() for x in inputs)  # one tensor given twice would become one input
    counts = [len(tree_leaves(module(x))) for module, x in zip(modules, copies, strict=True)]
    starts = [f"in_{k}" for k in range(len(counts))]
    ends = [[f"out_{k}_{j}" for j in range(count)] for k, count in enumerate(counts)]
    program = torch.export.export(_SideBySide(modules).eval(), copies)
    together = Extractor(to_onnx(program, starts, list(chain(*ends)), optimize=False).model_proto)
    return [together.extract_model([start], outputs) for start, outputs in zip(starts, ends, strict=True)]


def as_functions(modules: Sequence[nn.Module], inputs: Sequence[Tensor]) -> list[Callable[[np.ndarray], np.ndarray]]:
    """Each module run by ONNX Runtime: all outputs are computed and the first is given; see `as_models`."""
    return [as_function(open_session(model.SerializeToString())) for model in as_models(modules, inputs)]


def joined(encoder: Any, heads: Sequence[Any]) -> Any:
    """One model of an encoder and heads (`onnx.ModelProto`) that all read its output; the heads' outputs, in order."""
    from onnx import compose  # noqa: PLC0415

    result = compose.add_prefix(encoder, "encoder_")
    features = result.graph.output[0].name
    del result.graph.output[:]
    for place, head in enumerate(heads):
        own = compose.add_prefix(head, f"head_{place}_").graph
        for node in own.node:
            node.input[:] = [features if name == own.input[0].name else name for name in node.input]
        result.graph.node.extend(own.node)
        result.graph.initializer.extend(own.initializer)
        result.graph.output.extend(own.output)
    return result


def with_weights_of_its_own(model: Any, number: int) -> Any:
    """A copy of a model (`onnx.ModelProto`) with weights a little larger, so that no other has the same.

    ONNX Runtime merges equal weights; heads of a real model have none, and are slower.
    """
    from onnx import numpy_helper  # noqa: PLC0415

    result = type(model)()
    result.CopyFrom(model)
    for weight in result.graph.initializer:
        values = numpy_helper.to_array(weight)
        if np.issubdtype(values.dtype, np.floating):
            changed = (values * (1 + (number + 1) / 1024)).astype(values.dtype)
            weight.CopyFrom(numpy_helper.from_array(changed, weight.name))
    return result
