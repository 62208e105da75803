"""Rules by which the rows of a table are dealt out to training, validation and test."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from umbel.arguments import whole_number
from umbel.errors import UmbelError, shown

SPLIT_NAMES = ("train", "validation", "test")
"""In the order of the file's description."""
HELD_OUT = 0.15
"""Share of the rows left for learning that becomes validation, where a rule does not say how many."""


def _check_column(name: object, what: str, optional: bool = False) -> None:
    if not (isinstance(name, str) and name) and not (optional and name is None):
        raise UmbelError(f"the {what} column of the split is {shown(name)}; give the name of a column")


@dataclass(frozen=True)
class Shares:
    """How large each part is: fractions of the rows, each above 0, which add up to 1.

    Attributes:
        train: What is learnt from.
        validation: What chooses the checkpoint.
        test: What is scored at the end.
    """

    train: float = 0.7
    validation: float = 0.15
    test: float = 0.15

    def __post_init__(self) -> None:
        for name in SPLIT_NAMES:
            share = getattr(self, name)
            if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share < 1:
                raise UmbelError(f"the share of {name} is {shown(share)}; give a fraction above 0 and below 1")
        if abs(sum(self.values) - 1) > 1e-6:
            raise UmbelError(f"the shares {self} add up to {sum(self.values):g}; they must add up to 1")

    @property
    def values(self) -> tuple[float, float, float]:
        """For training, validation and test."""
        return self.train, self.validation, self.test

    def __str__(self) -> str:
        return "/".join(f"{share:g}" for share in self.values)


@dataclass(frozen=True)
class Folds:
    """Parts of equal size, each of which is the test part of one run; 15 % of the others are validation.

    Attributes:
        count: How many; at least 2.
        fold: The test part, counted from 0.
    """

    count: int
    fold: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", whole_number(self.count, "the number of folds", least=2))
        object.__setattr__(self, "fold", whole_number(self.fold, "the fold", least=0))
        if self.fold >= self.count:
            raise UmbelError(f"fold {self.fold} of {self.count}: folds are counted from 0 to {self.count - 1}")

    def __str__(self) -> str:
        return f"fold {self.fold} of {self.count}"


@dataclass(frozen=True)
class RandomSplit:
    """Rows, or whole groups of rows, at random.

    Attributes:
        seed: Of the random order.
        group: Rows with the same value in this column stay together, so that the test shows groups that training has
            never seen. A blank cell is a group of its own. None: every row by itself.
        stratify: Every value of this column (every tenth of its range, where it holds more than 20 different numbers)
            has its share in each part, as far as its rows allow. None: as it comes.
        parts: How large each part is, or which of several folds is the test.
    """

    seed: int = 0
    group: str | None = None
    stratify: str | None = None
    parts: Shares | Folds = Shares()

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", whole_number(self.seed, "the seed of the split"))
        _check_column(self.group, "group", optional=True)
        _check_column(self.stratify, "stratify", optional=True)
        if not isinstance(self.parts, Shares | Folds):
            raise UmbelError(f"the parts of the split are {shown(self.parts)}; give Shares(...) or Folds(...)")
        if self.group is not None and self.group == self.stratify:
            raise UmbelError(f"column {self.group!r} cannot both group and stratify; a group is in one part only")

    def __str__(self) -> str:
        by = "by groups" if self.group is not None else "at random"
        named = [f"of column {self.group}"] if self.group is not None else []
        named += [f"within the values of column {self.stratify}"] if self.stratify is not None else []
        folds = [str(self.parts)] if isinstance(self.parts, Folds) else []
        return ", ".join([" ".join([by, *named]), *folds, f"seed {self.seed}"])


@dataclass(frozen=True)
class TimeSplit:
    """The oldest rows are learnt from, later ones are validation, the newest are the test.

    Rows of the same time stay together.

    Attributes:
        column: Numbers, or dates and times as ISO 8601 writes them (2024-05-31, 2024-05-31T14:00).
        shares: How large each part is, as near as the rows of the same time allow.
    """

    column: str
    shares: Shares = Shares()

    def __post_init__(self) -> None:
        _check_column(self.column, "time")
        if not isinstance(self.shares, Shares):
            raise UmbelError(f"the shares of a split by time are {shown(self.shares)}; give Shares(...)")

    def __str__(self) -> str:
        return f"by time, column {self.column}, oldest first"


@dataclass(frozen=True)
class ColumnSplit:
    """A column says where each row belongs: "train", "validation" (or "val") or "test".

    Attributes:
        column: Which.
        seed: Of the 15 % of the training rows that become validation where the column names no validation row.
    """

    column: str
    seed: int = 0

    def __post_init__(self) -> None:
        _check_column(self.column, "split")
        object.__setattr__(self, "seed", whole_number(self.seed, "the seed of the split"))

    def __str__(self) -> str:
        return f"column {self.column}"


SplitRule = RandomSplit | TimeSplit | ColumnSplit
"""How rows are dealt out."""
AT_RANDOM = RandomSplit()
"""The rule where nothing else is said: every row by itself, 70/15/15, seed 0."""
_KINDS: dict[str, type[RandomSplit] | type[TimeSplit] | type[ColumnSplit]] = {
    "random": RandomSplit,
    "time": TimeSplit,
    "column": ColumnSplit,
}


def apart(rule: SplitRule) -> dict[str, str]:
    """The columns that deal rows out and are therefore no inputs: what they do -> name.

    A column that stratifies is not among them: it stays what it is.
    """
    if isinstance(rule, RandomSplit):
        return {} if rule.group is None else {"group": rule.group}
    return {"time" if isinstance(rule, TimeSplit) else "split": rule.column}


def rule_columns(rule: SplitRule) -> dict[str, str]:
    """All columns that a rule reads: what they do -> name."""
    stratify = rule.stratify if isinstance(rule, RandomSplit) else None
    return apart(rule) | ({} if stratify is None else {"stratify": stratify})


def rule_record(rule: SplitRule) -> dict[str, Any]:
    """A rule as plain data, for a file."""
    return {"rule": next(name for name, kind in _KINDS.items() if type(rule) is kind), **asdict(rule)}


def rule_of(record: Mapping[str, Any]) -> SplitRule:
    """What `rule_record` wrote.

    Raises:
        KeyError, TypeError, ValueError: It is damaged.
    """
    values = dict(record)
    kind = _KINDS[values.pop("rule")]
    try:
        for name in ("parts", "shares"):
            if name in values:
                values[name] = (Folds if "fold" in values[name] else Shares)(**values[name])
        return kind(**values)
    except UmbelError as error:
        raise ValueError(str(error)) from None


def check_rule(rule: object) -> None:
    """Refuse what is no rule.

    Raises:
        UmbelError: As said.
    """
    if not isinstance(rule, RandomSplit | TimeSplit | ColumnSplit):
        raise UmbelError(f"the split is {shown(rule)}; give RandomSplit(...), TimeSplit(...) or ColumnSplit(...)")
