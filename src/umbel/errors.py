"""The one error that users meet: a line that says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable

_SHORT = 60


class UmbelError(Exception):
    """A mistake that the user can mend. Its text is one line; the command prints it without a traceback."""


def shown(value: object) -> str:
    """A value as a message shows it: itself where that is short, otherwise its class."""
    text = repr(value)
    return text if len(text) <= _SHORT and "\n" not in text else f"a {type(value).__name__}"


def unknown(what: str, name: object, known: Iterable[str]) -> UmbelError:
    """An error for a name that does not exist, with the nearest one that does.

    Args:
        what: The kind of thing, as in "task" or "data set".
        name: What the user gave; anything but a text counts as unknown.
        known: The names that exist.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5) if isinstance(name, str) else []
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
    return UmbelError(f"unknown {what} {shown(name)}; {hint}")
