"""Random bodies: each gets an answer in JSON, none an error of the server's own, none hangs."""

import io
import json
import random

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from serving_cases import CSV, JSON, PARQUET, ROW, call

CASES = 200


def _value(draw, depth=0):
    kinds = ["number", "text", "null", "flag", "huge", "list", "object"][: 5 if depth > 3 else 7]
    kind = draw.choice(kinds)
    if kind == "list":
        return [_value(draw, depth + 1) for _ in range(draw.randint(0, 3))]
    if kind == "object":
        keys = [*ROW, "rows", "", "__proto__", "\ud800"]
        return {draw.choice(keys): _value(draw, depth + 1) for _ in range(draw.randint(0, 4))}
    return {
        "number": draw.choice([0, -1, 2.5, 1e-320, 1e30, -0.0]),
        "text": draw.choice(["", "north", "NA", "1,234", "\x00\n", "=1+1", "٣", "\ud800", "1e5000", "x" * 5000]),
        "null": None,
        "flag": draw.random() < 0.5,
        "huge": draw.choice([10**40, -(10**400), 1e308, 2**63]),
    }[kind]


def _damaged(draw, body):
    """A body with bytes changed, cut out or put in."""
    body = bytearray(body)
    for _ in range(draw.randint(1, 6)):
        place = draw.randrange(len(body) + 1)
        match draw.choice(["change", "cut", "insert", "end"]):
            case "change" if place < len(body):
                body[place] = draw.randrange(256)
            case "cut":
                del body[place : place + draw.randint(1, 20)]
            case "insert":
                body[place:place] = draw.randbytes(draw.randint(1, 8))
            case "end":
                del body[max(place, len(body) // 2) :]
    return bytes(body)


def _table(form):
    file, frame = io.BytesIO(), pd.DataFrame([ROW | {"note": 'a,"b"\n'}] * 5)
    frame.to_parquet(file) if form == "parquet" else frame.to_csv(file, index=False)
    return file.getvalue()


def _row(draw):
    row = {name: _value(draw, 4) if draw.random() < 0.4 else value for name, value in ROW.items()}
    return {"rows": [row] * draw.randint(1, 3)} if draw.random() < 0.5 else row


@pytest.mark.parametrize("part", range(4))
def test_random_bodies_for_a_table(flats_app, part):
    seen = set()
    for case in range(part * CASES // 4, (part + 1) * CASES // 4):
        draw = random.Random(case)
        media_type, body = {
            0: (JSON, json.dumps(_value(draw)).encode()),
            1: (JSON, json.dumps(_row(draw)).encode()),
            2: (JSON, _damaged(draw, json.dumps({"rows": [ROW] * 2}).encode())),
            3: (CSV, _damaged(draw, _table("csv"))),
            4: (PARQUET, _damaged(draw, _table("parquet"))),
            5: (draw.choice([JSON, CSV, PARQUET, "image/png", "\x00"]), draw.randbytes(draw.randint(0, 300))),
        }[case % 6]
        got = call(flats_app, "POST", "/predict", body, media_type)
        assert got.status in (200, 413, 415, 422), (case, got.body)
        if got.status != 200:
            assert got.error
        seen.add(got.status)
    assert {200, 422} <= seen


def test_random_bodies_for_pictures(digits_app):
    seen = set()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    for case in range(CASES // 2):
        draw, file = random.Random(case), io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = draw.choice([1, 3, 6, 250])
        form = draw.choice(["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
        more = {"exif": exif} if form in ("PNG", "JPEG", "WEBP", "TIFF") else {}
        Image.fromarray(pixels).save(file, form, **more)
        got = call(digits_app, "POST", "/predict", _damaged(draw, file.getvalue()), "image/png")
        assert got.status in (200, 413, 422), (case, got.body)
        if got.status != 200:
            assert got.error
        seen.add(got.status)
    assert {200, 422} <= seen
