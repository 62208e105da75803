"""Films: which frames are read and when they are shown, drawn films, damage, and life without PyAV."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from inference.bright_detector import bright_picture, bright_predictor
from inference.test_box_predictions import request

from umbel.command.predict_boxes import predict_boxes
from umbel.core import UmbelError
from umbel.data.films import Film, Moment

av = pytest.importorskip("av")


def film(path, frames=16, rate=8, size=(64, 48), times=None):
    """A film in which a bright rectangle moves two pixels to the right in each frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate, options={"qscale": "2"})
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(frames):
            frame = av.VideoFrame.from_image(bright_picture(*size, 2 * number, 16))
            frame.pts, frame.time_base = times[number] if times else 1000 * number // rate, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_every_third_frame_of_two_seconds_with_its_time(tmp_path):
    every = Film(film(tmp_path / "a.mp4"), 3)
    moments, pictures = zip(*every, strict=True)
    assert [moment.number for moment in moments] == [0, 3, 6, 9, 12, 15] and every.count == 6
    np.testing.assert_allclose([moment.seconds for moment in moments], np.arange(6) * 3 / 8, atol=1e-3)
    lefts = [np.nonzero(np.asarray(picture)[24, :, 0] > 128)[0].min() for picture in pictures]
    assert lefts == [0, 6, 12, 18, 24, 30]
    assert moments[0] == Moment(0, 0, 0.0) and every.damage == ""


def test_boxes_with_times_and_a_drawn_film_that_lasts_as_long(tmp_path, capsys):
    out = tmp_path / "out"
    asked = request(video=film(tmp_path / "a.mp4"), every=2, out=out, draw=True, threshold=0.5)
    predict_boxes(bright_predictor(), asked)
    assert capsys.readouterr().out == f"{out}: 8 boxes in 8 frames; boxes.csv, drawn.mp4, frames.csv\n"
    boxes = pd.read_csv(out / "boxes.csv")
    assert boxes["frame"].tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    np.testing.assert_allclose(boxes["time_s"], np.arange(8) / 4, atol=1e-3)
    np.testing.assert_allclose(boxes["x1"], np.arange(8) * 4, atol=2)
    assert pd.read_csv(out / "frames.csv")["boxes"].tolist() == [1] * 8
    drawn = Film(out / "drawn.mp4")
    moments, pictures = zip(*drawn, strict=True)
    np.testing.assert_allclose([moment.seconds for moment in moments], np.arange(8) / 4, atol=2e-3)
    assert pictures[0].size == (64, 48)
    colours = np.asarray(pictures[4]).astype(int)
    assert (np.ptp(colours, axis=-1) > 40).sum() > 60  # a coloured frame on what was black and white


def test_frames_that_are_not_evenly_spaced_keep_their_times(tmp_path):
    times = [0, 100, 150, 900, 1800]
    path = film(tmp_path / "a.mp4", 5, times=times, size=(62, 50))
    predict_boxes(bright_predictor(), request(video=path, out=tmp_path / "out", draw=True))
    for made in (path, tmp_path / "out" / "drawn.mp4"):
        assert [round(moment.seconds, 2) for moment, _ in Film(made)] == [0, 0.1, 0.15, 0.9, 1.8]


@pytest.mark.parametrize(("ending", "said"), [("mkv", "its frames end at"), ("avi", "a.avi: it")])
def test_a_damaged_film_gives_what_can_be_read_and_says_so(tmp_path, capsys, ending, said):
    path = film(tmp_path / f"a.{ending}", 40)
    content = bytearray(path.read_bytes())
    if ending == "mkv":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 3 : len(content) * 2 // 3] = np.random.default_rng(0).bytes(len(content) // 3)
    path.write_bytes(content)
    predict_boxes(bright_predictor(), request(video=path, out=tmp_path / "out"))
    assert 0 < len(pd.read_csv(tmp_path / "out" / "frames.csv")) < 40
    told = capsys.readouterr().err.strip()
    assert said in told and "\n" not in told
    assert said in (tmp_path / "out" / "skipped.txt").read_text()


def test_what_is_no_film_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "text.mp4").write_text("no film")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for name, message in (
        ("text.mp4", "cannot be read as a film"),
        ("sound.wav", "only sound"),
        ("no", "no such film"),
    ):
        with pytest.raises(UmbelError, match=message) as refused:
            predict_boxes(bright_predictor(), request(video=tmp_path / name, out=tmp_path / "out", draw=True))
        assert "\n" not in str(refused.value)
    with pytest.raises(UmbelError, match="--every is 0"):
        Film(tmp_path / "text.mp4", 0)
    monkeypatch.setattr("umbel.data.films.find_spec", lambda name: None)
    with pytest.raises(UmbelError, match=r'pip install "umbel\[video\]"'):
        Film(tmp_path / "text.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sound.wav", "text.mp4"]
