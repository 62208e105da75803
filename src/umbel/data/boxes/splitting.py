"""Which pictures are learnt from, which choose the checkpoint and which are the test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from umbel.data.boxes.placing import PlacedPicture
from umbel.data.dealing import deal_rows
from umbel.data.split_rules import HELD_OUT, SPLIT_NAMES, Folds, Shares
from umbel.errors import UmbelError


@dataclass(frozen=True)
class SplitWish:
    """How pictures are dealt out; where nothing is said, as the publisher did.

    Attributes:
        shares: Of training, validation and test, at random; none: not given.
        folds: Cut all pictures into so many parts; None: not given.
        fold: Which of them is the test, from 0.
        seed: Of the random order; given alone it deals out anew what the publisher split.
    """

    shares: tuple[float, ...] = ()
    folds: int | None = None
    fold: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if (self.folds is None) != (self.fold is None):
            raise UmbelError("folds says how many parts there are and fold which is the test; give both or neither")
        if self.folds is not None and self.shares:
            raise UmbelError("folds and shares do not go together; leave one out")
        if self.shares and len(self.shares) != len(SPLIT_NAMES):
            raise UmbelError(f"shares are {self.shares}; give three fractions: training, validation, test")

    @property
    def parts(self) -> Shares | Folds:
        """What is asked for, checked.

        Raises:
            UmbelError: Shares that do not add up, or a fold that there is not.
        """
        if self.folds is not None and self.fold is not None:
            return Folds(self.folds, self.fold)
        return Shares(*self.shares) if self.shares else Shares()

    @property
    def anew(self) -> bool:
        """Whether the publisher's split is not wanted."""
        return bool(self.shares) or self.folds is not None or self.seed is not None


def split_pictures(
    pictures: Sequence[PlacedPicture], wish: SplitWish, where: str
) -> tuple[dict[str, list[PlacedPicture]], str]:
    """The pictures of each split, and a sentence on how they came about.

    Args:
        pictures: All that can be used.
        wish: How.
        where: The set, for messages.

    Raises:
        UmbelError: A part would be empty.
    """
    seed = wish.seed or 0
    published = {of: [p for p in pictures if p.picture.split == of] for of in SPLIT_NAMES}
    if wish.anew or not published["train"] or not (published["test"] or published["validation"]):
        split, said = _at_random(pictures, wish.parts, seed), f"{wish.parts} at random, seed {seed}"
        if isinstance(wish.parts, Shares):
            said = f"{said}, by pictures"
    elif published["validation"] and published["test"]:
        split, said = published, "as the publisher split it"
    else:
        test = "test" if published["test"] else "validation"
        train, held = _dealt(published["train"], (1 - HELD_OUT, HELD_OUT), (seed,))
        split = {"train": train, "validation": held, "test": published[test]}
        named = "published test" if test == "test" else "published validation is the test"
        said = f"{named}; {HELD_OUT:.0%} of the training pictures, at random, are validation"
    for name, part in split.items():
        if not part:
            raise UmbelError(
                f"{where}: {len(pictures)} pictures leave none for {name}; add some, or give larger shares"
            )
    return split, said


def _at_random(pictures: Sequence[PlacedPicture], parts: Shares | Folds, seed: int) -> dict[str, list[PlacedPicture]]:
    ordered = sorted(pictures, key=lambda one: (one.picture.name, str(one.picture.path)))
    if isinstance(parts, Shares):
        return dict(zip(SPLIT_NAMES, _dealt(ordered, parts.values, (seed,)), strict=True))
    dealt = _dealt(ordered, (1 / parts.count,) * parts.count, (seed,))
    rest = [one for number, part in enumerate(dealt) if number != parts.fold for one in part]
    train, validation = _held_out(rest, (seed, 1 + parts.fold))
    return {"train": train, "validation": validation, "test": dealt[parts.fold]}


def _held_out(pictures: Sequence[PlacedPicture], seeds: Sequence[int]) -> list[list[PlacedPicture]]:
    """What is learnt from and what validates: `HELD_OUT` of the pictures, at least one."""
    share = min(0.5, max(HELD_OUT, 1 / max(1, len(pictures))))
    return _dealt(pictures, (1 - share, share), seeds)


def _dealt(
    pictures: Sequence[PlacedPicture], shares: Sequence[float], seeds: Sequence[int]
) -> list[list[PlacedPicture]]:
    part = deal_rows(len(pictures), shares, (*seeds, len(pictures)))
    return [[pictures[k] for k in np.flatnonzero(part == number)] for number in range(len(shares))]
