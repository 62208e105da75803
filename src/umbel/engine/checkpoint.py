"""Checkpoints: a folder that is either complete or not there, and holds nothing that could run code.

    step-00001200/
        weights.safetensors   parameters and buffers of the learner
        state.pt              optimizer, descent, progress (plain tensors and values; loaded with weights_only=True)
        settings.json         resolved settings and what the model is
        manifest.json         size and SHA-256 of the files above; written last

A checkpoint is written beside its place (in a hidden folder) and renamed into it. Older ones are removed once all
that belongs together is written: a kill at any moment leaves a state to go on from.
"""

import hashlib
import io
import json
import os
import pickle
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from umbel.errors import UmbelError
from umbel.files import cannot_write, is_full, partial_beside, reading

FORMAT = 1
KINDS = ("ready", "best", "step")
_FILES = ("weights.safetensors", "state.pt", "settings.json")
_REMEDY = "use another checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """What was saved at one step.

    Attributes:
        path: Its folder.
        step: Optimizer steps done.
        weights: The learner's state, by name.
        state: Everything else that training needs to go on.
        settings: The resolved settings, as JSON has them.
    """

    path: Path
    step: int
    weights: dict[str, Tensor]
    state: dict[str, Any]
    settings: dict[str, Any]


def split_state(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A module's state as tensors (own memory, contiguous) and whatever else it has (`get_extra_state`)."""
    state = module.state_dict()
    tensors = {name: v.detach().cpu().contiguous().clone() for name, v in state.items() if isinstance(v, Tensor)}
    return tensors, {name: v for name, v in state.items() if not isinstance(v, Tensor)}


def save(
    folder: Path, kind: str, step: int, weights: dict[str, Tensor], state: dict[str, Any], settings: dict[str, Any]
) -> Path:
    """Write `folder/{kind}-{step}`; one that is there already is of the same state and stays as it is.

    Raises:
        UmbelError: The disk is full, or the folder cannot be written to; the previous checkpoint is still there.
    """
    target = of_step(folder, kind, step)
    if (target / "manifest.json").is_file():
        return target
    partial = partial_beside(target)
    try:
        _write_all(partial, weights, state, {"format": FORMAT, "step": step, **settings})
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if not is_full(error):
            raise cannot_write(target, error, "go on with --resume") from error
        kept = latest(folder, kind)
        rest = f"{kept} is untouched" if kept else "there was no earlier one"
        raise UmbelError(f"no space left to write {target}; {rest}; free some space and go on with --resume") from None
    return target


def keep_only(folder: Path, kind: str, step: int) -> None:
    """Remove every other checkpoint of that kind, and what a killed write left behind."""
    for path in (*folder.glob(f"{kind}-*"), *folder.glob(f".{kind}-*.*")):
        if path != of_step(folder, kind, step):
            with suppress(OSError):
                (path / "manifest.json").unlink()  # first: half a folder must not look complete
            shutil.rmtree(path, ignore_errors=True)


def of_step(folder: Path, kind: str, step: int) -> Path:
    """Where the checkpoint of a kind ("step", "best" or "ready") and a step is, or would be."""
    return folder / f"{kind}-{step:08d}"


def latest(folder: Path, kind: str) -> Path | None:
    """The newest complete checkpoint of a kind ("step", "best" or "ready") in a folder."""
    complete = [path for path in sorted(folder.glob(f"{kind}-*")) if (path / "manifest.json").is_file()]
    return complete[-1] if complete else None


def resolve(path: Path) -> Path:
    """The checkpoint that a user's path means: itself, or that of a run's folder.

    Of a run's, the one that was made ready after training, else the best, else the last.

    Raises:
        UmbelError: There is none.
    """
    with reading(path, _REMEDY):
        if (path / "manifest.json").is_file():
            return path
        if not path.exists():
            raise UmbelError(f"checkpoint {path} does not exist")
        for folder in (path, path / "checkpoints"):
            for kind in KINDS:
                if found := latest(folder, kind) if folder.is_dir() else None:
                    return found
        networks = sorted(path.glob("networks/**/checkpoints/*/manifest.json"))
    of_study = f"; it is a study, so name one of its networks, as {networks[0].parents[2]}" if networks else ""
    raise UmbelError(f"{path} is not a checkpoint of Umbel, nor a run's folder with one in checkpoints/{of_study}")


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        UmbelError: A file is missing, truncated, changed, or of a newer format.
    """
    contents = _contents(path)
    with reading(path / "settings.json", _REMEDY):
        settings = json.loads(contents["settings.json"])
    _check_settings(path, settings)
    try:
        state = torch.load(io.BytesIO(contents["state.pt"]), map_location="cpu", weights_only=True)
        weights = load_safetensors(contents["weights.safetensors"])
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise UmbelError(f"{path} holds something other than tensors and plain values, not loaded: {first}") from None
    if not isinstance(state, dict):
        raise UmbelError(f"{path / 'state.pt'} is not the state of a training; {_REMEDY}")
    return Checkpoint(path, settings["step"], weights, state, settings)


def _contents(path: Path) -> dict[str, bytes]:
    """The files of a checkpoint, as the manifest says they are."""
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        contents = {name: (path / name).read_bytes() for name in _FILES}
        expected = {name: (manifest["files"][name]["bytes"], manifest["files"][name]["sha256"]) for name in _FILES}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UmbelError(f"{path} is not a complete checkpoint of Umbel ({type(error).__name__}: {error})") from None
    for name, content in contents.items():
        size, digest = expected[name]
        if len(content) != size:
            raise UmbelError(f"{path / name} is truncated: {len(content)} of {size} bytes; {_REMEDY}")
        if hashlib.sha256(content).hexdigest() != digest:
            raise UmbelError(f"{path / name} was changed after it was written; {_REMEDY}")
    return contents


def _check_settings(path: Path, settings: Any) -> None:
    if not isinstance(settings, dict) or "format" not in settings:
        raise UmbelError(f"{path / 'settings.json'} does not say its format; {_REMEDY}")
    if settings["format"] != FORMAT:
        raise UmbelError(
            f"{path} has checkpoint format {settings['format']}, this version reads {FORMAT}; update umbel"
        )
    for name, kind in (("step", int), ("fit", dict)):
        if not isinstance(settings.get(name), kind):
            raise UmbelError(f"{path / 'settings.json'} does not say {name!r}; {_REMEDY}")


def check_resumable(saved: Checkpoint) -> None:
    """Make sure that a checkpoint holds what a training goes on from.

    Raises:
        UmbelError: It does not; names what is missing.
    """
    for name in ("optimizer", "descent", "progress"):
        if not isinstance(saved.state.get(name), dict):
            raise UmbelError(f"{saved.path / 'state.pt'} does not hold the state of the {name}; {_REMEDY}")


def load_weights(learner: nn.Module, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into a learner.

    Raises:
        UmbelError: The checkpoint is of another model; names the first difference.
    """
    own, _ = split_state(learner)
    for name in sorted(own.keys() | checkpoint.weights.keys()):
        if name not in checkpoint.weights:
            raise UmbelError(f"{checkpoint.path} is of another model: it has no {name}")
        if name not in own:
            raise UmbelError(f"{checkpoint.path} is of another model: its {name} does not exist here")
        mine, theirs = tuple(own[name].shape), tuple(checkpoint.weights[name].shape)
        if mine != theirs:
            raise UmbelError(f"{checkpoint.path} is of another model: {name} is {theirs} there and {mine} here")
    extra = checkpoint.state.get("learner_extra", {})
    if not isinstance(extra, dict):
        raise UmbelError(f"{checkpoint.path / 'state.pt'}: 'learner_extra' is not what a learner keeps; {_REMEDY}")
    learner.load_state_dict({**checkpoint.weights, **extra})


def _write_all(folder: Path, weights: dict[str, Tensor], state: dict[str, Any], settings: dict[str, Any]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    contents = {
        "weights.safetensors": save_safetensors(weights),
        "settings.json": json.dumps(settings, indent=1).encode(),
        "state.pt": buffer.getvalue(),
    }
    files = {n: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in contents.items()}
    contents["manifest.json"] = json.dumps({"files": files}, indent=1).encode()
    for name, content in contents.items():
        with open(folder / name, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
