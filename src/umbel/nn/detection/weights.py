"""Weights of detectors in files of safetensors: our own, or torchvision's state dict."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from umbel.core import UmbelError
from umbel.files import reading, write_atomically

_LAST = ("cls_score.", "bbox_pred.", "cls_logits.", "bbox_reg.")  # the layers whose size depends on the classes
_HOW = "save it again with safetensors.torch.save_file(model.state_dict(), 'detector.safetensors')"


def save_weights(detector: nn.Module, path: str | Path) -> Path:
    """Write a detector's parameters and buffers to a file of safetensors, whole or not at all.

    Args:
        detector: A `Detector`.
        path: Of the file; folders are made.

    Raises:
        UmbelError: It cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in detector.state_dict().items()}
    return write_atomically(Path(path), save_safetensors(tensors))


def load_weights(detector: nn.Module, path: str | Path, fresh_classes: bool = False) -> None:
    """Give a detector the weights of a file.

    Args:
        detector: A `Detector`; changed in place.
        path: A file of safetensors: one that `save_weights` wrote, a learner's weights ("model." before each name), or
            a state dict of torchvision ("backbone." where ours says "encoder."). Further heads that the file does not
            have stay as they are.
        fresh_classes: The file is of other classes: the last layers of the boxes stay as they are.

    Raises:
        UmbelError: It cannot be read, is no file of safetensors (a pickle can run code and is never opened), or holds
            another detector's weights.
    """
    file = Path(path)
    theirs = _ours(_read(file))
    own = detector.state_dict()
    if fresh_classes:
        theirs = {name: value for name, value in theirs.items() if not _of_classes(name)}
    for name, value in theirs.items():
        if name in own and own[name].shape != value.shape:
            other = _of_classes(name)
            raise UmbelError(
                f"{file}: {name} is {list(value.shape)}, the detector's is {list(own[name].shape)}; "
                + (
                    "it is of other classes: give their names, or in Python fresh_classes=True for fresh last layers"
                    if other
                    else "build it as it was saved"
                )
            )
    missing = [n for n in own if n not in theirs and not _may_stay(n, fresh_classes)]
    unknown = [n for n in theirs if n not in own and not n.startswith("heads.") and not n.endswith("batches_tracked")]
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has {unknown[0]}, which the detector lacks"
        raise UmbelError(f"{file} holds weights of another detector: it {what}; build it with the name it was saved as")
    with torch.no_grad():
        for name, value in own.items():
            if name in theirs:
                value.copy_(theirs[name])


def _of_classes(name: str) -> bool:
    """Whether a tensor is of a layer whose size depends on the classes; that of the proposals does not."""
    return not name.startswith("rpn.") and any(last in name for last in _LAST)


def _may_stay(name: str, fresh_classes: bool) -> bool:
    """What a file need not have: further heads, the count of a batch norm's batches, perhaps the last layers."""
    if name.startswith("heads.") or name.endswith("num_batches_tracked"):
        return True
    return fresh_classes and _of_classes(name)


def _read(file: Path) -> dict[str, Tensor]:
    with reading(file, "give another file of weights"):
        content = file.read_bytes()
    try:
        return load_safetensors(content)
    except SafetensorError as error:
        if content[:2] in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05"):
            raise UmbelError(f"{file} is a pickle, which can run code when it is opened; {_HOW}") from None
        raise UmbelError(f"{file} is no file of safetensors: {str(error).splitlines()[0]}; {_HOW}") from error


def _ours(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under our names."""
    named = {name.removeprefix("model."): value for name, value in theirs.items()}
    return {
        "encoder." + name.removeprefix("backbone.") if name.startswith("backbone.") else name: value
        for name, value in named.items()
    }
