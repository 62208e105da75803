"""The user's own tables: types, blanks, statistics of training rows only, pictures, and every mistake in one line."""

import builtins
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import requires_set
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from umbel.data.cell_values import MISSING_WORDS
from umbel.data.columns import CATEGORY_LIMIT
from umbel.data.split_rules import ColumnSplit, RandomSplit
from umbel.data.tables import MULAN_TARGETS, describe_columns, from_table, table_set
from umbel.errors import UmbelError

ROWS = 60
SPLIT = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
PART = ColumnSplit("part")


def people(**changes) -> pd.DataFrame:
    """60 rows: two numbers (one with gaps), a category, an id; targets of the three usual kinds, with blanks."""
    generator = np.random.default_rng(0)
    columns = {
        "height": generator.normal(170, 10, ROWS).round(3),
        "weight": [None if i % 6 == 0 else float(60 + i % 17) for i in range(ROWS)],
        "city": [("Rome", "Oslo", "Bern")[i % 3] for i in range(ROWS)],
        "id": [f"person-{i}" for i in range(ROWS)],
        "age": [None if i % 5 == 0 else 20.5 + i for i in range(ROWS)],
        "grade": [None if i % 7 == 0 else float(i % 4) for i in range(ROWS)],
        "member": [i % 2 == 0 for i in range(ROWS)],
        "colour": [None if i % 8 == 0 else ("red", "green")[i % 3 == 0] for i in range(ROWS)],
        "part": SPLIT,
    }
    return pd.DataFrame({name: column for name, column in (columns | changes).items() if column is not None})


TARGETS = ["age", "grade", "member", "colour"]


def saved(folder, frame: pd.DataFrame, name="people.csv"):
    path = folder / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if name.endswith("tsv") else ",")
    return path


def whole(data, what="inputs"):
    """Inputs, or targets by name, of all rows of a table split as in `SPLIT`: back in the order of the file."""
    samples = [getattr(data, split).samples for split in ("train", "validation", "test")]
    return torch.cat([s.inputs if what == "inputs" else s.targets[what] for s in samples])


def test_kinds_of_target_are_inferred_and_blanks_are_missing_labels(tmp_path):
    data = from_table(saved(tmp_path, people()), TARGETS, split=PART)
    assert [task.kind for task in data.tasks] == ["regression", *["classification"] * 3]
    assert [task.labels for task in data.tasks[1:]] == [("0", "1", "2", "3"), ("False", "True"), ("green", "red")]
    frame = people()
    age = whole(data, "age")
    assert age.shape == (ROWS, 1)
    np.testing.assert_allclose(age[:, 0].numpy(), frame["age"].to_numpy(dtype=np.float32), equal_nan=True)
    assert whole(data, "grade").tolist() == [-1 if i % 7 == 0 else i % 4 for i in range(ROWS)]
    assert whole(data, "member").tolist() == [int(i % 2 == 0) for i in range(ROWS)]
    assert whole(data, "colour").tolist() == [-1 if i % 8 == 0 else int(i % 3 != 0) for i in range(ROWS)]


def test_inputs_are_standardised_filled_flagged_and_one_hot(tmp_path):
    data = from_table(saved(tmp_path, people()), TARGETS, split=PART)
    frame, inputs = people(), whole(data).numpy()
    assert data.input_shape == (6,)  # height, weight, weight missing?, Bern, Oslo, Rome
    train = frame.iloc[:40]
    height = (frame["height"] - train["height"].mean()) / train["height"].std(ddof=0)
    weight = (frame["weight"] - train["weight"].mean()) / train["weight"].std(ddof=0)
    np.testing.assert_allclose(inputs[:, 0], height, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(inputs[:, 1], weight.fillna(0), rtol=1e-5, atol=1e-6)
    assert inputs[:, 2].tolist() == frame["weight"].isna().astype(float).tolist()
    cities = np.stack([frame["city"] == name for name in ("Bern", "Oslo", "Rome")], 1)
    assert (inputs[:, 3:] == cities).all()


def test_nothing_is_learnt_from_validation_and_test_rows(tmp_path):
    """Other values in held-out rows must change neither what training rows become nor the scale of a regression."""
    first = people()
    other = first.copy()
    held = np.array(SPLIT) != "train"
    other.loc[held, ["height", "age"]] = 1e6
    other.loc[held, "city"] = "Paris"
    one, two = (from_table(saved(tmp_path, f, n), TARGETS, split=PART) for f, n in ((first, "a.csv"), (other, "b.csv")))
    assert torch.equal(one.train.samples.inputs, two.train.samples.inputs)
    prediction = torch.zeros(1, 1)
    assert torch.equal(one.tasks[0].decode(prediction), two.tasks[0].decode(prediction))
    assert (two.test.samples.inputs[:, 3:] == 0).all()  # a city that no training row has


def test_centre_and_scale_are_those_of_the_labelled_training_rows(tmp_path):
    data = from_table(saved(tmp_path, people()), ["age"], split=PART)
    known = people()["age"].iloc[:40].dropna()
    decoded = data.tasks[0].decode(torch.tensor([[0.0], [1.0]]))[:, 0]
    np.testing.assert_allclose(decoded, [known.mean(), known.mean() + known.std(ddof=0)], rtol=1e-6)


@pytest.mark.parametrize("name", ["people.tsv", "people.parquet"])
def test_other_formats_equal_csv(tmp_path, name):
    pytest.importorskip("pyarrow")
    csv, other = (from_table(saved(tmp_path, people(), n), TARGETS, split=PART) for n in ("people.csv", name))
    assert [task.labels for task in csv.tasks] == [task.labels for task in other.tasks]
    assert torch.equal(whole(csv), whole(other))
    for target in TARGETS:
        torch.testing.assert_close(whole(csv, target), whole(other, target), rtol=0, atol=0, equal_nan=True)
    described = [describe_columns(tmp_path / n, TARGETS, split=PART) for n in ("people.csv", name)]
    assert described[0] == described[1]


def test_description_of_columns(tmp_path):
    path = saved(tmp_path, people(constant=[1] * ROWS, nothing=[""] * ROWS))
    rows = {c.name: c for c in describe_columns(path, TARGETS, split=PART, ignore=["height"])}
    shown = {name: (c.role, c.kind, c.distinct, c.missing) for name, c in rows.items()}
    assert shown == {
        "height": ("ignored", "number", ROWS, 0),
        "weight": ("input", "number", 17, 10),
        "city": ("input", "category", 3, 0),
        "id": ("ignored", "text", ROWS, 0),
        "age": ("target", "number", 48, 12),
        "grade": ("target", "category", 4, 9),
        "member": ("target", "category", 2, 0),
        "colour": ("target", "category", 2, 8),
        "part": ("split", "category", 3, 0),
        "constant": ("ignored", "number", 1, 0),
        "nothing": ("ignored", "number", 0, ROWS),
    }
    assert [rows[n].note for n in ("height", "id", "constant", "nothing")] == [
        "as asked",
        "text that differs in every row",
        "the same in every row",
        "empty",
    ]
    data = from_table(path, TARGETS, split=PART, ignore=["height"])
    assert "Ignored (text that differs in every row): id." in data.note
    assert "Ignored (as asked): height." in data.note


def test_kinds_override_what_is_inferred(tmp_path):
    path = saved(tmp_path, people(weight=[float(i % 3) for i in range(ROWS)]))
    kinds = {"grade": "regression", "weight": "category"}
    data = from_table(path, ["grade"], kinds=kinds, split=PART, ignore=["city", "age", "member", "colour"])
    assert data.tasks[0].kind == "regression"
    assert data.input_shape == (4,)  # height and three weights
    age = people(age=[float(i % 2) for i in range(ROWS)])
    assert from_table(saved(tmp_path, age), ["age"], kinds={"age": "classification"}).tasks[0].labels == ("0", "1")


def test_fractions_may_be_classes(tmp_path):
    path = saved(tmp_path, people(height=[(0.5, 10.25, 2.0)[i % 3] for i in range(ROWS)]))
    data = from_table(path, ["height"], kinds={"height": "category"}, split=PART)
    assert data.tasks[0].labels == ("0.5", "2", "10.25")
    assert whole(data, "height").tolist() == [(0, 2, 1)[i % 3] for i in range(ROWS)]


def test_words_for_missing_values_are_a_list_that_can_be_changed(tmp_path):
    numbers = ["na", "nan", "?", " 7 "] * 15
    words = ["None", "N/A", "yes", " no "] * 15
    path = saved(tmp_path, people(weight=numbers, colour=words))
    rows = {c.name: c for c in describe_columns(path, ["colour"])}
    assert (rows["weight"].kind, rows["weight"].missing) == ("number", 45)
    assert (rows["colour"].kind, rows["colour"].distinct, rows["colour"].missing) == ("category", 2, 30)
    assert rows["colour"].note == "'N/A', 'None' taken as missing"
    data = from_table(path, ["colour"])
    assert data.tasks[0].labels == ("no", "yes")
    assert "In colour: 'N/A', 'None' taken as missing." in data.note
    kept = from_table(path, ["colour"], missing=["N/A"], ignore=["weight"])
    assert kept.tasks[0].labels == ("None", "no", "yes")


@pytest.mark.parametrize("word", MISSING_WORDS)
def test_every_listed_word_is_missing_among_numbers_and_among_words(tmp_path, word):
    path = saved(tmp_path, people(weight=[word, 1.5, 2.5] * 20, city=[word, "Rome", "Oslo"] * 20))
    rows = {c.name: c for c in describe_columns(path, ["age"])}
    assert [(rows[n].kind, rows[n].missing) for n in ("weight", "city")] == [("number", 20), ("category", 20)]


def test_words_of_categories_are_missing_in_their_very_spelling_only(tmp_path):
    path = saved(tmp_path, people(city=["Na", "none", "Fe"] * 20))  # sodium, an answer, iron
    column = next(c for c in describe_columns(path, ["age"]) if c.name == "city")
    assert (column.distinct, column.missing) == (3, 0)


def test_classes_are_in_numerical_order(tmp_path):
    data = from_table(saved(tmp_path, people(grade=[(2, 10, 1)[i % 3] for i in range(ROWS)])), ["grade"])
    assert data.tasks[0].labels == ("1", "2", "10")


def test_a_class_that_training_never_shows_is_kept_and_said(tmp_path):
    colours = [("red", "green")[i % 2] for i in range(ROWS - 1)] + ["blue"]
    data = from_table(saved(tmp_path, people(colour=colours)), ["colour"], split=PART)
    assert data.tasks[0].labels == ("blue", "green", "red")
    assert "No training row of colour is blue" in data.warnings[0]
    assert data.test.samples.targets["colour"][-1] == 0


def test_random_split_is_a_function_of_the_seed_and_covers_every_row_once(tmp_path):
    path = saved(tmp_path, people(age=[float(i) for i in range(ROWS)]))
    ages = [whole(from_table(path, ["age"], split=RandomSplit(seed=seed)), "age")[:, 0].tolist() for seed in (0, 0, 1)]
    assert ages[0] == ages[1] != ages[2]
    assert all(sorted(a) == list(range(ROWS)) for a in ages)
    data = from_table(path, ["age"])
    assert [len(s) for s in (data.train, data.validation, data.test)] == [42, 9, 9]


def test_without_validation_rows_some_training_rows_are_taken(tmp_path):
    part = ["Train"] * 40 + ["TEST"] * 20
    data = from_table(saved(tmp_path, people(part=part)), ["age"], split=PART)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [34, 6, 20]


def test_a_gap_that_training_never_shows_brings_no_input_of_its_own(tmp_path):
    path = saved(tmp_path, people(height=[150.0 + i for i in range(ROWS - 1)] + [None]))
    data = from_table(path, TARGETS, split=PART)
    assert data.input_shape == (6,)
    assert data.test.samples.inputs[-1, 0] == 0


def test_a_number_that_does_not_vary_in_training_stays_zero(tmp_path):
    path = saved(tmp_path, people(height=[0.1] * 40 + [1e9] * 20))
    assert (whole(from_table(path, TARGETS, split=PART))[:, 0] == 0).all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_table_with_blanks_gives_finite_inputs_and_its_own_targets(tmp_path, data):
    cell = st.none() | st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda v: round(v, 3))
    column = st.lists(cell, min_size=30, max_size=30)
    frame = pd.DataFrame({"a": data.draw(column), "b": data.draw(column), "t": data.draw(column)}, dtype=float)
    frame["c"] = np.arange(30) % 4
    frame["part"] = ["train"] * 20 + ["val"] * 5 + ["test"] * 5
    try:
        made = from_table(saved(tmp_path, frame), ["t"], kinds={"t": "regression"}, split=PART)
    except UmbelError as error:
        # What can be wrong: too few labels, or numbers beside a far outlier.
        assert "target column 't'" in str(error) or "can tell only" in str(error)
        return
    inputs, target = whole(made), whole(made, "t")[:, 0].numpy()
    assert torch.isfinite(inputs).all()
    np.testing.assert_allclose(target, frame["t"].to_numpy(np.float32), equal_nan=True)
    gaps = frame[["a", "b"]].iloc[:20].isna().any()
    described = {c.name: c.role for c in describe_columns(tmp_path / "people.csv", ["t"], split=PART)}
    used = [name for name in ("a", "b", "c") if described[name] == "input"]
    assert inputs.shape[1] == len(used) + sum(gaps[name] for name in used if name != "c")


def pictured(folder, sizes=((8, 6),), **changes):
    """A table of 60 pictures whose red value is the row number."""
    (folder / "images").mkdir(exist_ok=True)
    for i in range(ROWS):
        Image.new("RGB", sizes[i % len(sizes)], (i, 0, 255)).save(folder / "images" / f"{i}.png")
    return saved(folder, people(**({"file": [f"images/{i}.png" for i in range(ROWS)]} | changes)))


def test_pictures_belong_to_their_rows(tmp_path):
    data = from_table(pictured(tmp_path, age=[float(i) for i in range(ROWS)]), ["age"], image_column="file")
    assert data.input_shape == (3, 6, 8)
    assert "Ignored (the picture is the input)" in data.note
    pictures, ages = whole(data), whole(data, "age")[:, 0]
    assert pictures.dtype == torch.uint8
    assert torch.equal(pictures[:, 0, 0, 0].float(), ages)
    assert (pictures[:, 2] == 255).all()


def test_pictures_of_one_group_stay_together(tmp_path):
    groups = [f"p{i % 12}" for i in range(ROWS)]
    path = pictured(tmp_path, patient=groups, weight=[float(i) for i in range(ROWS)])
    about = {"targets": ["weight"], "image_column": "file"}
    assert ["use --group-column patient." in warning for warning in from_table(path, **about).warnings] == [True]
    data = from_table(path, **about, split=RandomSplit(group="patient"))
    rows = [part.samples.targets["weight"][:, 0].int() % 12 for part in (data.train, data.validation, data.test)]
    assert sum(len(set(part.tolist())) for part in rows) == 12
    assert not data.warnings


def test_resolution_resizes_pictures_of_mixed_size(tmp_path):
    path = pictured(tmp_path, sizes=((8, 6), (9, 9)))
    assert from_table(path, ["age"], image_column="file", resolution=5).input_shape == (3, 5, 5)
    with pytest.raises(UmbelError, match=r"png is (8×6|9×9), .*png is (8×6|9×9); give a resolution"):
        from_table(path, ["age"], image_column="file")


def test_sixteen_bit_pictures_keep_their_range(tmp_path):
    path = pictured(tmp_path)
    for i in range(ROWS):
        Image.fromarray(np.full((6, 8), 256 * i, dtype=np.uint16)).save(tmp_path / "images" / f"{i}.png")
    assert sorted(whole(from_table(path, ["age"], image_column="file"))[:, 0, 0, 0].tolist()) == list(range(ROWS))


def test_missing_and_broken_pictures_are_named(tmp_path):
    path = pictured(tmp_path)
    (tmp_path / "images/7.png").write_bytes(b"no picture")
    with pytest.raises(UmbelError, match=r"7\.png: cannot be read as a picture"):
        from_table(path, ["age"], image_column="file")
    (tmp_path / "images/7.png").unlink()
    with pytest.raises(UmbelError, match=r"7\.png: no such picture"):
        from_table(path, ["age"], image_column="file")
    pictured(tmp_path)
    with pytest.raises(UmbelError, match=r"column 'file' is blank in row 3"):
        files = [None if i == 2 else f"images/{i}.png" for i in range(ROWS)]
        from_table(saved(tmp_path, people(file=files)), ["age"], image_column="file")


HIGH = [float(i) for i in range(ROWS - 1)]


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"targets": ["aeg"]}, "unknown target column 'aeg'; did you mean 'age'"),
        ({}, {"targets": []}, "no target column"),
        ({}, {"targets": ["age", "age"]}, "'age' is given as target column and as target column"),
        ({}, {"image_column": "files"}, "unknown image column 'files'"),
        ({}, {"image_column": "age"}, "'age' is given as target column and as image column"),
        ({}, {"split": ColumnSplit("parts")}, "unknown split column 'parts'; did you mean 'part'"),
        ({}, {"ignore": ["hight"]}, "unknown column to ignore 'hight'; did you mean 'height'"),
        ({}, {"kinds": {"agee": "number"}}, "unknown column in `kinds` 'agee'; did you mean 'age'"),
        ({}, {"kinds": {"age": "regresion"}}, "'age': unknown kind 'regresion'; did you mean 'regression'"),
        ({}, {"kinds": {"city": "number"}}, "'city' cannot be of kind number: it holds 'Rome'"),
        ({"age": [3.5] * ROWS}, {}, "target column 'age' has only one"),
        ({"colour": ["red"] * ROWS}, {"targets": ["colour"]}, "target column 'colour' has only one class"),
        (
            {"colour": ["red", "None"] * (ROWS // 2)},
            {"targets": ["colour"]},
            "only one class besides .* as NA and None are",
        ),
        ({"age": [""] * ROWS}, {}, "target column 'age' has no label at all"),
        (
            {"age": [1.5, 2.5, 3.5] + [None] * 57},
            {"split": PART},
            "'age' has no label in the validation rows",
        ),
        ({"age": [1.5] * 40 + [2.5] * 20}, {"split": PART}, "'age' is 1.5 in every training row"),
        ({}, {"targets": ["id"]}, "'id' is text with 60 different values in 60 rows"),
        ({"height": [*HIGH, float("inf")]}, {}, "column 'height' is infinite in row 60"),
        ({"height": [1e39, *HIGH]}, {}, "column 'height' is too large in row 1"),
        ({"age": [*HIGH, float("-inf")]}, {}, "column 'age' is infinite in row 60"),
        ({}, {"ignore": ["height", "weight", "city", "part", *TARGETS[1:]]}, r"no input column is left .*'id' \(text"),
        ({"part": [*SPLIT[:-1], "later"]}, {"split": PART}, "holds 'later' in row 60"),
        ({"part": [None, *SPLIT[1:]]}, {"split": PART}, "holds '' in row 1"),
        ({"part": ["train", "val"] * 30}, {"split": PART}, "has no row 'test'"),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path, changes, options, message):
    path = saved(tmp_path, people(**changes))
    with pytest.raises(UmbelError, match=message) as caught:
        from_table(path, **({"targets": ["age"]} | options))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_many_categories_are_refused_until_ignored(tmp_path):
    count = 2 * (CATEGORY_LIMIT + 1)
    frame = pd.DataFrame({"x": np.arange(count), "word": [f"w{i // 2}" for i in range(count)]})
    frame["y"] = frame["x"] * 0.5
    path = saved(tmp_path, frame)
    with pytest.raises(UmbelError, match=r"'word' has 101 categories, at most 100 can be used; ignore it"):
        from_table(path, ["y"])
    assert from_table(path, ["y"], ignore=["word"]).input_shape == (1,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"a,b\n", "0 rows; .* at least 20"),
        (b"a,b\n" + b"1,2\n" * 5, "5 rows; .* at least 20"),
        (b"a,b,a\n" + b"1,2,3\n" * 30, "two columns are called 'a'"),
        (b"a,b\n" + b"1,2,3\n" * 30, "line 2 has 3 cells, the header has 2"),
        (b"\x89PNG\r\n\x1a\n\x00\xff" * 30, "cannot be read as a table of UTF-8 text"),
        (b"a;b\n" + b"1;2\n" * 30, "separated by ';'"),
    ],
)
def test_files_that_are_no_table(tmp_path, content, message):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(UmbelError, match=message) as caught:
        from_table(path, ["a"])
    assert "\n" not in str(caught.value)


def test_every_type_of_parquet_is_a_number_or_text(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "decimal": [Decimal(i) / 4 for i in range(ROWS)],
            "gaps": pd.array([None if i % 2 else i for i in range(ROWS)], dtype="Int64"),
            "sized": pd.Categorical([("S", "M", "L")[i % 3] for i in range(ROWS)]),
            "answer": pd.array([(True, None, False)[i % 3] for i in range(ROWS)], dtype="boolean"),
            "day": pd.date_range("2020-01-01", periods=ROWS),
            "never": pd.Series([pd.NaT] * ROWS, dtype="datetime64[ns]"),
            "code": ["007", "012"] * 30,
        }
    )
    rows = describe_columns(saved(tmp_path, frame, "types.parquet"), ["answer"])
    assert {c.name: (c.role, c.kind, c.distinct, c.missing) for c in rows} == {
        "decimal": ("input", "number", ROWS, 0),
        "gaps": ("input", "number", 30, 30),
        "sized": ("input", "category", 3, 0),
        "answer": ("target", "category", 2, 20),
        "day": ("ignored", "text", ROWS, 0),
        "never": ("ignored", "number", 0, ROWS),
        "code": ("input", "category", 2, 0),
    }


def test_a_file_that_is_not_there_or_not_parquet(tmp_path):
    with pytest.raises(UmbelError, match="no such file"):
        from_table(tmp_path / "none.csv", ["a"])
    (tmp_path / "table.parquet").write_bytes(b"a,b\n1,2\n")
    pytest.importorskip("pyarrow")
    with pytest.raises(UmbelError, match="cannot be read as Parquet"):
        from_table(tmp_path / "table.parquet", ["a"])


def test_without_pyarrow_the_pip_command_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **named):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **named)

    (tmp_path / "table.parquet").write_bytes(b"")
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UmbelError, match=r'pip install "umbel\[parquet\]"'):
        from_table(tmp_path / "table.parquet", ["a"])


def test_quoted_cells_byte_order_mark_and_unnamed_columns(tmp_path):
    lines = ["\ufeff,name,y", *(f'{i},"{("a, b", "c")[i % 2]}",{i / 2}' for i in range(30))]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    rows = describe_columns(path, ["y"])
    assert [(c.name, c.distinct) for c in rows] == [("column 1", 30), ("name", 2), ("y", 30)]


@pytest.mark.parametrize("name", MULAN_TARGETS)
def test_mulan_tables(name):
    requires_set(name, f"tables/{name}.csv")
    data = table_set(name)
    assert data.name == name
    assert len(data.tasks) == MULAN_TARGETS[name]
    assert all(task.kind == "regression" for task in data.tasks)
    assert torch.isfinite(data.train.samples.inputs).all()
    assert data.train.samples.inputs.abs().amax() < 1e3
    assert "MULAN" in data.note


def test_mulan_size_and_names():
    with pytest.raises(UmbelError, match="unknown table 'slumb'; did you mean 'slump'"):
        table_set("slumb")
    requires_set("slump", "tables/slump.csv")
    assert len(table_set("slump", size=20).train) == 20
