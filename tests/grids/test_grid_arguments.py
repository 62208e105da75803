"""Whatever is given to a function of grids, what comes back is a result or one line that says what is wrong."""

import numpy as np
import pytest

from umbel.core import UmbelError
from umbel.grids import (
    ScenarioSettings,
    Solver,
    bus_places,
    cross_check,
    drawn_profiles,
    grid_of,
    injections,
    open_network,
    profiles_from_frames,
    same_topology,
    split_days,
)

WRONG = (None, -1, "", "no such thing", [], {}, object(), True, float("nan"), np.zeros(3), np.array(["a"]))


def calls(net, grid):
    """Functions with arguments that are right."""
    import pandas

    solver, table = Solver(grid), pandas.DataFrame(np.ones((300, 2)))
    power = {"p_mw": grid.base_p_mw[None], "q_mvar": grid.base_q_mvar[None]}
    day = {"day": np.repeat(np.arange(10), 9), "time": np.arange(90)}
    numbers = {"penetration": 0.3, "sites": 0.2, "peak": 1.0, "mix": 2, "noise": 0.1, "load": 1.0}
    scenarios = {"profiles": drawn_profiles(5), "settings": ScenarioSettings(), "rows": 2}
    return (
        (open_network, {"name_or_file": "case14"}),
        (grid_of, {"net": net, "magnetising": "signed"}),
        (same_topology, {"grid": grid, "net": net}),
        (bus_places, {"net": net, "grid": grid}),
        (cross_check, {"net": net, "grid": grid, "rows": 1, "spread": 0.1, "seed": 0}),
        (Solver, {"grid": grid, "threads": 1, "tolerance_mva": 1e-8}),
        (solver.solve, {**power, "start": "flat"}),
        (solver.without_branch, {"branch": 0}),
        (ScenarioSettings, numbers),
        (drawn_profiles, {"rows": 5, "spread": 0.1, "seed": 0, "shape": "normal"}),
        (profiles_from_frames, {"load_p": table, "load_q": table, "renewable": table, "step_minutes": 15}),
        (injections, {"net": net, "grid": grid, **scenarios}),
        (split_days, {**day, "shares": (0.7, 0.1, 0.2), "seed": 0, "gap_steps": 1}),
    )


def test_a_wrong_argument_is_refused_in_one_line(opened, grids):
    net, grid = opened("case14"), grids("case14")
    for function, right in calls(net, grid):
        function(**right)
        for name in right:
            for wrong in WRONG:
                try:
                    function(**{**right, name: wrong})
                except UmbelError as error:
                    assert "\n" not in str(error)
                except Exception as error:
                    pytest.fail(f"{function.__name__}({name}={wrong!r}): {type(error).__name__}: {error}")
