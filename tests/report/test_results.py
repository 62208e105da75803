import json
import math
import os
from dataclasses import replace
from pathlib import Path

import fakes
import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from umbel import tasks
from umbel.core import UmbelError
from umbel.report import (
    NOT_SHOWN,
    REFUTED,
    SHOWN,
    Claim,
    Conflict,
    Curve,
    DataInfo,
    Matrix,
    MethodInfo,
    Profile,
    Results,
    Run,
    TaskInfo,
    count_states,
    summary,
)
from umbel.report.grid import claims_grid, short_grid

TEXT = st.text(max_size=12)
NUMBER = st.floats(allow_nan=False, width=64)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
POINT = st.dictionaries(st.sampled_from(["snr_db", "width", "rounds"]), NUMBER | st.integers(0, 5) | st.booleans())
TABLE = st.dictionaries(TEXT, st.dictionaries(TEXT, NUMBER, max_size=2), max_size=2)
RUN = st.builds(Run, st.just("m"), st.integers(0, 9), TABLE, POINT, TABLE, st.integers(0, 9), FINITE)
CURVE = st.lists(st.tuples(st.integers(0, 99), NUMBER), max_size=4).map(
    lambda pairs: Curve("m", 0, "loss", [s for s, _ in pairs], [v for _, v in pairs], "train", "a", "")
)
CLAIM = st.builds(
    Claim.measured, TEXT, TEXT, NUMBER, FINITE, st.sampled_from([">=", ">", "<=", "<"]), st.none() | st.floats(0, 9)
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(RUN, max_size=3), st.lists(CURVE, max_size=2), st.lists(CLAIM, max_size=2),
    st.dictionaries(TEXT, PLAIN, max_size=3), st.lists(TEXT, max_size=2),
)  # fmt: skip
def test_json_gives_back_what_was_written(runs, curves, claims, free, sentences):
    task = TaskInfo("a", "classification", "accuracy", True, "", ("x", "y"), ("accuracy",))
    results = Results(
        "compare", "Title", "umbel run", DataInfo("d", sizes={"train": 3}), [task],
        [MethodInfo("m", "M", "", 3, [0.5])], runs, "m", free, free, curves, claims=claims, verdict=sentences,
    )  # fmt: skip
    text = results.to_json()
    assert Results.from_json(text) == results
    assert Results.from_json(text).to_json() == text
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_nan_survives_in_metrics_and_curves():
    run = Run("m", 0, {"a": {"AUROC": math.nan}}, {"snr_db": math.inf})
    results = Results("s", "t", "c", DataInfo("d"), (), (MethodInfo("m", "M"),), (run,))
    again = Results.from_json(results.to_json()).runs[0]
    assert math.isnan(again.metrics["a"]["AUROC"])
    assert again.point == {"snr_db": math.inf}


def test_scalars_of_other_libraries_paths_and_dtypes_do_not_stop_the_writing():
    free = {"a": numpy.float32(0.5), "b": torch.tensor(3), "c": Path("x"), "d": torch.float32, "e": (1, 2)}
    results = Results("s", "t", "c", DataInfo("d"), (), (), (), settings=free)
    read = Results.from_json(results.to_json()).settings
    assert read == {"a": 0.5, "b": 3, "c": "x", "d": "torch.float32", "e": [1, 2]}


def _broken(change):
    record = json.loads(fakes.small(1).to_json())
    change(record)
    return json.dumps(record)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "x.json is not valid JSON"),
        ("[]", "x.json: schema is missing"),
        (_broken(lambda r: r.pop("schema")), "x.json: schema is missing"),
        (_broken(lambda r: r.update(schema=99)), "x.json: schema is 99, this version reads 1 and 2 and 3"),
        (_broken(lambda r: r.pop("command")), "x.json: command is missing"),
        (_broken(lambda r: r["tasks"][1].pop("metric")), r"x.json: tasks\[1\].metric is missing"),
        (_broken(lambda r: r["runs"][0].update(repeat="2")), r"runs\[0\].repeat is '2', expected a whole number"),
        (_broken(lambda r: r["runs"][0].update(method="sun")), "x.json: unknown method 'sun'; did you mean 'sum'"),
        (_broken(lambda r: r.update(methods={})), "x.json: methods is '{}', expected a list"),
        (_broken(lambda r: r["runs"][0]["metrics"]["distance"].update(MAE="a lot")), "metrics.distance.MAE is 'a lot'"),
        (_broken(lambda r: r["curves"][0]["steps"].pop()), "x.json: curve 'accuracy': 40 steps but 41 values"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_with_file_and_key(text, message):
    with pytest.raises(UmbelError, match=message) as caught:
        Results.from_json(text, "x.json")
    assert "\n" not in str(caught.value)


def test_absent_and_binary_files_are_refused(tmp_path):
    with pytest.raises(UmbelError, match="no results at"):
        Results.read(tmp_path)
    (tmp_path / "results.json").write_bytes(b"\xff\xfe\x00\x9c")
    with pytest.raises(UmbelError, match="it is not text in UTF-8"):
        Results.read(tmp_path)


def test_optional_keys_may_be_absent():
    results = Results.from_json(_broken(lambda r: [r.pop(k) for k in ("curves", "samples", "warnings", "reference")]))
    assert results.curves == () and results.reference is None


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    fakes.small(1).write(tmp_path)
    before = (tmp_path / "results.json").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UmbelError, match="No space left on device"):
        fakes.small(2).write(tmp_path)
    assert (tmp_path / "results.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_task_info_takes_the_first_metric_as_main():
    info = TaskInfo.of(tasks.regression("age", unit="years"))
    assert (info.metric, info.metrics, info.higher_is_better, info.unit) == ("RMSE", ("RMSE", "MAE"), False, "years")


@pytest.mark.parametrize(
    ("value", "half_width", "comparison", "state"),
    [
        (2.0, 0.5, ">=", SHOWN),
        (2.0, 1.0, ">=", SHOWN),  # the interval ends at the bar, which ">=" allows
        (2.0, 1.0, ">", NOT_SHOWN),
        (2.0, 1.5, ">=", NOT_SHOWN),  # the mean is beyond the bar, the interval is not
        (0.9, 0.2, ">=", NOT_SHOWN),
        (0.5, 0.4, ">=", REFUTED),
        (1.0, 0.0, "<", REFUTED),
        (1.0, 0.0, "<=", SHOWN),
        (0.5, 0.4, "<", SHOWN),
        (2.0, None, ">=", NOT_SHOWN),  # one repeat shows nothing, however far it is from the bar
        (2.0, math.nan, ">=", NOT_SHOWN),
    ],
)
def test_a_claim_is_judged_by_its_whole_interval(value, half_width, comparison, state):
    claim = Claim.measured("n", "s", value, 1.0, comparison, half_width)
    assert claim.state == state
    assert bool(claim.doubt) == (state == NOT_SHOWN)


def test_what_was_not_measured_is_not_shown_and_a_state_cannot_be_given():
    unknown = Claim.measured("n", "s", math.nan, 1.0)
    assert unknown.value is None and unknown.reason and unknown.state == NOT_SHOWN
    assert Claim("n", "s", 1.0, value=0.0, interval=(0.0, 0.1), state=SHOWN).state == REFUTED
    with pytest.raises(UmbelError, match="unknown comparison"):
        Claim.measured("n", "s", 1, 1, "==")
    shown = Claim.measured("n", "s", 2.0, 1.0, half_width=0.1)
    assert count_states([shown, shown, unknown]) == "2 shown, 1 not shown, 0 refuted" and count_states([]) == ""


def test_matrices_and_profiles_come_back_and_must_fit():
    matrix = Matrix("m", ["a"], ["b", "c"], [[1, math.nan]])
    profile = Profile("m", "bins", {"x": [1, 2], "y": [3.0, math.inf]}, 1, {"snr_db": 3.0})
    method = MethodInfo("m", "M", costs={"multiply-accumulates": 5.0})
    results = Results(
        "s", "t", "c", DataInfo("d"), (), (method,), (), matrices=[matrix], profiles=[profile], repeats="folds"
    )
    again = Results.from_json(results.to_json())
    assert again.profiles == (profile,) and again.methods == (method,) and again.repeats == "folds"
    assert again.matrices[0].values[0][0] == 1.0 and math.isnan(again.matrices[0].values[0][1])
    with pytest.raises(UmbelError, match="do not fit"):
        Matrix("m", ("a",), ("b",), ((1.0, 2.0),))
    with pytest.raises(UmbelError, match="different lengths"):
        Profile("m", "bins", {"x": (1.0,), "y": ()})
    with pytest.raises(UmbelError, match="unknown kind of repeats"):
        replace(results, repeats="days")


def test_folds_are_said_to_be_dependent():
    runs = tuple(Run("m", fold, {"a": {"accuracy": 0.5}}) for fold in range(5))
    claim = Claim.measured("n", "s", 2.0, 1.0, half_width=0.5)
    results = Results("s", "t", "c", DataInfo("d"), (), (MethodInfo("m", "M"),), runs, claims=(claim,), repeats="folds")
    assert results.repeats_text == "5 folds"
    assert any("dependent" in column.title for column in claims_grid(results).columns)
    assert math.isnan(results.test_to_train) and replace(results, repeats="seeds").test_to_train == 0


def test_intervals_of_folds_are_corrected():
    runs = tuple(Run("m", fold, {"a": {"accuracy": 0.5 + 0.01 * fold}}) for fold in range(5))
    tasks, method = (TaskInfo("a", "classification", "accuracy", True),), (MethodInfo("m", "M"),)
    data = DataInfo("d", sizes={"train": 80, "test": 20})
    folds = Results("s", "t", "c", data, tasks, method, runs, repeats="folds")
    widths = [summary(results)[0].metrics["a"].half_width for results in (folds, replace(folds, repeats="seeds"))]
    assert widths[0] == pytest.approx(1.5 * widths[1])  # (1/5 + 20/80) / (1/5) = 9/4
    assert "dependent" in short_grid(folds).title


def test_conflict_statistics_by_hand():
    conflict = Conflict.of("m", "a", "b", [-0.5, 0.0, 0.5, 1.0, math.nan])
    assert conflict.mean == 0.25
    assert conflict.fraction_negative == 0.25
    assert conflict.quartiles == (-0.125, 0.25, 0.625)
    with pytest.raises(UmbelError, match="no gradient cosine"):
        Conflict.of("m", "a", "b", [math.nan])


def test_repeated_names_are_refused():
    with pytest.raises(UmbelError, match="two tasks are called 'left digit'"):
        fakes.small(tasks=(fakes.TASKS[0], fakes.TASKS[0]))
