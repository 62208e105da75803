"""Stages x receivers x resolutions in one network: what is trained, what is measured, and that it composes."""

import dataclasses
import json
import math

import pytest
import torch
from study_laws import timeless

from umbel import tasks
from umbel.channels import AWGN, ChannelLink, Fading
from umbel.core import Learner, MultiTaskModel, OperatingPoint, PointSequential, SingleProcess, UmbelError
from umbel.data import load
from umbel.descent import make_descent
from umbel.engine import FitSettings, evaluate, fit, open_runtime
from umbel.nn import build_model
from umbel.recipes.broadcast import BROADCAST, QUICK, BroadcastSettings, Wish
from umbel.recipes.broadcast.network import leave_early, make_learner, middle_point
from umbel.recipes.broadcast.study import broadcast_study
from umbel.recipes.settings import DataSettings
from umbel.recipes.study import Study
from umbel.report import Results
from umbel.transmission import DenseCode

FIT = FitSettings(
    steps=4, batch_size=32, precision="float32", validate_every=2, tensorboard=False, monitor="loss", clip_norm=1.0
)
SMALL = BroadcastSettings(
    data=DataSettings(data="digits", train_size=200),
    receivers="watch:digit:awgn:0/5,screen:picture+digit:rician:k_factor=4;csi_error=0.1:5/15,tower:pyramid+loops:awgn:9",
    uses="4/5",
    encoder_options="width=8,blocks=1,decoder_width=8,decoder_blocks=1",
    test_snr_db="0/10",
    draws=2,
    seeds=2,
    fit=FIT,
)


def run(out, settings=SMALL, resume=False):
    return broadcast_study(settings, Study(out, open_runtime(), "umbel run broadcast", resume))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("broadcast") / "study"
    return run(out), out


def test_the_receivers_are_read_from_their_text():
    watch, screen, tower = SMALL.wishes
    assert watch == Wish("watch", ("digit",), "awgn", (0.0, 5.0))
    assert screen == Wish("screen", ("picture", "digit"), "rician:k_factor=4,csi_error=0.1", (5.0, 15.0))
    assert tower.snr_db == (9.0, 9.0) and tower.middle_db == 9.0


def test_networks_of_their_own_take_together_what_the_broadcast_takes():
    """Equal total uses in every stage, whatever the remainder."""
    for uses in ("4/5", "3/8", "7/7/11"):
        settings = dataclasses.replace(SMALL, uses=uses)
        own = [settings.own_stages(i) for i in range(3)]
        assert [sum(stage) for stage in zip(*own, strict=True)] == settings.stages
        assert min(min(stages) for stages in own) >= 1


def test_every_arm_seed_and_point_is_there(finished):
    results, _ = finished
    assert isinstance(results, Results)
    names = ["watch/digit", "screen/picture", "screen/digit", "tower/pyramid", "tower/loops"]
    assert [task.name for task in results.tasks] == names
    points = {(r.method, r.seed, *r.point.items()) for r in results.runs}
    assert len(points) == len(results.runs) == 2 * 2 * (2 * 2 + 2)
    for found in results.runs:
        assert list(found.metrics) == names
        assert all(math.isfinite(value) for metrics in found.metrics.values() for value in metrics.values())
    assert {claim.name for claim in results.claims} == {f"gain {name}" for name in names}
    assert len(results.charts) == 5 and len(results.charts[0].series) == 3
    assert len(results.verdict) >= 5


def test_only_who_wants_classes_alone_leaves_early(finished):
    results, _ = finished
    for run_ in results.runs:
        if run_.point == {"rule": "at its stop"}:
            uses = {name.split("/")[0]: metrics["uses"] for name, metrics in run_.metrics.items()}
            whole = (9, 9, 9) if run_.method == "broadcast" else (4, 3, 2)
            assert (uses["screen"], uses["tower"]) == whole[1:]
            assert uses["watch"] <= whole[0]


def test_a_finished_study_is_resumed_without_training_or_measuring(finished):
    results, out = finished
    marks = {p: p.stat().st_mtime_ns for p in (out / "networks").rglob("*") if p.is_file()}
    again = run(out, resume=True)
    assert {p: p.stat().st_mtime_ns for p in (out / "networks").rglob("*") if p.is_file()} == marks
    assert timeless(json.loads(again.to_json())) == timeless(json.loads(results.to_json()))


def test_it_composes_with_another_descent(tmp_path):
    results = run(tmp_path / "study", dataclasses.replace(SMALL, descent="upgrad", seeds=1, test_snr_db="5"))
    assert {found.method for found in results.runs} == {"broadcast", "separate"}
    first = next(r for r in results.runs if r.point == {"rule": "all stages"})
    assert math.isfinite(first.metrics["screen/picture"]["PSNR"])


def test_a_pyramid_doubles_in_size_with_every_stage():
    settings = dataclasses.replace(SMALL, uses="3/3/3", receivers="tower:pyramid:awgn:9")
    learner = make_learner(settings, load("digits"), settings.wishes, settings.stages, 0)
    shapes = [p.shape[2:] for p in learner.model(torch.rand(2, 1, 8, 8), OperatingPoint(snr_db=9.0)).values()]
    assert shapes == [(2, 2), (4, 4), (8, 8)]


class Sure(Learner):
    """After stage 1 right and sure about every second sample, sure and right about all after stage 2."""

    def predict(self, batch, point):
        right = torch.nn.functional.one_hot(batch.targets["digit"], 10).float()
        known = (torch.arange(len(right)) % 2 == 0).float().unsqueeze(1)
        return {"watch/digit@1": right * 20 * known, "watch/digit@2": right * 20}


def test_a_receiver_leaves_when_it_is_sure():
    data = load("digits")
    settings = dataclasses.replace(SMALL, receivers="watch:digit:awgn:0/5", encoder="mlp", encoder_options="width=8")
    whole = make_learner(settings, data, settings.wishes, [4, 8], 0)
    sure = Sure(whole.model, whole.tasks)
    found = leave_early(sure, settings.wishes, [4, 8], data, open_runtime(), 1, 0.0)
    count = len(data.test)
    half = (count + 1) // 2
    assert found["receivers"]["watch"]["accuracy"]["digit"] == 1.0
    assert found["receivers"]["watch"]["delay"] == pytest.approx((half * 4 + (count - half) * 12) / count)
    assert found["air"] == found["receivers"]["watch"]["delay"]
    # giving away nearly all accuracy, it leaves at once
    eager = leave_early(sure, settings.wishes, [4, 8], data, open_runtime(), 1, 0.6)
    assert eager["receivers"]["watch"]["delay"] == 4


def test_every_receiver_is_measured_at_its_own_ratios():
    assert middle_point(SMALL.wishes).as_dict() == {"snr_db": {"watch": 2.5, "screen": 10.0, "tower": 9.0}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"receivers": "watch:digit:awgn"}, "'watch:digit:awgn' is not name:tasks:channel:SNR"),
        ({"receivers": "a:digit:awgn:0,a:loops:awgn:0"}, "each with a name of its own"),
        ({"receivers": ","}, "give at least one"),
        ({"receivers": "a:digit+digit:awgn:0"}, "name each task once"),
        ({"receivers": "a:digit:awgn:5/0"}, "a has SNR 5/0; give lowest/highest"),
        ({"receivers": "a:digit:awgn:nan"}, "'nan' is not a finite number"),
        ({"uses": "8"}, "one stage; give at least two"),
        ({"uses": "8/2"}, "it needs 3 uses"),
        ({"uses": "8/0"}, "0 is no number of channel uses"),
        ({"draws": 0}, "draws is 0"),
        ({"seeds": 0}, "seeds is 0"),
        ({"spare": 1.0}, "--spare 1.0"),
        ({"test_snr_db": "a"}, "--test-snr-db"),
        ({"fit": FIT.replace(seed=1)}, "leave --seed out"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, words):
    with pytest.raises(UmbelError, match=words):
        dataclasses.replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"receivers": "a:digits:awgn:0"}, "unknown task 'digits'"),
        ({"receivers": "a:digit:awgm:0"}, "unknown channel 'awgm'; did you mean 'awgn'"),
        ({"receivers": "a:pyramid:awgn:0", "uses": "4/4/4/4/4"}, "use fewer layers"),
        ({"descent": "upgrat"}, "did you mean 'upgrad'"),
        ({"encoder": "conf"}, "unknown encoder 'conf'"),
        ({"encoder_options": "widht=3"}, "widht"),
        ({"encoder_options": "width=wide"}, "--encoder-options width=wide: no such network"),
        ({"fit": FIT.replace(monitor="watch/digit@1/accuracy")}, "use loss"),
    ],
)
def test_a_wrong_name_stops_the_study_before_it_writes_anything(tmp_path, changes, words):
    with pytest.raises(UmbelError, match=words):
        run(tmp_path / "study", dataclasses.replace(SMALL, **changes))
    assert list(tmp_path.iterdir()) == []


def test_the_recipe_s_quick_settings_have_all_three():
    assert BROADCAST.quick is QUICK and len(QUICK.stages) > 1 and len(QUICK.wishes) == 3
    assert any("picture" in wish.tasks for wish in QUICK.wishes)


# -- the parts compose with the rest of the library ------------------------------------------------------------------


def test_a_channel_is_a_link_of_an_ordinary_multi_task_model(tiny_data):
    """Each task sends its own code over its own channel; any descent trains it, and its SNR is turned afterwards."""
    kinds = tiny_data.tasks[:2]
    plain = build_model((1, 8, 8), kinds, "conv", widths=(8,), seed=0)
    channels = {"side": AWGN(), "brightness": Fading()}
    links, heads = {}, {}
    for task in kinds:
        code = DenseCode(plain.encoder.feature_shape, 6, hidden=16)
        links[task.name] = PointSequential(code, ChannelLink(channels[task.name], receiver=task.name))
        heads[task.name] = torch.nn.Linear(12, task.outputs)
    learner = Learner(MultiTaskModel(plain.encoder, heads, links), kinds)
    point = OperatingPoint(snr_db={"side": 20.0, "brightness": 15.0})
    learner.draw_point = lambda generator, progress: point
    learner.sweep = lambda: [point]
    settings = FIT.replace(steps=60, batch_size=32, validate_every=60, learning_rate=0.01)
    fit(learner, make_descent("upgrad"), tiny_data.train, tiny_data.train, settings)
    good = evaluate(learner, tiny_data.train, open_runtime(), point, draws=4)
    bad = evaluate(
        learner, tiny_data.train, open_runtime(), OperatingPoint(snr_db={"side": -20.0, "brightness": 15.0}), draws=4
    )
    assert good.metrics["side"]["accuracy"] > bad.metrics["side"]["accuracy"] + 0.15
    assert good.losses["brightness"] == pytest.approx(bad.losses["brightness"], rel=0.5)


def test_a_task_of_a_table_can_be_wanted_and_pictures_of_it_not(tiny_data):
    table = dataclasses.replace(tiny_data, input_shape=(7,), tasks=(tasks.classification("side", "ab"),))
    settings = dataclasses.replace(SMALL, receivers="a:side:awgn:0", encoder_options="")
    learner = make_learner(settings, table, settings.wishes, [3, 3], 0)
    assert set(learner.model(torch.rand(2, 7), OperatingPoint(snr_db=0.0))) == {"a/side@1", "a/side@2"}
    with pytest.raises(UmbelError, match="nobody can want a picture of them"):
        make_learner(dataclasses.replace(settings, receivers="a:picture:awgn:0"), table, [Wish("a", ("picture",), "awgn", (0, 0))], [3, 3], 0)  # fmt: skip  # noqa: E501


def test_pieces_of_a_batch_teach_the_same_as_the_whole():
    """Gradient accumulation: goals after every stage scale like any task."""
    data = load("digits")
    batch = next(iter(data.train.train_batches(16, 0, 0)))
    found = []
    for pieces in (1, 4):
        learner = make_learner(SMALL, data, SMALL.wishes, SMALL.stages, 0)
        quiet = OperatingPoint(snr_db=math.inf)
        for receiver in learner.model.receivers:
            receiver.channel = AWGN()
        make_descent("equal")(learner, batch, quiet, SingleProcess(accumulate=pieces))
        found.append([p.grad for p in learner.shared_parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
