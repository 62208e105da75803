"""Arguments of the wrong kind become one line: what was given, for what, and what to give instead.

Python's own `TypeError` comes from somewhere inside and names neither. Ranges are checked where they are known.
"""

import inspect
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Union, get_args, get_origin, get_type_hints

from umbel.errors import UmbelError, shown, unknown


def whole_number(value: object, what: str, least: int | None = None) -> int:
    """The value as an `int`; any whole number will do, as NumPy's, but no bool.

    Args:
        value: What the user gave.
        what: The argument, as in "task 'age': outputs".
        least: The smallest that is allowed.

    Raises:
        UmbelError: It is of another kind, or smaller.
    """
    at_least = "" if least is None else f", at least {least}"
    if not isinstance(value, bool) and hasattr(value, "__index__"):
        try:
            number = int(value.__index__())
        except (TypeError, ValueError, RuntimeError):  # a tensor of fractions, or of several numbers
            number = None
        if number is not None and (least is None or number >= least):
            return number
    raise UmbelError(f"{what} is {shown(value)}; give a whole number{at_least}")


def real_number(value: object, what: str) -> float:
    """The value as a `float`; any number will do, as NumPy's or a tensor's only one, but no bool.

    Args:
        value: What the user gave.
        what: The argument, as in "FAMO: learning_rate".

    Raises:
        UmbelError: It is of another kind.
    """
    if not isinstance(value, bool | str | bytes) and hasattr(value, "__float__"):
        try:
            return float(value.__float__())
        except (TypeError, ValueError, RuntimeError) as error:
            raise UmbelError(f"{what} is {shown(value)}; give one number") from error
    raise UmbelError(f"{what} is {shown(value)}; give a number")


def text(value: object, what: str) -> str:
    """The value, which must be a text that is not empty.

    Raises:
        UmbelError: It is not.
    """
    if isinstance(value, str) and value:
        return value
    raise UmbelError(f"{what} is {shown(value)}; give a text that is not empty")


def names(value: object, what: str) -> tuple[str, ...]:
    """Texts, from any sequence of them; a single text is refused, for its letters would become the names.

    Raises:
        UmbelError: Of another kind, or one of them is not a text.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Collection):
        raise UmbelError(f"{what} is {shown(value)}; give a list of names")
    for index, one in enumerate(value):
        if not isinstance(one, str):
            raise UmbelError(f"{what} holds {shown(one)} at place {index}; give names, as texts")
    return tuple(value)


def one_of(value: object, what: str, known: Collection[str]) -> str:
    """The value, which must be one of the known texts.

    Raises:
        UmbelError: It is not; names the nearest.
    """
    if isinstance(value, str) and value in known:
        return value
    raise unknown(what, value, known)


def instance(value: object, kind: type | tuple[type, ...], what: str, give: str) -> None:
    """Refuse a value that is not of a class.

    Args:
        value: What the user gave.
        kind: The class, or several.
        what: The argument, as in "the model of a learner".
        give: What to give instead, as in "an nn.Module".

    Raises:
        UmbelError: It is of another class.
    """
    if not isinstance(value, kind):
        raise UmbelError(f"{what} is {shown(value)}; give {give}")


def tensors(where: str, **given: object) -> None:
    """Refuse arguments that are not tensors.

    Args:
        where: The function, for the message.
        **given: Its arguments by name.

    Raises:
        UmbelError: Names the argument.
    """
    from torch import Tensor  # noqa: PLC0415 - heavy, and loaded already where there is a tensor

    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise UmbelError(f"{where}: {name} is {shown(value)}; give a tensor")


def check_options(function: Callable[..., Any], given: Mapping[str, object], where: str) -> None:
    """Refuse options whose kind is not what the function's annotations say.

    Looks at numbers, texts, bools and sequences of texts, and lets everything else pass.

    Args:
        function: That will be called with these options, among others.
        given: Its options by name.
        where: For the message, as in "data set 'digits'".

    Raises:
        UmbelError: Names the option.
    """
    hints = get_type_hints(function)
    for name, value in given.items():
        if name in inspect.signature(function).parameters and name in hints and not _fits(value, hints[name]):
            raise UmbelError(f"{where}: option {name} is {shown(value)}; give {_told(hints[name])}")


_KINDS: dict[object, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    int: ((Integral,), "a whole number"),
    float: ((Real,), "a number"),
    str: ((str,), "a text"),
    type(None): ((type(None),), "None"),
}


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if hint == Sequence[str]:
        return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(v, str) for v in value)
    if hint not in _KINDS:
        return True
    return isinstance(value, _KINDS[hint][0]) and isinstance(value, bool) <= (hint is bool)


def _told(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_told(part) for part in get_args(hint))
    return "a list of texts" if hint == Sequence[str] else _KINDS[hint][1]
