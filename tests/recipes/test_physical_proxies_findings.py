"""What is said of a study of physical proxies: planted numbers give the planted claims, and ties are called so."""

import dataclasses

import pytest
import study_laws as laws

from umbel.engine import FitSettings
from umbel.recipes.physical_proxies import PHYSICAL_PROXIES, PhysicalProxiesSettings
from umbel.recipes.physical_proxies.findings import findings
from umbel.recipes.physical_proxies.measuring import CONSTANT, DET, HTER_THERE, LIVE_DEPTH, MEAN_MAP, SIGMA_TELLS
from umbel.recipes.physical_proxies.places import ATTACK, SEEN, UNSEEN
from umbel.recipes.physical_proxies.scores import Scores, second_least
from umbel.recipes.physical_proxies.settings import (
    ARMS,
    AUXILIARY,
    BINARY,
    BINARY_CHANGED,
    CENTRAL,
    CHANGED,
    DOMAINS,
    EACH,
    NEEDED,
    OURS,
    REPEATED,
    SINGLE_SIDE,
    SOFTMAX,
    TEXTURE,
)
from umbel.recipes.physical_proxies.study import means
from umbel.report import NOT_SHOWN, REFUTED, SHOWN, DataInfo, MethodInfo, Profile, Results, Run, TaskInfo
from umbel.study import Values, concluded

SEEDS = 3
AREAS = {
    BINARY: dict(zip(DOMAINS, (0.80, 0.80, 0.80, 0.50), strict=True)),
    OURS: dict(zip(DOMAINS, (0.85, 0.90, 0.84, 0.40), strict=True)),
    AUXILIARY: dict(zip(DOMAINS, (0.74, 0.74, 0.74, 0.76), strict=True)),  # ours less this: 0.0025, a tie
    SINGLE_SIDE: dict(zip(DOMAINS, (0.80, 0.80, 0.80, 0.80), strict=True)),
    BINARY_CHANGED: dict(zip(DOMAINS, (0.86, 0.86, 0.86, 0.86), strict=True)),
    CHANGED: dict(zip(DOMAINS, (0.86, 0.88, 0.86, 0.88), strict=True)),
}
"""On the place held out, in the mean over seeds; other arms as binary."""
WOBBLE = (0.0, 0.01, -0.01)
"""Of each seed, for all arms alike: differences hardly move."""
OWN_WOBBLE = {AUXILIARY: 2.0}
"""How much more than the others an arm moves."""
HTERS = {OURS: 0.40, BINARY: 0.50}
TASKS = (
    TaskInfo("liveness", "liveness", "AUC", True, metrics=("AUC", "HTER")),
    TaskInfo("depth", "proxy map", "MAE", False, metrics=("MAE",)),
)


def errors(arm, place, pictures, seed):
    shift = {UNSEEN: 0.0, SEEN: 0.08, ATTACK: -0.1 if arm == OURS else 0.0}[pictures]
    area = AREAS.get(arm, AREAS[BINARY])[place] + WOBBLE[seed] * OWN_WOBBLE.get(arm, 1.0) + shift
    types = ("mask",) if pictures == ATTACK else ("print", "replay")
    return {
        "AUC": area,
        "HTER": HTERS.get(arm, 0.45) + WOBBLE[seed],
        HTER_THERE: 0.2,
        **{f"APCER {name}": 0.3 + 0.1 * number for number, name in enumerate(types)},
        "APCER": 0.3,
        "BPCER": 0.1,
        "ACER": 0.2,
    }


def runs_of(arm, places=DOMAINS, seeds=None):
    for seed in range(SEEDS if arm in REPEATED else 1) if seeds is None else seeds:
        for place in places:
            for pictures in (SEEN, UNSEEN, ATTACK):
                metrics = {"liveness": errors(arm, place, pictures, seed)}
                if arm == OURS:
                    far = {SEEN: 0.0, UNSEEN: 0.05, ATTACK: 0.02}[pictures]
                    metrics["liveness"] |= {"sigma": 0.5 + far, "sigma depth": 0.6 + far, SIGMA_TELLS: 0.5 + 2 * far}
                    live = {SEEN: 0.02, UNSEEN: 0.03, ATTACK: 0.2}[pictures]
                    metrics["depth"] = {"MAE": 0.05, LIVE_DEPTH: live, CONSTANT: 0.1, MEAN_MAP: 0.029 + WOBBLE[seed]}
                chosen = 100 if seed else 80
                point = {"held_out": place, "pictures": pictures}
                validation = {"liveness": {"EER": 0.1}}
                yield Run(arm, seed, metrics, point, validation, steps=100, seconds=2.0, best_step=chosen)


def curves():
    """Ours refuses 1 - far; binary all at every point but the last."""
    far = (1.0, 0.5, 0.0)
    for arm, frr in {OURS: (0.0, 0.5, 1.0), BINARY: (0.0, 1.0, 1.0)}.items():
        for seed in range(SEEDS):
            for place in DOMAINS:
                point = {"held_out": place, "pictures": UNSEEN}
                yield Profile(arm, DET, {"far": far, "frr": frr}, seed, point)


def results(arms=ARMS, places=DOMAINS, profiles=None, seeds=None):
    runs = [run for arm in arms for run in runs_of(arm, places, seeds)]
    given = tuple(curves()) if profiles is None and {OURS, BINARY} <= set(arms) else profiles or ()
    return Results(
        "physical_proxies",
        "t",
        "c",
        DataInfo("rendered-faces", sizes={"train": 80, "validation": 80, "test": 20}),
        TASKS,
        tuple(MethodInfo(arm, arm) for arm in arms),
        (*runs, *means(runs)),
        profiles=given,
        headline=({"held_out": EACH, "pictures": UNSEEN},),
    )


@pytest.fixture(scope="module")
def said():
    return findings(results())


def test_claims_compare_the_right_arms_with_the_right_bars(said):
    expected = {
        "place A": (0.05, 0.03, SHOWN),
        "place B": (0.10, 0.03, SHOWN),
        "place C": (0.04, 0.03, SHOWN),
        "place D": (-0.10, 0.03, REFUTED),
        "3 of 4 places": (0.04, 0.03, SHOWN),  # the second least: three are as great
        "HTER": (-0.10, -0.03, SHOWN),
        "unseen attack": (0.0225 - 0.1, 0.0, REFUTED),
        "over binary": (0.0225, 0.0, SHOWN),
        "over auxiliary": (0.0025, 0.0, NOT_SHOWN),
        "over single-side": (0.7475 - 0.80, 0.0, REFUTED),
        "over binary-camera-changes": (0.7475 - 0.86, 0.0, REFUTED),
        "beside camera changes": (0.01, 0.0, SHOWN),
        "depth: unseen place": (0.30, 0.25, REFUTED),
        "depth: seen places": (0.20, 0.25, SHOWN),
        "depth: mean map": (0.001, 0.0, NOT_SHOWN),
        "sigma": (0.05, 0.0, SHOWN),
        "sigma tells": (0.6, 0.5, SHOWN),
    }
    claims = {claim.name: claim for claim in said.claims}
    assert list(claims) == list(expected)
    for name, (value, bar, state) in expected.items():
        assert (claims[name].value, claims[name].bar) == (pytest.approx(value), bar), name
        assert claims[name].state == state, name
    assert "AUC beside it: 0.748 ± 0.025 against 0.725 ± 0.025" in claims["HTER"].statement


def test_the_second_least_is_taken_seed_by_seed():
    gains = [Values({0: 1.0, 1: 9.0}), Values({0: 2.0, 1: 8.0}), Values({0: 3.0, 1: 7.0}), Values({0: 4.0, 1: 0.0})]
    assert dict(second_least(gains)) == {0: 2.0, 1: 7.0}
    assert not second_least(gains[:1])
    assert not second_least([Values({0: 1.0}), Values({0: float("nan")})]).estimate.known


def test_tables_tell_one_seed_from_several_and_leave_out_what_was_not_measured(said):
    tables = {listing.title: listing for listing in said.listings}
    every = {row[0]: row[1:] for row in tables["All arms, mean over the places held out"].rows}
    assert list(every) == list(ARMS)
    assert every[OURS][:3] == ("0.748 ± 0.025", "+0.022 ± 0.000", "0.400 ± 0.025")
    assert every[BINARY][1] == "-" and every[TEXTURE][0] == "0.725"
    places = {row[0]: row[1:] for row in tables["AUC on the place held out"].rows}
    assert [text[:5] for text in places[OURS]] == ["0.850", "0.900", "0.840", "0.400", "0.748"]
    types = tables["APCER by type of attack"]
    assert types.columns[1:] == (
        *("print, unseen place", "replay, unseen place", "print, seen places", "replay, seen places"),
        "mask, unseen attack",
    )
    assert [row[0] for row in tables["The proxies' maps"].rows] == [f"{OURS}, {UNSEEN}", f"{OURS}, {SEEN}"]
    assert [row[0] for row in tables["How unsure the attention is"].rows] == [f"{OURS}, all branches", f"{OURS}, depth"]
    ended = {row[0]: row[1:] for row in tables["How trainings ended"].rows}
    assert ended[OURS] == ("100", "93 %", "8 of 12", "0.100 ± 0.000", "2")  # seed 0 chose step 80 in four places
    assert all("shows nothing" in listing.note for listing in said.listings)


def test_charts_average_places_before_seeds(said):
    charts = {chart.title: {line.label: line for line in chart.series} for chart in said.charts}
    assert charts["AUC on the place held out"][OURS].y == pytest.approx((0.85, 0.90, 0.84, 0.40))
    curves = charts["Errors at every threshold: unseen place"]
    assert set(curves) == {OURS, BINARY}
    assert curves[OURS].y == pytest.approx([1 - far for far in curves[OURS].x])
    assert dict(zip(curves[BINARY].x, curves[BINARY].y, strict=True))[0.7] == pytest.approx(0.6)
    parts = charts["Proxies, mining and camera changes"]
    assert parts["depth-only"].y == pytest.approx((-0.0225, -0.0225, -0.0225 + 0.1))  # seen, unseen, attack
    assert not parts["depth-only"].half_width and parts[BINARY].half_width


def test_the_verdict_calls_a_tie_a_tie_and_says_what_it_cannot_say(said):
    told = " ".join(said.verdict)
    assert "Place by place: A clearly more (+0.050 ± 0.000)" in told
    assert "D clearly less (-0.100 ± 0.000)" in told and "auxiliary: a tie (+0.00" in told
    assert "colour-texture +0.022;" in told and "HTER saturates at 0.5" in told
    assert "proxies 8 of 12, binary 8 of 12" in told
    assert "over single-side; over binary-camera-changes; depth: unseen place." in told
    assert "against proxies without such changes, clearly more (+0.112 ± 0.000)." in told
    assert "Proxies beside such changes: AUC 0.870 ± 0.025, against the changes alone clearly more (+0.010" in told
    assert said.verdict[-1].endswith("No number is for deciding who is let in anywhere.")


@pytest.mark.parametrize("arms", [NEEDED, (OURS, CENTRAL), (BINARY,)])
def test_what_is_missing_is_left_out(arms):
    few = findings(results(arms, places=("B", "D"), profiles=()))
    named = {claim.name for claim in few.claims}
    assert ("place B" in named) == (set(NEEDED) <= set(arms))
    assert not named & {
        "place A",
        "3 of 4 places",
        "over auxiliary",
        "over central-difference",
        "beside camera changes",
    }
    assert few.verdict and few.listings and not any("threshold" in chart.title for chart in few.charts)


def test_rivals_with_every_seed_are_claimed_about_and_one_seed_shows_nothing():
    many = findings(results((OURS, BINARY, CENTRAL), seeds=range(2)))
    assert "over central-difference" in {claim.name for claim in many.claims}
    one = findings(results(seeds=(0,), profiles=()))
    assert one.claims and {claim.state for claim in one.claims} == {NOT_SHOWN}


def test_the_main_table_has_a_mean_over_places_for_each_arm_and_seed():
    runs = list(runs_of(OURS, seeds=(0,)))
    (unseen,) = [run for run in means(runs) if run.point["pictures"] == UNSEEN]
    assert unseen.point == {"held_out": EACH, "pictures": UNSEEN}
    assert unseen.metrics["liveness"]["AUC"] == pytest.approx(0.7475)
    assert Scores(results()).places == DOMAINS
    without = [
        dataclasses.replace(run, metrics={"liveness": {"AUC": 1.0}}) if i < 3 else run for i, run in enumerate(runs)
    ]
    assert all(
        set(run.metrics) == {"liveness", "depth"} and not run.metrics["depth"] for run in means(reversed(without))
    )


def test_everything_follows_from_the_file():
    first = concluded(results(), findings)
    bare = dataclasses.replace(first, claims=(), charts=(), listings=(), verdict=())
    assert concluded(Results.from_json(bare.to_json()), findings).to_json() == first.to_json()


# -- a small run -----------------------------------------------------------------------------------------------------


SMALL = PhysicalProxiesSettings(
    size=24,
    evaluation_size=24,
    resolution=16,
    held_out="B",
    encoder_options="widths=4/8",
    branch=4,
    hidden=4,
    arms=",".join(NEEDED),
    seeds=2,
    fit=FitSettings(steps=2, batch_size=12, precision="float32", validate_every=1, monitor="loss", tensorboard=False),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return laws.run(PHYSICAL_PROXIES, SMALL, tmp_path_factory.mktemp("proxies") / "study")


def test_a_small_study_measures_every_kind_of_pictures_and_says_what_follows(finished):
    measured, out = finished
    points = {(run.method, run.repeat, run.point["held_out"], run.point["pictures"]) for run in measured.runs}
    kinds = (SEEN, UNSEEN, ATTACK)
    assert points == {
        (arm, s, place, kind) for arm in NEEDED for s in (0, 1) for place in ("B", EACH) for kind in kinds
    }
    assert {claim.value is not None for claim in measured.claims} == {True}
    assert {row[0] for row in measured.listings[0].rows} == {"Physical proxies", "Binary"}
    assert (out / "faces-without-B.png").exists() and measured.charts
    laws.assert_follows_from_its_runs(PHYSICAL_PROXIES, measured)


def test_a_finished_study_is_not_done_twice(finished):
    laws.assert_nothing_is_done_twice(PHYSICAL_PROXIES, SMALL, finished)


def test_an_arm_with_some_places_alone_is_compared_in_those():
    runs = [*runs_of(OURS), *runs_of(BINARY), *runs_of(SOFTMAX, ("C", "D"))]
    some = dataclasses.replace(results((OURS, BINARY, SOFTMAX), profiles=()), runs=tuple([*runs, *means(runs)]))
    scores = Scores(some)
    assert scores.title(SOFTMAX) == f"{SOFTMAX} (C, D alone)"
    assert scores.mean(SOFTMAX)[0] == pytest.approx((0.80 + 0.50) / 2)
    assert scores.gain(OURS, SOFTMAX)[0] == pytest.approx((0.04 - 0.10) / 2)
    assert not scores.repeated(SOFTMAX)
    assert {run.method for run in means(runs)} == {OURS, BINARY}
    table = next(one for one in findings(some).listings if one.title.startswith("AUC"))
    row = next(row for row in table.rows if row[0].startswith(SOFTMAX))
    assert row[1:3] == ("-", "-")
