"""Operating points: what may be turned after training, as an argument of the forward pass."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from umbel.errors import UmbelError, unknown

Value = bool | int | float | str | tuple[Any, ...] | Mapping[str, Any]


def _frozen(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return OperatingPoint(value)
    if isinstance(value, list | tuple):
        return tuple(_frozen(name, item) for item in value)
    if isinstance(value, float) and math.isnan(value):
        raise UmbelError(f"operating point: {name} is NaN; give a number")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UmbelError(f"operating point: {name} is a {type(value).__name__}; use numbers, text, tuples or mappings")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return value.as_dict() if isinstance(value, OperatingPoint) else value


class OperatingPoint(Mapping[str, Any]):
    """Named settings such as ``snr_db=7.0``, ``width=0.5`` or ``head_widths={"depth": 0.25}``.

    Immutable, hashable (it can be the key of a table) and made of plain values (it can be written as JSON).
    Modules read what they need with `require` and ignore the rest, so points of different methods combine.

        >>> point = OperatingPoint(snr_db=7.0, width=0.5)
        >>> point.with_values(width=1.0)
        OperatingPoint(snr_db=7.0, width=1.0)
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Value] | None = None, /, **named: Value) -> None:
        merged = {**(values or {}), **named}
        self._values = {name: _frozen(name, value) for name, value in merged.items()}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return f"OperatingPoint({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return OperatingPoint, (self.as_dict(),)

    def require(self, name: str) -> Any:
        """The value called `name`.

        Raises:
            UmbelError: The point does not have it.
        """
        if name not in self._values:
            raise unknown("operating-point value", name, self._values)
        return self._values[name]

    def with_values(self, **values: Value) -> "OperatingPoint":
        """The same point with some values added or replaced."""
        return OperatingPoint({**self._values, **values})

    def without(self, *names: str) -> "OperatingPoint":
        """The same point without some values; those that it does not have are no matter."""
        return OperatingPoint({name: value for name, value in self._values.items() if name not in names})

    def as_dict(self) -> dict[str, Any]:
        """Plain nested dictionaries, as JSON takes them."""
        return {name: _plain(value) for name, value in self._values.items()}


class Sweep(Sequence[OperatingPoint]):
    """The operating points that an evaluation visits, in order.

    Examples:
        >>> [point["width"] for point in Sweep.grid(snr_db=[0.0], width=[0.5, 1.0])]
        [0.5, 1.0]
    """

    def __init__(self, points: Sequence[OperatingPoint] = (OperatingPoint(),)) -> None:
        if not points:
            raise UmbelError("a sweep needs at least one operating point")
        self._points = tuple(points)

    @classmethod
    def grid(cls, **axes: Sequence[Value]) -> "Sweep":
        """Every combination of the values of the named axes; the last axis turns fastest."""
        return cls([OperatingPoint(dict(zip(axes, v, strict=True))) for v in itertools.product(*axes.values())])

    @overload
    def __getitem__(self, index: int) -> OperatingPoint: ...

    @overload
    def __getitem__(self, index: slice) -> "Sweep": ...

    def __getitem__(self, index: int | slice) -> "OperatingPoint | Sweep":
        return Sweep(self._points[index]) if isinstance(index, slice) else self._points[index]

    def __len__(self) -> int:
        return len(self._points)
