"""`umbel.load(run).predict`: the right values, for every kind of input, row by row."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_runs import flats, picture_run, table_run

import umbel
from umbel.data.row_marks import marks_of, marks_text, row_marks
from umbel.engine import load_checkpoint, resolve
from umbel.errors import UmbelError
from umbel.inference import NewInputs, Predictor, RowsWarning


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return table_run(tmp_path_factory.mktemp("flats"))


@pytest.fixture(scope="module")
def predictor(run) -> Predictor:
    return umbel.load(run)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return picture_run(tmp_path_factory.mktemp("pictures"))


def new(rows=12, seed=1):
    return flats(rows, seed).drop(columns=["rent", "balcony"])


def by_hand(run, frame, table):
    """What the network should get and give, computed from the training rows and the weights alone."""
    saved = load_checkpoint(resolve(run))
    split = torch.randperm(len(table), generator=umbel.data.seeded(0, len(table))).numpy()
    train = table.iloc[np.sort(split[2 * round(0.15 * len(table)) :])]
    columns = []
    for name in ("metres", "rooms"):
        seen = train[name].astype(float)
        standard = (frame[name].astype(float) - seen.mean()) / seen.std(ddof=0)
        columns.append(standard.fillna(0))
        if seen.isna().any():
            columns.append(frame[name].isna().astype(float))
    columns += [(frame["code"] == code).astype(float) for code in ("007", "7", "12")]
    x = torch.tensor(np.stack(columns, 1), dtype=torch.float32)

    def layer(x, name):
        return x @ saved.weights[f"model.{name}.weight"].T + saved.weights[f"model.{name}.bias"]

    x = torch.relu(layer(torch.relu(layer(x, "encoder.layers.0")), "encoder.layers.2"))
    raw = {task: layer(x, f"heads.task_{task}.layers.0").double().numpy() for task in ("rent", "balcony")}
    rent = raw["rent"][:, 0] * train["rent"].std(ddof=0) + train["rent"].mean()
    odds = np.exp(raw["balcony"])
    return rent, odds / odds.sum(1, keepdims=True)


def test_predictions_are_those_computed_by_hand(run, predictor):
    frame = new()
    rent, balcony = by_hand(run, frame, flats())
    answers = predictor.predict(frame)
    assert list(answers.columns) == ["rent", "balcony", "balcony: no", "balcony: yes"]
    np.testing.assert_allclose(answers["rent"] - 1.7e9, rent - 1.7e9, rtol=1e-4)
    assert answers["rent"].dtype == np.float64
    np.testing.assert_allclose(answers[["balcony: no", "balcony: yes"]], balcony, atol=1e-5)
    assert answers["balcony"].tolist() == [("no", "yes")[i] for i in balcony.argmax(1)]
    assert answers["rent"].nunique() == len(frame)  # in float32 there are steps of 128


def test_a_file_a_frame_and_a_list_that_say_the_same_give_the_same_bits(tmp_path, predictor):
    pytest.importorskip("pyarrow")
    frame = new(40)
    frame.to_csv(tmp_path / "new.csv", index=False)
    frame.to_csv(tmp_path / "new.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "new.parquet")
    nullable = frame.assign(rooms=frame["rooms"].astype("Int64"), code=frame["code"].astype("category"))
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    every = np.arange(40)
    expected = predictor.read(frame).read(every)
    assert expected.shape == (40, 6)
    for given in (
        *(tmp_path / f"new.{e}" for e in ("csv", "tsv", "parquet")),
        str(tmp_path / "new.csv"),
        nullable,
        rows,
    ):
        read = predictor.read(given)
        assert isinstance(read, NewInputs)
        assert torch.equal(read.read(every), expected)
        assert not read.notes


def test_rows_do_not_depend_on_each_other_nor_on_the_batches(predictor):
    frame = new(30)
    whole = predictor.predict(frame)
    single = pd.concat([predictor.predict(frame.iloc[i : i + 1]) for i in range(30)])
    for other in (single, predictor.predict(frame, batch_size=7), predictor.predict(frame[::-1])[::-1]):
        assert other.index.equals(whole.index)
        assert other["balcony"].equals(whole["balcony"])
        np.testing.assert_allclose(other["rent"] - 1.7e9, whole["rent"] - 1.7e9, rtol=1e-4)
        np.testing.assert_allclose(other["balcony: yes"], whole["balcony: yes"], atol=1e-6)
    assert predictor.predict(frame).equals(whole)


def test_the_index_is_that_of_the_frame(predictor):
    frame = new(3).set_index(pd.Index(["a", "b", "a"], name="flat"))
    assert predictor.predict(frame).index.equals(frame.index)


def test_codes_keep_their_zeros(predictor):
    same = pd.concat([new(1)] * 2).assign(code=["007", "7"])
    one, other = predictor.predict(same)["balcony: no"]
    assert one > 0.5 > other  # "007" had no balcony, "7" had
    numbers = predictor.predict(same.iloc[1:].assign(code=7))
    np.testing.assert_allclose(numbers["balcony: no"], other, rtol=1e-4)


def test_what_no_training_row_had_is_counted_and_told(predictor):
    frame = new(6).assign(code=["8", "007", "8", "9", "7", None])
    frame.loc[[1, 2], "metres"] = None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        predictor.predict(frame)
    said = [str(one.message) for one in told]
    assert said == [
        "column 'metres': 2 cells are blank, as in no training row; taken as the training rows' mean",
        "column 'code': 1 cell is blank, as in no training row; taken as no category at all",
        "column 'code': 3 cells are of a category that no training row had ('8', '9'); taken as none of the known ones",
    ]
    assert told[0].filename == __file__
    assert predictor.read(frame).read(np.arange(6))[0, 3:].tolist() == [0, 0, 0]
    assert predictor.read(frame).read(np.arange(6))[1, 0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="rooms"), "no column 'rooms', which is an input"),
        (lambda f: f.assign(metres=["1", "2", "many"]), "column 'metres' holds numbers, but 'many' in row 3"),
        (lambda f: f.assign(metres=[1.0, np.inf, 2.0]), "column 'metres' is infinite in row 2"),
        (lambda f: f.assign(rooms=[[1], [2], [3]]), "column 'rooms' holds list values"),
        (lambda f: f.assign(rooms=1 + 2j), "column 'rooms' holds complex values"),
        (lambda f: f.iloc[:0], "no row"),
        (lambda f: f.drop(columns=f.columns), "no column at all"),
        (lambda f: pd.concat([f, f["code"]], axis=1), "two columns are called 'code'"),
        (lambda f: [], "the list of rows is empty"),
        (lambda f: f.to_numpy(), "an array has no columns"),
        (lambda f: f["metres"], "a Series is no table"),
        (lambda f: "nowhere.csv", "nowhere.csv: no such file"),
        (lambda f: "somewhere", "somewhere: the run learnt from a table"),
    ],
)
def test_rows_that_do_not_fit_are_refused_in_one_line(predictor, change, message):
    with pytest.raises(UmbelError, match=message) as raised:
        predictor.predict(change(new(3)))
    assert "\n" not in str(raised.value)


def test_points_and_batches_out_of_place_are_refused(predictor):
    with pytest.raises(UmbelError, match="has one width only; leave the point out"):
        predictor.predict(new(2), "width=0.5")
    with pytest.raises(UmbelError, match="batch size is 0"):
        predictor.predict(new(2), batch_size=0)


def test_arrays_hold_the_same_numbers(predictor):
    frame = new(5)
    arrays, answers = predictor.predict_arrays(frame), predictor.predict(frame)
    assert arrays["rent"].shape == (5, 1)
    assert arrays["rent"][:, 0].tolist() == answers["rent"].tolist()
    assert arrays["balcony"][:, 1].tolist() == answers["balcony: yes"].tolist()
    assert predictor.columns["balcony"] == {"": "balcony", "no": "balcony: no", "yes": "balcony: yes"}


def test_evaluating_new_rows_counts_their_labels(predictor):
    frame = flats(50, seed=2)
    answers, scores = predictor.predict(frame), predictor.evaluate(frame)
    known = frame["rent"].notna()
    error = (answers["rent"] - frame["rent"])[known]
    assert scores.metrics["rent"]["RMSE"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-3)
    said = frame["balcony"].notna()
    right = (answers["balcony"] == frame["balcony"])[said].mean()
    assert scores.metrics["balcony"]["accuracy"] == pytest.approx(right)
    assert not predictor.trained_on(predictor.read(frame))
    with pytest.raises(UmbelError, match="no row has a label; add a column for 'rent', 'balcony'"):
        predictor.evaluate(new(4))


def test_columns_of_targets_are_looked_at_for_metrics_only(predictor):
    frame = flats(4, seed=2)
    wrong = frame.assign(rent="dear", balcony="perhaps")
    assert predictor.predict(wrong).equals(predictor.predict(frame))
    with pytest.raises(UmbelError, match=r"'dear' in row 1; column 'balcony' holds 'perhaps' in row 1, which is none"):
        predictor.evaluate(wrong)


def test_rows_that_were_trained_on_are_counted(predictor):
    mixed = pd.concat([flats(120), flats(5, seed=2)])
    with pytest.warns(RowsWarning, match="84 of 125 rows have the same inputs as rows that it was trained on"):
        predictor.evaluate(mixed)
    assert "84 of 125" in predictor.trained_on(predictor.read(mixed))


def test_marks_tell_inputs_apart_and_survive_as_text():
    pictures = torch.randint(0, 256, (5000, 3, 4, 4), dtype=torch.uint8, generator=umbel.data.seeded(0))
    marks = row_marks(pictures)
    assert len(np.unique(marks)) == 5000
    assert (row_marks(pictures.float() / 255) == marks).all()
    zero, minus, other = row_marks(torch.tensor([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]]))
    assert zero == minus != other
    text = marks_text(umbel.data.TensorSource(umbel.Batch(pictures)))
    assert (marks_of(text) == np.sort(marks)).all()
    with pytest.raises(ValueError, match="marks of rows"):
        marks_of("a")


def test_pictures_come_from_a_table_a_folder_paths_pil_and_arrays(tmp_path, pictures):
    predictor = umbel.load(pictures)
    folder = pictures.parent / "pictures"
    files = [folder / f"{i}.png" for i in (3, 4, 5)]
    answers = predictor.predict(files)
    assert answers["warm"].tolist() == ["yes", "no", "yes"]
    opened = [Image.open(file) for file in files]
    small = np.stack([np.asarray(one.resize((8, 8), Image.Resampling.BILINEAR)) for one in opened]).transpose(
        0, 3, 1, 2
    )
    table = pd.DataFrame({"picture": [f"pictures/{i}.png" for i in (3, 4, 5)]})
    table.to_csv(pictures.parent / "new.csv", index=False)
    for given in (
        list(map(str, files)),
        opened,
        small,
        torch.from_numpy(small),
        small / 255,
        pictures.parent / "new.csv",
    ):
        assert predictor.predict(given).equals(answers)
    np.save(tmp_path / "small.npy", small)
    assert predictor.predict(tmp_path / "small.npy").equals(answers)
    (folder / "readme.txt").write_text("pictures")
    with pytest.warns(UserWarning, match="1 file in it left out, being no pictures"):
        every = predictor.predict(folder)
    (folder / "readme.txt").unlink()
    assert every.index.name == "file"
    assert every.loc[["3.png", "4.png", "5.png"], "warm"].tolist() == answers["warm"].tolist()
    assert predictor.predict(files[0]).index.tolist() == ["3.png"]


def test_pictures_outside_the_tables_folder_are_read_when_that_is_said(tmp_path, pictures, monkeypatch):
    monkeypatch.chdir(tmp_path)
    predictor, file = umbel.load(pictures), pictures.parent / "pictures" / "3.png"
    table = pd.DataFrame({"picture": [str(file)]})
    with pytest.raises(UmbelError, match=r"lies outside the table's folder.*in Python pictures_anywhere=True"):
        predictor.predict(table)
    answers = predictor.predict(predictor.read(table, pictures_anywhere=True))
    assert answers.equals(predictor.predict([file]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 3, 9, 9), np.uint8), r"shape \(2, 3, 9, 9\); give \(n, 3, 8, 8\)"),
        (np.full((2, 3, 8, 8), 255.0), "holds 255; give bytes"),
        (np.full((2, 3, 8, 8), np.nan), "sample 1 of the array holds NaN"),
        (np.full((2, 3, 8, 8), "a"), "of type <U1; give numbers"),
        (pd.DataFrame({"picture": ["nowhere.png"]}), "no picture 'nowhere.png' .column 'picture', row 1"),
        (pd.DataFrame({"picture": ["", "b"]}), "image column 'picture' is blank in row 1"),
        (pd.DataFrame({"file": ["a"]}), "no column 'picture', which names the pictures"),
        (["nowhere.png"], "nowhere.png: no such picture"),
        ("nowhere", "nowhere: no such file or folder"),
        (".", "no picture is in it"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(tmp_path, monkeypatch, pictures, given, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UmbelError, match=message):
        umbel.load(pictures).predict(given)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UmbelError, match="does not exist"):
        umbel.load(tmp_path / "nowhere")
