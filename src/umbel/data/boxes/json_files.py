"""Label files in JSON: what goes wrong with one becomes one line."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from umbel.errors import UmbelError


def read_json_file(path: Path) -> Any:
    """The content of a label file.

    Raises:
        UmbelError: It cannot be read: says why.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UmbelError(f"{path}: not a readable JSON file ({reason}); fetch or export it again") from None


def records(value: Any, where: str) -> list[Mapping[str, Any]]:
    """A list of JSON objects.

    Raises:
        UmbelError: It is something else.
    """
    if not isinstance(value, list):
        raise UmbelError(f"{where} is {type(value).__name__}, not a list; is it a label file of boxes?")
    for place, one in enumerate(value):
        if not isinstance(one, Mapping):
            raise UmbelError(f"{where}[{place}] is {type(one).__name__}, not an object with names; export it again")
    return value


def entry(record: Mapping[str, Any], name: str, where: str) -> Any:
    """A value that must be there.

    Raises:
        UmbelError: It is missing.
    """
    if name not in record:
        raise UmbelError(f"{where} has no {name!r}; export the file again")
    return record[name]
