"""Settings of the controllable study. Free of torch, so that the command's help stays quick."""

import itertools
from dataclasses import dataclass, field

from umbel.arguments import check_numbers
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError, unknown
from umbel.recipes.settings import ControllableModelSettings, DataSettings, check_seeds, names, numbers

DISTILLATIONS = ("prefix", "relational", "attention", "logits", "none")


@dataclass(frozen=True)
class ControllableSettings:
    """One network for every budget and preference, against networks trained for one."""

    data: DataSettings = field(
        default_factory=lambda: DataSettings(data="cifar100-mtl", train_size=10000, resolution=24)
    )
    model: ControllableModelSettings = field(
        default_factory=lambda: ControllableModelSettings(
            encoder="conv", hidden=32, vector_head="conv", widths="0.25/0.5/0.75/1", distillation="prefix"
        )
    )
    ablations: str = "none,logits"
    """Other distillations to train and compare, with commas between: none, logits, relational, attention."""
    strengths: str = ""
    """Weights of the distillations to choose from on validation, each kind its own, with / between; unset: `strength`
    for all."""
    penalties: str = ""
    """Penalties of the networks that read the preference to choose from on validation, with / between; unset: 1."""
    tuning_budget: float = 0.5
    """Length of a trial that only chooses, as a part of a full training."""
    groups: str = ""
    """Tasks whose preferences turn together: "a,b/c,d"; unset: each task by itself, of more than three two halves."""
    budgets: str = "20/40/70"
    """Budgets in percent of the full network's multiply-accumulates, with / between."""
    divisions: int = 8
    """Preferences of two groups go from one to the other in so many steps; of more groups, in half as many."""
    latency: bool = True
    """Measure the first seed's network on this machine: times asked for against times got."""
    seeds: int = 3
    """Repetitions, with seeds 0, 1, 2, ..."""
    descent: str = "equal"
    """How conflicts between the tasks are settled; `umbel list` shows the choices."""
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            steps=700, validate_every=350, learning_rate=3e-3, monitor="loss", tensorboard=False
        )
    )

    def __post_init__(self) -> None:
        check_numbers(self)
        check_seeds(self.seeds, self.fit.seed)
        if len(self.model.grid) < 2:
            raise UmbelError(f"--widths {self.model.widths}: a network to be turned needs at least two widths")
        for name in self.others:
            if name not in DISTILLATIONS:
                raise unknown("distillation in --ablations", name, DISTILLATIONS)
        if not 0 < self.tuning_budget <= 1:
            raise UmbelError(
                f"tuning_budget is {self.tuning_budget}; it is a part of a training, above 0 and at most 1"
            )
        if not all(0 < strength < float("inf") for strength in self.strength_trials):
            raise UmbelError(f"--strengths {self.strengths}: give numbers above 0, as in 0.1/0.3/1")
        if not all(0 <= penalty < float("inf") for penalty in self.penalty_trials):
            raise UmbelError(f"--penalties {self.penalties}: give numbers of 0 or more, as in 0/1/4")
        if self.divisions < 2:
            raise UmbelError(f"--divisions {self.divisions}: give at least 2")
        if not self.percents or not all(0 < percent <= 100 for percent in self.percents):
            raise UmbelError(f"--budgets {self.budgets}: give percentages above 0 and up to 100, as in 20/40/70")

    @property
    def others(self) -> list[str]:
        """The distillations beside the main one."""
        return [name for name in dict.fromkeys(names(self.ablations)) if name != self.model.distillation]

    @property
    def percents(self) -> list[float]:
        """The budgets, rising."""
        return sorted(set(numbers(self.budgets, "--budgets"))) if self.budgets else []

    @property
    def middle_percent(self) -> float:
        """The budget at which the dial is judged: the middle one, the lower of two."""
        return self.percents[(len(self.percents) - 1) // 2]

    @property
    def strength_trials(self) -> list[float]:
        """The strengths of distillation to choose from, rising; none when there is no choice."""
        return sorted(set(numbers(self.strengths, "--strengths"))) if self.strengths else []

    @property
    def penalty_trials(self) -> list[float]:
        """The penalties to choose from, rising; none when there is no choice."""
        return sorted(set(numbers(self.penalties, "--penalties"))) if self.penalties else []

    def groups_of(self, tasks: list[str]) -> list[list[str]]:
        """The groups of tasks whose preferences turn together.

        Raises:
            UmbelError: An unknown task, a task twice or left out, or one group only.
        """
        half = (len(tasks) + 1) // 2
        groups = [[task] for task in tasks] if len(tasks) <= 3 else [tasks[:half], tasks[half:]]
        if self.groups.strip():
            groups = [list(names(part)) for part in self.groups.split("/")]
        members = list(itertools.chain(*groups))
        for name in members:
            if name not in tasks:
                raise unknown("task in --groups", name, tasks)
        if sorted(members) != sorted(tasks) or len(groups) < 2:
            raise UmbelError(f"--groups {self.groups}: put every task in exactly one of at least two groups")
        return groups

    def rays(self, groups: int) -> list[tuple[float, ...]]:
        """Preferences of the groups that are asked for: an even grid; no group is given up altogether."""
        steps = self.divisions if groups == 2 else max(2, self.divisions // 2)
        parts = [cut for cut in itertools.product(range(steps + 1), repeat=groups) if sum(cut) == steps]
        return [tuple(max(part / steps, 0.02) for part in cut) for cut in sorted(parts)]


QUICK = ControllableSettings(
    data=DataSettings(data="overlay-digits", train_size=3000, tasks="left,right,gap"),
    model=ControllableModelSettings(
        encoder="conv", encoder_options="widths=16/32/64", hidden=32, vector_head="conv", widths="0.25/0.5/1"
    ),
    ablations="none",
    groups="left/right,gap",
    budgets="25/60",
    divisions=4,
    seeds=2,
    fit=FitSettings(steps=300, learning_rate=3e-3, monitor="loss", tensorboard=False),
)
