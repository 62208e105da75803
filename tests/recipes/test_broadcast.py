"""Stages x receivers x resolutions in one network: what is trained, what is measured, and that it composes."""

import dataclasses
import math

import pytest
import study_laws as laws
import torch

from umbel import tasks
from umbel.channels import AWGN, ChannelLink, Fading
from umbel.core import Learner, MultiTaskModel, OperatingPoint, PointSequential, SingleProcess, UmbelError
from umbel.data import load_data
from umbel.descent import make_descent
from umbel.engine import FitSettings, evaluate, fit, open_runtime
from umbel.nn import build_model
from umbel.recipes.broadcast import BROADCAST, QUICK, BroadcastSettings, ReceiverSpec
from umbel.recipes.broadcast.findings import findings
from umbel.recipes.broadcast.study import AIR, ALL, AT_STOP, JOINT, OWN, jobs, make_learner, middle_point, served
from umbel.recipes.settings import DataSettings
from umbel.report import DataInfo, MethodInfo, Profile, Results, Run, TaskInfo
from umbel.study import Job, Table
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


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return laws.run(BROADCAST, SMALL, tmp_path_factory.mktemp("broadcast") / "study")


def learner_of(settings, data, uses=""):
    """The broadcast's network."""
    return make_learner(dataclasses.replace(settings, uses=uses or settings.uses), data, Job(JOINT, 0))


def test_the_receivers_are_read_from_their_text():
    watch, screen, tower = SMALL.specs
    assert watch == ReceiverSpec("watch", ("digit",), "awgn", (0.0, 5.0))
    assert screen == ReceiverSpec("screen", ("picture", "digit"), "rician:k_factor=4,csi_error=0.1", (5.0, 15.0))
    assert tower.snr_db == (9.0, 9.0) and tower.middle_db == 9.0


def test_networks_of_their_own_take_together_what_the_broadcast_takes():
    """Equal total uses in every stage, whatever the remainder."""
    for uses in ("4/5", "3/8", "7/7/11"):
        settings = dataclasses.replace(SMALL, uses=uses)
        own = [settings.own_stages(i) for i in range(3)]
        assert [sum(stage) for stage in zip(*own, strict=True)] == settings.stages
        assert min(min(stages) for stages in own) >= 1


def test_every_network_has_its_share(finished):
    for job in jobs(SMALL):
        specs, uses = served(SMALL, job)
        assert (len(specs), uses) == (
            (3, [4, 5]) if job.arm == JOINT else (1, SMALL.own_stages(SMALL.specs.index(specs[0])))
        )
    assert len(list(finished[1].rglob("outcome.json"))) == len(list(jobs(SMALL))) == 2 * 4


def test_every_arm_seed_and_point_is_there(finished):
    results, _ = finished
    names = ["watch/digit", "screen/picture", "screen/digit", "tower/pyramid", "tower/loops"]
    assert [task.name for task in results.tasks] == names
    points = {(r.method, r.repeat, *r.point.items()) for r in results.runs}
    assert len(points) == len(results.runs) == 2 * 2 * (2 * 2 + 2)
    for run in results.runs:
        assert list(run.metrics) == names
        assert all(math.isfinite(value) for metrics in run.metrics.values() for value in metrics.values())
    assert {claim.name for claim in results.claims} == {f"gain {name}" for name in names}
    assert len(results.charts) == 5 and len(results.charts[0].series) == 3
    assert len(results.verdict) >= 5


def test_it_obeys_the_laws_of_studies(finished):
    laws.assert_nothing_is_done_twice(BROADCAST, SMALL, finished)
    laws.assert_follows_from_its_runs(BROADCAST, finished[0])


def test_a_killed_study_goes_on(tmp_path):
    receivers = {"receivers": "a:digit:awgn:0/5,b:loops:awgn:5", "encoder_options": "widths=4/8"}
    small = dataclasses.replace(SMALL, seeds=1, test_snr_db="5", **receivers)
    whole = laws.run(BROADCAST, small, tmp_path / "whole")
    left = Table(whole[0].runs)
    uses = [left(JOINT, "uses", task=task, rule=AT_STOP)[0] for task in ("a/digit", "b/loops")]
    air = next(p.columns["uses"][0] for p in whole[0].profiles if p.method == JOINT)
    assert max(uses) <= air <= min(9.0, sum(uses)), "on the air until the last one has left"
    laws.assert_goes_on_after_a_kill(BROADCAST, small, whole, tmp_path, "separate, receiver a, repeat 0", 4)


def test_batches_divide(tmp_path, monkeypatch):
    laws.assert_batches_divide(BROADCAST, SMALL, tmp_path, monkeypatch)


def test_only_who_wants_classes_alone_leaves_early(finished):
    table = Table(finished[0].runs)
    for arm, whole in ((JOINT, (9, 9, 9)), (OWN, (4, 3, 2))):
        for run in table.runs_of(arm, rule=AT_STOP).values():
            uses = {name.split("/")[0]: metrics["uses"] for name, metrics in run.metrics.items()}
            assert (uses["screen"], uses["tower"]) == whole[1:]
            assert uses["watch"] <= whole[0]
            assert list(run.settings) == ["thresholds of watch"] and len(run.settings["thresholds of watch"]) == 1
            stays = table.runs_of(arm, rule=ALL)[run.repeat]
            assert run.metrics["screen/digit"] == stays.metrics["screen/digit"], "it did not leave"
    air = {p.columns["uses"] for p in finished[0].profiles if (p.method, p.name) == (JOINT, AIR)}
    assert air == {(9.0,)}, "the screen listens to the end"


def test_it_composes_with_another_descent(tmp_path):
    settings = dataclasses.replace(SMALL, descent="upgrad", seeds=1, test_snr_db="5")
    results, _ = laws.run(BROADCAST, settings, tmp_path / "study")
    assert {run.method for run in results.runs} == {JOINT, OWN}
    assert math.isfinite(Table(results.runs)(JOINT, "PSNR", task="screen/picture", rule=ALL)[0])


def test_a_pyramid_doubles_in_size_with_every_stage():
    settings = dataclasses.replace(SMALL, uses="3/3/3", receivers="tower:pyramid:awgn:9")
    learner = learner_of(settings, load_data("digits"))
    shapes = [p.shape[2:] for p in learner.model(torch.rand(2, 1, 8, 8), OperatingPoint(snr_db=9.0)).values()]
    assert shapes == [(2, 2), (4, 4), (8, 8)]


def made_up(uses_at_stop, air, seeds=2):
    """Results with one receiver whose accuracy rises by 0.1 a seed, 0.05 above that of its own network."""
    runs = []
    for seed in range(seeds):
        for arm, more in ((JOINT, 0.05), (OWN, 0.0)):
            right = 0.6 + 0.1 * seed + more
            runs.append(Run(arm, seed, {"a/digit": {"accuracy": right, "uses": 12.0}}, {"rule": ALL}))
            runs.append(
                Run(arm, seed, {"a/digit": {"accuracy": right - 0.02, "uses": uses_at_stop}}, {"rule": AT_STOP})
            )
            for snr_db in (0.0, 10.0):
                point = {"stage": 1, "snr_db": snr_db}
                runs += [Run(arm, seed, {"a/digit": {"accuracy": right}}, {**point, "stage": n}) for n in (1, 2)]
    settings = dataclasses.replace(SMALL, receivers="a:digit:awgn:0", uses="4/8")
    return Results(
        "broadcast", "", "", DataInfo("d"), (TaskInfo("a/digit", "classification", "accuracy", True),),
        (MethodInfo(JOINT, "One"), MethodInfo(OWN, "Own")), tuple(runs), settings=dataclasses.asdict(settings),
        profiles=tuple(Profile(JOINT, AIR, {"uses": (air + seed,)}, seed) for seed in range(seeds)),
    )  # fmt: skip


def test_claims_and_sentences_by_hand():
    said = findings(made_up(6.5, 6.0))
    (gain,) = said.claims
    assert gain.value == pytest.approx(5.0) and gain.state == "shown" and gain.unit == "points"
    assert said.verdict[0] == (
        "a/digit: accuracy 0.7 after all 12 uses, 0.68 when it leaves after 6.5 on average; a network of its own with "
        "its share of the uses: 0.65."
    )
    assert said.verdict[1].startswith("The last receiver has left after 6.5 of 12 uses on average")
    stays = findings(made_up(12.0, 12.0)).verdict
    assert len(stays) == 1 and "leaves" not in stays[0]
    assert [series.label for series in said.charts[0].series] == [
        "broadcast, stage 1", "broadcast, stage 2", "own network, stage 2"
    ]  # fmt: skip


def test_every_receiver_is_measured_at_its_own_ratios():
    assert middle_point(SMALL.specs).as_dict() == {"snr_db": {"watch": 2.5, "screen": 10.0, "tower": 9.0}}


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
        ({"encoder_options": "width=wide"}, "option width is 'wide'; give a whole number"),
        ({"fit": FIT.replace(monitor="watch/digit@1/accuracy")}, "monitor"),
    ],
)
def test_a_wrong_name_stops_the_study_before_it_writes_anything(tmp_path, changes, words):
    laws.assert_refused_before_writing(BROADCAST, dataclasses.replace(SMALL, **changes), tmp_path, words)


def test_the_recipe_s_quick_settings_have_all_three():
    assert BROADCAST.quick is QUICK and len(QUICK.stages) > 1 and len(QUICK.specs) == 3
    assert any("picture" in spec.tasks for spec in QUICK.specs)


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
    learner = learner_of(settings, table, "3/3")
    assert set(learner.model(torch.rand(2, 7), OperatingPoint(snr_db=0.0))) == {"a/side@1", "a/side@2"}
    with pytest.raises(UmbelError, match="nobody can want a picture of them"):
        learner_of(dataclasses.replace(settings, receivers="a:picture:awgn:0"), table)


def test_pieces_of_a_batch_teach_the_same_as_the_whole():
    """Gradient accumulation: goals after every stage scale like any task."""
    data = load_data("digits")
    batch = next(iter(data.train.train_batches(16, 0, 0)))
    found = []
    for pieces in (1, 4):
        learner = learner_of(SMALL, data)
        quiet = OperatingPoint(snr_db=math.inf)
        for receiver in learner.model.receivers:
            receiver.channel = AWGN()
        make_descent("equal")(learner, batch, quiet, SingleProcess(accumulate=pieces))
        found.append([p.grad for p in learner.shared_parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
