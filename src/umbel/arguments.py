"""Arguments of the wrong kind become one line: what was given, for what, and what to give instead.

Python's own `TypeError` comes from somewhere inside and names neither. Ranges are checked where they are known.
"""

import inspect
import math
import types
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from umbel.errors import UmbelError, shown, unknown

LARGEST_SEED = 2**63 - 1
"""Seeds go up to here, from 0."""


def whole_number(value: object, what: str, least: int | None = None, most: int | None = None) -> int:
    """The value as an `int`; any whole number will do, as NumPy's, but no bool.

    Args:
        value: What the user gave.
        what: The argument, as in "task 'age': outputs".
        least: The smallest that is allowed.
        most: The largest.

    Raises:
        UmbelError: It is of another kind, smaller or larger.
    """
    limits = [f"{word} {limit:,}" for word, limit in (("at least", least), ("at most", most)) if limit is not None]
    allowed = f", {' and '.join(limits)}" if limits else ""
    if not isinstance(value, bool) and hasattr(value, "__index__"):
        try:
            number = int(value.__index__())
        except (TypeError, ValueError, RuntimeError):  # a tensor of fractions, or of several numbers
            number = None
        in_range = number is not None and (least is None or number >= least) and (most is None or number <= most)
        if number is not None and in_range:
            return number
    raise UmbelError(f"{what} is {shown(value)}; give a whole number{allowed}")


def seed_number(value: object, what: str) -> int:
    """The value as a seed: a whole number from 0 to `LARGEST_SEED`.

    Raises:
        UmbelError: It is of another kind, or out of that range.
    """
    return whole_number(value, what, least=0, most=LARGEST_SEED)


def real_number(value: object, what: str) -> float:
    """The value as a `float`; any finite number will do, as NumPy's or a tensor's only one, but no bool.

    Args:
        value: What the user gave.
        what: The argument, as in "FAMO: learning_rate".

    Raises:
        UmbelError: It is of another kind, or not finite.
    """
    number = any_number(value, what)
    if math.isfinite(number):
        return number
    raise UmbelError(f"{what} is {number}; give a finite number")


def any_number(value: object, what: str) -> float:
    """As `real_number`, for what was measured: NaN and the infinities are numbers, too.

    Raises:
        UmbelError: It is of another kind.
    """
    if not isinstance(value, bool | str | bytes) and hasattr(value, "__float__"):
        try:
            return float(value.__float__())
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
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


LONGEST_NAME = 200
"""Characters of a name."""
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control codes, marks of direction, half characters, breaks of lines
_JOINERS = "\u200c\u200d"  # inside emoji and in Persian and Indic scripts


def plain_name(value: object, what: str) -> str:
    """The value, which must be a name that can stand in files, logs, tables and on a terminal.

    Letters of any script, spaces, punctuation and emoji may be in it; line breaks, control codes and marks that turn
    the direction of reading may not.

    Args:
        value: What the user gave, perhaps the cell of a table.
        what: Whose name it is, as in "column 3".

    Raises:
        UmbelError: It is empty, longer than `LONGEST_NAME`, or holds a character that is not seen.
    """
    name = text(value, what)
    if len(name) > LONGEST_NAME:
        raise UmbelError(f"{what} {name[:20]!a}... has {len(name)} characters; give at most {LONGEST_NAME}")
    for character in name:
        if unicodedata.category(character) in _UNSEEN and character not in _JOINERS:
            code = f"U+{ord(character):04X}"
            raise UmbelError(f"{what} {ascii(name)[:60]} holds {code}, which is not seen; write another name")
    return name


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


MOST = 10**12
"""Numbers of settings are not larger than this: longer trainings and larger sets are slips of the keyboard."""


def check_numbers(settings: object, least: Mapping[str, float] | None = None, signed: Collection[str] = ()) -> None:
    """Refuse numbers of settings that are of the wrong kind, not finite, absurdly large or too small.

    Args:
        settings: A dataclass. Looks at its fields that are annotated as numbers; None passes where it is allowed.
        least: Field -> smallest value that is allowed; 0 for what is not named.
        signed: Fields that may be negative.

    Raises:
        UmbelError: Names the field.
    """
    for name, hint in get_type_hints(type(settings)).items():
        kinds = set(get_args(hint)) or {hint}
        value = getattr(settings, name, None)
        if not kinds & {int, float} or (value is None and type(None) in kinds):
            continue
        number = whole_number(value, name) if int in kinds else real_number(value, name)
        smallest, largest = (least or {}).get(name, 0), LARGEST_SEED if name == "seed" else MOST
        if number > largest or (number < smallest and name not in signed) or number < -largest:
            least_allowed = -largest if name in signed else smallest
            allowed = f"at most {largest:,}" if number > largest else f"at least {least_allowed:g}"
            raise UmbelError(f"{name} is {value}; give {allowed}")


def check_options(function: Callable[..., Any], given: Mapping[str, object], where: str) -> None:
    """Refuse options whose kind is not what the function's annotations say.

    Looks at numbers (NaN is none), texts, bools, words to choose from, sequences of these, tensors and functions, and
    lets everything else pass.

    Args:
        function: That will be called with these options, among others; a class stands for what makes one.
        given: Its options by name.
        where: For the message, as in "data set 'digits'".

    Raises:
        UmbelError: Names the option.
    """
    plain = function.func if isinstance(function, partial) else function
    hints = get_type_hints(inspect.getattr_static(plain, "__init__") if isinstance(plain, type) else plain)
    for name, value in given.items():
        if name in inspect.signature(function).parameters and name in hints and not _fits(value, hints[name]):
            raise UmbelError(f"{where}: option {name} is {shown(value)}; give {_told(hints[name])}")


_KINDS: dict[object, tuple[tuple[type, ...], str, str]] = {
    bool: ((bool,), "True or False", "bools"),
    int: ((Integral,), "a whole number", "whole numbers"),
    float: ((Real,), "a number", "numbers"),
    str: ((str,), "a text", "texts"),
    type(None): ((type(None),), "None", "None"),
}


def _fits(value: object, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return any(value == word and type(value) is type(word) for word in parts)
    if _each(hint) is not None:
        return isinstance(value, Sequence) and not isinstance(value, str) and all(_fits(v, _each(hint)) for v in value)
    if hint not in _KINDS:
        return callable(value) if _is_function(hint) else not _is_tensor(hint) or hasattr(value, "is_sparse")
    if isinstance(value, float) and math.isnan(value):
        return False
    return isinstance(value, _KINDS[hint][0]) and isinstance(value, bool) <= (hint is bool)


def _each(hint: Any) -> Any:
    """What each value of a sequence is, where the annotation is that of one of plain values; else None."""
    parts = get_args(hint)
    return parts[0] if get_origin(hint) is Sequence and parts and parts[0] in _KINDS else None


def _is_function(hint: Any) -> bool:
    return Callable in (get_origin(hint), hint)


def _is_tensor(hint: Any) -> bool:
    return isinstance(hint, type) and f"{hint.__module__}.{hint.__name__}" in ("torch.Tensor", "torch._tensor.Tensor")


def _told(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_told(part) for part in parts)
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if (each := _each(hint)) is not None:
        return f"a list of {_KINDS[each][2]} (a/b/c in the command, a/ for one alone)"
    if _is_function(hint):
        return "a function, which only Python can"
    return "a tensor" if _is_tensor(hint) else _KINDS[hint][1]
