"""The one error that users meet: a line that says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class UmbelError(Exception):
    """A mistake that the user can mend. Its text is one line; the command prints it without a traceback."""


def unknown(what: str, name: str, known: Iterable[str]) -> UmbelError:
    """An error for a name that does not exist, with the nearest one that does.

    Args:
        what: The kind of thing, as in "task" or "data set".
        name: What the user wrote.
        known: The names that exist.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
    return UmbelError(f"unknown {what} {name!r}; {hint}")
