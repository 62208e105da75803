"""What cells say: every digit of a category, numbers as people write them, and lines that do not fit their header."""

import math

import pandas as pd
import pytest

from umbel.data.columns import describe_columns
from umbel.data.split_rules import ColumnSplit
from umbel.data.tables import from_table
from umbel.errors import UmbelError

ROWS = 60
SPLIT = ["train"] * 40 + ["val"] * 10 + ["test"] * 10


def table(folder, **columns):
    """A CSV of 60 rows: these columns, a target `y` and the split; cells as they are."""
    columns = {"x": [f"{i}.5" for i in range(ROWS)], "y": [f"{i * i}.25" for i in range(ROWS)], "part": SPLIT} | columns
    lines = [",".join(columns), *(",".join(f'"{cell}"' for cell in row) for row in zip(*columns.values(), strict=True))]
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def parquet(folder, **columns):
    pytest.importorskip("pyarrow")
    path = folder / "table.parquet"
    pd.DataFrame({"x": [i + 0.5 for i in range(ROWS)], "y": [i * i + 0.25 for i in range(ROWS)]} | columns).to_parquet(
        path
    )
    return path


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (("007", "7"), ("007", "7")),
        (("9007199254740993", "9007199254740992"), ("9007199254740992", "9007199254740993")),
        (("1.10", "1.1"), ("1.1", "1.10")),
        (("1.0", "2.0"), ("1", "2")),
        (("+1", "1"), ("+1", "1")),
        (("18446744073709551615", "18446744073709551614"), ("18446744073709551614", "18446744073709551615")),
    ],
)
def test_classes_keep_their_text(tmp_path, cells, classes):
    path = table(tmp_path, code=[cells[i % 2] for i in range(ROWS)])
    data = from_table(path, ["code"], kinds={"code": "category"}, split=ColumnSplit("part"))
    assert sorted(data.tasks[0].labels) == sorted(classes)
    labels = data.train.samples.targets["code"].tolist()
    assert labels == [data.tasks[0].labels.index(cells[i % 2].removesuffix(".0")) for i in range(40)]


def test_few_whole_numbers_that_become_classes_keep_their_text_without_being_asked(tmp_path):
    codes = ["007", "7", "9007199254740993", "9007199254740992"]
    data = from_table(table(tmp_path, code=codes * 15), ["code"], split=ColumnSplit("part"))
    assert data.tasks[0].labels == ("007", "7", "9007199254740992", "9007199254740993")


def test_input_categories_keep_their_text(tmp_path):
    path = table(tmp_path, code=["007", "7", "07"] * 20)
    data = from_table(path, ["y"], kinds={"code": "category"}, split=ColumnSplit("part"))
    assert data.input_shape == (1 + 3,)
    assert data.train.samples.inputs[:3, 1:].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]  # 007, 07, 7


@pytest.mark.parametrize(
    ("dtype", "cells"),
    [
        ("uint64", (2**64 - 1, 2**64 - 2, None)),
        ("UInt64", (2**64 - 1, 2**64 - 2, None)),
        ("Int64", (-(2**53) - 1, -(2**53), None)),
        ("float32", (0.1, 2.0, None)),
    ],
)
def test_parquet_categories_keep_every_digit_with_and_without_gaps(tmp_path, dtype, cells):
    values = [cells[i % (2 if dtype == "uint64" else 3)] for i in range(ROWS)]
    path = parquet(tmp_path, code=pd.array(values, dtype=dtype))
    data = from_table(path, ["code"], kinds={"code": "category"})
    assert sorted(data.tasks[0].labels) == sorted(str(c).removesuffix(".0") for c in cells[:2])
    known = [c for part in (data.train, data.validation, data.test) for c in part.samples.targets["code"].tolist()]
    assert sorted(set(known)) == ([0, 1] if dtype == "uint64" else [-1, 0, 1])


def test_whole_numbers_that_double_precision_makes_equal_are_refused(tmp_path):
    cells = [str(2**60 + 10 * i) for i in range(ROWS)]
    for path in (table(tmp_path, code=cells), parquet(tmp_path, code=[int(c) for c in cells])):
        with pytest.raises(UmbelError, match=r"column 'code' holds 115\d+ and 115\d+, which are one number in double"):
            from_table(path, ["y"])
        with pytest.raises(UmbelError, match=r"column 'code' holds .* are one number"):
            from_table(path, ["code"])
        assert from_table(path, ["y"], ignore=["code"]).input_shape[0] in (1, 4)


def test_numbers_that_differ_only_in_writing_are_no_fault(tmp_path):
    cells = ["1", "1.0", "01", "1e0", "2"] * 12
    data = from_table(table(tmp_path, code=cells), ["y"], split=ColumnSplit("part"))
    assert data.train.samples.inputs[:4, 1].unique().numel() == 1


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([f"{i},{i:03}" for i in range(1, ROWS + 1)], "numbers written as '1,001'.* the first as 1001"),
        ([f"{i}%" for i in range(ROWS)], r"numbers written as '0%'.*code=number or code=category \(number reads"),
        ([f"$ {i}" for i in range(ROWS)], "numbers written as '\\$ 0'"),
        ([f"{i} 000" for i in range(1, ROWS + 1)], "numbers written as '1 000'"),
        ([f"{i},5" for i in range(ROWS)], "numbers written as '0,5'.* a decimal comma as an error"),
        (["10%", "20%", "30%"] * 20, "numbers written as '10%'"),
        ([*map(str, range(ROWS - 1)), "12O"], "holds 59 different numbers, but '12O' in row 60"),
        ([*(f"{i}%" for i in range(ROWS - 1)), "unknown"], "holds 59 different numbers, but 'unknown' in row 60"),
    ],
)
@pytest.mark.parametrize("target", ["y", "code"])
def test_text_that_is_meant_as_numbers_does_not_become_categories(tmp_path, cells, message, target):
    with pytest.raises(UmbelError, match=f"column 'code' {'holds ' if 'holds' not in message else ''}{message}"):
        from_table(table(tmp_path, code=cells), [target])


def test_numbers_as_people_write_them_are_read_where_the_kind_says_so(tmp_path):
    written = ["1,234", "1 234.5", "12%", "12.5 %", "$1,000,000", "-7", "−7", "3 €", "N/A", "1e3"]
    meant = [1234, 1234.5, 12, 12.5, 1e6, -7, -7, 3, math.nan, 1000]
    path = table(tmp_path, code=written * 6)
    data = from_table(path, ["code"], kinds={"code": "number"}, split=ColumnSplit("part"))
    assert data.train.samples.targets["code"][:10, 0].tolist() == pytest.approx(meant, nan_ok=True)


@pytest.mark.parametrize("cell", ["1,5", "1,23", "12,34,567", "1_000", "1.234,5", "0x10"])
def test_what_is_no_number_is_not_guessed(tmp_path, cell):
    path = table(tmp_path, code=[cell, *map(str, range(ROWS - 1))])
    with pytest.raises(UmbelError, match=f"column 'code' cannot be of kind number: it holds '{cell}'"):
        from_table(path, ["y"], kinds={"code": "number"})


def test_codes_with_few_numbers_among_them_stay_categories(tmp_path):
    column = next(
        c for c in describe_columns(table(tmp_path, code=["1", "2", "3A", "4"] * 15), ["y"]) if c.name == "code"
    )
    assert (column.kind, column.distinct) == ("category", 4)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,b", *["1,2"] * 30, "3"], "line 32 has 1 cells, the header has 2"),
        (["a,b", "1,2", '"two\nlines",2', "", "1,2,3", *["1,2"] * 30], "line 6 has 3 cells"),
        (["a,b", *["1,2"] * 30, '1,"open'], "line 32 cannot be read"),
        (["a,b", '1,"x"y', *["1,2"] * 30], "line 2 cannot be read"),
        (["a,b,c", *["1,2"] * 30], "line 2 has 2 cells, the header has 3"),
    ],
)
def test_lines_that_do_not_fit_are_named(tmp_path, lines, message):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UmbelError, match=message):
        from_table(path, ["a"])


def test_empty_lines_are_no_rows(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n\n" + "".join(f"{i},{i}.5\n\n  \n" for i in range(30)))
    assert [(c.distinct, c.missing) for c in describe_columns(path)] == [(30, 0), (30, 0)]


def test_text_of_a_parquet_file_is_no_number_until_its_kind_says_so(tmp_path):
    path = parquet(tmp_path, code=["007", "012", "7"] * 20)
    kinds = [None, {"code": "number"}]
    columns = [next(c for c in describe_columns(path, ["y"], kinds=k) if c.name == "code") for k in kinds]
    assert [(c.kind, c.distinct) for c in columns] == [("category", 3), ("number", 2)]


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ([[i, 1] for i in range(ROWS)], "lists"),
        ([{"a": i} for i in range(ROWS)], "structs"),
        ([bytes([i]) for i in range(ROWS)], "binary values"),
    ],
)
def test_columns_of_parquet_that_hold_several_things_are_refused_until_ignored(tmp_path, cells, what):
    path = parquet(tmp_path, several=cells)
    for target in ("y", "several"):
        with pytest.raises(UmbelError, match=f"column 'several' holds {what}; spread them"):
            from_table(path, [target])
    assert from_table(path, ["y"], ignore=["several"]).input_shape == (1,)


def test_a_parquet_file_without_columns_is_no_table(tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame(index=range(30)).to_parquet(tmp_path / "table.parquet", index=False)
    with pytest.raises(UmbelError, match="it has no column at all"):
        from_table(tmp_path / "table.parquet", ["y"])


def test_whole_numbers_with_codes_of_their_own_are_numbers(tmp_path):
    path = parquet(tmp_path, code=pd.Categorical([i % 50 for i in range(ROWS)]))
    column = next(c for c in describe_columns(path, ["y"]) if c.name == "code")
    assert (column.kind, column.distinct) == ("number", 50)


def test_the_work_for_a_column_does_not_grow_with_their_number(tmp_path, monkeypatch):
    """100,000 columns took minutes because every name was looked for among all the others."""
    compared = 0

    class Counted(str):
        def __eq__(self, other):
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    monkeypatch.setattr("umbel.data.cells.column_name", lambda name, index: Counted(name.strip()))
    count = 2000
    lines = [
        ",".join(f"c{j}" for j in range(count)),
        *(",".join(str((i + j) / 4) for j in range(count)) for i in range(20)),
    ]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join(lines))
    assert from_table(path, ["c0"]).input_shape == (count - 1,)
    assert compared < 40 * count
