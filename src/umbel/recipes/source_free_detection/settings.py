"""Settings of the study of source-free detection. Free of torch, so that the command's help stays quick."""

from dataclasses import dataclass, replace

from umbel.arguments import check_numbers
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError
from umbel.recipes.adapting.settings import FIT, AdaptationSettings
from umbel.recipes.settings import check_seeds, chosen_arms, names

SOURCE, NORMS, FIXED = "source-only", "norms", "fixed-labels"
FAST, SLOW = "fast-teacher", "slow-teacher"
OURS, RANDOM, REVERSED, UNALIGNED = "source-free", "random-split", "reversed-split", "without-alignment"
PAPER, ORACLE = "as-in-the-paper", "oracle"
ARMS = (SOURCE, NORMS, FIXED, FAST, SLOW, OURS, UNALIGNED, RANDOM, REVERSED, PAPER, ORACLE)
"""Every arm, in the order of the tables."""
NEEDED = (SOURCE, NORMS, SLOW, OURS, ORACLE)
"""Arms that every claim reads."""
WEATHERS = ("fog", "blur", "illumination")

CELLS = AdaptationSettings(flips="both")
"""How cells are adapted to: they have no top."""
SOURCE_FIT = FitSettings(
    steps=800, batch_size=4, learning_rate=2e-3, clip_norm=5.0, validate_every=200, monitor="boxes/mAP50",
    tensorboard=False,
)  # fmt: skip
"""How every source detector is trained, with labels; and with other steps and rate the oracle."""


@dataclass(frozen=True)
class SourceFreeSettings:
    """A detector of one place at another, with and without adaptation."""

    source: str = "blood-cells"
    """Labelled set that the detector is trained on: one that `umbel list` shows, or a folder of boxes."""
    target: str = "blood-cells-b"
    """Set that it is adapted to; its labels only judge."""
    classes: str = ""
    """Of folders of boxes: only these classes, with commas between, in this order; unset: all, which must agree."""
    detector: str = "small-fasterrcnn"
    """Which detector."""
    detector_options: str = ""
    """Options of the detector: "norm=batch,widths=16/32/64/64"."""
    source_resolution: int | None = None
    """Longer side of the source's pictures in pixels; unset: the set's own."""
    target_resolution: int | None = None
    """Longer side of the target's pictures."""
    arms: str = ",".join(ARMS)
    """What is compared, with commas between."""
    folds: int = 5
    """Parts of the target; of each repeat, another one is the test."""
    seeds: int = 5
    """Repetitions: source detectors of seeds 0, 1, 2, ..., each with a fold of its own."""
    source_steps: int = 800
    """Steps of every source detector."""
    source_views: bool = True
    """Whether the source's detector learns from colours, blur and sharpness changed at random, as is good practice."""
    oracle_steps: int = 300
    """Steps of the oracle, which learns from the target's labels."""
    fast_decay: float = 0.99
    """Of the fast teacher."""
    weather: str = ",".join(WEATHERS)
    """Kinds of weather of known strength that the variance is tested on, with commas between; empty: none."""
    weather_pictures: int = 120
    """Pictures in each of them, at most."""
    adaptation: AdaptationSettings = CELLS
    fit: FitSettings = FIT

    def __post_init__(self) -> None:
        check_numbers(self, {"folds": 2, "source_steps": 1, "oracle_steps": 1, "weather_pictures": 4})
        check_seeds(self.seeds, self.fit.seed)
        _ = self.chosen_arms
        if self.seeds > self.folds:
            raise UmbelError(f"seeds is {self.seeds} and folds {self.folds}; every repeat needs a fold of its own")
        if self.fit.steps is None:
            raise UmbelError("a study of adaptation wants --steps, since its stages are parts of them")
        for name in self.weathers:
            if name not in WEATHERS:
                raise UmbelError(f"--weather {self.weather}: {name!r} is not known; choose among {', '.join(WEATHERS)}")

    @property
    def chosen_arms(self) -> tuple[str, ...]:
        """The arms, in the order of the tables."""
        return chosen_arms(self.arms, ARMS, NEEDED)

    @property
    def weathers(self) -> tuple[str, ...]:
        """Kinds of weather."""
        return names(self.weather)


QUICK = SourceFreeSettings(
    arms=",".join(NEEDED),
    seeds=2,
    source_steps=400,
    source_views=False,
    oracle_steps=150,
    weather="fog",
    weather_pictures=40,
    fit=replace(FIT, steps=100, validate_every=50),
)
"""Two folds, short trainings, a source that leaves much to adapt."""
