"""What the `[comms]` extra brings, imported only when it is used."""

import importlib
from types import ModuleType

from umbel.errors import UmbelError


def from_extra(module: str, purpose: str) -> ModuleType:
    """Import a module of the `[comms]` extra.

    Args:
        module: Full name, as in "sionna.phy.mapping".
        purpose: What needs it, for the message.

    Raises:
        UmbelError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise UmbelError(f'{purpose} needs the package {package}; pip install "umbel[comms]"') from error
