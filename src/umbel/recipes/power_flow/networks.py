"""The networks of the power flow study and what is measured of each."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from umbel.core import Learner
from umbel.data import MultiTaskData
from umbel.descent import make_descent
from umbel.grids import GridEquations, States
from umbel.methods.power_flow import PowerFlowModel, power_flow
from umbel.methods.power_flow_ablations import MeanState, QuadraticModel, ridge_alone
from umbel.methods.power_flow_frame import DIFFERENCE, PowerFlowFrame, power_flow_frame
from umbel.methods.power_flow_predictor import PowerFlowPredictor, predictor
from umbel.power_flow import Guarded, GuardLimit, balanced, greatest_errors_pu, judge, limit_from
from umbel.recipes.power_flow.prepare import Prepared, Scenario
from umbel.recipes.power_flow.scores import Off, Truth, on_drawn_days, score
from umbel.recipes.power_flow.settings import (
    FREE,
    FREE_WITHOUT,
    MEAN,
    OURS,
    PLAIN,
    PLAIN_DIFFERENCE,
    PLAIN_MODES,
    QUADRATIC,
    RIDGE,
    VARIATION,
    WITHOUT,
    PowerFlowSettings,
)
from umbel.report import Profile
from umbel.study import Job, Measurement, Trained, Training

TUNING = ", weights tried"
"""Behind the key of our arm: networks of seed 0 with each weight of the angle differences."""
DAYS = "days"
"""Name of the profiles with metrics on drawn days."""
GUARDED = 1
"""Corrections of the surrogate that is guarded."""
_WITHOUT_DIFFERENCE = (WITHOUT, FREE_WITHOUT, PLAIN, PLAIN_MODES)


class Networks:
    """Makes and measures the networks of one study.

    Args:
        settings: Of the study.
        prepared: What all arms share.
    """

    def __init__(self, settings: PowerFlowSettings, prepared: Prepared) -> None:
        self.settings, self.prepared = settings, prepared
        self._frames: dict[tuple[tuple[str, Any], ...], PowerFlowFrame] = {}

    # -- making --------------------------------------------------------------------------------------------------------

    @property
    def data(self) -> MultiTaskData:
        """The data set with the tasks of our arm."""
        return self.prepared.samples.data(self.frame(OURS).tasks)

    def frame(self, arm: str) -> PowerFlowFrame:
        """What is fitted in closed form for an arm; arms that need the same share it."""
        settings = self.settings
        ours = {"linear": settings.linear, "rank": settings.rank or None, "tolerance": settings.tolerance}
        without = {"linear": "none"}
        options: dict[str, Any] = {
            FREE: {**ours, "modes": None},
            FREE_WITHOUT: {**ours, "modes": None},
            PLAIN: {**without, "modes": None},
            PLAIN_DIFFERENCE: {**without, "modes": None},
            PLAIN_MODES: {**without, "modes": settings.modes},
            VARIATION: {"linear": "ridge", "steady": True, "modes": None, "tolerance": settings.steady_tolerance},
            RIDGE: {"linear": "ridge", "modes": None},
            QUADRATIC: {"linear": "ridge", "modes": None},
            MEAN: {**without, "modes": None},
        }.get(arm, {**ours, "modes": settings.modes})
        key = tuple(sorted(options.items()))
        if key not in self._frames:
            self._frames[key] = power_flow_frame(self.prepared.samples, **options)
        return self._frames[key]

    def make(self, job: Job) -> Training | Callable[[], Any]:
        """How the network of a job is trained, or what stands where there is none."""
        settings, arm = self.settings, job.arm.removesuffix(TUNING)
        frame = self.frame(arm)
        if arm == RIDGE:
            return lambda: ridge_alone(frame)
        if arm == QUADRATIC:
            return lambda: QuadraticModel(frame)
        if arm == MEAN:
            return lambda: MeanState(frame)
        difference = arm not in _WITHOUT_DIFFERENCE
        learner = power_flow(frame, width=settings.width, depth=settings.depth, difference=difference, seed=job.repeat)
        weighs = settings.descent == "equal" and difference
        weights = {"weights": {DIFFERENCE: job.place.get("weight", 1.0)}} if weighs else {}
        descent = make_descent(settings.descent, **weights)
        return Training(learner, descent, self.prepared.samples.data(learner.tasks))

    # -- measuring -----------------------------------------------------------------------------------------------------

    @cached_property
    def truths(self) -> dict[str, Truth]:
        """Split -> what predictions are compared with."""
        settings, samples = self.settings, self.prepared.samples
        return {split: Truth.of(samples, split, settings.low, settings.high) for split in ("validation", "test")}

    def states(self, model: PowerFlowModel, corrections: int, split: str) -> States:
        """What a model says of the rows of a split."""
        samples = self.prepared.samples
        rows = samples.split[split]
        return predictor(model, corrections)(samples.p_mw[rows], samples.q_mvar[rows])

    def off(self, model: PowerFlowModel, corrections: int, split: str) -> Off:
        """By how much that is off."""
        return Off(self.truths[split], self.states(model, corrections, split))

    def on_validation(self, trained: Trained) -> Iterator[Measurement]:
        """Metrics on validation alone, of networks that weights are chosen from."""
        model = trained.model.model
        for corrections in range(self.settings.corrections + 1):
            metrics = score(self.off(model, corrections, "validation"))
            yield Measurement({}, {**trained.job.place, "corrections": corrections}, metrics)

    def measure(self, trained: Trained) -> Iterator[Measurement | Profile]:
        """All metrics with every number of corrections, and what a guard makes of our networks."""
        arm = trained.job.arm
        model = trained.model.model if isinstance(trained.model, Learner) else trained.model
        for corrections in range(self.settings.corrections + 1 + 2 * (arm == MEAN)):
            test, validation = (self.off(model, corrections, split) for split in ("test", "validation"))
            point = {"corrections": corrections}
            yield Measurement(score(test), point, score(validation))
            drawn = on_drawn_days(test, quantiles=(arm, corrections) == (OURS, 1))
            yield Profile(arm, DAYS, {name: tuple(values) for name, values in drawn.items()}, trained.job.repeat, point)
        if arm == OURS:
            yield from self._guarded(model)

    def limit(self, model: PowerFlowModel) -> GuardLimit:
        """The mismatch up to which the guard accepts, chosen on validation."""
        samples = self.prepared.samples
        rows = samples.split["validation"]
        states, mismatch = PowerFlowPredictor(model, GUARDED).guarded(samples.p_mw[rows], samples.q_mvar[rows])
        errors = greatest_errors_pu(states, self.truths["validation"].states)
        return limit_from(mismatch, errors, self.settings.bar)

    def _guarded(self, model: PowerFlowModel) -> Iterator[Measurement]:
        """What the guard accepts of the test days, of more load, and of outages (all of them together)."""
        samples, prepared, limit = self.prepared.samples, self.prepared, self.limit(model)
        rows = samples.split["test"]
        usual = Scenario(
            "usual",
            prepared.grid,
            prepared.solver,
            samples.p_mw[rows],
            samples.q_mvar[rows],
            self.truths["test"].states,
        )
        names = dict.fromkeys(["usual", *(scenario.name for scenario in prepared.scenarios)])
        for name in names:
            some = [scenario for scenario in (usual, *prepared.scenarios) if scenario.name == name]
            metrics = _mean([self._judged(model, scenario, limit) for scenario in some])
            settings = {"limit MVA": limit.limit_mva, "accepted on validation": limit.accepted}
            yield Measurement({"guard": metrics}, {"corrections": GUARDED, "scenario": name}, settings=settings)

    def _judged(self, model: PowerFlowModel, scenario: Scenario, limit: GuardLimit) -> dict[str, float]:
        """The surrogate of the usual grid, checked by the equations of the scenario's."""
        injected = scenario.p_mw, scenario.q_mvar
        predict = balanced(PowerFlowPredictor(model, GUARDED), GridEquations(scenario.grid))
        predicted = states, _ = predict(*injected)
        guarded = Guarded(lambda *_: predicted, scenario.solver, limit.limit_mva).run(*injected)
        judged = judge(guarded, states, scenario.truth, self.settings.bar)
        errors = greatest_errors_pu(states, scenario.truth)
        known = errors[guarded.accepted]
        return {
            "solved": 100 * judged.share_solved,
            "wrong": 100 * judged.wrong_accepted / max(int(guarded.accepted.sum()), 1),
            "accepted greatest": float(known.max()) if len(known) else 0.0,
            "median error": float(sorted(errors)[len(errors) // 2]),
            "unsolved": float(judged.unsolved),
        }


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means, but the worst of what is a greatest error."""
    worst = ("accepted greatest",)
    return {
        name: max(row[name] for row in rows) if name in worst else sum(row[name] for row in rows) / len(rows)
        for name in rows[0]
    }
