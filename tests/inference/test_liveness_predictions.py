"""Live or an attack, for pictures and films: probabilities, decisions, means, drawings, what is said beside."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from inference.bright_faces import KEPT, bright_faces, calibrated, plain_picture
from PIL import Image

from umbel.command.picture_request import PictureRequest
from umbel.command.predict_liveness import WARNING, predict_liveness
from umbel.core import UmbelError
from umbel.data.boxes.reading import read_picture
from umbel.inference import PictureStream
from umbel.report.tiles import value_map


def request(**given) -> PictureRequest:
    usual = {"images": (), "video": None, "every": 1, "threshold": None, "draw": False, "out": None}
    return PictureRequest(**{**usual, "batch_size": None, "json": False, **given})


@pytest.fixture
def folder(tmp_path):
    """Two films of frames, a picture of another size, and one that is none."""
    for name, grey in (("a/1.png", 130), ("a/2.png", 160), ("b/1.png", 120), ("b/2.png", 135)):
        plain_picture(tmp_path / "new" / name, grey)
    plain_picture(tmp_path / "new" / "large.png", 140, (60, 90))
    (tmp_path / "new" / "broken.png").write_bytes(b"not a picture")
    return tmp_path / "new"


def test_pictures_of_any_size_are_calibrated_and_decided(folder, tmp_path, capsys):
    predictor = bright_faces(tmp_path)
    predict_liveness(predictor, request(images=(str(folder),), batch_size=2))
    out, err = capsys.readouterr()
    table = pd.read_csv(io.StringIO(out))
    assert [*table.columns] == ["file", "liveness: live", "liveness: decision", "mood", "mood: bad", "mood: good"]
    greys = {"a/1.png": 130, "a/2.png": 160, "b/1.png": 120, "b/2.png": 135, "large.png": 140}
    assert dict(zip(table["file"], table["liveness: live"], strict=True)) == pytest.approx(
        {name: calibrated(grey) for name, grey in greys.items()}, abs=1e-5
    )
    decisions = dict(zip(table["file"], table["liveness: decision"], strict=True))
    assert decisions == {name: "live" if calibrated(grey) >= 0.6 else "attack" for name, grey in greys.items()}
    assert {*decisions.values()} == {"live", "attack"} and {*table["mood"]} == {"good"}
    assert [shape[0] for shape in predictor.learner.model.batches] == [2, 2, 1]
    assert "1 of 5 were resized to 16×12 pixels" in err and "crop to the face" in err
    assert f"1 of 6 pictures skipped: {folder}/broken.png" in err
    mean = (calibrated(130) + calibrated(160)) / 2
    assert f"umbel: a: mean probability of live over 2 frames {mean:.3f}: live" in err
    assert "umbel: b: mean" in err and "umbel: large" not in err


def test_frames_csv_says_which_film_a_picture_is_of_and_json_holds_all(folder, tmp_path, capsys):
    (folder / "frames.csv").write_text("file,video\na/1.png,one\nb/1.png,one\na/2.png,two\n")
    predict_liveness(bright_faces(tmp_path), request(images=(str(folder),), json=True))
    told = json.loads(capsys.readouterr().out)
    assert told["calibrated"] is True and told["threshold"] == KEPT.threshold and WARNING in told["notes"]
    assert [(one["of"], one["frames"]) for one in told["films"]] == [("one", 2), ("two", 1)]
    assert told["films"][0]["probability"] == pytest.approx((calibrated(130) + calibrated(120)) / 2, abs=1e-5)
    assert [one["file"] for one in told["pictures"]] == ["a/1.png", "a/2.png", "b/1.png", "b/2.png", "large.png"]
    assert len(told["skipped"]) == 1
    (folder / "frames.csv").write_text("name\n1\n")
    with pytest.raises(UmbelError, match=r"frames\.csv: no column 'file'; it needs file and video"):
        predict_liveness(bright_faces(tmp_path), request(images=(str(folder),)))


def test_without_calibration_there_is_no_decision_unless_a_threshold_is_given(folder, tmp_path, capsys):
    predictor = bright_faces(tmp_path, kept=None)
    one = str(folder / "a" / "1.png")
    predict_liveness(predictor, request(images=(one,)))
    out, err = capsys.readouterr()
    row = pd.read_csv(io.StringIO(out)).iloc[0]
    assert "liveness: decision" not in row
    assert row["liveness: live"] == pytest.approx(calibrated(130, None), abs=1e-5)
    assert err.count("\n") == 1 and "no calibration is kept beside it" in err and "no decision; give --threshold" in err
    predict_liveness(predictor, request(images=(one,), threshold=0.9))
    out, err = capsys.readouterr()
    assert pd.read_csv(io.StringIO(out))["liveness: decision"].tolist() == ["attack"]
    assert "no calibration" in err and "the decision is at --threshold" in err
    with pytest.raises(UmbelError, match="the threshold is 2; give a probability of live from 0 to 1"):
        predict_liveness(predictor, request(images=(one,), threshold=2))


def test_calibration_is_the_full_networks_and_that_of_films_is_said(tmp_path, capsys):
    predictor = bright_faces(tmp_path, replace(KEPT, videos=10))
    assert predictor.calibration("width=0.5") is None and predictor.calibration() == predictor.liveness
    pixels = np.full((1, 3, 12, 16), 140, np.uint8)
    assert predictor.predict(pixels)["liveness: live"][0] == pytest.approx(calibrated(140), abs=1e-5)
    predict_liveness(predictor, request(images=(str(plain_picture(tmp_path / "1.png", 140)),)))
    assert "the threshold is that of means over films" in capsys.readouterr().err


def test_each_picture_is_drawn_beside_its_maps(folder, tmp_path, capsys):
    out = tmp_path / "out"
    predict_liveness(bright_faces(tmp_path), request(images=(str(folder),), draw=True, out=out))
    assert capsys.readouterr().out == f"{out}: 5 pictures; drawn/, films.csv, pictures.csv, skipped.txt\n"
    films = pd.read_csv(out / "films.csv")
    assert films["film"].tolist() == ["a", "b"] and films["decision"].tolist() == ["live", "attack"]
    assert pd.read_csv(out / "pictures.csv")["file"].tolist()[0] == "a/1.png"
    sheet, other, large = (read_picture(out / "drawn" / name, False) for name in ("a/1.png", "b/1.png", "large.png"))
    sheet, other = np.asarray(sheet), np.asarray(other)
    assert sheet.shape == other.shape and (sheet != other).any()
    wide = round(160 * 16 / 12)
    first, second = sheet[100, 8 + wide // 2], sheet[100, 16 + wide + wide // 2]
    assert first.tolist() == [130] * 3
    depth = value_map(np.full((1, 1), 130 / 255), 0, 1)[0, 0]  # on the scale 0 to 1, not on that of the picture
    assert second.tolist() == depth.tolist()
    assert large.height == sheet.shape[0] and large.width < sheet.shape[1]  # the picture is upright


def test_a_film_has_frames_with_times_a_mean_and_a_drawn_film(tmp_path, capsys):
    pytest.importorskip("av")
    from inference.test_films import film

    from umbel.data.films import Film

    out, path = tmp_path / "out", film(tmp_path / "a.mp4", 8)
    predict_liveness(bright_faces(tmp_path), request(video=path, every=2, draw=True, out=out))
    printed, err = capsys.readouterr()
    assert printed == f"{out}: 4 frames; drawn.mp4, films.csv, frames.csv\n"
    frames = pd.read_csv(out / "frames.csv")
    assert frames["frame"].tolist() == [0, 2, 4, 6] and {*frames["liveness: decision"]} == {"attack"}
    np.testing.assert_allclose(frames["time_s"], np.arange(4) / 4, atol=1e-3)
    mean = frames["liveness: live"].mean()
    assert pd.read_csv(out / "films.csv")["mean probability of live"][0] == pytest.approx(mean)
    assert f"{path}: mean probability of live over 4 frames {mean:.3f}: attack" in err
    moments, pictures = zip(*Film(out / "drawn.mp4"), strict=True)
    assert len(moments) == 4 and pictures[0].width > 3 * 160


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "say what to look at"),
        ({"images": ("new",), "video": "a.mp4"}, "say what to look at"),
        ({"images": ("new",), "every": 2}, "--every is for the frames of a film"),
        ({"images": ("new",), "draw": True}, "--draw writes pictures; say into which new folder"),
        ({"images": ("new",), "out": "p.csv"}, "give a name without .csv"),
        ({"images": ("new",), "batch_size": 0}, "the batch size is 0"),
        ({"images": ("new/broken.png",)}, "nothing could be read"),
    ],
)
def test_what_cannot_be_is_one_line(folder, tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    paths = {name: Path(given[name]) for name in ("video", "out") if name in given}
    with pytest.raises(UmbelError, match=said):
        predict_liveness(bright_faces(tmp_path), request(**{**given, **paths}))
    assert not (tmp_path / "p.csv").exists()


def test_a_stream_gives_maps_and_grey_pictures_their_channels(tmp_path):
    stream = PictureStream(bright_faces(tmp_path), 3)
    grey = Image.new("L", (16, 12), 102)
    (key, picture, answers), *rest = stream.answers([("one", grey)])
    assert (key, picture, rest, stream.resized, stream.size) == ("one", grey, [], 0, (16, 12))
    assert answers["depth"].shape == (1, 12, 16) and answers["depth"].max() == pytest.approx(0.4)
