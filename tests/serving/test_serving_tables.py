"""Rows of a table: every way to send them, and every way to send them wrongly."""

import io
import json
import math
import time

import pandas as pd
import pytest
from serving_cases import CSV, JSON, PARQUET, ROW, call, post, service_of

from umbel import load
from umbel.serving import Answers, Limits, Refusal, application

ROWS = [ROW, {"rooms": None, "metres": 40, "city": "<b>old & new</b>"}, {"rooms": 5, "metres": 130.25, "city": "south"}]


def close(value, wanted):
    return math.isclose(value, wanted, rel_tol=1e-5)


@pytest.fixture(scope="module")
def expected(flats_folder):
    return load(flats_folder).predict(pd.DataFrame(ROWS))


def test_rows_are_answered_in_their_order_as_predict_does(flats_app, expected):
    got = post(flats_app, {"rows": ROWS})
    assert got.status == 200
    assert len(got.json["predictions"]) == len(ROWS)
    for one, (_, wanted) in zip(got.json["predictions"], expected.iterrows(), strict=True):
        assert list(one) == ["rent", "balcony"]
        assert close(one["rent"]["value"], wanted["rent"])
        assert one["balcony"]["class"] == wanted["balcony"]
        for label, share in one["balcony"]["probabilities"].items():
            assert close(share, wanted[f"balcony: {label}"])
        assert close(sum(one["balcony"]["probabilities"].values()), 1)


def test_one_row_needs_no_list(flats_app):
    alone, listed = post(flats_app, ROW).json, post(flats_app, {"rows": [ROW]}).json
    assert alone == listed


def test_what_is_not_an_input_is_not_looked_at(flats_app):
    assert post(flats_app, ROW | {"id": [1], "balcony": "never seen"}).json == post(flats_app, ROW).json


def test_a_number_may_be_a_text(flats_app):
    assert post(flats_app, ROW | {"metres": "70.5"}).json == post(flats_app, ROW).json


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_table_is_answered_as_the_same_rows_in_json(flats_app, kind):
    frame, file = pd.DataFrame(ROWS)[["city", "metres", "rooms"]], io.BytesIO()
    if kind == "parquet":
        frame.to_parquet(file)
        media_type = PARQUET
    else:
        frame.to_csv(file, index=False, sep="\t" if kind == "tsv" else ",")
        media_type = CSV + "; charset=utf-8" if kind == "csv" else "text/tab-separated-values"
    assert call(flats_app, "POST", "/predict", file.getvalue(), media_type).json == post(flats_app, {"rows": ROWS}).json


def test_csv_when_it_is_asked_for(flats_app, expected):
    got = post(flats_app, {"rows": ROWS}, accept="text/csv")
    assert got.headers["content-type"].startswith("text/csv")
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(got.body)), expected, rtol=1e-5)


def test_cells_that_spreadsheets_would_run_are_made_safe():
    table = pd.DataFrame({"=cmd()": ["=1+1", "plain"], "value": [-1.5, 2.0]})
    lines = Answers(table, [], ()).csv().splitlines()
    assert not any(cell.startswith("=") for line in lines for cell in line.split(","))
    assert lines[2].split(",") == ["plain", "2.0"] and lines[1].endswith(",-1.5")


def test_what_no_training_row_had_is_noted(flats_app):
    notes = post(flats_app, ROW | {"city": "moon", "metres": None}).json["notes"]
    assert len(notes) == 2
    assert "'metres'" in notes[0] and "'moon'" in notes[1]


def test_a_value_that_is_no_number_is_null(flats_folder):
    class Lost(type(load(flats_folder))):
        def predict(self, rows, point=None):
            table = super().predict(rows, point)
            return table.assign(rent=math.nan)

    service = service_of(flats_folder)
    service._predictor.__class__ = Lost
    got = post(application(service), ROW)
    assert got.json["predictions"][0]["rent"] == {"value": None}


def test_true_and_false_are_spelt_as_the_table_has_them(tmp_path):
    from serving_cases import trained

    lines = ["a,flag,out", *(f"{i % 7},{'True' if i % 2 else 'False'},{i % 2 * 10 + i % 7}" for i in range(60))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    more = ["--targets", "out", "--kinds", "out=regression", "--steps", "4", "--validate-every", "2"]
    app = application(service_of(trained(tmp_path, "--data", tmp_path / "t.csv", *more)))
    for flag, text in ((True, "True"), (False, "False")):
        got = post(app, {"a": 1, "flag": flag}).json
        assert got == post(app, {"a": 1, "flag": text}).json
        assert got["notes"] == []
    assert post(app, {"a": True, "flag": True}).error == (
        "the request does not fit the table that was learnt from: column 'a' holds numbers, but 'True' in row 1"
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([ROW], "a list"),
        (3, "is 3"),
        ("x", "is 'x'"),
        (None, "null"),
        ({"rows": []}, "no row"),
        ({"rows": [ROW, 4]}, "row 2 of the request is 4"),
        ({"rows": [ROW, [1]]}, "row 2 of the request is a list"),
        ({}, "row 1 of the request has no 'rooms'"),
        ({"rows": [ROW, {"rooms": 1, "metres": 2}]}, "row 2 of the request has no 'city'"),
        ({"rows": ROW}, "row 1 of the request has no 'rooms'"),
        (ROW | {"metres": [1]}, "row 1, column 'metres' of the request is a list"),
        (ROW | {"city": {"a": 1}}, "row 1, column 'city' of the request is an object"),
        ({"rows": [ROW, ROW | {"metres": "large"}]}, "column 'metres' holds numbers, but 'large' in row 2"),
        (ROW | {"metres": 1e35}, "column 'metres' is too large in row 1"),
        (ROW | {"metres": True}, "column 'metres' holds numbers, but 'True' in row 1"),
    ],
)
def test_a_row_that_does_not_fit_is_named(flats_app, value, words):
    got = post(flats_app, value)
    assert got.status == 422
    assert words in got.error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b'{"rooms": 1', "no JSON"),
        (b'{"rooms": NaN, "metres": 1, "city": "north"}', "give null"),
        (b'{"rooms": 1, "metres": 1, "city": "north", "metres": 2}', "names 'metres' twice"),
        (b'{"rooms": 1, "metres": 1e999, "city": "north"}', "row 1, column 'metres' of the request is too large"),
        (b'{"rooms": 1, "metres": ' + b"9" * 5000 + b', "city": "north"}', "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_a_body_that_is_no_json(flats_app, body, words):
    got = call(flats_app, "POST", "/predict", body, JSON)
    assert got.status == 422
    assert words in got.error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"rooms,metres,city\n", "no row"),
        (b"a,b\n1,2\n", "none of the columns that are inputs (rooms, metres, city)"),
        (b"rooms,metres\n1,2\n", "there is no column 'city'"),
        (b"rooms,metres,city\n1,2\n", "line 2 has 2 cells, the header has 3"),
        (b"rooms,metres,city\n1,2,a\n1,x,a\n", "column 'metres' holds numbers, but 'x' in row 2"),
        (b"rooms,rooms,city\n1,2,a\n", "two columns are called 'rooms'"),
        (b"rooms,metres,city\n1,\xff,a\n", "UTF-8"),
        (b'rooms,metres,city\n1,"2,a\n', "line 2"),
    ],
)
def test_a_csv_that_does_not_fit(flats_app, body, words):
    got = call(flats_app, "POST", "/predict", body, CSV)
    assert got.status == 422
    assert words in got.error


def parquet(**columns):
    file = io.BytesIO()
    pd.DataFrame(columns).to_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"PAR1 and no more PAR1", "Parquet"),
        (parquet(rooms=[1], metres=[[1.0]], city=["a"]), "column 'metres' holds lists"),
        (parquet(other=[1]), "none of the columns"),
        (parquet(rooms=[1], metres=[2]), "there is no column 'city'"),
    ],
)
def test_a_parquet_that_does_not_fit(flats_app, body, words):
    got = call(flats_app, "POST", "/predict", body, PARQUET)
    assert got.status == 422
    assert words in got.error


def test_a_small_parquet_file_cannot_ask_for_much_memory(flats_service):
    many = 9_000
    body = parquet(rooms=[1] * many, metres=[2.0] * many, city=["x" * 10_000] * many)
    assert len(body) < 100_000  # one long text, named 9,000 times: 90 MB
    with pytest.raises(Refusal, match="the texts of the table") as refused:
        flats_service.answer(PARQUET, body)
    assert refused.value.status == 413


def test_a_service_of_its_own_limits(flats_folder):
    app = application(service_of(flats_folder, limits=Limits(request_bytes=2000, rows=3)))
    assert post(app, {"rows": [ROW] * 3}).status == 200
    for media_type, body in ((JSON, json.dumps({"rows": [ROW] * 4})), (CSV, "rooms,metres,city\n" + "1,2,a\n" * 4)):
        got = call(app, "POST", "/predict", body.encode(), media_type)
        assert (got.status, got.error) == (413, "the request has more than 3 rows; send them in parts")
    frame, file = pd.DataFrame([ROW] * 4), io.BytesIO()
    frame.to_parquet(file)
    big = application(service_of(flats_folder, limits=Limits(rows=3)))
    assert call(big, "POST", "/predict", file.getvalue(), PARQUET).status == 413
    assert application(service_of(flats_folder)) is not app


def test_a_table_that_would_be_much_larger_once_it_is_read_is_counted_first(flats_app):
    for body, words in ((b"a\n" + b"1\n" * 2_000_000, "100,000 rows"), (b"a," * 2_000_000, "10,003 columns")):
        begun = time.process_time()
        got = call(flats_app, "POST", "/predict", body, CSV)
        assert (got.status, words in got.error) == (413, True)
        assert time.process_time() - begun < 3


def test_a_body_that_is_too_large_is_not_kept(flats_folder):
    app = application(service_of(flats_folder, limits=Limits(request_bytes=1000)))
    for parts in ([b" " * 1001], [b" " * 600] * 3):
        got = call(app, "POST", "/predict", parts, JSON)
        assert (got.status, got.error) == (413, "the body has more than 0.001 MB; send it in parts")
    fits = json.dumps(ROW).encode().ljust(1000)
    assert call(app, "POST", "/predict", [fits[:500], fits[500:]], JSON).status == 200
