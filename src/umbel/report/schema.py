"""Frozen dataclasses to JSON and back, with errors that name the file and the key."""

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from umbel.core import UmbelError

Point = Annotated[dict[str, Any], "operating point"]
"""An operating point as plain values; infinite numbers in it survive JSON."""

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def plain(value: Any) -> Any:  # noqa: PLR0911
    """The value as JSON takes it: NaN and infinities become the texts "NaN", "Infinity" and "-Infinity".

    Dataclasses and mappings become dictionaries, tuples lists, scalars of NumPy and torch plain numbers; what JSON
    has no word for (a path, a dtype) becomes its text.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def build(hint: Any, value: Any, where: str) -> Any:  # noqa: PLR0911
    """The typed value that a piece of JSON stands for.

    Args:
        hint: The type wanted: a dataclass, str, int, float, bool, Any, `Point`, tuple[X, ...], tuple[X, Y],
            dict[str, X], Literal or X | None.
        value: What `json.loads` gave.
        where: File and key, for errors.

    Raises:
        UmbelError: Names the file and the key that is missing or of another type.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _record(hint, value, where)
    if origin is Annotated:
        return finite_again(_checked(dict, value, where))
    if origin is Literal:
        if value not in arguments:
            raise UmbelError(f"{where} is {value!r}, expected one of {', '.join(map(repr, arguments))}")
        return value
    if origin in (Union, types.UnionType):
        inner = next(a for a in arguments if a is not type(None))
        return None if value is None else build(inner, value, where)
    if origin is tuple:
        return _items(arguments, _checked(list, value, where), where)
    if origin is dict:
        items = _checked(dict, value, where).items()
        return {name: build(arguments[1], item, f"{where}.{name}") for name, item in items}
    if hint is float:
        return _number(value, where)
    return _checked(hint, value, where)


def _items(arguments: tuple[Any, ...], value: list[Any], where: str) -> tuple[Any, ...]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(arguments):
        raise UmbelError(f"{where} has {len(value)} items, expected {len(arguments)}")
    return tuple(build(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(arguments, value, strict=True)))


def _record(kind: Any, value: Any, where: str) -> Any:
    _checked(dict, value, where)
    hints = get_type_hints(kind, include_extras=True)
    given = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            separator = "." if where[-1:] != " " else ""
            given[field.name] = build(hints[field.name], value[field.name], f"{where}{separator}{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            separator = "." if where[-1:] != " " else ""
            raise UmbelError(f"{where}{separator}{field.name} is missing; the file is damaged or was not made by Umbel")
    return kind(**given)


def _number(value: Any, where: str) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UmbelError(f"{where} is {value!r}, expected a number")
    return float(value)


def _checked(kind: type, value: Any, where: str) -> Any:
    names = {dict: "an object", list: "a list", str: "text", int: "a whole number", bool: "true or false"}
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UmbelError(f"{where} is {str(value)[:40]!r}, expected {names.get(kind, kind.__name__)}")
    return value


def finite_again(value: Any) -> Any:
    """The value with the texts "NaN", "Infinity" and "-Infinity" as the numbers that they stand for."""
    if isinstance(value, dict):
        return {name: finite_again(item) for name, item in value.items()}
    if isinstance(value, list):
        return [finite_again(item) for item in value]
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value


def is_number(value: Any) -> bool:
    """Whether a value of an operating point can be a place on an axis: a finite number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def contains(point: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    """Whether an operating point has all values of `part`, and perhaps more; it must not have what is None there."""
    return all(
        name not in point if value is None else name in point and plain(point[name]) == plain(value)
        for name, value in part.items()
    )
