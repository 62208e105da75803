"""Frames sampled from videos: which ones, where they are cut, what is kept and what is left out and told."""

import csv
import json

import numpy as np
import pytest
from antispoofing_trees import touched
from PIL import Image

from umbel.cli import main
from umbel.core import UmbelError
from umbel.data.antispoofing.face_places import face_of_eyes, nearest_place, published_places, told_places
from umbel.data.antispoofing.frames import COLUMNS, read_frames
from umbel.data.antispoofing.layouts import read_videos
from umbel.data.antispoofing.sampling import evenly, face_square, sampled
from umbel.data.antispoofing.sampling_settings import Sampling

av = pytest.importorskip("av")


def video(path, frames=30, size=(64, 48), square=None):
    """Grey frames that get brighter with time, with a white square."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"qscale": "2"})
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        for number in range(frames):
            pixels = np.full((size[1], size[0], 3), 8 * number, np.uint8)
            if square:
                x1, y1, x2, y2 = square
                pixels[y1:y2, x1:x2] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def picture(path, shade=100, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade,) * 3).save(path)
    return path


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def table(folder):
    with (folder / "frames.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def umbel(*arguments):
    return main(["prepare", *map(str, arguments)])


def test_evenly_takes_the_middles_of_equal_parts():
    assert evenly(10, 5) == [1, 3, 5, 7, 9] and evenly(9, 3) == [1, 4, 7]
    assert evenly(3, 20) == [0, 1, 2] and evenly(0, 5) == []


def test_frames_are_spread_over_the_whole_video(tmp_path):
    read = sampled(video(tmp_path / "a.mp4"), {}, Sampling(frames=4, resolution=16))
    assert read.damage == "" and len(read.pictures) == 4
    for number, frame in read.pictures.items():
        assert frame.size == (16, 16)
        assert abs(np.asarray(frame).mean() - 8 * number) < 5  # the number is that of the frame in the video
    assert min(read.pictures) < 8 and max(read.pictures) > 20


def test_a_face_is_cut_out_where_it_is(tmp_path):
    path = video(tmp_path / "a.mp4", frames=4, square=(40, 8, 56, 24))
    (seen,) = sampled(path, {0: (40, 8, 56, 24)}, Sampling(1, 16, 0)).pictures.values()
    assert np.asarray(seen)[2:-2, 2:-2].min() > 230
    (wider,) = sampled(path, {0: (40, 8, 56, 24)}, Sampling(1, 16, 1)).pictures.values()
    assert 0.15 < (np.asarray(wider) > 128).mean() < 0.4


def test_the_square_stays_inside_the_frame():
    assert face_square((64, 48), None, 0.3) == (8, 0, 56, 48)
    assert face_square((64, 48), (0, 0, 10, 20), 0.5) == (0, 0, 30, 30)
    assert face_square((64, 48), (50, 40, 64, 48), 0) == (50, 34, 64, 48)
    assert face_square((64, 48), (0, 0, 200, 200), 1) == (16, 0, 64, 48)
    assert nearest_place({2: (0, 0, 1, 1), 9: (5, 5, 6, 6)}, 7) == (5, 5, 6, 6)


@pytest.mark.parametrize(
    ("name", "file", "beside", "text", "place"),
    [
        ("oulu-npu", "Dev_files/1_1_21_1", "Dev_files/1_1_21_1.txt", "0,10,20,20,20\n", face_of_eyes(10, 20, 20, 20)),
        (
            "replay-attack",
            "test/real/client031_session01_webcam_authenticate_adverse_1",
            "face-locations/test/real/client031_session01_webcam_authenticate_adverse_1.face",
            "0 0 0 0 0\n1 10 20 30 40\n",
            (10, 20, 40, 60),
        ),
        (
            "siw",
            "Train/live/001/001-1-1-1-1",
            "Train/live/001/001-1-1-1-1.face",
            "0 0 0 0\n[785 425 1070 710]\n",
            (785, 425, 1070, 710),
        ),
    ],
)
def test_where_publishers_say_that_faces_are(tmp_path, name, file, beside, text, place):
    touched(tmp_path, [f"{file}.avi", beside])
    (tmp_path / beside).write_text(text)
    videos = read_videos(name, tmp_path)
    assert published_places(videos)(videos.videos[0]) == {text.count("\n") - 1: place}  # zeros are no face


def test_one_set_from_videos_to_its_table(tmp_path, capsys):
    root, out = tmp_path / "casia", tmp_path / "out"
    video(root / "train_release/1/1.avi")
    video(root / "test_release/2/HR_4.avi")
    picture(root / "train_release/1/3/b.png", 50)
    picture(root / "train_release/1/3/a.png", 200)
    touched(root, ["train_release/1/5.avi"])  # empty: no video
    assert umbel("casia-fasd", root, "--out", out, "--frames", 3, "--resolution", 24) == 0
    said = capsys.readouterr().out
    assert f"{out}: 8 pictures of 3 videos of the 600 that the publisher counts; frames.csv" in said
    assert f"cannot be read, left out: {root}/train_release/1/5.avi: cannot be read as a film" in said
    rows = table(out)
    assert tuple(rows[0]) == COLUMNS and len(rows) == 8
    first = [row for row in rows if row["video"] == "train_release/1/3"]
    assert [row["frame"] for row in first] == ["0", "1"]
    assert {(r["type"], r["subject"], r["set"], r["split"], r["camera"], r["medium"]) for r in first} == {
        ("print", "train1", "casia-fasd", "train", "low", "warped")
    }
    assert [pixels(out / row["file"]).mean() for row in first] == [200, 50]
    assert pixels(out / first[0]["file"]).shape == (24, 24, 3)
    frames = read_frames(out)
    assert [frame.number for frame in frames] == [int(row["frame"]) for row in rows]
    assert {frame.video.set for frame in frames} == {"casia-fasd"}


def test_it_goes_on_where_it_was_stopped(tmp_path, capsys, monkeypatch):
    root, out = tmp_path / "own", tmp_path / "out"
    for who in ("anna", "bert"):
        picture(root / f"train/live/{who}/a/1.png")
    arguments = ("own", root, "--out", out, "--frames", 1, "--resolution", 16)
    assert umbel(*arguments) == 0
    whole = (out / "frames.csv").read_text()
    kept = out / "frames/train/live/anna/a/000000.png"
    before = kept.stat().st_mtime_ns
    (out / "frames/train/live/bert/a/000000.png").unlink()
    (out / "frames/train/live/bert/a").rmdir()
    half = out / "frames/train/live/bert/.a.umbel-1"
    half.mkdir()
    capsys.readouterr()
    assert umbel(*arguments) == 0
    assert "2 pictures of 2 videos, 1 of them from before" in capsys.readouterr().out
    assert kept.stat().st_mtime_ns == before and (out / "frames.csv").read_text() == whole and not half.exists()
    assert umbel(*arguments[:-1], 32) == 2
    assert "prepared with resolution 16, and now it is 32" in capsys.readouterr().err


def test_boxes_of_ones_own(tmp_path, capsys):
    root = tmp_path / "own"
    picture(root / "train/live/anna/a/1.png")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("video,x1,y1,x2,y2\ntrain/live/anna/a.mp4,1,2,11,12\n")
    videos = read_videos("own", root)
    assert told_places(boxes, videos)(videos.videos[0]) == {0: (1, 2, 11, 12)}
    for text, line in (
        ("video,x1,y1,x2\n", "no column 'y2'"),
        ("video,x1,y1,x2,y2\na,1,2,1,12\n", "line 2 is no box"),
        ("video,x1,y1,x2,y2\na,1,2,3,b\n", "line 2 is no box"),
        ("video,x1,y1,x2,y2\na,1,2,3,4\n", "names none of the videos"),
    ):
        boxes.write_text(text)
        with pytest.raises(UmbelError, match=line):
            told_places(boxes, videos)
    assert umbel("own", root, "--out", tmp_path / "out", "--boxes", "faces.txt") == 2
    assert 'give "published", "middle" or a CSV file' in capsys.readouterr().err


def test_what_is_damaged_or_absent_is_listed(tmp_path, capsys):
    root, out = tmp_path / "oulu", tmp_path / "out"
    picture(root / "Train_files/1_1_01_1/0.png")
    (root / "Train_files/1_1_01_1.txt").write_text("0,a,b,c,d\n")
    (root / "Protocols/Protocol_1").mkdir(parents=True)
    (root / "Protocols/Protocol_1/Train.txt").write_text("+1,1_1_01_1\n-1,1_1_01_2\n")
    assert umbel("oulu-npu", root, "--out", out, "--frames", 1, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["absent"] == ["1_1_01_2 (Protocols/Protocol_1/Train.txt)"]
    assert "line 1 is '0,a,b,c,d'; 5 numbers are needed" in said["notes"][0]


def test_folders_that_are_in_the_way_and_sets_of_which_nothing_can_be_read(tmp_path, capsys):
    touched(tmp_path, ["own/test/live/anna/a.mp4", "full/x.txt"])
    assert umbel("own", tmp_path / "own", "--out", tmp_path / "full") == 2
    assert "is not empty and was not made by umbel prepare" in capsys.readouterr().err
    assert umbel("own", tmp_path / "own", "--out", tmp_path / "out") == 2
    assert "none of its 1 recordings can be read" in capsys.readouterr().err
    for flags, line in ((("--frames", 0), "frames is 0"), (("--resolution", 8), "resolution is 8")):
        assert umbel("own", tmp_path / "own", "--out", tmp_path / "o", *flags) == 2
        assert line in capsys.readouterr().err
