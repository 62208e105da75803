"""Settings of the scenarios that are injected into a grid."""

from dataclasses import dataclass

from umbel.arguments import check_numbers
from umbel.errors import UmbelError


@dataclass(frozen=True)
class ScenarioSettings:
    """How profiles become loads, renewables and dispatch.

    Attributes:
        penetration: Capacity of sun and wind over the case's load: each of the sites gets its share of it.
        sites: Share of the loads that have a renewable site beside them.
        peak: The year's greatest total load, over the case's.
        mix: Kinds of profiles that each load is a mixture of (weights from a flat Dirichlet distribution).
        noise: Standard deviation of what each load does by itself in each step, relative.
        load: Factor on all loads; generation follows. 1.2 for the test of 20 % more.
        scenario_seed: Of mixtures, sites and noise.
    """

    penetration: float = 0.3
    sites: float = 0.25
    peak: float = 1.0
    mix: int = 4
    noise: float = 0.03
    load: float = 1.0
    scenario_seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(self, least={"mix": 1})
        if self.sites > 1:
            raise UmbelError(f"sites is {self.sites}; give a share of the loads, from 0 to 1")
        if self.peak == 0 or self.load == 0:
            raise UmbelError("peak and load are factors of all loads; give numbers above 0")
