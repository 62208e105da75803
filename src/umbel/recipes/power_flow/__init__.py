"""`umbel run power_flow`: does a network predict power flows better than what is quicker to have?"""

from umbel.recipes.power_flow.settings import QUICK, PowerFlowSettings
from umbel.recipes.recipe import Recipe

POWER_FLOW = Recipe(
    name="power_flow",
    title="Power flows of a grid, predicted and checked",
    settings=PowerFlowSettings,
    quick=QUICK,
    study="umbel.recipes.power_flow.study:power_flow_study",
    findings="umbel.recipes.power_flow.findings:findings",
    about=(
        "Solves power flows of a grid under a year of real load, sun and wind (SimBench), and trains networks that "
        "predict voltage magnitudes, angles and angle differences over branches on top of a linear map. They are "
        "compared with ridge regression, with squares of principal components, with plain networks, and with chord "
        "steps of the exact equations from the mean state, which need no training; and with the solver, in accuracy at "
        "equal time and in power flows a second. Days are in one split each. A guard accepts a prediction by its power "
        "balance and gives the others to the solver; it is tried on 20 % more load and on branch outages. Needs "
        "pip install 'umbel[grid]'."
    ),
)

__all__ = ["POWER_FLOW", "QUICK", "PowerFlowSettings"]
