"""The verdict of a power flow study, in sentences."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from umbel.recipes.power_flow.errors import Errors
from umbel.recipes.power_flow.listings import SCENARIOS, estimated, number
from umbel.recipes.power_flow.networks import GUARDED
from umbel.recipes.power_flow.settings import FREE, FREE_WITHOUT, MEAN, OURS, PLAIN, PLAIN_DIFFERENCE, RIDGE, WITHOUT
from umbel.recipes.power_flow.speed import BASE, EARLY, PANDAPOWER, Speed, from_mean, surrogate
from umbel.report import REFUTED, SHOWN, Claim, Results
from umbel.study import Table


def verdict(results: Results, errors: Errors, speed: Speed, claims: Sequence[Claim]) -> Iterator[str]:
    """Plain sentences, the most important first."""
    yield from _errors(results, errors)
    yield from _pays(claims)
    yield from _speeds(results, errors, speed)
    yield from _equal_time(results.facts.get("equal time", {}))
    yield from _term(errors)
    yield from _guard(results)
    yield from _outages(results.facts.get("outages", []))
    if missed := [claim.name for claim in claims if claim.state == REFUTED]:
        yield f"Claimed and refuted: {'; '.join(missed)}."
    yield (
        "When not to use it: for fewer flows than the break-even, on small grids, where the solver is fast enough, or "
        "where the topology changes in ways that nobody can name."
    )


def _errors(results: Results, errors: Errors) -> Iterator[str]:
    for corrections in (0, 1):
        ours = (OURS, corrections)
        size, flow = (errors.estimate(column, ours) for column in ("magnitude", "flow"))
        if not size.known:
            continue
        rivals = {"ridge": (RIDGE, 0), "a plain network": (PLAIN, 0)}
        ratios = {name: errors.ratio("magnitude", ours, rival) for name, rival in rivals.items()}
        told = "".join(f", {estimated(one)} times that of {name}" for name, one in ratios.items() if one.known)
        steps = "without corrections" if not corrections else "with 1 correction"
        yield (
            f"On {results.data.name}, {steps}, the network misses |V| by {number(size.mean)} per unit (RMSE){told}, "
            f"and flows by {number(flow.mean)} of their spread."
        )


def _pays(claims: Sequence[Claim]) -> Iterator[str]:
    """Whether a network is needed beside a linear map and exact equations."""
    rivals = {
        "pays over ridge": "ridge with as many corrections",
        "pays over the mean state": "chord steps from the mean state that take at least as long",
    }
    told = []
    for part, rival in rivals.items():
        asked = [claim for claim in claims if part in claim.name and claim.value is not None]
        better, worse = (sum(claim.state == state for claim in asked) for state in (SHOWN, REFUTED))
        if asked:
            told.append(f"than {rival} in {better} of {len(asked)} comparisons (clearly worse in {worse})")
    if told:
        yield f"In |V| and in flows, with 0, 1, ... corrections, the network is clearly better {', '.join(told)}."


def _speeds(results: Results, errors: Errors, speed: Speed) -> Iterator[str]:
    if not (rates := [k for k in (0, 1, 2) if surrogate(k) in speed]):
        return
    listed = ", ".join(f"{number(speed[surrogate(k)])} with {k}" for k in rates)
    sentence = f"Power flows a second in this run, by chord steps: {listed}"
    if BASE in speed:
        ratios = ", ".join(f"{speed[surrogate(k)] / speed[BASE]:.1f}" for k in rates)
        sentence += f"; lightsim2grid from the base case: {number(speed[BASE])}, which they are {ratios} times"
        sentence += f" (stopped at a mismatch of 1 MVA: {number(speed[EARLY])})" if EARLY in speed else ""
    if PANDAPOWER in speed:
        sentence += f"; pandapower: {number(speed[PANDAPOWER])}"
    yield sentence + "."
    if steps := speed.steps_as_slow(surrogate(1)):
        mean, ours = errors.estimate("magnitude", (MEAN, steps)), errors.estimate("magnitude", (OURS, 1))
        if mean.known and ours.known:
            rate = number(speed[from_mean(steps)])
            yield (
                f"Without any learning, from the mean state by {steps} chord steps ({rate} flows a second), |V| is "
                f"missed by {number(mean.mean)} per unit; by the network with 1 correction by {number(ours.mean)}."
            )
    costs = results.facts.get("costs", {})
    if "break even" in costs:
        names = ("labels", "training", "break even", "break even, guarded")
        labels, training, flows, guarded = (number(costs.get(name, math.nan)) for name in names)
        yield (
            f"Labels and training take {labels} and {training} seconds; they are paid back after {flows} power flows, "
            f"{guarded} with the guard."
        )


def _equal_time(facts: dict[str, Any]) -> Iterator[str]:
    ours, whole, short = (facts.get(name) for name in ("surrogate", "monte carlo", "monte carlo, answering time"))
    if not (ours and whole and short):
        return
    seconds, answering = number(facts["seconds"]), number(facts["answering seconds"])
    all_of_them = whole["of the test"] >= 1
    covered = "all" if all_of_them else f"{100 * whole['of the test']:.0f} %"
    yield (
        f"In the {seconds} seconds that labels, training and answers take together, the solver does "
        f"{number(whole['flows'])} power flows, which is {covered} of the test days"
        f"{': for a single study of this size, solve it' if all_of_them else ''}."
    )
    network, solver = (
        f"{number(one['quantile error'])} pu in the 1 and 99 % quantiles and {number(one['std error'])} % in standard "
        "deviations"
        for one in (ours, short)
    )
    yield (
        f"Once it is trained, the network is off by {network}; the solver, in the {answering} seconds that the answers "
        f"of the network take, by {solver}."
    )


def _term(errors: Errors) -> Iterator[str]:
    pairs = {
        "with modes": (OURS, WITHOUT),
        "with a free head": (FREE, FREE_WITHOUT),
        "in a plain network": (PLAIN_DIFFERENCE, PLAIN),
    }
    flows = {name: errors.ratio("flow", (arm, 0), (rival, 0)) for name, (arm, rival) in pairs.items()}
    sizes = {name: errors.ratio("magnitude", (arm, 0), (rival, 0)) for name, (arm, rival) in pairs.items()}
    told = [
        f"{name} by {estimated(flow)} (|V| by {estimated(sizes[name])})" for name, flow in flows.items() if flow.known
    ]
    if told:
        yield f"Angle differences as a task multiply the flow error {', '.join(told)}; no corrections."


def _guard(results: Results) -> Iterator[str]:
    table, told = Table(results.runs, "guard").at(corrections=GUARDED), []
    for scenario in SCENARIOS:
        solved, wrong = (table(OURS, metric, scenario=scenario).estimate for metric in ("solved", "wrong"))
        if solved.known:
            told.append(f"{scenario} {number(solved.mean)} % ({number(wrong.mean)} % of the rest wrong)")
    if told:
        yield f"The guard gives to the solver: {'; '.join(told)}."


def _outages(outages: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Known outages: how many flows are right after some steps of their own equations, mean over branches."""
    by_steps: dict[int, list[dict[str, Any]]] = {}
    for one in outages:
        by_steps.setdefault(int(one["corrections"]), []).append(one)
    told = []
    for steps, some in sorted(by_steps.items()):
        right, accepted = (sum(float(one[key]) for one in some) / len(some) for key in ("right", "accepted"))
        told.append(f"{number(right)} % right and {number(accepted)} % accepted after {steps}")
    if told:
        yield f"Known outages, by chord steps of the grid without the branch: {', '.join(told)}."
