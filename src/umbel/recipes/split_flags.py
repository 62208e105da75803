"""Flags of own tables that say how rows are dealt out, as one rule."""

from umbel.data.split_rules import ColumnSplit, Folds, RandomSplit, Shares, SplitRule, TimeSplit
from umbel.errors import UmbelError
from umbel.recipes.settings import DataSettings

OWN_TABLE = (
    "targets",
    "image_column",
    "pictures_anywhere",
    "kinds",
    "split_column",
    "group_column",
    "time_column",
    "stratify_column",
    "split_shares",
    "folds",
    "fold",
    "split_seed",
    "ignore",
    "missing",
)
"""Settings that mean something for tables of the user's own only."""
_EXCLUDED = {
    "split_column": ("group_column", "time_column", "stratify_column", "split_shares", "folds", "fold"),
    "time_column": ("group_column", "stratify_column", "folds", "fold", "split_seed"),
    "folds": ("split_shares",),
}
"""A flag, and those that would do nothing beside it."""


def given(settings: DataSettings, name: str) -> bool:
    """Whether a setting was given."""
    value = getattr(settings, name)
    return value is not False and value not in ("", None)


def split_rule(settings: DataSettings) -> SplitRule:
    """How the rows of the user's table are dealt out.

    Raises:
        UmbelError: Flags that do not go together, or shares, folds and seeds that cannot be.
    """
    for name, others in _EXCLUDED.items():
        for other in others if given(settings, name) else ():
            if given(settings, other):
                raise UmbelError(f"--{_flag(name)} and --{_flag(other)} do not go together; leave one out")
    if (settings.folds is None) != (settings.fold is None):
        raise UmbelError("--folds says how many parts there are and --fold which is the test; give both or neither")
    seed = settings.split_seed or 0
    if settings.split_column:
        return ColumnSplit(settings.split_column, seed)
    if settings.time_column:
        return TimeSplit(settings.time_column, _shares(settings.split_shares))
    group, stratify = settings.group_column or None, settings.stratify_column or None
    if settings.folds is not None and settings.fold is not None:
        return RandomSplit(seed, group, stratify, Folds(settings.folds, settings.fold))
    return RandomSplit(seed, group, stratify, _shares(settings.split_shares))


def _shares(text: str) -> Shares:
    if not text:
        return Shares()
    try:
        train, validation, test = (float(share) for share in text.split("/"))
    except ValueError:
        raise UmbelError(f"--split-shares {text}: write three fractions with / between, as in 0.7/0.15/0.15") from None
    return Shares(train, validation, test)


def _flag(name: str) -> str:
    return name.replace("_", "-")
