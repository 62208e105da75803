"""What was odd about a folder of boxes: counted, with the first examples of each kind."""

_SHOWN = 3
_LONGEST = 100


class Notes:
    """Counts of what was put right or left out, to be told once and together."""

    def __init__(self) -> None:
        self._examples: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, what: str, example: str, count: int = 1) -> None:
        """One more of a kind.

        Args:
            what: The kind and what was done, as in "boxes that reach beyond their picture, clipped".
            example: Where, as in "a.xml, box 2".
            count: How many there are at that place.
        """
        self._counts[what] = self._counts.get(what, 0) + count
        examples = self._examples.setdefault(what, [])
        if len(examples) < _SHOWN:
            examples.append(_seen(example))

    def count(self, what: str) -> int:
        """How many of a kind."""
        return self._counts.get(what, 0)

    def sentences(self) -> tuple[str, ...]:
        """One for each kind, in the order in which they were first met."""
        return tuple(
            f"{self._counts[what]} {what}: {'; '.join(examples)}"
            f"{' and so on' if self._counts[what] > len(examples) else ''}"
            for what, examples in self._examples.items()
        )


def _seen(text: str) -> str:
    """A text from a file without what a terminal would obey."""
    plain = text if text.isprintable() else ascii(text)
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}..."
