"""Settings of the power flow study. Free of torch, so that the command's help stays quick."""

from dataclasses import dataclass, field, replace
from typing import Literal

from umbel.arguments import check_numbers
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError
from umbel.grids.settings import ScenarioSettings
from umbel.recipes.settings import check_seeds, chosen_arms, numbers

OURS, WITHOUT = "ours", "without-difference"
FREE, FREE_WITHOUT = "free-head", "free-head-without"
PLAIN, PLAIN_MODES, PLAIN_DIFFERENCE, VARIATION = "plain", "plain-modes", "plain-difference", "variation"
RIDGE, QUADRATIC, MEAN = "ridge", "quadratic", "mean"
TRAINED = (OURS, WITHOUT, FREE, FREE_WITHOUT, PLAIN, PLAIN_MODES, PLAIN_DIFFERENCE, VARIATION)
"""Arms with a network, in the order of the tables."""
CLOSED = (RIDGE, QUADRATIC, MEAN)
"""Arms without one."""
ARMS = (*TRAINED, *CLOSED)
NEEDED = (OURS, RIDGE, MEAN)
"""Arms that every claim reads."""

FIT = FitSettings(
    epochs=40, learning_rate=3e-3, batch_size=256, validate_every=410, monitor="loss", clip_norm=1.0, tensorboard=False
)
"""How each network of the full study is trained."""


@dataclass(frozen=True)
class PowerFlowSettings:
    """Power flows predicted by a network, against linear maps, other networks and the solver itself."""

    net: str = "case300"
    """A network of pandapower (case118, case300, case1354pegase), or a JSON file that pandapower saved."""
    magnetising: Literal["pandapower", "signed"] = "pandapower"
    """How negative no-load currents of transformers are read: as pandapower does, without their sign, or signed."""
    rows: int = 30_000
    """Power flows, drawn from the 35,136 quarter-hours of the year, that are solved and dealt to the splits."""
    scenarios: ScenarioSettings = field(default_factory=ScenarioSettings)
    linear: Literal["ridge", "sensitivities"] = "ridge"
    """Linear part of our arms: ridge, or the equations made linear at the mean state, quicker on large grids."""
    rank: int = 0
    """Rank of ridge's map; 0 leaves it whole."""
    modes: int = 64
    """Modes that the heads of our arms speak through."""
    width: int = 256
    """Of the trunk of every network."""
    depth: int = 2
    """Layers of the trunk."""
    tolerance: float = 1e-6
    """Buses that vary so little that the linear part is right to this (RMSE on validation, pu) get no network."""
    steady_tolerance: float = 1e-4
    """Likewise of the arm that has ridge instead of a network for steady buses."""
    term: str = "0.1/1/10"
    """Weights of the angle differences to choose from on validation, with / between."""
    corrections: int = 2
    """Chord steps after every arm, at most: 0, 1, ... are measured. The guarded network takes 1."""
    arms: str = ",".join(ARMS)
    """What is compared, with commas between."""
    low: float = 0.94
    """The smallest |V| that is allowed, pu."""
    high: float = 1.06
    """The greatest."""
    loading: float = 1.0
    """The greatest current of a branch, as a share of its limit."""
    bar: float = 1e-3
    """The guard's limit is set on validation so that no accepted row there has a bus further off than this, pu."""
    outages: int = 5
    """Branches that are taken out, one at a time, to see what the guard makes of it."""
    stressed: int = 1000
    """Rows of the test days with 20 % more load, and of each outage a fifth as many."""
    time: bool = True
    """Time the surrogate and its rivals, and compare with Monte Carlo at equal time."""
    seeds: int = 5
    """Repetitions, with seeds 0, 1, 2, ..."""
    descent: str = "equal"
    """How the tasks' conflicts are settled, as `umbel list` shows; all but "equal" choose weights themselves."""
    fit: FitSettings = FIT

    def __post_init__(self) -> None:
        check_numbers(
            self, {"modes": 1, "width": 1, "depth": 1, "rows": 100, "stressed": 5, "outages": 0, "corrections": 1}
        )
        check_seeds(self.seeds, self.fit.seed)
        _ = self.chosen_arms
        if not 0 < self.low < self.high:
            raise UmbelError(f"limits of |V| are {self.low:g} to {self.high:g} pu; give low below high, above 0")
        for name in ("bar", "loading"):
            if getattr(self, name) <= 0:
                raise UmbelError(f"{name} is {getattr(self, name):g}; give a number above 0")
        if min(self.weights) <= 0:
            raise UmbelError(f"--term: {min(self.weights):g} is not above 0; leave the task out by the arm {WITHOUT!r}")

    @property
    def chosen_arms(self) -> tuple[str, ...]:
        """The arms that are measured, in the order of the tables."""
        return chosen_arms(self.arms, ARMS, NEEDED)

    @property
    def weights(self) -> list[float]:
        """Weights of the angle differences to choose from, rising; of other descents than "equal" there is none."""
        return sorted(set(numbers(self.term, "--term"))) if self.descent == "equal" else [1.0]


QUICK = PowerFlowSettings(
    net="case118",
    rows=8000,
    arms=",".join((OURS, WITHOUT, PLAIN, RIDGE, MEAN)),
    term="1",
    modes=32,
    width=128,
    outages=2,
    stressed=200,
    time=False,
    seeds=2,
    fit=replace(FIT, epochs=15, validate_every=110),
)
"""118 buses, two seeds."""
