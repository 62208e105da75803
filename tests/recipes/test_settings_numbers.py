"""Every number of every settings class, and what it refuses: one test for settings that do not exist yet, too."""

import dataclasses
import math
from typing import get_args, get_type_hints

import pytest

from umbel.arguments import MOST, check_numbers
from umbel.errors import UmbelError
from umbel.recipes import RECIPES
from umbel.recipes.settings import MOST_SEEDS, ControllableModelSettings, DataSettings, options
from umbel.recipes.train_settings import TrainSettings

SIGNED = {"design_snr_db"}
"""May be negative: decibels."""


def numbers_of(settings):
    """(the settings that hold it, field, its kinds) for every number in settings and in those inside them."""
    hints = get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from numbers_of(value)
            continue
        kinds = set(get_args(hints[field.name])) or {hints[field.name]}
        if kinds & {int, float}:
            yield settings, field.name, kinds


EVERY = {
    (type(holder).__name__, name): (holder, name, kinds)
    for start in (TrainSettings(), *(recipe.settings() for recipe in RECIPES.values()))
    for holder, name, kinds in numbers_of(start)
}


def test_the_walk_reaches_the_numbers():
    assert {("FitSettings", "batch_size"), ("LinkSettings", "draws"), ("CompareSettings", "probes")} <= set(EVERY)
    assert len(EVERY) > 40


@pytest.mark.parametrize("case", EVERY, ids=".".join)
def test_a_number_refuses_what_is_none(case):
    holder, name, kinds = EVERY[case]
    wrong = [math.nan, math.inf, -math.inf, 10.0 * MOST, 10**40, -(10**40), True, "3"]
    wrong += [] if name in SIGNED else [-1]
    wrong += [0.5] if int in kinds else []
    for value in wrong:
        with pytest.raises(UmbelError, match=name.replace("_", "[_-]")):
            dataclasses.replace(holder, **{name: value})


@dataclasses.dataclass(frozen=True)
class Own:
    """Settings of a user."""

    trials: int = 3
    part: float | None = None
    shift: float = 0.0
    word: str = ""


def test_numbers_of_own_settings():
    check_numbers(Own(shift=-2.0), {"trials": 1}, signed=["shift"])
    for wrong in (Own(trials=0), Own(part=-0.1), Own(trials=2.0)):
        with pytest.raises(UmbelError, match=r"^(trials|part) is "):
            check_numbers(wrong, {"trials": 1})


def test_seeds_that_nobody_can_run():
    with pytest.raises(UmbelError, match=f"at most {MOST_SEEDS}"):
        RECIPES["compare"].settings(seeds=MOST_SEEDS + 1)


def test_settings_that_would_do_nothing():
    for setting in ({"strength": 0.5}, {"distillation": "none"}):
        with pytest.raises(UmbelError, match="is for controllable networks; give their --widths"):
            ControllableModelSettings(**setting)
        ControllableModelSettings(**setting, widths="0.5/1")
    for name in ("targets", "kinds", "ignore", "tasks"):
        with pytest.raises(UmbelError, match=f"--{name} ' , ' names nothing"):
            DataSettings(**{name: " , "})


def test_options_are_read_strictly():
    assert options("a=1/,b=2/x", "--f") == {"a": (1,), "b": (2, "x")}
    assert options("a=", "--f") == {"a": ""}  # a text that is empty; where a number is wanted, its check refuses it
    for text, message in (
        ("a=1,a=2", "a is given twice"),
        ("a", "'a' is not of the form"),
        ("=1", "form name=value"),
    ):
        with pytest.raises(UmbelError, match=message):
            options(text, "--f")


@pytest.mark.parametrize("recipe", ["controllable", "multi_receiver", "multires_jscc", "multi_round"])
def test_numbers_in_a_text_are_bounded_as_well(recipe):
    """Of every text setting that holds numbers with / between: what is far too large, and what is no number."""
    start = RECIPES[recipe].settings()
    held = ("penalties", "strengths", "budgets", "uses", "digital_uses", "sweep_weights", "picture_weights")
    for name in (field.name for field in dataclasses.fields(start) if field.name in held):
        for wrong in ("1e26", "nan", "1/-1e30", "x"):
            with pytest.raises(UmbelError):
                changed = dataclasses.replace(start, **{name: wrong})
                [getattr(changed, other) for other in dir(changed) if not other.startswith("__")]
