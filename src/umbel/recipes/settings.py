"""Settings that several recipes share. Free of torch, so that the command's help stays quick."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from umbel.arguments import MOST, check_numbers
from umbel.errors import UmbelError, unknown

LARGEST_RESOLUTION = 10_000
"""Pixels; larger pictures fit into no memory together."""
MOST_SEEDS = 10_000
"""Repetitions of a study."""


@dataclass(frozen=True)
class DataSettings:
    """What is learnt from."""

    data: str = "overlay-digits"
    """A set that `umbel list` shows, a CSV or Parquet file, a folder of pictures with boxes (VOC, COCO), or
    one of faces with frames.csv (`umbel prepare`)."""
    targets: str = ""
    """Columns of an own table to predict, with commas between."""
    image_column: str = ""
    """Column of an own table that holds paths of pictures (relative to the table)."""
    pictures_anywhere: bool = False
    """Read pictures outside the folder of an own table, too."""
    kinds: str = ""
    """Kinds of columns where the inferred one is wrong: "age=regression,colour=category"."""
    split_column: str = ""
    """Column of an own table that says train, validation or test; unset: a random split."""
    group_column: str = ""
    """Column of an own table whose groups (patients, users, sites) are never in two parts."""
    time_column: str = ""
    """Column of an own table by whose times the oldest rows are learnt from and the newest are the test."""
    stratify_column: str = ""
    """Column of an own table whose values have their share in every part, as a rare class of a target."""
    split_shares: str = ""
    """Training, validation and test of an own table; unset: 0.7/0.15/0.15."""
    folds: int | None = None
    """Cut an own table into so many parts, of which --fold is the test; 15 % of the others are validation."""
    fold: int | None = None
    """Which of the folds is the test, from 0."""
    split_seed: int | None = None
    """Another random split of an own table; unset: 0."""
    ignore: str = ""
    """Columns of an own table that are neither input nor target, with commas between."""
    missing: str = ""
    """Words or numbers in an own table that mean "no value", besides NA, null, ? and the like; commas between."""
    tasks: str = ""
    """Only these tasks of the set, with commas between; unset: all."""
    train_size: int | None = None
    """At most so many training samples (of a generated set: so many)."""
    resolution: int | None = None
    """Height of the pictures in pixels, where the set offers a choice; of pictures with boxes the longer side."""
    options: str = ""
    """Further options of the set: "name=value,name=value"."""
    class_weights: str = ""
    """Weights of classes in the loss: "balanced", or "task=1/2/1,task=balanced"."""

    def __post_init__(self) -> None:
        check_numbers(self, {"train_size": 1, "resolution": 1})
        if self.resolution is not None and self.resolution > LARGEST_RESOLUTION:
            raise UmbelError(f"resolution is {self.resolution}; give at most {LARGEST_RESOLUTION} pixels")
        for name in ("targets", "kinds", "ignore", "tasks"):
            if getattr(self, name) and not names(getattr(self, name)):
                raise UmbelError(f"--{name} {getattr(self, name)!r} names nothing; write names with commas between")


@dataclass(frozen=True)
class ModelSettings:
    """The network."""

    encoder: str = ""
    """conv, resnet, mlp, gru or torchvision-..., for boxes a detector; unset: one that suits the inputs."""
    encoder_options: str = ""
    """Options of the encoder: "widths=16/32/64,norm=group"."""
    hidden: int | None = None
    """Width of the heads' hidden layer; unset: none for vectors, a sensible one for maps."""
    vector_head: Literal["linear", "conv"] = "linear"
    """Heads that predict vectors from maps: linear layers on the maps' mean, or a convolution first."""

    def __post_init__(self) -> None:
        check_numbers(self, {"hidden": 1})


@dataclass(frozen=True)
class ControllableModelSettings(ModelSettings):
    """The network, which may be a controllable one: with widths that can be turned after training."""

    widths: str = ""
    """Make the network controllable: the widths that encoder and heads can be turned to, as 0.25/0.5/0.75/1."""
    distillation: Literal["prefix", "relational", "attention", "logits", "none"] = "prefix"
    """Controllable: what narrow configurations learn from the full one."""
    strength: float = 0.1
    """Controllable: weight of that."""

    def __post_init__(self) -> None:
        super().__post_init__()
        usual = ControllableModelSettings.__dataclass_fields__
        for name in ("distillation", "strength"):
            if not self.widths and getattr(self, name) != usual[name].default:
                raise UmbelError(f"--{name} is for controllable networks; give their --widths, as 0.25/0.5/0.75/1")
        widths = self.grid
        if self.widths and (widths != sorted(set(widths)) or widths[-1] != 1 or widths[0] <= 0):
            raise UmbelError(f"--widths {self.widths}: give rising widths above 0 that end in 1, as in 0.25/0.5/0.75/1")

    @property
    def grid(self) -> list[float]:
        """The widths as numbers; none for an ordinary network."""
        try:
            return [float(part) for part in self.widths.split("/")] if self.widths else []
        except ValueError:
            raise UmbelError(f"--widths {self.widths}: write numbers with / between, as in 0.25/0.5/0.75/1") from None


@dataclass(frozen=True)
class TrainedModelSettings(ControllableModelSettings):
    """The network of `umbel train`: an ordinary one, a controllable one, or one whose main task reads its proxies."""

    proxies: str = ""
    """Tasks that serve the main one, as depth,reflection,material: it decides by what they are taught to see."""
    main: str = ""
    """Proxies: the task that they serve; unset: the only other one that predicts a vector, or liveness."""
    attention: Literal["gaussian", "sigmoid", "softmax", "none"] = "gaussian"
    """Proxies: how what they see is weighed; gaussian: each by itself, and it knows how sure it is."""
    mining: float = 0.5
    """Proxies: weight of the loss over pairs of samples that are hard to tell apart; 0: none."""
    attributes: str = ""
    """Proxies: targets of whole numbers by which those pairs are chosen, as identity,camera."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.proxies and self.widths:
            raise UmbelError("--proxies and --widths are two kinds of networks; give one of the two")
        usual = TrainedModelSettings.__dataclass_fields__
        for name in ("main", "attention", "mining", "attributes"):
            if not self.proxies and getattr(self, name) != usual[name].default:
                raise UmbelError(f"--{name} is for a network with proxies; name the tasks that are, with --proxies")
        for name in ("proxies", "attributes"):
            if getattr(self, name) and not names(getattr(self, name)):
                raise UmbelError(f"--{name} {getattr(self, name)!r} names nothing; write names with commas between")
        if self.main and self.main in names(self.proxies):
            raise UmbelError(f"--main {self.main} is among the --proxies that serve it; take it out of them")
        if self.attributes and not self.mining:
            raise UmbelError("--attributes choose the pairs of --mining, whose weight is 0; leave one of the two out")


def kind_of_settings(kept: object) -> type[ModelSettings]:
    """Which settings of a network a checkpoint kept; older ones have fewer names.

    Args:
        kept: What `dataclasses.asdict` made of them.
    """
    told = kept if isinstance(kept, dict) else {}
    kinds = (("proxies", TrainedModelSettings), ("widths", ControllableModelSettings))
    return next((kind for name, kind in kinds if name in told), ModelSettings)


def check_seeds(seeds: int, fit_seed: int) -> None:
    """Refuse a number of repetitions below 1 or beyond `MOST_SEEDS`, and a seed where a study counts its own.

    Raises:
        UmbelError: As said.
    """
    if fit_seed:
        raise UmbelError("a study runs seeds 0, 1, 2, ...; say how many with --seeds and leave --seed out")
    if seeds < 1:
        raise UmbelError(f"seeds is {seeds}; at least 1 is needed")
    if seeds > MOST_SEEDS:
        raise UmbelError(f"seeds is {seeds}; give at most {MOST_SEEDS}")


def names(text: str) -> tuple[str, ...]:
    """The names in a text with commas between."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def chosen_arms(text: str, every: Sequence[str], needed: Sequence[str]) -> tuple[str, ...]:
    """The arms that a text with commas between names, in the order of all.

    Args:
        text: As `--arms` has it.
        every: All arms of the study.
        needed: Those that every claim reads.

    Raises:
        UmbelError: An arm that the study has not, or one that is needed and left out.
    """
    given = names(text)
    for name in given:
        if name not in every:
            raise unknown("arm", name, every)
    if missing := [name for name in needed if name not in given]:
        raise UmbelError(f"--arms {text}: every claim compares with {missing[0]}; add it")
    return tuple(arm for arm in every if arm in given)


def numbers(text: str, flag: str) -> list[float]:
    """The numbers in "a/b/c", none beyond `MOST`.

    Raises:
        UmbelError: One is missing, no number, not finite or absurdly large.
    """
    values = []
    for part in (part.strip() for part in text.split("/")):
        try:
            value = float(part)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UmbelError(f"{flag} {text}: {part!r} is not a finite number; write numbers with / between")
        if abs(value) > MOST:
            raise UmbelError(f"{flag} {text}: {part} is beyond {MOST:g}; give smaller numbers")
        values.append(value)
    return values


def options(text: str, flag: str) -> dict[str, object]:
    """The options in "name=value,name=value": whole numbers, decimals, true/false, a/b/c for several, else text.

    A list of one is written "a/", a text that is empty as nothing at all: "name=".

    Raises:
        UmbelError: A part has no "=", or a name comes twice.
    """
    parsed: dict[str, object] = {}
    for part in names(text):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals):
            raise UmbelError(f"{flag}: {part!r} is not of the form name=value")
        if name in parsed:
            raise UmbelError(f"{flag}: {name} is given twice; choose one")
        parsed[name] = _value(value)
    return parsed


def _value(text: str) -> object:
    if "/" in text:
        return tuple(_value(part.strip()) for part in text.removesuffix("/").split("/"))
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else text
    return text
