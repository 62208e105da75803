"""The formats: each is written, loaded back, and gives what its file answers to a case."""

import copy
import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as save_safetensors
from torch import Tensor
from torch.export import Dim, ExportedProgram

from umbel.control.exports.answering import Answering
from umbel.control.exports.cases import Case, Inputs
from umbel.control.exports.table_graph import FEATURES, with_columns
from umbel.control.onnx_file import INPUT, open_session, to_onnx
from umbel.control.timing import channels_last
from umbel.core import UmbelError
from umbel.data.table_description import TableDescription
from umbel.engine.checkpoint import split_state

FILES: Mapping[str, str] = {"torch": "model.pt2", "onnx": "model.onnx", "safetensors": "model.safetensors"}
"""Format -> its file."""
METADATA = "umbel"
"""Key of the record among the metadata of an ONNX file."""
_TRACED_BATCH = 2

Run = Callable[[Case], Mapping[str, Tensor]]
"""What a file answers to a case, by task."""


def traced(network: Answering, inputs: Tensor) -> ExportedProgram:
    """The network as torch's program, for any number of samples.

    Raises:
        UmbelError: Torch cannot trace it.
    """
    example = inputs[:1].expand(_TRACED_BATCH, *inputs.shape[1:]).contiguous()
    try:
        with warnings.catch_warnings():
            # Recurrent layers list their weights anew in each pass, which torch takes for a change of the network.
            warnings.filterwarnings("ignore", ".*_flat_weights.*assigned during export")
            return torch.export.export(channels_last(network), (example,), dynamic_shapes=({0: Dim("batch", min=1)},))
    except Exception as error:  # torch's own errors are of many kinds
        raise UmbelError(f"torch.export cannot write this network as a program: {first_line(error)}") from error


def write_weights(network: Answering, path: Path) -> Run:
    """Write the weights; what answers is a network that has them from the file and from nowhere else."""
    model = network.network.module
    path.write_bytes(save_safetensors(split_state(model)[0]))
    loaded = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in loaded.network.module.state_dict().values():
            if isinstance(tensor, Tensor):
                tensor.zero_()
    loaded.network.module.load_state_dict(load_file(path), strict=False)
    return lambda case: loaded(case.inputs)


def write_program(program: ExportedProgram, path: Path) -> Run:
    """Write torch's program."""
    with warnings.catch_warnings():
        # Weights in channels_last look incomplete to torch, which then writes them as they lie in memory: as we want.
        warnings.filterwarnings("ignore", "No complete tensor found")
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    path.write_bytes(buffer.getvalue())
    loaded = torch.export.load(path).module()
    return lambda case: loaded(case.inputs)


def write_onnx(
    program: ExportedProgram,
    inputs: Inputs,
    columns: Mapping[str, str],
    outputs: Mapping[str, str],
    about: Mapping[str, Any],
    path: Path,
) -> Run:
    """Write ONNX that takes raw columns, pictures of bytes, or what the network takes.

    Args:
        program: The network.
        inputs: What it learnt from.
        columns: Column of a table -> name of its input; none where the one input is called "input".
        outputs: Task -> name of its output.
        about: What the file's metadata say.
        path: Of the file.

    Raises:
        UmbelError: The exporter or ONNX Runtime refuse the network.
    """
    try:
        model = _whole_model(program, inputs, columns, list(outputs.values()))
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA, json.dumps(about, ensure_ascii=False, allow_nan=False)
        content = model.SerializeToString()
        path.write_bytes(content)
        session = open_session(path)
    except OSError:  # a full disk, which is not the network's fault
        raise
    except Exception as error:  # the exporter's and the runtime's own errors are of many kinds
        raise UmbelError(f"this network cannot be written as ONNX: {first_line(error)}") from error

    def run(case: Case) -> dict[str, Tensor]:
        given = {columns[name]: cells for name, cells in case.columns.items()} or {INPUT: case.inputs.numpy()}
        answers = session.run(list(outputs.values()), given)
        return {task: torch.from_numpy(answer) for task, answer in zip(outputs, answers, strict=True)}

    return run


def _whole_model(program: ExportedProgram, inputs: Inputs, columns: Mapping[str, str], outputs: Sequence[str]) -> Any:
    """`onnx.ModelProto` with these inputs and outputs; what is inside has names that none of them can have."""
    from onnx.compose import add_prefix  # noqa: PLC0415

    prefix = "network/"
    model = add_prefix(to_onnx(program, [INPUT], outputs).model_proto, prefix, inplace=True)
    outside = {f"{prefix}{name}": name for name in outputs}
    outside[f"{prefix}{INPUT}"] = FEATURES if columns else INPUT
    for node in model.graph.node:
        node.input[:] = [outside.get(name, name) for name in node.input]
        node.output[:] = [outside.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = outside[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]  # they are inferred again, and need no names of their own
    if columns and isinstance(inputs, TableDescription):
        return with_columns(model, inputs, columns)
    return model


def first_line(error: Exception) -> str:
    """What an error of torch's says first; its name where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
