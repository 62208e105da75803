"""Layouts and protocols of presentation attacks: counts that the publishers print, out of trees of the same form."""

from collections import Counter

import pytest
from antispoofing_trees import (
    casia_names,
    msu_names,
    msu_tree,
    oulu_names,
    replay_names,
    siw_names,
    touched,
)

from umbel.core import UmbelError
from umbel.data.antispoofing.layouts import LAYOUTS, Layout, read_videos
from umbel.data.antispoofing.protocols import FOLDS, protocol_rule
from umbel.data.antispoofing.videos import SPLITS, TYPES, Video, VideoSet


def counts(videos, protocol=None, fold=None, frame=0):
    """Split -> (live, attacks)."""
    rule = protocol_rule(videos.name, protocol, fold)
    dealt = Counter((rule(video, frame), video.type == "live") for video in videos.videos)
    return {split: (dealt[split, True], dealt[split, False]) for split in SPLITS if dealt[split, True]}


def types(videos):
    return dict(Counter(video.type for video in videos.videos))


@pytest.fixture(scope="module")
def oulu(tmp_path_factory):
    return read_videos("oulu-npu", touched(tmp_path_factory.mktemp("oulu"), oulu_names()))


@pytest.fixture(scope="module")
def siw(tmp_path_factory):
    return read_videos("siw", touched(tmp_path_factory.mktemp("siw"), siw_names()))


def test_casia(tmp_path):
    videos = read_videos("casia-fasd", touched(tmp_path, casia_names()))
    assert len(videos.videos) == LAYOUTS["casia-fasd"].published == 600
    assert counts(videos) == {"train": (60, 180), "test": (90, 270)}
    assert types(videos) == {"live": 150, "print": 300, "replay": 150}
    assert len({video.subject for video in videos.videos}) == 50  # both parts count from 1, and are other people
    (one,) = [video for video in videos.videos if video.name == "train_release/7/HR_3"]
    assert (one.type, one.medium, one.camera, one.split) == ("print", "cut", "high", "train")


@pytest.mark.parametrize("root", ["", "replayattack-{}/"])
def test_replay_attack_without_enrolment(tmp_path, root):
    videos = read_videos("replay-attack", touched(tmp_path, replay_names(root)))
    assert len(videos.videos) == LAYOUTS["replay-attack"].published == 1200
    assert counts(videos) == {"train": (60, 300), "dev": (60, 300), "test": (80, 400)}
    assert types(videos) == {"live": 200, "print": 200, "replay": 800}
    assert videos.notes.sentences() == ()
    (one,) = [
        v for v in videos.videos if v.name.endswith("hand/attack_mobile_client020_session01_mobile_video_adverse")
    ]
    assert (one.type, one.medium, one.session, one.subject) == ("replay", "mobile-video-hand", "adverse", "020")


def test_msu_is_dealt_out_by_its_lists(tmp_path):
    videos = read_videos("msu-mfsd", msu_tree(tmp_path))
    assert len(videos.videos) == LAYOUTS["msu-mfsd"].published == 280
    assert counts(videos) == {"train": (30, 90), "test": (40, 120)}
    assert types(videos) == {"live": 70, "print": 70, "replay": 140}


def test_msu_says_what_its_lists_lack_and_name_in_vain(tmp_path):
    people = {"train": [1, 2], "test": [3]}
    videos = read_videos("msu-mfsd", msu_tree(tmp_path, people, ask={"train": [1, 9], "test": [3]}))
    assert videos.absent == {"subject 009": "train_sub_list.txt"}
    assert {video.subject for video in videos.videos} == {"001", "003"}
    assert videos.notes.count("videos of subjects that neither list names, left out") == 8
    (tmp_path / "test_sub_list.txt").unlink()
    with pytest.raises(UmbelError, match=r"test_sub_list.txt is not in it"):
        read_videos("msu-mfsd", tmp_path)


def test_oulu_protocols_have_the_published_counts(oulu):
    assert len(oulu.videos) == LAYOUTS["oulu-npu"].published == 4950
    assert Counter(video.split for video in oulu.videos) == {"train": 1800, "dev": 1350, "test": 1800}
    assert counts(oulu, 1) == {"train": (240, 960), "dev": (180, 720), "test": (120, 480)}
    assert counts(oulu, 2) == {"train": (360, 720), "dev": (270, 540), "test": (360, 720)}
    for fold in range(1, FOLDS["oulu-npu"][3] + 1):
        assert counts(oulu, 3, fold) == {"train": (300, 1200), "dev": (225, 900), "test": (60, 240)}
        assert counts(oulu, 4, fold) == {"train": (200, 400), "dev": (150, 300), "test": (20, 40)}


def test_oulu_protocols_share_no_phone_session_or_device(oulu):
    rule = protocol_rule("oulu-npu", 4, 2)
    used = {split: [v for v in oulu.videos if rule(v, 0) == split] for split in SPLITS}
    for what in ("camera", "session", "subject"):
        seen = [{getattr(video, what) for video in used[split]} for split in ("train", "test")]
        assert not seen[0] & seen[1]
    assert {v.camera for v in used["test"]} == {"2"}
    assert {v.medium for v in used["test"]} == {"", "printer2", "display2"}
    assert {v.medium for v in used["dev"]} == {"", "printer1", "display1"}


def test_oulu_lists_videos_that_a_protocol_names_in_vain(tmp_path):
    touched(tmp_path, oulu_names({"Train": [1]}, phones=[1], sessions=[1]))
    for k, names in (("1", ["1_1_01_1", "1_1_01_2"]), ("2", ["1_1_01_1", "6_3_01_1", "6_3_01_1"])):
        (tmp_path / f"Protocols/Protocol_{k}").mkdir(parents=True)
        (tmp_path / f"Protocols/Protocol_{k}/Train.txt").write_text("".join(f"+1,{name}\n" for name in names))
    assert read_videos("oulu-npu", tmp_path).absent == {"6_3_01_1": "Protocols/Protocol_2/Train.txt"}


def test_siw_protocols(siw):
    assert len(siw.videos) == 33 * 28 and LAYOUTS["siw"].published == 4478  # 165 people, "up to 20" attacks of each
    assert counts(siw, 1) == {"train": (18 * 8, 18 * 20), "test": (15 * 8, 15 * 20)}
    assert counts(siw, 1, frame=60) == {"test": (15 * 8, 15 * 20)}  # training has the first 60 frames
    for fold in range(1, 5):
        assert counts(siw, 2, fold) == {"train": (18 * 8, 18 * 12), "test": (15 * 8, 15 * 4)}
        rule = protocol_rule("siw", 2, fold)
        assert {v.medium for v in siw.videos if rule(v, 0) == "test"} == {"", f"replay{fold}"}
    assert counts(siw, 3, 1) == {"train": (18 * 8, 18 * 4), "test": (15 * 8, 15 * 16)}
    assert counts(siw, 3, 2) == {"train": (18 * 8, 18 * 16), "test": (15 * 8, 15 * 4)}


def test_protocols_that_there_are_not():
    for arguments, line in (
        (("oulu-npu", 5), "oulu-npu has no protocol 5; its protocols: 1, 2, 3, 4"),
        (("oulu-npu", 3), "protocol 3 of oulu-npu has 6 folds; give fold, 1 to 6"),
        (("oulu-npu", 3, 7), "fold is 7; give a whole number, at least 1 and at most 6"),
        (("siw", 1, 2), "protocol 1 of siw has no folds; leave fold out"),
        (("casia-fasd", 2), "casia-fasd has no protocol 2; its protocols: 1"),
    ):
        with pytest.raises(UmbelError) as error:
            protocol_rule(*arguments)
        assert str(error.value) == line


def test_recordings_of_ones_own_and_folders_of_pictures(tmp_path):
    touched(tmp_path, ["train/live/anna/a.mp4", "train/mask/anna/b/1.png", "test/live/bert/.hidden.mp4", "x/odd.mov"])
    videos = read_videos("own", tmp_path)
    assert isinstance(videos, VideoSet) and isinstance(LAYOUTS["own"], Layout)
    assert videos.videos == (
        Video("train/live/anna/a", tmp_path / "train/live/anna/a.mp4", "own", "live", "anna", "train"),
        Video("train/mask/anna/b", tmp_path / "train/mask/anna/b", "own", "mask", "anna", "train"),
    )
    assert videos.notes.sentences() == ("1 recordings that are not named as in one's own recordings, left out: x/odd",)
    touched(tmp_path, ["train/wax/anna/c.mp4"])
    with pytest.raises(UmbelError, match=r"unknown type of recording .*'wax'; known: live, mask, print, replay"):
        read_videos("own", tmp_path)
    assert TYPES == ("live", "print", "replay", "mask")


def test_folders_that_are_no_such_set(tmp_path):
    with pytest.raises(UmbelError, match=r"no such folder; give the one that holds Train/live/001"):
        read_videos("siw", tmp_path / "nowhere")
    touched(tmp_path, msu_names({"train": [1]}))
    with pytest.raises(
        UmbelError, match=r"no recording in it is named as in CASIA-FASD, like train_release/1/HR_1.avi"
    ):
        read_videos("casia-fasd", tmp_path)
    with pytest.raises(UmbelError, match=r"unknown set of recordings 'casia'; did you mean 'casia-fasd'"):
        read_videos("casia", tmp_path)
