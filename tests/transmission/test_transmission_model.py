"""What is sent obeys its power, what is heard obeys its channel, and a decoder reads what it has heard and no more."""

import math
from typing import get_args

import pytest
import torch
from small_transmissions import DIGIT, PICTURE, dense, draws, mapped, pictures
from torch import nn

from umbel.channels import AWGN, Erasure, Fading, Truncate, as_complex, make_channel, maximum_ratio_combine
from umbel.core import OperatingPoint, UmbelError
from umbel.transmission import (
    Coherence,
    Combine,
    Goal,
    MapCode,
    MapDecoder,
    Receiver,
    Stage,
    StagedModel,
    VectorDecoder,
    signal_quality,
)

POINT = OperatingPoint(snr_db=5.0)
QUIET = OperatingPoint(snr_db=math.inf)
ALL = (dense, mapped)


@pytest.mark.parametrize("make", ALL)
def test_every_sample_has_the_power_of_its_stage_in_every_stage(make):
    stages = (Stage(4, 0.5), Stage(8, 3.0), Stage(5))
    latents = make(stages).transmit(pictures(), POINT)
    for latent, stage in zip(latents, stages, strict=True):
        symbols = as_complex(latent)
        assert symbols[0].numel() == stage.uses
        torch.testing.assert_close(symbols.abs().square().flatten(1).mean(1), torch.full((5,), stage.power))


@pytest.mark.parametrize("make", ALL)
def test_real_uses_are_counted_and_powered_one_by_one(make):
    """Two reals for each use, or half the power on each, would be a silent 3 dB."""
    model = make((Stage(4), Stage(5)), channels=AWGN(complex_uses=False))
    latents = model.transmit(pictures(), POINT)
    assert [latent[0].numel() for latent in latents] == [4, 5]
    for latent in latents:
        torch.testing.assert_close(latent.square().flatten(1).mean(1), torch.ones(5))


@pytest.mark.parametrize("coherence", ["stage", "picture"])
@pytest.mark.parametrize("name", ["awgn", "real-awgn", "rayleigh-fast", "real-rayleigh"])
def test_what_is_heard_has_the_ratio_that_was_asked_for(name, coherence):
    """At each stage and over each use: mean |noise|^2 against gain^2 / snr_per_use."""
    model = dense((Stage(3), Stage(4)), channels=make_channel(name), coherence=coherence)
    latents = model.transmit(pictures(4000), POINT)
    for latent, heard in zip(latents, model.hear(latents, model.receivers[0], POINT, draws()), strict=True):
        reals = 1 if name.startswith("real") else 2
        gain = heard.gain.expand(-1, latent.shape[1] // reals)
        noise = heard.latent - torch.cat([gain] * reals, dim=1) * latent
        expected = heard.gain.square() / heard.snr_per_use
        measured = reals * noise.square().mean()
        assert measured.item() == pytest.approx(expected.mean().item(), rel=0.05)


def _gains(name, coherence, make=mapped):
    model = make((Stage(4), Stage(8), Stage(4)), channels=make_channel(name), coherence=coherence)
    latents = model.transmit(pictures(300), POINT)
    return latents, model.hear(latents, model.receivers[0], POINT, draws())


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("name", ["rayleigh", "real-rayleigh", "rician"])
def test_a_block_fade_lasts_a_stage_or_a_whole_picture(name, make):
    _, heard = _gains(name, "picture", make)
    for other in heard[1:]:
        assert torch.equal(other.gain.flatten(), heard[0].gain.flatten()), "one gain for the picture"
    _, heard = _gains(name, "stage", make)
    first, second = (one.snr_per_use.flatten() for one in heard[:2])
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.2, "stages fade independently"


@pytest.mark.parametrize("coherence", ["stage", "picture"])
@pytest.mark.parametrize("make", ALL)
def test_a_fast_fade_is_new_at_each_use_and_belongs_to_it(make, coherence):
    latents, heard = _gains("rayleigh-fast", coherence, make)
    for latent, one in zip(latents, heard, strict=True):
        assert one.gain.shape == (300, latent.shape[1] // 2, *latent.shape[2:])
        assert len(one.gain[0].unique()) == one.gain[0].numel()
    quiet = model_heard_quietly(make, coherence)
    for latent, one in quiet:  # without noise what is left of an MMSE receiver is the gain itself: 1
        torch.testing.assert_close(one.latent, latent, rtol=1e-4, atol=1e-4)


def model_heard_quietly(make, coherence):
    model = make((Stage(4), Stage(8), Stage(4)), channels=make_channel("rayleigh-fast"), coherence=coherence)
    latents = model.transmit(pictures(20), QUIET)
    return list(zip(latents, model.hear(latents, model.receivers[0], QUIET, draws()), strict=True))


def test_latents_side_by_side_come_back_in_their_places():
    """Without equaliser a use is its symbol times its gain; a wrong cut would mix stages, or real and imaginary."""
    for coherence in ("stage", "picture"):
        for make in ALL:
            model = make(channels=Fading(coherence="fast", equaliser="none"), coherence=coherence)
            latents = model.transmit(pictures(), QUIET)
            for latent, heard in zip(latents, model.hear(latents, model.receivers[0], QUIET, draws()), strict=True):
                torch.testing.assert_close(as_complex(heard.latent), heard.gain * as_complex(latent))


def test_repeats_of_a_picture_with_one_gain_combine_to_the_sum_of_their_ratios():
    model = dense((Stage(4),) * 3, combine="maximum-ratio", coherence="picture", channels=Fading())
    latents = model.transmit(pictures(), POINT)
    heard = model.hear(latents, model.receivers[0], POINT, draws())
    assert torch.equal(latents[0], latents[2])
    torch.testing.assert_close(maximum_ratio_combine(heard).snr, 3 * heard[0].snr)
    assert not torch.equal(heard[0].latent, heard[1].latent), "the noise is new in each repeat"


def test_truncation_of_a_whole_picture_cuts_the_last_stages():
    model = dense((Stage(3), Stage(4)), channels=Truncate(AWGN()), coherence="picture")
    point = POINT.with_values(uses=5)
    latents = model.transmit(pictures(), point)
    first, second = model.hear(latents, model.receivers[0], point, draws())
    assert first.gain.all() and torch.equal(second.gain, torch.tensor([1.0, 1, 0, 0]).expand(5, 4))
    assert as_complex(second.latent)[:, 2:].abs().sum() == 0


def _perturbed_stages(make, combine, changed):
    """Which stages' predictions change when what was received of stage `changed` (from 0) does."""
    model = make((Stage(4),) * 3, combine=combine).eval()
    (receiver,) = model.receivers
    with torch.no_grad():
        heard = model.hear(model.transmit(pictures(), POINT), receiver, POINT, draws())
        other = [one._replace(latent=one.latent + 1) if i == changed else one for i, one in enumerate(heard)]
        before, after = (receiver.decode(h, POINT) for h in (heard, other))
    return {goal.stage for goal in model.goals if not torch.equal(before[goal.name], after[goal.name])}


@pytest.mark.parametrize("make", ALL)
def test_a_decoder_reads_the_stages_up_to_its_own(make):
    assert _perturbed_stages(make, "concatenate", 0) == {1, 2, 3}
    assert _perturbed_stages(make, "concatenate", 1) == {2, 3}
    assert _perturbed_stages(make, "concatenate", 2) == {3}


@pytest.mark.parametrize("make", ALL)
def test_latest_reads_its_own_stage_alone(make):
    for changed in range(3):
        assert _perturbed_stages(make, "latest", changed) == {changed + 1}


@pytest.mark.parametrize("make", ALL)
def test_maximum_ratio_reads_all_repeats_with_one_decoder_and_one_head(make):
    assert _perturbed_stages(make, "maximum-ratio", 1) == {2, 3}
    model = make((Stage(4),) * 3, combine="maximum-ratio")
    (receiver,) = model.receivers
    assert len(model.codes) == 1
    assert receiver.decoders["1"] is receiver.decoders["3"]
    assert receiver.heads["digit@1"] is receiver.heads["digit@3"]


def test_the_gradient_of_an_early_goal_reaches_no_later_code():
    model = mapped((Stage(4),) * 3)
    model(pictures(), POINT, draws())["picture@2"].sum().backward()
    reached = [any(p.grad is not None and p.grad.abs().sum() > 0 for p in code.parameters()) for code in model.codes]
    assert reached == [True, True, False]


def test_stages_of_the_point_are_sent_and_predicted_alone():
    model = mapped((Stage(4),) * 3)
    whole, part = (model(pictures(), point, draws()) for point in (POINT, POINT.with_values(stages=2)))
    assert set(part) == {"digit@1", "picture@1", "digit@2", "picture@2"}
    assert len(whole) == 6
    torch.testing.assert_close(part["digit@2"], whole["digit@2"])
    assert len(model.transmit(pictures(), POINT.with_values(stages=1))) == 1


@pytest.mark.parametrize("stages", [0, 4, 1.0, "2", True])
def test_stages_that_are_not_there_are_refused(stages):
    with pytest.raises(UmbelError, match="this model sends 1 to 3"):
        dense((Stage(2),) * 3)(pictures(), POINT.with_values(stages=stages))


def two_receivers(channels=None, **more):
    goals = [Goal(DIGIT, 1, "near"), Goal(DIGIT, 1, "far"), Goal(PICTURE, 2, "near")]
    return mapped(goals=goals, channels=channels, **more)


def test_receivers_hear_the_same_latents_over_channels_of_their_own():
    model = two_receivers({"near": AWGN(), "far": Fading()})
    point = OperatingPoint(snr_db={"near": 20.0, "far": 0.0})
    latents = model.transmit(pictures(2000), point)
    generator = draws()
    near, far = (model.hear(latents, model.receiver(name), point, generator)[0] for name in ("near", "far"))
    assert near.snr[0].item() == pytest.approx(100, rel=1e-4)
    assert far.snr.mean().item() == pytest.approx(1.0, rel=0.1) and far.snr.std() > 0.5
    noises = [(one.latent - latents[0]).flatten() for one in (near, far)]
    assert abs(torch.corrcoef(torch.stack(noises))[0, 1]) < 0.05


def test_one_channel_for_all_receivers_is_not_one_noise():
    model = two_receivers(AWGN())
    latents = model.transmit(pictures(500), POINT)
    generator = draws()
    near, far = (model.hear(latents, model.receiver(name), POINT, generator)[0] for name in ("near", "far"))
    assert abs(torch.corrcoef(torch.stack([(o.latent - latents[0]).flatten() for o in (near, far)]))[0, 1]) < 0.05


def test_a_generator_makes_the_noise_its_own_and_named_receivers_are_asked_alone():
    model = two_receivers().eval()
    once, again, other = (model(pictures(), POINT, draws(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert all(not torch.equal(once[name], other[name]) for name in once)
    assert set(model(pictures(), POINT, receivers=["far"])) == {"far/digit@1"}
    with pytest.raises(UmbelError, match="unknown receiver 'fur'; did you mean 'far'"):
        model(pictures(), POINT, receivers=["fur"])


def test_a_ratio_that_a_receiver_does_not_have_is_refused():
    model = two_receivers()
    with pytest.raises(UmbelError, match="unknown receiver in snr_db 'far'"):
        model(pictures(), OperatingPoint(snr_db={"near": 3.0}))
    with pytest.raises(UmbelError, match="snr_db"):
        model(pictures(), OperatingPoint())


def test_the_decoder_is_told_the_quality_of_each_stage():
    model = dense((Stage(3), Stage(4)), channels=Erasure(Fading(), 0.5))
    latents = model.transmit(pictures(), POINT)
    heard = model.hear(latents, model.receivers[0], POINT, draws())
    quality = signal_quality(heard)
    assert quality.shape == (5, 2)
    torch.testing.assert_close(quality[:, 1], heard[1].snr.log10())
    silent = [heard[0]._replace(snr=torch.tensor([0.0, math.inf, 1, 1, 1]))]
    assert signal_quality(silent)[:, 0].tolist() == pytest.approx([-3, 5, 0, 0, 0])


def test_decoders_take_latents_of_any_kind():
    model = mapped((Stage(4), Stage(3)))  # 4 uses fill a 2x2 map, 3 do not
    latents = model.transmit(pictures(), POINT)
    assert isinstance(model.codes[0], MapCode) and [x.ndim for x in latents] == [4, 2]
    heard = model.hear(latents, model.receivers[0], POINT, draws())
    shapes = [x.shape[1:] for x in latents]
    assert MapDecoder(shapes, (2, 2), 8)(heard).shape == (5, 8, 2, 2)
    assert VectorDecoder(shapes, 8)(heard).shape == (5, 8)


@pytest.mark.parametrize("make", ALL)
def test_half_precision_networks_send_at_full_precision(make):
    model = make()
    with torch.autocast("cpu", torch.bfloat16):
        latents = model.transmit(pictures(), POINT)
        predictions = model(pictures(), POINT)
    for latent in latents:
        assert latent.dtype == torch.float32
        torch.testing.assert_close(as_complex(latent).abs().square().flatten(1).mean(1), torch.ones(5))
    assert all(torch.isfinite(value).all() for value in predictions.values())


def test_every_way_to_combine_and_every_coherence_runs():
    for combine in get_args(Combine):
        for coherence in get_args(Coherence):
            model = mapped((Stage(4),) * 2, channels=Fading(), combine=combine, coherence=coherence)
            assert model(pictures(), POINT)["picture@2"].shape == (5, 1, 8, 8)


def test_models_that_cannot_be_are_refused():
    parts = dense()
    receivers = list(parts.receivers)
    with pytest.raises(UmbelError, match="2 codes for 3 stages"):
        StagedModel(parts.encoder, list(parts.codes), [Stage(3)] * 3, receivers)
    for wrong in ([], receivers * 2):
        with pytest.raises(UmbelError, match="give at least one, each with a name of its own"):
            StagedModel(parts.encoder, list(parts.codes), parts.stages, wrong)
    with pytest.raises(UmbelError, match="unknown coherence 'pictures'; did you mean 'picture'"):
        StagedModel(parts.encoder, list(parts.codes), parts.stages, receivers, "pictures")
    with pytest.raises(UmbelError, match="unknown way to combine stages 'latests'; did you mean 'latest'"):
        Receiver("", AWGN(), {1: nn.Identity()}, {}, [], "latests")
    real = Receiver("real", AWGN(complex_uses=False), {}, {}, [])
    with pytest.raises(UmbelError, match="some receivers have channels of complex uses and some of real ones"):
        StagedModel(parts.encoder, list(parts.codes), parts.stages, [*receivers, real])
