"""scikit-learn's interface: its own checks, gaps in X and y, and the same preprocessing as a table gets."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator
from small_runs import flats

import umbel
from umbel.errors import UmbelError
from umbel.inference import MultiTaskClassifier, MultiTaskEstimator, MultiTaskRegressor

QUICK = {"steps": 40, "encoder_options": "width=32", "learning_rate": 0.01, "random_state": 0}
X, Y = ["metres", "rooms", "code"], ["rent", "balcony"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning", "ignore:Estimator")
@pytest.mark.parametrize("kind", [MultiTaskClassifier, MultiTaskRegressor, MultiTaskEstimator])
def test_it_passes_every_check_of_scikit_learn(kind):
    results = check_estimator(kind(**QUICK), expected_failed_checks={})
    assert len(results) > 40
    skipped = [one["check_name"] for one in results if one["status"] != "passed"]
    assert set(skipped) <= {"check_array_api_input"}


@pytest.fixture(scope="module")
def fitted() -> MultiTaskEstimator:
    frame = flats()
    return MultiTaskEstimator(steps=150, learning_rate=0.01, random_state=0).fit(frame[X], frame[Y])


def test_classes_and_numbers_are_learnt_together_with_gaps_in_both(fitted):
    frame = flats(60, seed=3).set_index(pd.Index([f"flat {i}" for i in range(60)]))
    answers = fitted.predict(frame[X])
    assert isinstance(answers, pd.DataFrame)
    assert answers.index.equals(frame.index)
    assert answers.dtypes["rent"] == np.float64
    known, said = frame["rent"].notna(), frame["balcony"].notna()
    error = (answers["rent"] - frame["rent"])[known]
    spread = frame["rent"][known] - frame["rent"][known].mean()
    r2, accuracy = 1 - (error**2).sum() / (spread**2).sum(), (answers["balcony"] == frame["balcony"])[said].mean()
    assert min(r2, accuracy) > 0.9
    assert fitted.score(frame[X], frame[Y]) == pytest.approx((r2 + accuracy) / 2, rel=1e-6)
    assert [None if one is None else one.tolist() for one in fitted.classes_] == [None, ["no", "yes"]]
    probabilities = fitted.predict_proba(frame[X])
    assert list(probabilities) == ["balcony"]
    np.testing.assert_allclose(probabilities["balcony"].sum(1), 1)
    assert (np.array(["no", "yes"])[probabilities["balcony"].argmax(1)] == answers["balcony"]).all()


def test_scales_are_those_of_the_rows_that_taught():
    frame = flats(12)
    made = MultiTaskRegressor(**QUICK).fit(frame[["metres"]], frame["rent"])  # too few to hold some out
    (metres,), (rent,) = made.record.inputs.inputs, made.record.inputs.targets
    assert (metres.centre, metres.scale) == (frame["metres"].mean(), frame["metres"].std(ddof=0))
    assert rent.centre == pytest.approx(frame["rent"].mean(), abs=1e-6)
    assert rent.scale == pytest.approx(frame["rent"].std(ddof=0))


def test_a_saved_one_is_a_run_like_any_other(tmp_path, fitted):
    assert fitted.save(tmp_path / "run") == tmp_path / "run"
    frame = flats(20, seed=4)
    frame[X].to_csv(tmp_path / "new.csv", index=False)
    opened = umbel.load(tmp_path / "run")
    for given in (frame, tmp_path / "new.csv"):
        answers = opened.predict(given)
        expected = fitted.predict(frame[X])
        np.testing.assert_allclose(answers["rent"] - 1.7e9, expected["rent"] - 1.7e9, rtol=1e-3)
        assert answers["balcony"].tolist() == expected["balcony"].tolist()
        np.testing.assert_allclose(answers["balcony: yes"], fitted.predict_proba(frame[X])["balcony"][:, 1], atol=1e-5)
    assert opened.evaluate(frame).metrics["balcony"]["accuracy"] > 0.9
    with pytest.raises(UmbelError, match="is there already"):
        fitted.save(tmp_path / "run")
    with pytest.raises(UmbelError, match=r"are not kept with it; .*--data"):
        from umbel.engine import open_runtime
        from umbel.recipes.single import evaluate_checkpoint

        evaluate_checkpoint(tmp_path / "run", "test", open_runtime())


def test_a_clone_with_the_same_seed_ends_the_same(fitted):
    frame = flats()
    again = clone(fitted).set_params(steps=150).fit(frame[X], frame[Y])
    assert again.get_params() == fitted.get_params()
    assert again.predict(frame[X]).equals(fitted.predict(frame[X]))
    other = clone(fitted).set_params(random_state=1).fit(frame[X], frame[Y])
    assert not other.predict(frame[X]).equals(fitted.predict(frame[X]))


def test_answers_have_the_form_and_the_types_of_y():
    frame = flats(60)
    x = frame[["metres", "rooms"]].to_numpy()
    classes = np.where(frame["metres"] > 70, 7, 3)
    one = MultiTaskClassifier(**QUICK).fit(x, classes)
    assert one.predict(x).dtype == classes.dtype
    assert one.classes_.tolist() == [3, 7]
    assert one.predict_proba(x).shape == (60, 2)
    two = MultiTaskClassifier(**QUICK).fit(x, np.stack([classes, 10 - classes], 1))
    assert two.predict(x).shape == (60, 2)
    assert [part.shape for part in two.predict_proba(x)] == [(60, 2), (60, 2)]
    gaps = np.array([[value, None if i % 4 else "old"] for i, value in enumerate(frame["metres"])], dtype=object)
    gaps[::8, 1] = "new"
    mixed = MultiTaskEstimator(**QUICK).fit(x, gaps)
    assert [classes is None for classes in mixed.classes_] == [True, False]
    assert mixed.predict(x).dtype == object
    assert mixed.targets_ == ["y0", "y1"]
    floor = MultiTaskEstimator(**QUICK, kinds={"y1": "regression"}).fit(x, np.stack([classes, classes], 1))
    assert [classes is None for classes in floor.classes_] == [False, True]
    values = MultiTaskRegressor(**QUICK).fit(x, np.stack([frame["metres"], -frame["metres"]], 1))
    assert values.predict(x).shape == (60, 2)


@pytest.mark.parametrize(
    ("kind", "x", "y", "message"),
    [
        (MultiTaskClassifier, {"a": range(30)}, ["x"] * 30, "target 'y' has only one class"),
        (MultiTaskClassifier, {"a": range(30)}, [None] * 30, "target 'y' has no label at all"),
        (MultiTaskClassifier, {"a": range(30)}, ["a", "a "] * 15, "two classes are written alike"),
        (MultiTaskRegressor, {"a": range(30)}, [1.0, np.inf] * 15, "holds infinity"),
        (MultiTaskRegressor, {"a": [f"{i}x" for i in range(30)]}, range(30), "column 'a' is text with 30 different"),
        (MultiTaskRegressor, {"a": [1.0, np.inf] * 15}, range(30), "column 'a' is infinite in row 2"),
        (MultiTaskRegressor, {"a": [[1]] * 30}, range(30), "column 'a' holds list values"),
        (MultiTaskRegressor, {"a": range(30)}, range(29), "inconsistent numbers of samples"),
        (MultiTaskRegressor, {"a": range(30)}, None, "requires y to be passed"),
        (MultiTaskRegressor, {"a": range(30)}, np.zeros((30, 2, 2)), "y has 3 axes"),
        (MultiTaskRegressor, {"a": range(30)}, np.zeros((30, 0)), "y has no column"),
        (lambda **more: MultiTaskEstimator(kinds={"z": "regression"}, **more), {"a": range(30)}, range(30), "'z'"),
        (lambda **more: MultiTaskEstimator(kinds={"y": "numbers"}, **more), {"a": range(30)}, range(30), "'numbers'"),
    ],
)
def test_what_cannot_be_learnt_is_a_value_error(kind, x, y, message):
    with pytest.raises(ValueError, match=message):
        kind(**QUICK).fit(pd.DataFrame(x), y)


def test_other_columns_are_refused(fitted):
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(flats(3)[["metres", "rooms"]])
    with pytest.raises(ValueError, match="'many' in row 1"):
        fitted.predict(flats(3)[X].assign(metres="many"))
    regressor = MultiTaskEstimator(**QUICK).fit(flats(30)[["metres"]], np.arange(30.0))
    with pytest.raises(ValueError, match="no target is a classification"):
        regressor.predict_proba(flats(3)[["metres"]])
    with pytest.raises(ValueError, match="y has 2 targets, 1 were learnt"):
        regressor.score(flats(3)[["metres"]], np.zeros((3, 2)))
