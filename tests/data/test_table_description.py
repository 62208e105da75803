"""One description of the preprocessing: made once, kept as JSON, used for the same file and for new rows."""

import json
from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from umbel.data.split_rules import ColumnSplit
from umbel.data.table_description import FORMAT, VERSION
from umbel.data.tables import TableDescription, from_table, new_rows
from umbel.errors import UmbelError

ROWS = 200


def flats(rows=ROWS, seed=0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "metres": generator.normal(70, 20, rows).round(2),
            "rooms": [None if i % 7 == 0 else float(1 + i % 5) for i in range(rows)],
            "code": [("007", "7", "12")[i % 3] for i in range(rows)],
            "rent": [None if i % 5 == 0 else 1_700_000_000 + 10.0 * i for i in range(rows)],
            "balcony": [("yes", "no")[i % 4 == 0] for i in range(rows)],
        }
    )
    return frame


TARGETS = ["rent", "balcony"]
KINDS = {"code": "category"}


def saved(folder, frame, name="flats.csv"):
    path = folder / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    return path


@pytest.fixture
def made(tmp_path):
    data = from_table(saved(tmp_path, flats()), TARGETS, kinds=KINDS)
    return data.reading, data


def equal(one, other):
    for split in ("train", "validation", "test"):
        a, b = getattr(one, split).samples, getattr(other, split).samples
        assert torch.equal(a.inputs, b.inputs)
        for name in a.targets:
            torch.testing.assert_close(a.targets[name], b.targets[name], rtol=0, atol=0, equal_nan=True)


def test_it_says_what_was_made_of_every_column(made):
    description, data = made
    train = data.train.samples
    metres, rooms, code = description.inputs
    assert [(c.name, c.kind, c.flagged) for c in description.inputs] == [
        ("metres", "number", False),
        ("rooms", "number", True),
        ("code", "category", False),
    ]
    assert code.categories == ("007", "7", "12")
    assert rooms.scale > 0 < metres.scale
    rent, balcony = description.targets
    known = train.targets["rent"][~train.targets["rent"].isnan()].numpy()
    assert (rent.kind, rent.centre, rent.scale) == ("regression", known.mean(), known.std())
    assert (balcony.kind, balcony.classes) == ("classification", ("no", "yes"))
    assert [(part.split, part.rows) for part in description.splits] == [
        ("train", 140),
        ("validation", 30),
        ("test", 30),
    ]
    assert len({part.digest for part in description.splits}) == 3
    assert description.input_shape == data.input_shape == (1 + 2 + 3,)
    with pytest.raises(FrozenInstanceError):
        description.inputs = ()


def test_the_round_trip_through_json_keeps_every_bit(made):
    description, _ = made
    text = description.to_json()
    assert json.loads(text)["format"] == FORMAT
    assert json.loads(text)["version"] == VERSION
    assert TableDescription.from_json(text) == description
    assert asdict(TableDescription.from_json(text)) == asdict(description)


def test_the_same_file_gives_the_same_set(tmp_path, made):
    description, data = made
    again = from_table(tmp_path / "flats.csv", description=TableDescription.from_json(description.to_json()))
    equal(data, again)
    assert [task.labels for task in again.tasks] == [task.labels for task in data.tasks]
    assert torch.equal(*(d.tasks[0].decode(torch.ones(1, 1)) for d in (data, again)))
    assert again.input_shape == data.input_shape


def test_columns_may_come_in_another_order_and_others_beside_them(tmp_path, made):
    description, data = made
    frame = flats()[["balcony", "code", "rent", "rooms", "metres"]].assign(more=[f"m{i}" for i in range(ROWS)])
    equal(data, from_table(saved(tmp_path, frame, "other.csv"), description=description))


def test_the_same_rows_in_another_format_are_the_same(tmp_path, made):
    pytest.importorskip("pyarrow")
    equal(made[1], from_table(saved(tmp_path, flats(), "flats.parquet"), description=made[0]))


def test_appended_rows_are_not_evaluated_as_if_nothing_had_happened(tmp_path, made):
    longer = pd.concat([flats(), flats(30, seed=1)])
    with pytest.raises(UmbelError, match=r"train \(140 then, 162 now\).*test \(30 then, 3\d now\).*as new rows"):
        from_table(saved(tmp_path, longer, "longer.csv"), description=made[0])


@pytest.mark.parametrize("column", ["metres", "rooms", "code", "rent", "balcony"])
def test_one_changed_cell_of_the_test_rows_is_told(tmp_path, made, column):
    frame = flats()
    test = np.flatnonzero(np.isin(frame["metres"], undone(made)))[1]
    changed = {"metres": 71.5, "rooms": 2.5, "code": "7" if frame["code"][test] != "7" else "12", "rent": 1.7e9 + 1}
    frame.loc[test, column] = (changed | {"balcony": "no" if frame["balcony"][test] == "yes" else "yes"})[column]
    with pytest.raises(UmbelError, match=r"not those that were learnt from: test \(other values\); give"):
        from_table(saved(tmp_path, frame, "changed.csv"), description=made[0])


def undone(made) -> np.ndarray:
    """The `metres` of the test rows."""
    description, data = made
    (metres, *_) = description.inputs
    return (data.test.samples.inputs[:, 0].double() * metres.scale + metres.centre).numpy().round(2)


def test_rows_in_another_order_are_told(tmp_path, made):
    with pytest.raises(UmbelError, match=r"train \(other values\)"):
        from_table(saved(tmp_path, flats()[::-1], "reversed.csv"), description=made[0])


def test_new_rows_are_scaled_as_the_training_rows_were(tmp_path, made):
    description, _ = made
    first, shifted = (
        new_rows(saved(tmp_path, flats(3, 1).assign(metres=flats(3, 1)["metres"] + s), "new.csv"), description)
        for s in (0, 100)
    )
    moved = shifted.inputs[:, 0] - first.inputs[:, 0]
    np.testing.assert_allclose(moved, 100 / description.inputs[0].scale, rtol=1e-5)
    assert first.targets["balcony"].tolist() == [0, 1, 1]
    assert first.targets["rent"][1:, 0].tolist() == [1_700_000_010, 1_700_000_020]


def test_new_rows_need_no_targets_and_unknown_categories_are_zero(tmp_path, made):
    frame = pd.DataFrame({"code": ["007", "8", "NA"], "metres": [70.0, None, 1.0], "rooms": [None, 2.0, 3.0]})
    batch = new_rows(saved(tmp_path, frame, "new.csv"), made[0])
    assert batch.inputs[:, 3:].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert batch.inputs[:, 2].tolist() == [1, 0, 0]
    assert batch.inputs[1, 0] == 0
    assert batch.targets["rent"].isnan().all()
    assert batch.targets["balcony"].tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="metres"), "no column 'metres', which is an input"),
        (lambda f: f.assign(metres="wide"), "column 'metres' holds numbers, but 'wide' in row 1"),
        (lambda f: f.assign(metres=[1e39] * len(f)), "column 'metres' is too large in row 1"),
        (lambda f: f.assign(balcony="YES"), r"column 'balcony' holds 'YES' in row 1, which is none of .*\(no, yes\)"),
        (lambda f: f.assign(rent="cheap", metres="x").drop(columns="code"), "'metres' .*; .*'code', .*; column 'rent'"),
        (lambda f: f.iloc[:0], "a header and no row"),
    ],
)
def test_a_file_that_does_not_fit_is_told_which_column_and_how(tmp_path, made, change, message):
    with pytest.raises(UmbelError, match=message) as caught:
        new_rows(saved(tmp_path, change(flats(20)), "new.csv"), made[0])
    assert "\n" not in str(caught.value)


def test_a_renamed_class_is_refused_by_the_run_too(tmp_path, made):
    frame = flats().replace({"balcony": {"yes": "ja"}})
    with pytest.raises(UmbelError, match="column 'balcony' holds 'ja' in row 2"):
        from_table(saved(tmp_path, frame, "renamed.csv"), description=made[0])


def test_a_file_without_a_target_is_no_set_to_learn_from(tmp_path, made):
    with pytest.raises(UmbelError, match="there is no column 'rent'"):
        from_table(saved(tmp_path, flats().drop(columns="rent"), "new.csv"), description=made[0])


def test_a_description_is_given_alone(tmp_path, made):
    with pytest.raises(UmbelError, match="give it alone"):
        from_table(tmp_path / "flats.csv", TARGETS, description=made[0])


def test_a_split_column_and_the_words_for_gaps_are_part_of_it(tmp_path):
    frame = flats().assign(part=["train"] * 150 + ["test"] * 50, code=["none", "a", "b", "c"] * 50)
    path = saved(tmp_path, frame)
    data = from_table(path, TARGETS, split=ColumnSplit("part", seed=3), missing=["none"])
    description = data.reading
    assert (description.split, description.missing) == (ColumnSplit("part", seed=3), ("none",))
    assert description.inputs[2].categories == ("a", "b", "c")
    equal(data, from_table(path, description=description))
    with pytest.raises(UmbelError, match="there is no column 'part'"):
        from_table(saved(tmp_path, frame.drop(columns="part"), "other.csv"), description=description)


def test_numbers_read_as_people_write_them_are_read_so_again(tmp_path):
    frame = flats().assign(price=[f"{1 + i},{i:03}" for i in range(ROWS)])
    data = from_table(saved(tmp_path, frame), TARGETS, kinds=KINDS | {"price": "number"})
    description = data.reading
    equal(data, from_table(tmp_path / "flats.csv", description=description))


def test_pictures_are_part_of_it(tmp_path):
    for i in range(40):
        Image.new("RGB", (8, 6), (i, 0, 255)).save(tmp_path / f"{i}.png")
    frame = pd.DataFrame({"file": [f"{i}.png" for i in range(40)], "y": [i + 0.5 for i in range(40)]})
    data = from_table(saved(tmp_path, frame), ["y"], image_column="file")
    description = data.reading
    assert (description.image.name, description.image.resolution, description.image.shape) == ("file", None, (3, 6, 8))
    assert TableDescription.from_json(description.to_json()) == description
    equal(data, from_table(tmp_path / "flats.csv", description=description))
    batch = new_rows(saved(tmp_path, frame[["file"]].iloc[5:7], "new.csv"), description)
    assert batch.inputs[:, 0, 0, 0].tolist() == [5, 6]
    for i in range(40):
        Image.new("RGB", (8, 6), (i, 1, 255)).save(tmp_path / f"{i}.png")
    with pytest.raises(UmbelError, match=r"test \(other values\)"):
        from_table(tmp_path / "flats.csv", description=description)
    Image.new("RGB", (9, 6)).save(tmp_path / "5.png")
    with pytest.raises(UmbelError, match="its pictures are 9×6, those were 8×6"):
        new_rows(saved(tmp_path, frame[["file"]].iloc[5:6], "new.csv"), description)
    with pytest.raises(UmbelError, match="no column 'file', which names the pictures"):
        new_rows(saved(tmp_path, frame[["y"]], "new.csv"), description)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d | {"version": VERSION + 1}, f"has version {VERSION + 1}, this Umbel reads {VERSION}"),
        (lambda d: d | {"format": "x"}, "does not say"),
        (lambda d: {k: v for k, v in d.items() if k != "targets"}, "damaged .*targets"),
        (lambda d: d | {"targets": [d["targets"][0] | {"scale": 0.0}]}, "damaged"),
        (lambda d: d | {"targets": [d["targets"][0] | {"centre": "0"}]}, "damaged"),
        (lambda d: d | {"targets": [d["targets"][1] | {"classes": ["one"]}]}, "damaged"),
        (lambda d: d | {"inputs": [d["inputs"][0] | {"kind": "word"}]}, "damaged"),
        (lambda d: d | {"inputs": [d["inputs"][0] | {"flagged": 1}]}, "damaged"),
        (lambda d: d | {"inputs": {}}, "damaged"),
        (lambda d: d | {"splits": [{"split": "train", "rows": True, "digest": ""}]}, "damaged"),
        (lambda d: d | {"image": {"name": "a", "resolution": None, "shape": [3, 4]}}, "damaged"),
        (lambda d: d | {"missing": [1]}, "damaged"),
        (lambda d: d | {"split": {"column": None, "seed": 0}}, "damaged .*rule"),
        (lambda d: d | {"split": d["split"] | {"rule": "by luck"}}, "damaged"),
        (lambda d: d | {"split": d["split"] | {"seed": "0"}}, "damaged .*seed of the split"),
        (lambda d: d | {"split": d["split"] | {"parts": {"train": 1, "validation": 1, "test": 1}}}, "damaged .*share"),
        (lambda d: d | {"split": d["split"] | {"parts": {"count": 3, "fold": 3}}}, "damaged .*fold 3 of 3"),
        (lambda d: d | {"split": d["split"] | {"parts": 3}}, "damaged"),
        (lambda d: d | {"split": d["split"] | {"column": "a"}}, "damaged"),
        (lambda d: d | {"split": "random"}, "damaged"),
        (lambda d: [d], "does not say"),
    ],
)
def test_damaged_descriptions_are_refused_in_one_line(made, damage, message):
    with pytest.raises(UmbelError, match=message) as caught:
        TableDescription.from_json(json.dumps(damage(json.loads(made[0].to_json()))))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_text_that_is_no_json_is_refused(text):
    with pytest.raises(UmbelError, match="no JSON"):
        TableDescription.from_json(text)
