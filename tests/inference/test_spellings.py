"""Booleans and times are the same category however a program writes them, where a type says that they are such."""

import datetime

import numpy as np
import pandas as pd
import pytest
from small_runs import flats, table_run

import umbel
from umbel.engine import open_runtime
from umbel.errors import UmbelError
from umbel.inference import MultiTaskClassifier
from umbel.recipes.single import evaluate_checkpoint
from umbel.serving import Service

DAY = datetime.date(2024, 1, 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    frame = flats()[["metres", "balcony"]]
    frame["lift"] = np.where(np.arange(len(frame)) % 3 == 0, "true", "false")
    frame["built"] = np.where(np.arange(len(frame)) % 4 == 0, "2024-01-02", "2024-02-01 10:30:00")
    frame["balcony"] = frame["balcony"].map({"yes": "TRUE", "no": "FALSE"})
    return table_run(tmp_path_factory.mktemp("spelled"), frame, targets="balcony", kinds="")


def row(lift, built) -> pd.DataFrame:
    return pd.DataFrame({"metres": [70.0], "lift": [lift], "built": [built]})


@pytest.mark.parametrize(
    ("lift", "built"),
    [
        (True, pd.Timestamp(DAY)),
        (np.True_, DAY),
        (pd.array([True], dtype="boolean")[0], datetime.datetime(2024, 1, 2)),
    ],
)
@pytest.mark.filterwarnings("error::umbel.inference.RowsWarning")
def test_typed_cells_are_the_categories_that_the_table_spelled(run, tmp_path, lift, built):
    predictor = umbel.load(run)
    text = predictor.predict(row("true", "2024-01-02"))
    assert predictor.predict(row(lift, built)).equals(text)
    assert predictor.predict([{"metres": 70.0, "lift": lift, "built": built}]).equals(text)
    row(bool(lift), built).to_parquet(tmp_path / "new.parquet")
    assert predictor.predict(tmp_path / "new.parquet").equals(text)
    sent = b'{"metres": 70.0, "lift": true, "built": "2024-01-02"}'
    assert Service(predictor).answer("application/json", sent).notes == ()
    assert not predictor.predict(row(False, built)).equals(text)


def test_text_keeps_its_text(run):
    with pytest.warns(umbel.inference.RowsWarning, match="'True'"):
        umbel.load(run).predict(row("True", "2024-01-02"))


def test_labels_may_be_booleans(run):
    rows = pd.concat([row(True, DAY), row(False, DAY)]).assign(balcony=[True, False])
    metrics = umbel.load(run).evaluate(rows).metrics["balcony"]
    assert metrics == umbel.load(run).evaluate(rows.assign(balcony=["TRUE", "FALSE"])).metrics["balcony"]


def test_a_class_that_is_called_as_a_missing_value_is_counted(tmp_path):
    """An estimator's classes are those of y, which may be "None"; leaving their rows out would change the score."""
    frame = pd.DataFrame({"metres": np.arange(60.0), "lift": np.where(np.arange(60) % 4 == 0, "None", "yes")})
    estimator = MultiTaskClassifier(steps=5, random_state=0).fit(frame[["metres"]], frame["lift"])
    estimator.save(tmp_path / "run")
    frame.to_csv(tmp_path / "labelled.csv", index=False)
    for rows in (frame, tmp_path / "labelled.csv"):
        with pytest.warns(umbel.inference.RowsWarning, match="trained on"):
            metrics = umbel.load(tmp_path / "run").evaluate(rows).metrics
        assert metrics["lift"]["accuracy"] == pytest.approx(estimator.score(frame[["metres"]], frame["lift"]))


def test_a_table_that_is_not_there_is_told_what_it_was(run):
    (table,) = run.parent.glob("table.csv")
    table.rename(run.parent / "elsewhere.csv")
    with pytest.raises(UmbelError, match=r"table\.csv: the table that the run learnt from is not there; .*--data"):
        evaluate_checkpoint(run, "test", open_runtime())
