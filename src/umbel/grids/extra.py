"""What the `[grid]` extra brings, imported only when it is used, and kept from talking."""

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from umbel.errors import UmbelError


def from_extra(module: str, purpose: str) -> ModuleType:
    """Import a module of the `[grid]` extra.

    Args:
        module: Full name, as in "pandapower.networks".
        purpose: What needs it, for the message.

    Raises:
        UmbelError: The package is not installed.
    """
    try:
        with quiet():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise UmbelError(f'{purpose} needs the package {package}; run: pip install "umbel[grid]"') from error


@contextmanager
def quiet() -> Iterator[None]:
    """A block in which pandapower neither logs nor warns: what matters becomes an error of ours."""
    log = logging.getLogger("pandapower")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
