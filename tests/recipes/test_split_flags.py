"""Flags that say how rows are dealt out: the rule that they mean, and which do not go together."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from small_studies import FIT, SMALL, compared

from umbel.core import UmbelError
from umbel.data import ColumnSplit, Folds, RandomSplit, Shares, TimeSplit
from umbel.engine import Silent, open_runtime
from umbel.recipes.build import columns_text, open_data
from umbel.recipes.settings import DataSettings, ModelSettings
from umbel.recipes.single import evaluate_checkpoint, train
from umbel.recipes.split_flags import split_rule
from umbel.recipes.train_settings import TrainSettings


@pytest.fixture
def table(tmp_path):
    """200 visits of 25 patients; a size with -999 for a gap."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": generator.normal(size=200),
            "size": [-999.0 if i % 9 == 0 else i / 7 for i in range(200)],
            "patient": [f"p{i % 25}" for i in range(200)],
            "day": [str(np.datetime64("2024-01-01") + i) for i in range(200)],
            "tall": [("yes", "no")[i % 3 == 0] for i in range(200)],
        }
    )
    path = tmp_path / "visits.csv"
    frame.to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize(
    ("flags", "rule"),
    [
        ({}, RandomSplit()),
        ({"split_seed": 3}, RandomSplit(3)),
        ({"split_shares": "0.5/0.25/0.25"}, RandomSplit(parts=Shares(0.5, 0.25, 0.25))),
        ({"group_column": "patient", "split_seed": 1}, RandomSplit(1, group="patient")),
        ({"stratify_column": "tall"}, RandomSplit(stratify="tall")),
        (
            {"group_column": "patient", "stratify_column": "tall", "folds": 5, "fold": 0},
            RandomSplit(0, "patient", "tall", Folds(5, 0)),
        ),
        ({"time_column": "day", "split_shares": "0.5/0.25/0.25"}, TimeSplit("day", Shares(0.5, 0.25, 0.25))),
        ({"split_column": "part", "split_seed": 2}, ColumnSplit("part", 2)),
    ],
)
def test_flags_are_one_rule(flags, rule):
    assert split_rule(DataSettings(**flags)) == rule


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"split_column": "a", "group_column": "b"}, "--split-column and --group-column do not go together"),
        ({"split_column": "a", "time_column": "b"}, "--split-column and --time-column do not go together"),
        ({"split_column": "a", "stratify_column": "b"}, "--split-column and --stratify-column do not"),
        ({"split_column": "a", "split_shares": "0.7/0.15/0.15"}, "--split-column and --split-shares do not"),
        ({"split_column": "a", "folds": 5, "fold": 0}, "--split-column and --folds do not go together"),
        ({"time_column": "a", "group_column": "b"}, "--time-column and --group-column do not go together"),
        ({"time_column": "a", "stratify_column": "b"}, "--time-column and --stratify-column do not go together"),
        ({"time_column": "a", "split_seed": 0}, "--time-column and --split-seed do not go together"),
        ({"time_column": "a", "folds": 5, "fold": 0}, "--time-column and --folds do not go together"),
        ({"folds": 5, "fold": 0, "split_shares": "0.7/0.15/0.15"}, "--folds and --split-shares do not go together"),
        ({"fold": 0}, "--folds says how many .* give both or neither"),
        ({"folds": 5}, "--folds says how many .* give both or neither"),
        ({"folds": 5, "fold": 5}, "folds are counted from 0 to 4"),
        ({"split_shares": "0.7/0.3"}, "--split-shares 0.7/0.3: write three fractions"),
        ({"split_shares": "a/b/c"}, "--split-shares a/b/c: write three fractions"),
        ({"split_shares": "70/15/15"}, "the share of train is 70.0; give a fraction"),
        ({"split_shares": "nan/0.5/0.5"}, "the share of train is nan"),
    ],
)
def test_flags_that_mean_nothing_together_are_refused(table, flags, message):
    for read in (open_data, columns_text):
        with pytest.raises(UmbelError, match=message) as caught:
            read(DataSettings(data=table, targets="tall", **flags))
        assert "\n" not in str(caught.value)


def test_the_printed_columns_warn_and_name_the_flag(table):
    settings = {"data": table, "targets": "tall", "ignore": "day"}
    notes = [line for line in columns_text(DataSettings(**settings)).splitlines() if line.startswith("Note: ")]
    assert len(notes) == 2
    assert "use --group-column patient." in notes[0]
    assert "use --time-column day." in notes[1]
    assert "Note" not in columns_text(DataSettings(**settings, group_column="patient"))
    lines = columns_text(DataSettings(data=table, targets="tall", time_column="day")).splitlines()
    assert re.fullmatch(r" +day +split +category, 200 values \(oldest rows first\)", lines[4])


def test_words_and_numbers_for_gaps_come_on_top_of_the_usual_ones(table):
    settings = {"data": table, "targets": "size", "time_column": "day", "ignore": "patient"}
    data = open_data(DataSettings(**settings, missing="n.d.,-999"))
    assert int(data.train.samples.targets["size"].isnan().sum()) == len(range(0, 140, 9))
    assert not open_data(DataSettings(**settings)).train.samples.targets["size"].isnan().any()
    assert "23 blank" in columns_text(DataSettings(**settings, missing="-999"))


def test_a_report_says_which_split_it_was_and_warns(table, tmp_path):
    data = DataSettings(data=table, targets="tall,size", ignore="day", stratify_column="tall", split_seed=2)
    settings = dataclasses.replace(SMALL, data=data, model=ModelSettings(), seeds=1)
    results = compared(tmp_path / "study", settings)
    assert "split 140/30/30 into" in results.data.note
    assert "(at random within the values of column tall, seed 2)" in results.data.note
    assert sum("--group-column patient" in warning for warning in results.warnings) == 1
    assert sum("--time-column day" in warning for warning in results.warnings) == 1


def test_a_run_is_evaluated_on_its_own_split_and_goes_on_with_no_other(table, tmp_path):
    data = DataSettings(data=table, targets="tall", ignore="day", group_column="patient", split_seed=2)
    settings = TrainSettings(data=data, fit=FIT)
    runtime = open_runtime()
    before = train(settings, runtime, tmp_path / "run", False, Silent())
    assert before.samples == 32  # 4 of 25 patients with 8 visits each
    assert evaluate_checkpoint(tmp_path / "run", "test", runtime).metrics == before.metrics
    for other in ({"split_seed": 3}, {"group_column": ""}, {"missing": "-999"}):
        changed = dataclasses.replace(settings, data=dataclasses.replace(data, **other))
        with pytest.raises(UmbelError) as caught:
            train(changed, runtime, tmp_path / "run", True, Silent())
        assert "\n" not in str(caught.value)
