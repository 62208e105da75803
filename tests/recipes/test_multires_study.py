"""The study of layered transmission: all arms, its claims from known numbers, resuming, bad settings."""

import dataclasses
import math

import pytest
import torch

from umbel import tasks
from umbel.core import Batch, UmbelError
from umbel.data import MultiTaskData, TensorSource
from umbel.engine import FitSettings, open_runtime
from umbel.recipes import RECIPES
from umbel.recipes.communications import LinkSettings
from umbel.recipes.multires_jscc import MULTIRES_JSCC, QUICK, MultiresSettings
from umbel.recipes.multires_jscc.arms import count_trainings, folder_of, snrs_of
from umbel.recipes.multires_jscc.digital import Digital, arm_of, usable_codecs
from umbel.recipes.multires_jscc.settings import ARMS, FIXED, GREEDY, INDEPENDENT, JOINT, NO_PAST, TRUNCATED
from umbel.recipes.multires_jscc.study import multires_jscc
from umbel.recipes.multires_jscc.verdict import Evidence, claims, middle_of, steepest_fall, verdict
from umbel.recipes.settings import DataSettings
from umbel.recipes.study import Study
from umbel.report import Results, Run, TaskInfo

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


def run(out, settings=SMALL, resume=False):
    return multires_jscc(settings, Study(out, open_runtime(), "umbel run multires_jscc", resume))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("multires") / "study"
    return out, run(out)


def test_every_arm_is_measured_at_every_layer_and_snr(done):
    _, results = done
    for arm in (JOINT, NO_PAST, GREEDY, INDEPENDENT):
        points = {tuple(run.point.values()) for run in results.runs if run.method == arm}
        assert len(points) == 2 * 2 * 3, arm  # channels, layers, SNRs
    cut = {(run.point["layer"], run.point["uses"]) for run in results.runs if run.method == TRUNCATED}
    assert cut == {(1, 60)}
    metrics = results.runs[0].metrics
    assert set(metrics["picture"]) == {"PSNR", "SSIM"}
    assert list(metrics["digit"]) == ["accuracy", "macro F1", "confidence"]
    assert {run.method for run in results.runs} >= {"sscc", "sscc-header-free"}  # 128 uses are in the table


def test_results_survive_their_file_and_hold_pictures_and_charts(done):
    out, results = done
    again = Results.from_json(results.to_json())
    assert again.claims == results.claims and again.charts == results.charts
    assert {chart.section for chart in results.charts} == {"awgn", "rayleigh"}
    assert [(out / sheet.file).exists() for sheet in results.samples] == [True, True]
    assert results.headline == ({"snr_db": 5.0},)
    assert "On awgn at 5 dB: layer 1 (60 uses)" in results.verdict[0]
    assert any("uses" in warning and "block error table" in warning for warning in results.warnings)  # 60 is not


def test_a_resumed_study_trains_nothing_and_says_the_same(done, monkeypatch):
    out, results = done
    monkeypatch.setattr("umbel.recipes.study.fit", lambda *_, **__: pytest.fail("trained again"))
    again = run(out, resume=True)
    assert [run.metrics for run in again.runs] == [run.metrics for run in results.runs]
    assert again.claims == results.claims


def test_arms_left_out_leave_their_claims_unmeasured(tmp_path):
    link = LinkSettings(channels="awgn", test_snr_db="0/5", draws=1)
    results = run(tmp_path / "study", changed(arms="joint", codecs="", seeds=1, link=link, first_labels="parity"))
    assert {run.method for run in results.runs} == {JOINT}
    by_name = {claim.name: claim for claim in results.claims}
    assert by_name["awgn: past layers"].holds is None and by_name["awgn: past layers"].reason
    first = [run.metrics for run in results.runs if run.point["layer"] == 1]
    assert all(set(metrics) == {"parity"} for metrics in first)


def test_a_resolution_pyramid_runs(tmp_path):
    link = LinkSettings(channels="awgn", test_snr_db="5", draws=1)
    settings = changed(mode="resolution", uses="4/4/8", arms="joint,independent", seeds=1, link=link, sscc_images=4)
    results = run(tmp_path / "study", settings)
    gain = next(claim for claim in results.claims if claim.name == "awgn: layer gain")
    assert gain.reason == "layers show pictures of different sizes"
    assert {run.point["layer"] for run in results.runs if run.method == INDEPENDENT} == {1, 2, 3}


def test_without_a_codec_the_digital_chain_is_left_out_with_a_line(monkeypatch):
    def missing(module, purpose):
        raise UmbelError(f'{purpose} needs the package {module}; pip install "umbel[comms]"')

    monkeypatch.setattr("umbel.channels.digital.codecs.from_extra", missing)
    warnings = []
    assert usable_codecs("webp,jxl", warnings) == ["webp"]
    assert len(warnings) == 1 and 'pip install "umbel[comms]"' in warnings[0]


def known(psnr, digital=(), accuracy=None, **settings):
    """Evidence of two layers on awgn from PSNRs: (arm, layer, SNR) -> value for each of two seeds."""
    runs = [
        Run(
            arm,
            seed,
            {"picture": {"PSNR": value + 0.1 * seed}, "digit": {"accuracy": (accuracy or {}).get(layer, 0.9)}},
            {"channel": "awgn", "layer": layer, "uses": 64 * layer, "snr_db": snr_db},
        )
        for (arm, layer, snr_db), value in psnr.items()
        for seed in (0, 1)
    ]
    chain = Digital()
    for (uses, count, kind), values in dict(digital).items():
        chain.values["awgn", uses, count, kind] = {s: {"PSNR": v} for s, v in values.items()}
    link = LinkSettings(channels="awgn", test_snr_db="0/5/10")
    settings = changed(link=link, uses="64/64", **settings)
    task = TaskInfo("digit", "classification", "accuracy", True, metrics=("accuracy",))
    return Evidence(settings, runs, chain, task, values=3072)


def judged(evidence):
    return {claim.name.removeprefix("awgn: "): claim for claim in claims(evidence)}


def test_claims_follow_from_the_numbers():
    joint = {(JOINT, layer, snr): 18.0 + 2 * layer + snr / 5 for layer in (1, 2) for snr in (0.0, 5.0, 10.0)}
    others = {(INDEPENDENT, 1, 5.0): 22.6, (INDEPENDENT, 2, 5.0): 23.9, (NO_PAST, 2, 5.0): 22.8}
    found = judged(known(joint | others, accuracy={1: 0.80, 2: 0.85}))
    assert found["layer gain"].value == pytest.approx(2.0) and found["layer gain"].holds
    assert found["accuracy gain"].value == pytest.approx(5.0) and found["accuracy gain"].holds
    assert found["last layer"].value == pytest.approx(-0.9) and found["last layer"].holds
    assert found["every layer"].value == pytest.approx(-1.6) and not found["every layer"].holds
    assert found["past layers"].value == pytest.approx(0.2) and not found["past layers"].holds
    assert found["graceful"].value == pytest.approx(0.2) and found["graceful"].holds
    assert found["digital, whole file"].holds is None


def test_a_falling_accuracy_and_a_steep_curve_fail():
    joint = {(JOINT, layer, snr): 20.0 + (10 if snr > 5 else 0) for layer in (1, 2) for snr in (0.0, 5.0, 10.0)}
    found = judged(known(joint, accuracy={1: 0.9, 2: 0.89}))
    assert found["accuracy steps"].value == pytest.approx(-1.0) and not found["accuracy steps"].holds
    assert found["graceful"].value == pytest.approx(2.0) and not found["graceful"].holds


def test_the_digital_chain_is_compared_where_the_claim_says():
    joint = {(JOINT, layer, snr): 20.0 + layer for layer in (1, 2) for snr in (0.0, 5.0, 10.0, 15.0)}
    envelope = {0.0: 14.0, 5.0: 19.0, 10.0: 20.5, 15.0: 40.0}
    digital = {(64, "whole file", "envelope"): envelope, (128, "header-free", "envelope"): {5.0: 22.2}}
    found = judged(known(joint, digital))
    assert found["digital, whole file"].value == pytest.approx(0.5 + 0.05) and found["digital, whole file"].holds
    assert found["digital, header-free"].value == pytest.approx(-0.2 + 0.05) and not found["digital, header-free"].holds


def test_layers_of_a_larger_ratio_than_a_sixth_are_not_in_that_claim():
    joint = {(JOINT, layer, 5.0): 20.0 for layer in (1, 2)}
    digital = {(64, "whole file", "envelope"): {5.0: 19.0}, (128, "whole file", "envelope"): {5.0: 30.0}}
    evidence = dataclasses.replace(known(joint, digital), values=64 * 6)
    assert judged(evidence)["digital, whole file"].value == pytest.approx(1.05)


def test_mismatch_is_the_mean_of_five_decibels_below_and_above():
    fixed = {(FIXED, 2, 0.0): 20.0, (FIXED, 2, 10.0): 25.0, (JOINT, 2, 5.0): 22.0}
    digital = {(128, "whole file", "fixed"): {0.0: 14.0, 4.75: 14.5, 5.0: 26.0, 10.0: 26.5}}
    found = judged(known(fixed, digital))
    assert found["mismatch, whole file"].value == pytest.approx((6.0 - 1.5) / 2 + 0.05)
    assert found["mismatch, whole file"].holds and found["mismatch, header-free"].holds is None
    assert found["cliff"].value == pytest.approx(11.5) and found["cliff"].holds


def test_a_digital_chain_of_one_colour_is_no_rival():
    fixed = {(FIXED, 2, 0.0): 20.0, (FIXED, 2, 10.0): 25.0, (JOINT, 2, 5.0): 22.0}
    found = judged(known(fixed, {(128, "whole file", "fixed"): {0.0: 9.0, 5.0: 9.0, 10.0: 9.0}}))
    for name in ("mismatch, whole file", "cliff"):
        assert found[name].holds is None and "no file fits" in found[name].reason


def test_steepest_fall_looks_within_one_decibel():
    assert steepest_fall({0.0: 10.0, 1.0: 14.0, 1.5: 16.0, 5.0: 40.0}) == pytest.approx(4.0)
    assert math.isnan(steepest_fall({0.0: 1.0}))


def test_the_verdict_names_what_does_not_hold():
    evidence = known({(JOINT, layer, snr): 20.0 for layer in (1, 2) for snr in (0.0, 5.0, 10.0)})
    sentences = verdict(evidence, claims(evidence), {"awgn": {5.0: [20.0, 21.0]}})
    assert any("not these" in sentence and "awgn: layer gain" in sentence for sentence in sentences)
    assert "5 dB: 2 (128 uses)" in sentences[-1]


def test_small_answers():
    assert middle_of([-5.0, 0.0, 5.0, 10.0]) == 0.0 and middle_of([3.0]) == 3.0
    assert snrs_of(SMALL, JOINT) == [0.0, 5.0, 10.0]
    assert snrs_of(changed(design_snr_db=7.0), FIXED) == [0.0, 2.0, 5.0, 7.0, 10.0, 12.0]
    assert count_trainings(changed(seeds=2), 2) == 2 * 2 * (3 + 2 + 2) + 1
    assert SMALL.totals == [60, 128] and SMALL.arm_names == list(ARMS)
    assert changed(arms="greedy").arm_names == [JOINT, GREEDY]
    assert SMALL.shares() == pytest.approx([0.3, 0.7])
    assert folder_of("rician:k_factor=10") == "rician_k_factor-10"
    assert arm_of("whole file") == "sscc"
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
        ({"design_snr_db": math.nan}, "--design-snr-db"),
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
        ({"encoder_options": "width=wide"}, "--encoder-options"),
        ({"link": LinkSettings(channels="fog")}, "fog"),
        ({"link": LinkSettings(channels="real-awgn")}, "complex uses"),
        ({"fit": FitSettings(monitor="improvement")}, "monitor"),
    ],
)
def test_bad_settings_stop_the_study_before_its_folder_exists(values, message, tmp_path):
    with pytest.raises(UmbelError, match=message) as error:
        run(tmp_path / "study", changed(**values))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("shape", "label", "message"), [((1, 8, 8), -1, "no label at all"), ((7,), None, "sends pictures")]
)
def test_data_that_cannot_be_sent_is_refused(shape, label, message, tmp_path, monkeypatch):
    labels = torch.arange(12) % 2 if label is None else torch.full((12,), label)
    source = TensorSource(Batch(torch.rand(12, *shape), {"digit": labels}))
    toy = MultiTaskData("toy", "Toy", (tasks.classification("digit", "ab"),), source, source, source, shape)
    monkeypatch.setattr("umbel.recipes.build.load", lambda name, **options: toy)
    with pytest.raises(UmbelError, match=message):
        run(tmp_path / "study")
