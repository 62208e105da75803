"""How rows are dealt out: what every rule promises, in which cases it refuses, and that it is kept with the table."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from umbel.data import ColumnSplit, Folds, RandomSplit, Shares, TimeSplit
from umbel.data.cells import read_cells
from umbel.data.dealing import deal_classes, deal_groups, deal_rows
from umbel.data.source import seeded
from umbel.data.table_splits import SPLIT_NAMES, split_rows
from umbel.data.tables import TableDescription, describe_columns, from_table
from umbel.errors import UmbelError

ROWS = 400


def visits(rows=ROWS, **changes) -> pd.DataFrame:
    """40 patients with 4 to 16 visits each, a day that rises through the file, a rare class, and the row's number."""
    generator = np.random.default_rng(0)
    patient = np.repeat(np.arange(40), 4 + np.arange(40) % 13)
    patient = np.resize(generator.permutation(patient), rows)
    columns = {
        "row": np.arange(rows),
        "x": generator.normal(size=rows).round(4),
        "patient": [f"p{i}" for i in patient],
        "day": [str(np.datetime64("2023-01-01") + i // 5) for i in range(rows)],
        "ill": ["yes" if i % 25 == 3 else "no" for i in range(rows)],
        "y": generator.normal(size=rows),
    }
    return pd.DataFrame(columns | changes)


def saved(folder, frame, name="visits.csv"):
    path = folder / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    return path


def parts(path, rule, categories=(), missing=("NA",)) -> list[np.ndarray]:
    """The rows of training, validation and test; every row is in one of them."""
    rows = split_rows(path, read_cells(path), rule, missing, categories)
    assert list(rows) == list(SPLIT_NAMES)
    together = np.concatenate(list(rows.values()))
    assert sorted(together) == list(range(len(together)))
    assert all((np.diff(index) > 0).all() for index in rows.values())
    return list(rows.values())


def sizes(given):
    return [len(index) for index in given]


def test_a_plain_random_split_is_what_it_always_was(tmp_path):
    path = saved(tmp_path, visits())
    for seed in (0, 3):
        shuffled = torch.randperm(ROWS, generator=seeded(seed, ROWS)).numpy()
        wanted = (shuffled[120:], shuffled[60:120], shuffled[:60])
        for mine, one in zip(parts(path, RandomSplit(seed=seed)), wanted, strict=True):
            assert mine.tolist() == sorted(one)


def test_shares_are_what_was_asked_for(tmp_path):
    path = saved(tmp_path, visits())
    assert sizes(parts(path, RandomSplit(parts=Shares(0.5, 0.2, 0.3)))) == [200, 80, 120]
    assert sizes(parts(path, TimeSplit("day", Shares(0.5, 0.2, 0.3)))) == [200, 80, 120]
    grouped = sizes(parts(path, RandomSplit(group="patient", parts=Shares(0.5, 0.2, 0.3))))
    assert np.abs(np.array(grouped) - [200, 80, 120]).max() <= 4


# -- groups ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_no_group_is_in_two_parts_and_the_shares_are_near(tmp_path, seed):
    frame = visits()
    patients = [set(frame["patient"][i]) for i in parts(saved(tmp_path, frame), RandomSplit(seed, "patient"))]
    assert sum(map(len, patients)) == 40 == len(set.union(*patients))
    counts = [frame["patient"].isin(names).sum() for names in patients]
    assert np.abs(np.array(counts) - [280, 60, 60]).max() <= 4


def test_the_note_says_how_many_groups_each_part_has(tmp_path):
    note = from_table(saved(tmp_path, visits()), ["y"], split=RandomSplit(group="patient")).note
    train, validation, test = map(int, re.search(r"seed 0; (\d+)/(\d+)/(\d+) groups\)", note).groups())
    assert train + validation + test == 40
    assert min(train, validation, test) > 2


def test_groups_depend_on_their_names_and_the_seed_and_not_on_the_order_of_rows(tmp_path):
    frame = visits()
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    rule = RandomSplit(group="patient")
    first, other = (
        [set(f["patient"][i]) for i in parts(saved(tmp_path, f, n), rule)]
        for f, n in ((frame, "a.csv"), (shuffled, "b.csv"))
    )
    assert first == other
    tests = {frozenset(frame["patient"][parts(tmp_path / "a.csv", RandomSplit(s, "patient"))[2]]) for s in range(5)}
    assert len(tests) == 5


def test_one_huge_group_comes_where_it_does_least_harm(tmp_path):
    names = ["big"] * 250 + [f"small{i // 5}" for i in range(150)]
    given = parts(saved(tmp_path, visits(patient=names)), RandomSplit(group="patient"))
    assert np.abs(np.array(sizes(given)) - [280, 60, 60]).max() <= 5
    assert {"big"} <= set(np.array(names)[given[0]])


def test_every_blank_cell_is_a_group_of_its_own(tmp_path):
    names = [None if i % 2 else f"p{i % 7}" for i in range(ROWS)]
    names[1] = "NA"
    blank = np.arange(1, ROWS, 2)
    given = parts(saved(tmp_path, visits(patient=names)), RandomSplit(group="patient"))
    assert all(len(np.intersect1d(blank, index)) > 20 for index in given)


def test_numbers_that_are_written_differently_are_other_groups(tmp_path):
    names = ["007", "7", "07"] * 40
    given = parts(saved(tmp_path, visits(120, patient=names)), RandomSplit(group="patient"))
    assert sizes(given) == [40, 40, 40]


def test_groups_of_few_kinds_still_fill_every_part(tmp_path):
    for count in (3, 4, 5):
        names = [f"p{i % count}" for i in range(ROWS)]
        given = parts(saved(tmp_path, visits(patient=names)), RandomSplit(group="patient"))
        assert min(sizes(given)) >= ROWS // count
        assert np.argmax(sizes(given)) == 0


def test_groups_and_classes_together_keep_rare_classes_in_every_part(tmp_path):
    frame = visits(300, patient=[f"p{i // 5}" for i in range(300)])
    frame["ill"] = ["yes" if i // 5 % 10 == 0 else "no" for i in range(300)]  # 6 ill patients of 60
    for seed in range(3):
        rule = RandomSplit(seed, group="patient", stratify="ill")
        given = parts(saved(tmp_path, frame), rule)
        ill = [(frame["ill"][index] == "yes").sum() for index in given]
        assert ill == [20, 5, 5]
        assert sizes(given) == [210, 45, 45]


# -- classes -----------------------------------------------------------------------------------------------------------


def test_every_class_has_its_share_of_every_part(tmp_path):
    frame = visits()
    given = parts(saved(tmp_path, frame), RandomSplit(stratify="ill"))
    assert sizes(given) == [280, 60, 60]
    shares = [(frame["ill"][index] == "yes").sum() for index in given]  # 16 rows: 11.2, 2.4, 2.4
    assert sorted(shares) in ([2, 2, 12], [2, 3, 11])
    assert shares[0] >= 11


def test_a_class_of_few_rows_is_in_as_many_parts_as_it_can_be(tmp_path):
    kinds = ["one", *["two"] * 2, *["three"] * 3, *["many"] * 94]
    for seed in range(5):
        given = parts(saved(tmp_path, visits(100, ill=kinds)), RandomSplit(seed, stratify="ill"))
        held = [{kind: (np.array(kinds)[index] == kind).sum() for kind in ("one", "two", "three")} for index in given]
        assert held[0] == {"one": 1, "two": 1, "three": 1}
        assert held[1] == {"one": 0, "two": 0, "three": 1}
        assert held[2] == {"one": 0, "two": 1, "three": 1}


def test_a_measure_is_stratified_by_parts_of_its_range(tmp_path):
    frame = visits(200, y=np.arange(200) ** 2 / 7)
    tenth = np.arange(200) // 20
    for seed in range(3):
        given = parts(saved(tmp_path, frame), RandomSplit(seed, stratify="y"))
        assert [np.bincount(tenth[index]).tolist() for index in given] == [[14] * 10, [3] * 10, [3] * 10]


@pytest.mark.parametrize("rows", [20, 30, 45])
def test_a_measure_in_a_small_table_is_stratified_by_fewer_parts(tmp_path, rows):
    given = parts(saved(tmp_path, visits(rows, y=np.arange(rows))), RandomSplit(stratify="y"))
    assert np.abs(np.array(sizes(given)) - np.multiply((0.7, 0.15, 0.15), rows)).max() <= 2
    assert all(index.min() < rows / 2 < index.max() for index in given)


def test_numbers_that_are_classes_are_stratified_as_classes(tmp_path):
    codes = [100 + i % 25 for i in range(ROWS)]
    path = saved(tmp_path, visits(code=codes))
    given = parts(path, RandomSplit(stratify="code"), categories=["code"])
    assert all(len(set(np.array(codes)[index])) == 25 for index in given)
    assert np.bincount(np.array(codes)[given[2]])[100:].max() <= 3
    made = from_table(path, ["code"], kinds={"code": "category"}, split=RandomSplit(stratify="code"))
    assert all(len(made_part.samples.targets["code"].unique()) == 25 for made_part in (made.validation, made.test))


# -- time --------------------------------------------------------------------------------------------------------------


TIMES = {
    "numbers": lambda i: str(i // 4 * 1.5 - 20),
    "days": lambda i: str(np.datetime64("1999-12-01") + i // 4),
    "months": lambda i: str(np.datetime64("1969-03") + i // 4),
    "seconds": lambda i: f"2024-02-{1 + i // 96:02}T{i // 4 % 24:02}:00:00",
    "zones": lambda i: f"2024-02-{1 + i // 96:02}T{i // 4 % 24:02}:00:00{('Z', '+00:00')[i % 2]}",
}


@pytest.mark.parametrize("kind", TIMES)
def test_the_oldest_rows_train_and_rows_of_one_time_stay_together(tmp_path, kind):
    order = np.random.default_rng(1).permutation(200)
    frame = visits(200, row=order, day=[TIMES[kind](i) for i in order])
    given = parts(saved(tmp_path, frame), TimeSplit("day"))
    assert sizes(given) == [140, 28, 32]  # 140, 30, 30 would cut through rows of one time
    train, validation, test = (order[index] // 4 for index in given)
    assert train.max() < validation.min() <= validation.max() < test.min()


def test_the_first_and_the_last_years_are_times_too(tmp_path):
    days = ["0001-01-01T00:00+05:00", *["9999-12-31T23:59-05:00"] * 2, *["2024-05-31T14:00Z"] * 97]
    given = parts(saved(tmp_path, visits(100, day=days)), TimeSplit("day"))
    assert [given[0].tolist(), given[2].tolist()] == [[0], [1, 2]]


def test_times_far_apart_in_size_still_fill_every_part(tmp_path):
    frame = visits(100, day=["2024-01-01"] * 97 + ["2024-01-02", "2024-01-03", "2024-01-04"])
    assert sizes(parts(saved(tmp_path, frame), TimeSplit("day"))) == [97, 1, 2]


def test_times_of_parquet_are_times(tmp_path):
    pytest.importorskip("pyarrow")
    days = pd.date_range("2023-01-01", periods=ROWS // 2).repeat(2)
    for column in (days, days.tz_localize("Europe/Rome"), days.astype("int64")):
        assert sizes(parts(saved(tmp_path, visits(day=column), "t.parquet"), TimeSplit("day"))) == [280, 60, 60]


# -- folds -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "about", [{}, {"group": "patient"}, {"stratify": "ill"}, {"group": "patient", "stratify": "ill"}], ids=str
)
def test_every_row_is_tested_in_exactly_one_fold(tmp_path, about):
    frame = visits()
    path = saved(tmp_path, frame)
    folds = [parts(path, RandomSplit(2, **about, parts=Folds(5, fold))) for fold in range(5)]
    tests = np.concatenate([test for _, _, test in folds])
    assert sorted(tests) == list(range(ROWS))
    for train, validation, test in folds:
        assert len(test) == pytest.approx(80, abs=4 if "group" in about else 1)
        assert len(validation) == pytest.approx(0.15 * (len(train) + len(validation)), abs=4)
        if "group" in about:
            named = [set(frame["patient"][index]) for index in (train, validation, test)]
            assert sum(map(len, named)) == 40
        if "stratify" in about:
            assert (frame["ill"][test] == "yes").sum() in (3, 4)


# -- what cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "rule", "message"),
    [
        ({}, RandomSplit(group="patiens"), "unknown group column 'patiens'; did you mean 'patient'"),
        ({}, RandomSplit(stratify="il"), "unknown stratify column 'il'; did you mean 'ill'"),
        ({}, TimeSplit("days"), "unknown time column 'days'; did you mean 'day'"),
        ({}, RandomSplit(group="y"), "'y' is given as target column and as group column"),
        ({}, TimeSplit("y"), "'y' is given as target column and as time column"),
        (
            {"patient": ["a", "b"] * 200},
            RandomSplit(group="patient"),
            "group column 'patient' has 2 groups for 3 parts",
        ),
        (
            {"patient": ["a", "b", "c", "d"] * 100},
            RandomSplit(group="patient", parts=Folds(5, 0)),
            r"group column 'patient' has 4 groups for 5 parts \(by groups of column patient, fold 0 of 5, seed 0\)",
        ),
        (
            {"patient": ["a", "a", "a", "b"] * 100},
            RandomSplit(group="patient", parts=Folds(2, 0)),
            "group column 'patient' has 1 groups for 2 parts",
        ),
        ({"day": ["1", "2"] * 200}, TimeSplit("day"), "time column 'day' has 2 different times"),
        ({"day": ["1", None, *map(str, range(398))]}, TimeSplit("day"), "time column 'day' is blank in row 2"),
        ({"day": ["1", "NA", *map(str, range(398))]}, TimeSplit("day"), "time column 'day' is blank in row 2"),
        ({"day": ["2024-01-01", "n/a"] * 200}, TimeSplit("day"), "time column 'day' is blank in row 2"),
        ({"day": ["31.12.2024", "1.1.2024"] * 200}, TimeSplit("day"), "holds '31.12.2024' in row 1; write numbers, or"),
        ({"day": ["2024-01-01", "soon"] * 200}, TimeSplit("day"), "time column 'day' holds 'soon' in row 2"),
        ({"day": ["2024-01-01T10:00Z", "2024-01-01T11:00"] * 200}, TimeSplit("day"), "with and without a time zone"),
        ({}, RandomSplit(parts=Shares(0.998, 0.001, 0.001)), "leaves no row of 400 for validation; give larger shares"),
        (
            {"part": ["train", "val", "test", "train"] * 100},
            ColumnSplit("part", seed=1),
            "split column 'part' names the rows of all parts, and nothing is random; leave the seed",
        ),
        ({"ill": [f"{i}x" for i in range(400)]}, RandomSplit(stratify="ill"), "'ill' has 400 values in 400 rows, too"),
        ({"ill": ["no"] * 400}, RandomSplit(stratify="ill"), "stratify column 'ill' is the same in every row; choose"),
        ({}, "patient", r"the split is 'patient'; give RandomSplit\(...\), TimeSplit\(...\) or ColumnSplit"),
    ],
)
def test_what_cannot_be_split_is_refused_in_one_line(tmp_path, changes, rule, message):
    with pytest.raises(UmbelError, match=message) as caught:
        from_table(saved(tmp_path, visits(**changes)), ["y"], split=rule)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shares(0.7, 0.3, 0.3), "the shares 0.7/0.3/0.3 add up to 1.3; they must add up to 1"),
        (lambda: Shares(1.0, 0.0, 0.0), "the share of train is 1.0; give a fraction above 0 and below 1"),
        (lambda: Shares(0.7, float("nan"), 0.3), "the share of validation is nan"),
        (lambda: Shares(0.7, "0.15", 0.15), "the share of validation is '0.15'"),
        (lambda: Folds(1, 0), "the number of folds is 1; give a whole number, at least 2"),
        (lambda: Folds(5, 5), "fold 5 of 5: folds are counted from 0 to 4"),
        (lambda: Folds(5, -1), "the fold is -1"),
        (lambda: RandomSplit(seed=0.5), "the seed of the split is 0.5"),
        (lambda: RandomSplit(group=""), "the group column of the split is ''; give the name of a column"),
        (lambda: RandomSplit(group="a", stratify="a"), "column 'a' cannot both group and stratify"),
        (lambda: RandomSplit(parts=5), "the parts of the split are 5"),
        (lambda: TimeSplit(None), "the time column of the split is None"),
        (lambda: TimeSplit("a", Folds(5, 0)), "the shares of a split by time are"),
        (lambda: ColumnSplit(3), "the split column of the split is 3"),
    ],
)
def test_rules_that_cannot_be_are_refused_in_one_line(make, message):
    with pytest.raises(UmbelError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


# -- the columns of a rule, and what is kept ---------------------------------------------------------------------------


def test_a_group_or_a_time_is_an_input_only_where_its_kind_is_said(tmp_path):
    frame = visits(patient=[f"{i % 30}" for i in range(ROWS)], day=np.arange(ROWS) // 3)
    path = saved(tmp_path, frame)
    about = {"targets": ["y"], "ignore": ["row", "ill"]}
    assert from_table(path, **about, split=RandomSplit(group="patient")).input_shape == (2,)  # x, day
    assert from_table(path, **about, split=TimeSplit("day")).input_shape == (2,)  # x, patient
    kinds = {"patient": "category"}
    data = from_table(path, **about, kinds=kinds, split=RandomSplit(group="patient"))
    assert data.input_shape == (2 + len({f"{i}" for i in frame["patient"][data_rows(data, frame)]}),)
    roles = {c.name: (c.role, c.note) for c in describe_columns(path, **about, split=RandomSplit(group="patient"))}
    assert (roles["patient"], roles["day"]) == (("split", "its groups stay together"), ("input", ""))
    roles = {c.name: (c.role, c.note) for c in describe_columns(path, **about, split=TimeSplit("day"))}
    assert (roles["patient"], roles["day"]) == (("input", ""), ("split", "oldest rows first"))


def data_rows(data, frame) -> np.ndarray:
    """The rows that a set is trained on, told by their target."""
    return np.flatnonzero(np.isin(frame["y"], data.train.samples.targets["y"][:, 0].numpy()))


def test_a_column_that_stratifies_stays_what_it_is(tmp_path):
    path = saved(tmp_path, visits())
    roles = {c.name: c.role for c in describe_columns(path, ["y"], split=RandomSplit(stratify="ill"))}
    assert roles["ill"] == "input"
    made = from_table(path, ["y"], split=RandomSplit(stratify="ill"), ignore=["ill", "row", "day", "patient"])
    assert made.input_shape == (1,)


@pytest.mark.parametrize(
    "rule",
    [
        RandomSplit(3),
        RandomSplit(1, "patient", "ill", Shares(0.6, 0.2, 0.2)),
        RandomSplit(1, stratify="y", parts=Folds(4, 2)),
        RandomSplit(1, stratify="code"),
        RandomSplit(1, stratify="row"),
        TimeSplit("day", Shares(0.5, 0.25, 0.25)),
        ColumnSplit("part", 7),
    ],
    ids=str,
)
def test_the_rule_is_kept_with_the_table_and_gives_the_same_rows_again(tmp_path, rule):
    part = ["train"] * 300 + ["test"] * 100
    path = saved(tmp_path, visits(part=part, code=[100 + i % 25 for i in range(ROWS)]))
    about = {"kinds": {"code": "category"}, "ignore": ["row"]}
    data = from_table(path, ["y", "ill"], split=rule, **about)
    description = data.reading
    assert description.split == rule
    assert f"({rule}" in data.note
    again = TableDescription.from_json(description.to_json())
    assert again == description
    other = from_table(path, description=again)
    assert other.warnings == data.warnings
    for split in SPLIT_NAMES:
        one, two = getattr(data, split).samples, getattr(other, split).samples
        assert torch.equal(one.inputs, two.inputs)
        assert torch.equal(one.targets["ill"], two.targets["ill"])


def test_a_file_without_the_column_of_its_rule_is_told(tmp_path):
    description = from_table(saved(tmp_path, visits()), ["y"], split=RandomSplit(group="patient")).reading
    with pytest.raises(UmbelError, match="there is no column 'patient'"):
        from_table(saved(tmp_path, visits().drop(columns="patient"), "other.csv"), description=description)


# -- dealing -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=3, max_size=60), st.integers(0, 5), st.sampled_from([3, 4]))
def test_any_groups_fill_every_part_and_stay_together(labels, seed, count):
    groups = np.unique(labels, return_inverse=True)[1]
    shares = (0.7, 0.15, 0.15) if count == 3 else (0.25,) * 4
    if len(set(labels)) < count:
        return
    part = deal_groups(groups, np.zeros(len(groups), dtype=int), shares, (seed,))
    assert set(part) == set(range(count))
    assert all(len(set(part[groups == group])) == 1 for group in set(groups))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=120), st.integers(0, 5))
def test_any_classes_come_near_their_shares(labels, seed):
    classes = np.unique(labels, return_inverse=True)[1]
    shares = np.array([0.7, 0.15, 0.15])
    part = deal_classes(classes, tuple(shares), (seed,))
    for number in set(classes):
        held = np.bincount(part[classes == number], minlength=3)
        size = held.sum()
        assert (np.abs(held - shares * size) < 2).all()
        assert (held > 0).sum() == min(3, size)
    assert set(part[:0]) <= {0, 1, 2}
    folds = deal_classes(classes, (0.25,) * 4, (seed,))
    assert np.ptp(np.bincount(folds, minlength=4)) <= 1
    for number in set(classes):
        assert np.ptp(np.bincount(folds[classes == number], minlength=4)) <= 1


def test_every_machine_deals_out_alike():
    """Written down once: a change here would give every kept run another test part."""
    groups = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, 5, 5, 6, 7, 7, 7, 8, 9, 9])
    classes, shares = np.arange(20) % 3, (0.7, 0.15, 0.15)

    def said(part) -> str:
        return "".join(map(str, part))

    assert said(deal_rows(20, shares, (5,))) == "00001021000022100000"
    assert said(deal_classes(classes, shares, (5,))) == "20102010200001000000"
    assert said(deal_groups(groups, 0 * classes, shares, (5,))) == "11122000002000000000"
    assert said(deal_groups(groups, classes, (0.25,) * 4, (5,))) == "33322311112220000033"


def test_rows_of_equal_parts_differ_by_one_at_most():
    assert sorted(np.bincount(deal_rows(22, (0.2,) * 5, (0,)))) == [4, 4, 4, 5, 5]


# -- what a random split hides -----------------------------------------------------------------------------------------


def error_of_the_nearest_row(data) -> float:
    """Root mean squared test error of the prediction "as the nearest training row"."""
    train, test = data.train.samples, data.test.samples
    nearest = torch.cdist(test.inputs, train.inputs).argmin(1)
    return float((test.targets["y"] - train.targets["y"][nearest]).pow(2).mean().sqrt())


def test_a_random_split_of_groups_promises_what_new_groups_do_not_keep(tmp_path):
    """40 groups, each with a level of its own that its inputs betray: who knows the group knows the answer."""
    generator = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 10)
    own = generator.normal(size=(40, 6))[group]
    inputs = own + 0.1 * generator.normal(size=(ROWS, 6))
    frame = pd.DataFrame(inputs, columns=list("abcdef")).assign(
        subject=[f"s{g}" for g in group],
        y=generator.normal(size=40)[group] + 0.4 * generator.normal(size=ROWS),
    )
    path = saved(tmp_path, frame)
    random, grouped = [], []
    for seed in range(3):
        data = from_table(path, ["y"], split=RandomSplit(seed), ignore=["subject"])
        random.append(error_of_the_nearest_row(data))
        assert "has 40 values in 400 rows" in data.warnings[0]
        assert "--group-column subject" in data.warnings[0]
        data = from_table(path, ["y"], split=RandomSplit(seed, group="subject"))
        grouped.append(error_of_the_nearest_row(data))
        assert data.warnings == ()
    assert np.mean(grouped) > 1.8 * np.mean(random)
    assert np.mean(random) < 0.75
    assert np.mean(grouped) > 1.1


@pytest.mark.parametrize(
    ("name", "cells", "flag"),
    [
        ("patient", [f"p{i % 40}" for i in range(ROWS)], "--group-column patient"),
        ("PatientID", [i % 40 for i in range(ROWS)], "--group-column PatientID"),
        ("userid", [i % 300 for i in range(ROWS)], "--group-column userid"),
        ("user id", [i % 40 for i in range(ROWS)], "--group-column 'user id'"),
        ("Subject No.", [i % 5 for i in range(ROWS)], "--group-column 'Subject No.'"),
        ("group", [i % 40 for i in range(ROWS)], "--group-column group"),
        ("street", [f"s{i % 40}" for i in range(ROWS)], "--group-column street"),
        ("when", [str(np.datetime64("2020-01-01") + i) for i in range(ROWS)], "--time-column when"),
        ("when", [str(np.datetime64("2020-01-01") + i % 9) for i in range(ROWS)], "--time-column when"),
        ("timestamp", [1.7e9 + 60 * i for i in range(ROWS)], "--time-column timestamp"),
        ("year", [2024 - i // 20 for i in range(ROWS)], "--time-column year"),
        ("user id", [i % 40 for i in range(ROWS)], "--group-column 'user id'"),
        # No groups and no times:
        ("size", ["na", *(i % 40 + 0.5 for i in range(ROWS - 1))], None),
        ("id", [i for i in range(ROWS)], None),
        ("id", [f"person-{i}" for i in range(ROWS)], None),
        ("age", [20 + i % 60 for i in range(ROWS)], None),
        ("age_group", [("young", "old", "oldest")[i % 3] for i in range(ROWS)], None),
        ("patient_age", [20 + i % 60 for i in range(ROWS)], None),
        ("user score", [i % 40 + 0.5 for i in range(ROWS)], None),
        ("user", [i % 40 + 0.5 for i in range(ROWS)], None),
        ("city", [("Rome", "Oslo", "Bern")[i % 3] for i in range(ROWS)], None),
        ("birth date", [str(np.datetime64("1980-01-01") + i % 90) for i in range(ROWS)], None),
        ("year", [1900 + (i * 37) % 120 for i in range(ROWS)], None),
        ("rising", list(range(ROWS)), None),
        ("empty", [None] * ROWS, None),
    ],
)
def test_columns_that_look_like_groups_or_times_are_warned_of(tmp_path, name, cells, flag):
    path = saved(tmp_path, visits()[["x", "y"]].assign(**{name: cells}))
    ignore = [] if name in ("empty", "when") else [name]
    warnings = from_table(path, ["y"], ignore=ignore).warnings
    assert len(warnings) == (flag is not None)
    columns = {c.name: c.warning for c in describe_columns(path, ["y"], ignore=ignore)}
    assert columns[name] == "".join(warnings)
    if flag is not None:
        assert f"use {flag}." in warnings[0]
        assert repr(name) in warnings[0]
        assert warnings[0].count(". ") == 0
        assert "\n" not in warnings[0]


def test_nothing_is_warned_of_where_it_was_heeded_or_is_what_is_asked(tmp_path):
    path = saved(tmp_path, visits())
    assert len(from_table(path, ["y"]).warnings) == 2  # patient and day
    assert not from_table(path, ["y"], split=RandomSplit(group="patient")).warnings
    assert not from_table(path, ["y"], split=TimeSplit("day")).warnings
    assert len(from_table(path, ["y"], split=RandomSplit(stratify="ill", parts=Folds(5, 1))).warnings) == 2
    (alone,) = from_table(path, ["y"], split=RandomSplit(group="row")).warnings
    assert "Group column 'row' differs in every row" in alone


def test_numbers_may_mark_missing_values(tmp_path):
    pytest.importorskip("pyarrow")
    words = ("NA", "-999", "n.d.")
    cells = [("-999", "3.5", "n.d.", "-999.0", "7")[i % 5] for i in range(ROWS)]
    codes = [("-999", "1", "2", "3")[i % 4] for i in range(ROWS)]
    whole = [(-999, 3, 4)[i % 3] for i in range(ROWS)]
    paths = (
        saved(tmp_path, visits(size=cells, code=codes, whole=whole)),
        saved(tmp_path, visits(size=cells, code=codes, whole=whole), "visits.parquet"),
    )
    for path in paths:
        kinds = {"size": "number", "code": "category"}
        shown = {c.name: (c.distinct, c.missing) for c in describe_columns(path, ["y"], kinds=kinds, missing=words)}
        assert shown["size"] == (2, 240)
        assert shown["code"] == (3, 100)
        assert shown["whole"] == (2, 134)
        data = from_table(path, ["whole"], kinds={**kinds, "whole": "number"}, missing=words)
        assert int(data.train.samples.targets["whole"].isnan().sum()) > 80
