"""A fresh learner begins with weights that were trained before, as far as they fit."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from umbel.core import Learner
from umbel.engine import checkpoint as checkpoints
from umbel.errors import UmbelError

_LEAST = 0.5  # of the encoder's numbers must fit; a few of the same size by chance are no start


def warm_start(learner: Learner, path: str | Path) -> str:
    """Load the weights of an earlier network into a learner's model, as far as names and shapes fit.

    Of the encoder every tensor that fits is taken, of heads and links those that fit as a whole. All others keep
    their random start.

    Args:
        learner: Fresh; changed in place.
        path: A checkpoint, the folder of a training, or a safetensors file; names in a file may begin with "model.", or
            be those of the encoder alone.

    Returns:
        One line that says what was taken and what was not.

    Raises:
        UmbelError: It cannot be read, its numbers are not finite, or less than half of the encoder's numbers fit.
    """
    path = Path(path)
    own = learner.model.state_dict()
    own = {name: tensor for name, tensor in own.items() if isinstance(tensor, Tensor)}
    theirs = _by_our_names(_read(path), own)
    fitting = {name for name, tensor in theirs.items() if tensor.shape == own[name].shape}
    parts = _parts(learner.model, own)
    whole = {part for part, names in parts.items() if part == "encoder" or names <= fitting}
    taken = {name for part in whole for name in parts[part] & fitting}
    encoder = parts["encoder"]
    size, fits = (sum(own[name].numel() for name in names) for names in (encoder, encoder & taken))
    misfits = [_misfit(name, theirs, own) for name in sorted(encoder - taken)]
    if fits < _LEAST * max(size, 1):
        raise UmbelError(
            f"{path} does not fit this network: of the encoder's {size:,} numbers {fits:,} are there in the same place "
            f"and shape ({misfits[0] if misfits else 'there is nothing to take'})"
        )
    for name in sorted(taken):
        if not bool(theirs[name].isfinite().all()):
            raise UmbelError(f"{path}: {name} holds NaN or infinity; start from other weights")
    with torch.no_grad():
        for name in taken:
            own[name].copy_(theirs[name])
    return _told(path, parts, taken, misfits)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        return checkpoints.load_checkpoint(checkpoints.resolve(path)).weights
    try:
        return load_safetensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise UmbelError(f"{path} is not a safetensors file of weights: {str(error).splitlines()[0]}") from error


def _by_our_names(theirs: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that our model has too, under its names."""
    named = {name.removeprefix("model."): tensor for name, tensor in theirs.items()}
    if not any(name in own for name in named):
        named = {f"encoder.{name}": tensor for name, tensor in named.items()}
    return {name: tensor for name, tensor in named.items() if name in own}


def _parts(model: nn.Module, own: Mapping[str, Tensor]) -> dict[str, set[str]]:
    """Names of the tensors of "encoder", "heads.TASK" and "links.TASK"; a model without encoder is one as a whole."""
    parts: dict[str, set[str]] = {"encoder": {name for name in own if name.startswith("encoder.")}}
    if not parts["encoder"]:
        return {"encoder": set(own)}
    state = model.state_dict(keep_vars=True)
    for name in getattr(model, "task_names", ()):
        for kind in ("heads", "links"):
            modules = getattr(model, kind)
            if isinstance(modules, nn.ModuleDict) and name in modules:
                inner = {id(tensor) for tensor in modules[name].state_dict(keep_vars=True).values()}
                parts[f"{kind}.{name}"] = {n for n in own if id(state[n]) in inner}
    return parts


def _misfit(name: str, theirs: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    there = f"{list(theirs[name].shape)} there" if name in theirs else "not there"
    return f"{name} is {there}, {list(own[name].shape)} here"


def _told(path: Path, parts: Mapping[str, set[str]], taken: set[str], misfits: list[str]) -> str:
    encoder = parts["encoder"]
    text = f"starts from {path}: {len(encoder & taken)} of {len(encoder)} tensors of the encoder"
    others = [part for part, names in parts.items() if part != "encoder" and names]
    used = [part for part in others if parts[part] <= taken]
    fresh = [part for part in others if part not in used]
    text += f", {', '.join(used)}" if used else ""
    text += f"; fresh: {', '.join(fresh)}" if fresh else ""
    return text + (f"; first that does not fit: {misfits[0]}" if misfits else "")
