"""An encoder of the user's own: the function that makes it, by name, and its weights, without unpickling anything."""

import importlib
import importlib.util
import pickle
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from umbel.errors import UmbelError, unknown
from umbel.files import reading

_AGAIN = "save it again with safetensors.torch.save_file(encoder.state_dict(), 'encoder.safetensors')"


def users_encoder(name: str, weights: str = "") -> nn.Module:
    """The encoder that a function makes, with its weights; the module that it is in is imported, and so its code runs.

    Args:
        name: package.module:function or file.py:function; the function is called without arguments. A module that
            exists already (`package.module:encoder`) is taken as it is.
        weights: A file of safetensors, or of `torch.save` with a state dict; empty: as it is made.

    Raises:
        UmbelError: No such module or function, a function that fails or makes something else, weights that do not fit
            or hold more than tensors and plain values.
    """
    place, colon, attribute = name.rpartition(":")
    if not (place and colon and attribute.isidentifier()):
        raise UmbelError(f"--encoder {name}: name a function, as torchvision.models:resnet18 or file.py:function")
    with _current_folder():
        module = _imported(name, place)
        if not hasattr(module, attribute):
            raise unknown(f"function of {place}", attribute, [one for one in vars(module) if not one.startswith("_")])
        made = getattr(module, attribute)
        if not isinstance(made, nn.Module):
            made = _called(name, made)
    if not isinstance(made, nn.Module):
        raise UmbelError(f"--encoder {name} made a {type(made).__name__}; it must make a torch.nn.Module")
    if weights:
        _load(made, read_weights(Path(weights)), weights)
    return made


@contextmanager
def _current_folder() -> Iterator[None]:
    """Modules beside the user are found as by `python -m`, but after all others."""
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        yield
    finally:
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(here)]


def _imported(name: str, place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        if not (file := Path(place)).is_file():
            raise UmbelError(f"--encoder {name}: there is no file {place}")
        spec = importlib.util.spec_from_file_location(f"umbel_user_{file.stem}", file)
        if spec is None or spec.loader is None:
            raise UmbelError(f"--encoder {name}: {place} is not a file of Python")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module
    except (UmbelError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as error:
        what = f"there is no module {error.name!r}"
        raise UmbelError(f"--encoder {name}: {what}; install it, or go to the folder that it is in") from error
    except Exception as error:  # the user's own code
        raise _failed(name, "importing it", error) from error


def _called(name: str, function: Any) -> Any:
    if not callable(function):
        raise UmbelError(f"--encoder {name} is a {type(function).__name__}; name a function that makes an encoder")
    try:
        return function()
    except UmbelError:
        raise
    except Exception as error:  # the user's own code
        raise _failed(name, "calling it without arguments", error) from error


def _failed(name: str, doing: str, error: Exception) -> UmbelError:
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return UmbelError(f"--encoder {name}: {doing} failed ({text}); --debug shows the traceback")


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a state dict in a file of safetensors or of `torch.save`, alone or under the key "state_dict".

    Raises:
        UmbelError: It cannot be read, or it holds something that would have to be unpickled.
    """
    with reading(file, "give the file of the encoder's weights"):
        if not file.is_file():
            raise UmbelError(f"weights {file}: there is no such file")
        try:
            if file.suffix == ".safetensors":
                return load_file(file)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of formats that it knows, but would not have written
                state = torch.load(file, map_location="cpu", weights_only=True)
        except (
            pickle.UnpicklingError,
            SafetensorError,
            RuntimeError,
            EOFError,
            ValueError,
            KeyError,
            TypeError,
        ) as error:
            first = " ".join(next(iter(str(error).splitlines()), type(error).__name__).split())[:120]
            raise UmbelError(
                f"weights {file} hold something other than tensors, which is not unpickled because that could run code "
                f"({first}); {_AGAIN}"
            ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UmbelError(f"weights {file} are no state dict (names and tensors); {_AGAIN}")
    return dict(state)


def _load(encoder: nn.Module, weights: Mapping[str, Tensor], file: str) -> None:
    own = encoder.state_dict()
    for name in [*own, *weights]:
        if name not in weights:
            raise UmbelError(f"weights {file} do not fit: they have no {name}, which the encoder needs")
        if name not in own:
            raise UmbelError(f"weights {file} do not fit: the encoder has no {name}")
        theirs, mine = list(weights[name].shape), list(own[name].shape)
        if theirs != mine:
            raise UmbelError(f"weights {file} do not fit: {name} is {theirs} there and {mine} in the encoder")
    encoder.load_state_dict(dict(weights))
