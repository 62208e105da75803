"""The study of layered transmission: all arms, choices on validation, claims from known numbers, bad settings."""

import dataclasses
import math

import pytest
import study_laws as laws
import torch

from umbel import tasks
from umbel.channels.digital import FADINGS, CodedPictures, mean_colour
from umbel.core import Batch, UmbelError
from umbel.data import MultiTaskData, TensorSource, first_samples
from umbel.engine import FitSettings
from umbel.methods.multires_jscc import multires_jscc
from umbel.recipes import RECIPES
from umbel.recipes.build import open_data
from umbel.recipes.communications import LinkSettings
from umbel.recipes.multires_jscc import MULTIRES_JSCC, QUICK, MultiresSettings
from umbel.recipes.multires_jscc.findings import findings, steepest_fall
from umbel.recipes.multires_jscc.settings import (
    ARMS,
    COUNTS,
    FIXED,
    FIXED_CHAIN,
    GREEDY,
    IDEAL,
    INDEPENDENT,
    JOINT,
    NO_PAST,
    TRUNCATED,
)
from umbel.recipes.multires_jscc.study import arms, choose_semantics, jobs, make_learner, snrs_of
from umbel.recipes.settings import DataSettings
from umbel.report import Results, Run, TaskInfo
from umbel.report.records import DataInfo, MethodInfo
from umbel.study import Job, Table

SMALL = MultiresSettings(
    data=DataSettings(data="digits"),
    uses="60/68",
    encoder_options="width=8,blocks=0",
    decoder_width=8,
    decoder_blocks=0,
    link=LinkSettings(test_snr_db="0/5/10", draws=1),
    design_snr_db=5.0,
    sscc_images=16,
    seeds=1,
    fit=FitSettings(
        steps=4, batch_size=32, precision="float32", validate_every=4, monitor="loss", clip_norm=1.0, tensorboard=False
    ),
)


def changed(**values):
    return dataclasses.replace(SMALL, **values)


ALONE = changed(codecs="", link=LinkSettings(channels="awgn", test_snr_db="0/5", draws=1))
"""One channel without the digital chain."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return laws.run(MULTIRES_JSCC, SMALL, tmp_path_factory.mktemp("multires") / "study")


@pytest.fixture(scope="module")
def results(finished):
    return finished[0]


def at(results, **place):
    return Table(results.runs, "picture").at(channel="awgn", **place)


def test_every_arm_is_measured_at_every_layer_and_snr(results):
    for arm in (JOINT, NO_PAST, GREEDY, INDEPENDENT):
        points = {tuple(run.point.values()) for run in results.runs if run.method == arm}
        assert len(points) == 2 * 2 * 3, arm  # channels, layers, SNRs
    cut = {(run.point["layer"], run.point["uses"]) for run in results.runs if run.method == TRUNCATED}
    assert cut == {(1, 60)}
    metrics = results.runs[0].metrics
    assert set(metrics["picture"]) == {"PSNR", "SSIM"}
    assert list(metrics["digit"]) == ["accuracy", "macro F1", "confidence"]
    assert [method.key for method in results.methods] == [arm.key for arm in arms(SMALL)]


def test_the_main_table_shows_the_middle_and_no_bounds(results):
    shown = {(run.method, run.point["snr_db"]) for run in results.runs if results.in_headline(run.point)}
    assert shown == {(arm.key, 5.0) for arm in arms(SMALL)} - {(key, 5.0) for key in (FIXED_CHAIN, *IDEAL.values())}


def test_sizes_are_those_of_the_networks_that_serve_all_layers_once(results):
    data = choose_semantics(SMALL, open_data(SMALL.data))

    def parameters(arm, *layers):
        places = [{"layer": layer} for layer in layers] or [{}]
        made = [make_learner(SMALL, data, Job.at(arm, 0, channel="awgn", **place)) for place in places]
        return sum(p.numel() for learner in made for p in learner.parameters())

    assert results.method(JOINT).parameters == parameters(JOINT) == results.method(GREEDY).parameters
    assert results.method(INDEPENDENT).parameters == parameters(INDEPENDENT, 1, 2)
    assert results.method(TRUNCATED).parameters == parameters(INDEPENDENT, 2)
    assert results.method("sscc").parameters == 0


def test_greedy_stages_count_as_one_training(results):
    greedy = at(results, layer=1, snr_db=5.0).runs_of(GREEDY)[0]
    assert greedy.steps == 2 * SMALL.fit.steps and greedy.metrics["picture"]
    assert at(results, layer=1, snr_db=5.0).runs_of(JOINT)[0].steps == SMALL.fit.steps


def test_the_chain_is_chosen_on_validation_and_measured_on_the_test(results):
    """By hand from the data; the fixed chain keeps the coding of the design SNR at every SNR."""
    data = open_data(SMALL.data)
    splits = [first_samples(split, SMALL.sscc_images).inputs for split in (data.validation, data.test)]
    pictures = CodedPictures(*splits, mean_colour(first_samples(data.train, 2000).inputs))
    for channel, fading in FADINGS.items():
        for arm, count in COUNTS.items():
            link = pictures.link(128, count == "whole file")
            of_chain = Table(results.runs, "picture").at(channel=channel, uses=128)
            for snr_db in (0.0, 5.0, 10.0):
                best = link.best(snr_db, fading)
                (envelope,) = of_chain.runs_of(arm, snr_db=snr_db, count=None).values()
                assert envelope.settings == {"codec": "webp", "coding": best.mcs.name}
                assert envelope.metrics["picture"]["PSNR"] == link.expected(snr_db, best, fading).psnr
                for bound, ideal in IDEAL.items():
                    value = of_chain(ideal, snr_db=snr_db, count=count).constant
                    assert value == link.ideal(snr_db, bound, fading).psnr
            fixed = link.best(5.0, fading)
            curve = of_chain.over(FIXED_CHAIN, "snr_db", count=count)
            assert {0.0, 0.25, 5.0, 10.0, 11.0} <= set(curve) and max(curve) == 11.0
            assert all(v.constant == link.expected(s, fixed, fading).psnr for s, v in curve.items())


def test_uses_without_measured_blocks_have_bounds_only(results):
    table = Table(results.runs, "picture").at(channel="awgn", uses=60, snr_db=5.0)
    assert math.isnan(table("sscc", layer=1).constant)
    assert math.isfinite(table("sscc-capacity", count="whole file").constant)
    assert any("bounds only at 60 uses" in warning for warning in results.warnings)


def test_charts_pictures_and_sentences(finished):
    results, out = finished
    assert {chart.section for chart in results.charts} == {"awgn", "rayleigh"}
    assert [(out / sheet.file).exists() for sheet in results.samples] == [True, True]
    assert "On awgn at 5 dB: layer 1 (60 uses)" in results.verdict[0]
    assert any("codec from a library" in sentence for sentence in results.verdict)
    assert any("listens to, if 0.5 dB on validation" in sentence for sentence in results.verdict)
    assert {curve.task for curve in results.curves} == {"picture", "digit"}


def test_it_obeys_the_laws_of_studies(finished):
    laws.assert_nothing_is_done_twice(MULTIRES_JSCC, SMALL, finished)
    laws.assert_follows_from_its_runs(MULTIRES_JSCC, finished[0])


def test_a_study_killed_in_a_later_greedy_stage_goes_on(tmp_path):
    small = dataclasses.replace(ALONE, arms="joint,greedy", fit=ALONE.fit.replace(log_every=1))
    whole = laws.run(MULTIRES_JSCC, small, tmp_path / "whole")
    label = "greedy, channel awgn, layer 2, repeat 0"
    laws.assert_goes_on_after_a_kill(MULTIRES_JSCC, small, whole, tmp_path, label, 3)


def test_batches_divide(tmp_path, monkeypatch):
    laws.assert_batches_divide(MULTIRES_JSCC, SMALL, tmp_path, monkeypatch)


def test_arms_left_out_leave_their_claims_unmeasured(tmp_path):
    settings = dataclasses.replace(ALONE, arms="joint", first_labels="parity")
    results, _ = laws.run(MULTIRES_JSCC, settings, tmp_path / "study")
    assert {run.method for run in results.runs} == {JOINT}
    by_name = {claim.name: claim for claim in results.claims}
    assert by_name["awgn: past layers"].value is None and by_name["awgn: past layers"].reason
    first = [run.metrics for run in results.runs if run.point["layer"] == 1]
    assert all(set(metrics) == {"parity"} for metrics in first)
    assert not any("listens" in sentence or "library" in sentence for sentence in results.verdict)


def test_a_resolution_pyramid_runs(tmp_path):
    settings = dataclasses.replace(ALONE, mode="resolution", uses="4/4/8", arms="joint,independent")
    results, _ = laws.run(MULTIRES_JSCC, settings, tmp_path / "study")
    gain = next(claim for claim in results.claims if claim.name == "awgn: layer gain")
    assert gain.reason == "layers show pictures of different sizes"
    assert {run.point["layer"] for run in results.runs if run.method == INDEPENDENT} == {1, 2, 3}


def test_jobs_of_layers_and_stages():
    made = list(jobs(changed(seeds=2)))
    assert len(made) == len({job.key for job in made}) == 2 * 2 * (3 + 2 + 2)
    stages = [job for job in made if job.arm == GREEDY and job.repeat == 1 and job.place["channel"] == "awgn"]
    assert [job.place["layer"] for job in stages] == [1, 2] and stages[1].needs == (stages[0],)
    assert not any(job.needs for job in made if job.arm != GREEDY)


def test_arms_are_built_by_the_method_for_their_uses_snr_and_memory():
    data = choose_semantics(SMALL, open_data(SMALL.data))
    joint, past, fixed = (make_learner(SMALL, data, Job.at(arm, 3, channel="awgn")) for arm in (JOINT, NO_PAST, FIXED))
    single = make_learner(SMALL, data, Job.at(INDEPENDENT, 3, channel="awgn", layer=2))
    assert [stage.uses for stage in joint.model.stages] == [60, 68]
    assert [stage.uses for stage in single.model.stages] == [128]
    assert sum(goal.weight for goal in single.model.goals) == pytest.approx(1.0)
    assert joint.snr_db == {"": (0.0, 10.0)} and fixed.snr_db == {"": (5.0, 5.0)}
    about = {"decoder_width": 8, "decoder_blocks": 0, "width": 8, "blocks": 0, "seed": 3, "coherence": "picture"}
    channel = joint.model.receivers[0].channel
    public = multires_jscc(data.input_shape, joint.model.goals, [60, 68], channel, (0.0, 10.0), **about)
    for mine, theirs in zip(joint.parameters(), public.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert sum(p.numel() for p in past.parameters()) < sum(p.numel() for p in joint.parameters())


# -- claims from known numbers -----------------------------------------------------------------------------------------


def known(psnr, digital=(), accuracy=None, values=3072, **settings):
    """Findings of two layers on awgn.

    Args:
        psnr: (arm, layer, SNR) -> value; for each of two seeds, 0.1 dB apart.
        digital: (arm, layer, count or None) -> SNR -> value; without seeds.
        accuracy: Layer -> accuracy.
        values: Values of a picture.
    """
    runs = []
    for (arm, layer, snr_db), value in psnr.items():
        point = {"channel": "awgn", "layer": layer, "uses": 64 * layer, "snr_db": snr_db}
        right = {"accuracy": (accuracy or {}).get(layer, 0.9)}
        validation = {"picture": {"PSNR": 20.0 + layer}} if arm == JOINT else {}
        for seed in (0, 1):
            runs.append(Run(arm, seed, {"picture": {"PSNR": value + 0.1 * seed}, "digit": right}, point, validation))
    for (arm, layer, count), curve in dict(digital).items():
        for snr_db, value in curve.items():
            point = {"channel": "awgn", "layer": layer, "uses": 64 * layer, "snr_db": snr_db}
            point |= {"count": count} if count else {}
            runs.append(
                Run(arm, 0, {"picture": {"PSNR": value}}, point, settings={"coding": "QPSK 1/2", "codec": "webp"})
            )
    settings = changed(link=LinkSettings(channels="awgn", test_snr_db="0/5/10"), uses="64/64", **settings)
    infos = [TaskInfo("picture", "picture", "PSNR", True, "dB", metrics=("PSNR",))]
    infos.append(TaskInfo("digit", "classification", "accuracy", True, metrics=("accuracy",)))
    return findings(
        Results(
            study="multires_jscc",
            title="Known",
            command="",
            data=DataInfo("toy"),
            tasks=tuple(infos),
            methods=tuple(MethodInfo(key, key) for key in dict.fromkeys(run.method for run in runs)),
            runs=tuple(runs),
            settings=dataclasses.asdict(settings),
            facts={"picture_values": values},
        )
    )


def judged(found):
    return {claim.name.removeprefix("awgn: "): claim for claim in found.claims}


SNRS = (0.0, 5.0, 10.0)
JOINT_21_22 = {(JOINT, layer, snr): 20.0 + layer for layer in (1, 2) for snr in SNRS}


def test_claims_follow_from_the_numbers():
    joint = {(JOINT, layer, snr): 18.0 + 2 * layer + snr / 5 for layer in (1, 2) for snr in SNRS}
    others = {(INDEPENDENT, 1, 5.0): 22.6, (INDEPENDENT, 2, 5.0): 23.9, (NO_PAST, 2, 5.0): 22.8}
    claims = judged(known(joint | others, accuracy={1: 0.80, 2: 0.85}))
    values = {
        "layer gain": (2.0, "shown"),
        "accuracy gain": (5.0, "shown"),
        "last layer": (-0.9, "shown"),
        "every layer": (-1.6, "refuted"),
        "past layers": (0.2, "refuted"),
        "graceful": (0.2, "shown"),
    }
    for name, (value, state) in values.items():
        assert claims[name].value == pytest.approx(value) and claims[name].state == state, name
    assert claims["digital, whole file"].value is None


def test_a_falling_accuracy_and_a_steep_curve_are_refuted():
    joint = {(JOINT, layer, snr): 20.0 + (10 if snr > 5 else 0) for layer in (1, 2) for snr in SNRS}
    claims = judged(known(joint, accuracy={1: 0.9, 2: 0.89}))
    assert claims["accuracy steps"].value == pytest.approx(-1.0) and claims["accuracy steps"].state == "refuted"
    assert claims["graceful"].value == pytest.approx(2.0) and claims["graceful"].state == "refuted"


def test_the_one_number_of_the_chain_stands_against_every_seed():
    """Above 10 dB the chain may win; the least margin of each seed is 0.5 and 0.6 dB at 10 dB."""
    joint = JOINT_21_22 | {(JOINT, layer, 15.0): 20.0 + layer for layer in (1, 2)}
    envelope = {0.0: 14.0, 5.0: 19.0, 10.0: 20.5, 15.0: 40.0}
    digital = {("sscc", 1, None): envelope, ("sscc-header-free", 2, None): {5.0: 22.2}}
    claims = judged(known(joint, digital))
    assert claims["digital, whole file"].value == pytest.approx(0.55)
    assert claims["digital, whole file"].interval[1] - 0.55 == pytest.approx(12.706 * 0.05, abs=1e-3)
    assert claims["digital, header-free"].value == pytest.approx(-0.2 + 0.05)


def test_layers_of_a_larger_ratio_than_a_sixth_are_not_in_that_claim():
    digital = {("sscc", 1, None): {5.0: 20.0}, ("sscc", 2, None): {5.0: 30.0}}
    assert judged(known(JOINT_21_22, digital, values=64 * 6))["digital, whole file"].value == pytest.approx(1.05)
    assert judged(known(JOINT_21_22, digital))["digital, whole file"].value == pytest.approx(-8 + 0.05)


def test_mismatch_is_the_mean_of_five_decibels_below_and_above():
    fixed = {(FIXED, 2, 0.0): 20.0, (FIXED, 2, 10.0): 25.0, (JOINT, 2, 5.0): 22.0}
    digital = {(FIXED_CHAIN, 2, "whole file"): {0.0: 14.0, 4.75: 14.5, 5.0: 26.0, 10.0: 26.5}}
    found = known(fixed, digital)
    claims = judged(found)
    assert claims["mismatch, whole file"].value == pytest.approx((6.0 - 1.5) / 2 + 0.05)
    assert claims["mismatch, header-free"].value is None
    assert any("loses within 1 dB of SNR: 11.5 dB (whole file)" in sentence for sentence in found.verdict)
    assert any("Fixed for 5 dB: whole file: QPSK 1/2, webp" in chart.note for chart in found.charts)


def test_a_digital_chain_of_one_colour_is_no_rival():
    fixed = {(FIXED, 2, 0.0): 20.0, (FIXED, 2, 10.0): 25.0, (JOINT, 2, 5.0): 22.0}
    found = known(fixed, {(FIXED_CHAIN, 2, "whole file"): {0.0: 9.0, 5.0: 9.0, 10.0: 9.0}})
    claim = judged(found)["mismatch, whole file"]
    assert claim.value is None and "no file fits" in claim.reason
    assert not any("loses within" in sentence for sentence in found.verdict)


def test_steepest_fall_looks_within_one_decibel():
    assert steepest_fall({0.0: 10.0, 1.0: 14.0, 1.5: 16.0, 5.0: 40.0}) == pytest.approx(4.0)
    assert math.isnan(steepest_fall({0.0: 1.0}))


def test_where_users_stop_is_read_on_validation():
    """The test says layer 1 is enough, validation says that layer 2 is worth its uses."""
    found = known({(JOINT, layer, snr): 20.0 for layer in (1, 2) for snr in SNRS})
    assert "5 dB: 2 (128 uses)" in next(sentence for sentence in found.verdict if "listens" in sentence)


# -- settings ----------------------------------------------------------------------------------------------------------


def test_small_answers():
    assert SMALL.middle_snr_db == 5.0 and changed(link=LinkSettings(test_snr_db="-5/0/5/10")).middle_snr_db == 0.0
    assert snrs_of(SMALL, JOINT) == [0.0, 5.0, 10.0]
    assert snrs_of(changed(design_snr_db=7.0), FIXED) == [0.0, 2.0, 5.0, 7.0, 10.0, 12.0]
    assert SMALL.totals == [60, 128] and SMALL.arm_names == list(ARMS)
    assert changed(arms="greedy").arm_names == [JOINT, GREEDY]
    assert SMALL.shares() == pytest.approx([0.3, 0.7])
    assert changed(encoder_options="").encoder_text == "width=48,blocks=2"
    assert changed(encoder_options="", encoder="conv").encoder_text == ""
    assert RECIPES["multires_jscc"] is MULTIRES_JSCC and QUICK.data.data == "digits"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"uses": "128/0/256"}, "at least 1"),
        ({"uses": ""}, "--uses"),
        ({"uses": "4/x"}, "not a finite number"),
        ({"picture_weights": "0.1/0.9/0.9"}, "2 numbers from 0 to 1"),
        ({"picture_weights": "0.1/1.9"}, "2 numbers from 0 to 1"),
        ({"mode": "size"}, "mode"),
        ({"arms": "joint,fast"}, "fast"),
        ({"design_snr_db": math.nan}, "design_snr_db is nan"),
        ({"seeds": 0}, "seeds is 0"),
        ({"greedy_passes": 0.0}, "greedy_passes"),
        ({"fit": FitSettings(seed=3)}, "--seeds"),
    ],
)
def test_bad_settings_are_refused_when_they_are_made(values, message):
    with pytest.raises(UmbelError, match=message):
        changed(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"semantics": "colour"}, "colour"),
        ({"first_labels": "colour"}, "colour"),
        ({"uses": "4/4/4/4/4", "mode": "resolution"}, "use fewer layers"),
        ({"codecs": "gif"}, "gif"),
        ({"descent": "luck"}, "luck"),
        ({"encoder": "luck"}, "luck"),
        ({"encoder_options": "width=wide"}, "option width is 'wide'"),
        ({"link": LinkSettings(channels="fog")}, "fog"),
        ({"link": LinkSettings(channels="real-awgn")}, "complex uses"),
        ({"fit": FitSettings(monitor="improvement")}, "monitor"),
    ],
)
def test_bad_settings_stop_the_study_before_its_folder_exists(values, message, tmp_path):
    laws.assert_refused_before_writing(MULTIRES_JSCC, changed(**values), tmp_path, message)


@pytest.mark.parametrize(
    ("shape", "label", "message"), [((1, 8, 8), -1, "no label at all"), ((7,), None, "sends pictures")]
)
def test_data_that_cannot_be_sent_is_refused(shape, label, message, tmp_path, monkeypatch):
    labels = torch.arange(12) % 2 if label is None else torch.full((12,), label)
    source = TensorSource(Batch(torch.rand(12, *shape), {"digit": labels}))
    toy = MultiTaskData("toy", "Toy", (tasks.classification("digit", "ab"),), source, source, source, shape)
    monkeypatch.setattr("umbel.recipes.build.load_data", lambda name, **options: toy)
    laws.assert_refused_before_writing(MULTIRES_JSCC, SMALL, tmp_path, message)
