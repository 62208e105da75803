"""Scenarios: SimBench's year, drawn loads and the user's tables, and splits in which no neighbours are parted."""

import copy

import numpy as np
import pytest

from umbel.core import UmbelError
from umbel.grids import (
    DrawnProfiles,
    ElementProfiles,
    Injections,
    KindProfiles,
    Profiles,
    ScenarioSettings,
    Solver,
    drawn_profiles,
    grid_of,
    injections,
    profiles_from_frames,
    simbench_year,
    split_days,
)
from umbel.grids.elements import elements_of
from umbel.grids.networks import run_pandapower

QUIET = ScenarioSettings(noise=0.0, penetration=0.0)


@pytest.fixture(scope="module")
def year(opened):
    return simbench_year()


@pytest.fixture(scope="module")
def ring(_small):
    return grid_of(_small)


def loads_of(net, grid, profiles, settings, steps):
    return profiles.powers(elements_of(net, grid), settings, np.asarray(steps))


def test_the_year_is_simbench_s(year):
    assert isinstance(year, KindProfiles) and isinstance(year, Profiles)
    assert len(year) == 366 * 96 and len(year.names) == 96 and len(year.renewable_names) == 20
    lengths = np.bincount(year.day)
    assert (
        sorted(set(lengths.tolist())) == [92, 96, 100] and (lengths != 96).sum() == 2
    )  # where summer time begins and ends
    assert set(np.diff(year.day).tolist()) == {0, 1}
    assert np.allclose(year.load_p.max(0), 1) and np.abs(year.load_q).max() == 1
    assert year.renewable[:, 0].mean() == pytest.approx(0.074124, abs=1e-6)  # the file's own column PV1
    assert "ODbL" in year.note and simbench_year() is year


def test_the_greatest_load_of_the_year_is_the_peak(opened, grids, year):
    net, grid = opened("case30"), grids("case30")
    powers = loads_of(net, grid, year, ScenarioSettings(noise=0.0, peak=0.9, load=1.2), np.arange(len(year)))
    assert powers.load_p_mw.sum(1).max() == pytest.approx(0.9 * 1.2 * net.load.p_mw.sum())
    capacity = (powers.more_mw.max(0) / year.renewable.max()).sum()
    assert 0.1 * net.load.p_mw.sum() < capacity < 0.6 * net.load.p_mw.sum() and powers.more_mw.shape[1] == 20 // 4


def opened_slack(net):
    """What pandapower says that the slack generates."""
    work = copy.deepcopy(net)
    run_pandapower(work, init="dc")
    return work.res_ext_grid.p_mw.sum()


def test_generation_follows_the_net_load(opened, grids, year):
    net, grid = opened("case30"), grids("case30")
    steps = np.arange(0, 9600, 96)
    made = injections(net, grid, year, rows=steps)
    powers, elements = loads_of(net, grid, year, ScenarioSettings(), steps), elements_of(net, grid)
    assert elements.slack_mw == pytest.approx(opened_slack(net), abs=1e-6)
    change = powers.load_p_mw.sum(1) - powers.more_mw.sum(1) - net.load.p_mw.sum()
    share = change * elements.fleet_mw.sum() / (elements.fleet_mw.sum() + elements.slack_mw)
    assert isinstance(made, Injections)
    assert np.allclose((made.p_mw - grid.base_p_mw).sum(1), share - change, atol=1e-9)
    assert not made.p_mw[:, grid.slack].any() and not made.q_mvar[:, grid.pv].any() and not made.warnings
    assert Solver(grid).solve(made.p_mw, made.q_mvar).converged.all()


def test_a_step_holds_the_same_whoever_else_is_asked_for(opened, grids, year):
    net, grid = opened("case30"), grids("case30")
    made = injections(net, grid, year, rows=50)
    again = injections(net, grid, year, rows=made.time[10:13])
    assert np.allclose(again.p_mw, made.p_mw[10:13], rtol=1e-12, atol=1e-12)
    assert np.allclose(again.q_mvar, made.q_mvar[10:13], rtol=1e-12, atol=1e-12)
    assert np.array_equal(again.day, year.day[made.time[10:13]]) and again.note == year.note
    part = made.chosen(np.arange(10, 13))
    assert np.array_equal(part.p_mw, made.p_mw[10:13]) and np.array_equal(part.time, again.time) and len(part) == 3
    other = injections(net, grid, year, ScenarioSettings(scenario_seed=1), rows=made.time)
    assert np.abs(other.p_mw - made.p_mw).max() > 0.1


def test_more_load_is_the_same_scenario_with_more(opened, grids, year):
    net, grid = opened("case30"), grids("case30")
    plain, more = (loads_of(net, grid, year, ScenarioSettings(load=load), [7, 8]) for load in (1.0, 1.2))
    assert np.allclose(more.load_p_mw, 1.2 * plain.load_p_mw) and np.allclose(more.load_q_mvar, 1.2 * plain.load_q_mvar)
    assert np.array_equal(more.more_mw, plain.more_mw)


def test_renewables_beyond_the_load_are_told(opened, grids, year):
    made = injections(opened("case30"), grids("case30"), year, ScenarioSettings(penetration=8.0), rows=300)
    assert "renewables exceed the load" in made.warnings[0]


@pytest.mark.parametrize("shape", ["normal", "uniform"])
def test_drawn_loads_vary_by_themselves(opened, grids, shape):
    net, grid = opened("case30"), grids("case30")
    profiles = drawn_profiles(3000, spread=0.2, seed=3, shape=shape)
    assert isinstance(profiles, DrawnProfiles)
    powers = loads_of(net, grid, profiles, QUIET, np.arange(3000))
    factor = powers.load_p_mw / net.load.p_mw.to_numpy()
    assert np.allclose(factor.mean(0), 1, atol=0.02) and np.allclose(factor.std(0), 0.2, atol=0.02)
    assert np.abs(np.corrcoef(factor.T) - np.eye(20)).max() < 0.1 and powers.more_mw.shape == (3000, 0)
    assert (factor.max() < 1.35) == (shape == "uniform")
    parts = injections(net, grid, profiles, rows=100).split()
    assert [len(part) for part in parts] == [70, 10, 20]  # nothing is left out: no row has neighbours


def tables(net, steps=12):
    import pandas

    times = pandas.date_range("2024-03-01 23:00", periods=steps, freq="30min")
    load = pandas.DataFrame({1: np.linspace(1, 2, steps), 3: np.linspace(3, 1, steps)}, index=times)
    return (
        load,
        pandas.DataFrame({3: np.full(steps, 0.4)}, index=times),
        pandas.DataFrame({0: np.full(steps, 1.6)}, index=times),
    )


def test_the_tables_of_a_user_are_taken_as_they_are(small, ring):
    load, reactive, renewable = tables(small)
    profiles = profiles_from_frames(load, reactive, renewable)
    assert isinstance(profiles, ElementProfiles) and profiles.step_minutes == 30
    assert profiles.day.tolist() == [0] * 2 + [1] * 10
    powers = loads_of(small, ring, profiles, ScenarioSettings(), np.arange(12))
    assert np.allclose(powers.load_p_mw[:, [1, 3]], load) and np.allclose(powers.load_p_mw[:, 0], 2.0 * 0.9)
    assert np.allclose(powers.load_q_mvar[:, 3], 0.4)
    assert np.allclose(powers.load_q_mvar[:, 1], load[1] * 0.2)  # the base case has 0.2 MVAr for 1 MW
    assert np.allclose(powers.more_mw, 0.6)  # 1.6 MW instead of 1
    made = injections(small, ring, profiles)
    assert made.warnings[0].startswith("3 of 5 loads have no profile")
    assert Solver(ring).solve(made.p_mw, made.q_mvar).converged.all()
    with pytest.raises(UmbelError, match="2 days cannot be split"):
        made.split()


def test_tables_of_numbered_steps_have_days_of_their_minutes(small, ring):
    import pandas

    profiles = profiles_from_frames(pandas.DataFrame(np.ones((50, 1))), step_minutes=60)
    assert np.bincount(profiles.day).tolist() == [24, 24, 2]


def test_tables_that_do_not_fit_are_refused(small, ring):
    load, reactive, renewable = tables(small)
    gap = load.copy()
    gap.iloc[2, 1] = np.nan
    twice = load.copy()
    twice.columns = [1, 1]
    for arguments, says in (
        (([1, 2],), "give a pandas.DataFrame"),
        ((gap,), "1 values are missing, the first of element 3"),
        ((load, reactive.iloc[1:]), "other rows than load_p"),
        ((load, reactive.rename(columns={3: 2})), "profiles name load 2, which load_p does not have"),
        ((load.iloc[::-1],), "not in order"),
        ((load.rename(columns={1: "north"}),), "not indices of elements"),
        ((twice,), "several columns for one element"),
        ((load.iloc[:0],), "no rows"),
    ):
        with pytest.raises(UmbelError, match=says):
            profiles_from_frames(*arguments)
    for given, says in (
        (profiles_from_frames(load.rename(columns={1: 5})), "profiles name load 5"),  # which is out of service
        (profiles_from_frames(load, renewable=renewable.rename(columns={0: 9})), "profiles name sgen 9"),
    ):
        with pytest.raises(UmbelError, match=says):
            injections(small, ring, given)


@pytest.mark.parametrize("gap", [0, 1, 4])
def test_days_are_never_shared_and_neighbours_never_parted(gap):
    time = np.sort(np.random.default_rng(0).choice(100 * 96, 6000, replace=False))
    parts = split_days(time // 96, seed=2, gap_steps=gap, time=time)
    days = [set((time[part] // 96).tolist()) for part in parts]
    assert [len(some) for some in days] == [70, 10, 20]
    assert not days[0] & days[1] and not days[0] & days[2] and not days[1] & days[2]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(time[parts[one]][:, None] - time[parts[other]]).min() > gap
    assert len(parts[2]) == np.isin(time // 96, list(days[2])).sum()  # the test keeps its days whole
    assert sum(map(len, parts)) > 0.93 * len(time)
    assert all(map(np.array_equal, parts, split_days(time // 96, seed=2, gap_steps=gap, time=time)))
    assert not np.array_equal(parts[2], split_days(time // 96, seed=3, gap_steps=gap, time=time)[2])


def test_splits_that_cannot_be_are_refused():
    day = np.repeat(np.arange(5), 4)
    for arguments, says in (
        ({"day": day[:8]}, "2 days cannot be split"),
        ({"day": day, "shares": (0.5, 0.5, 0.5)}, "add up to 1"),
        ({"day": day, "shares": (1, 0, 0)}, "above 0"),
        ({"day": day, "gap_steps": 96}, "no row is left for training"),
        ({"day": day, "gap_steps": -1}, "at least 0"),
        ({"day": day, "time": day[::-1]}, "times rising"),
        ({"day": day, "time": day[1:]}, "one of each"),
    ):
        with pytest.raises(UmbelError, match=says):
            split_days(**arguments)


def test_wrong_settings_and_rows_are_refused(opened, case, grids, year):
    for settings, says in (
        ({"sites": 1.5}, "a share of the loads"),
        ({"peak": 0.0}, "above 0"),
        ({"mix": 0}, "mix is 0"),
        ({"noise": -1.0}, "noise is -1"),
    ):
        with pytest.raises(UmbelError, match=says):
            ScenarioSettings(**settings)
    net, grid = case("case30"), grids("case30")
    for rows, says in (
        (10**6, "the profiles have 35,136 steps"),
        ([3, 2], "rising"),
        ([0.5], "rising"),
        (0, "at least 1"),
    ):
        with pytest.raises(UmbelError, match=says):
            injections(net, grid, year, rows=rows)
    with pytest.raises(UmbelError, match="there are 96 kinds"):
        injections(net, grid, year, ScenarioSettings(mix=97), rows=2)
    with pytest.raises(UmbelError, match="give a number from 0"):
        drawn_profiles(3, spread=-0.1)
    net.load.in_service = False
    with pytest.raises(UmbelError, match="a network with loads"):
        injections(net, grid, year, rows=2)
