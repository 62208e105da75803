import pytest
import torch
from channel_signals import binomial_margin, bit_error, gaussian, qpsk, rayleigh_bit_error, seeded

from umbel.channels import (
    AWGN,
    Channel,
    Erasure,
    Fading,
    Received,
    as_complex,
    linear,
    maximum_ratio_combine,
    parse_channel,
)
from umbel.core import UmbelError


def repeats(channel: Channel, sent: torch.Tensor, ratios_db: list[float]) -> Received:
    generator = seeded(1)
    return maximum_ratio_combine([channel.receive(sent, ratio, generator) for ratio in ratios_db])


def measured_ratio(received: Received, sent: torch.Tensor) -> float:
    """Power of what came through over that of the rest, from the samples alone."""
    z, y = as_complex(sent), as_complex(received.latent)
    gain = (z.conj() * y).mean() / z.abs().square().mean()
    return ((gain * z).abs().square().mean() / (y - gain * z).abs().square().mean()).item()


def test_two_repeats_on_awgn_gain_3_db():
    sent = gaussian(400, 500)
    combined = repeats(AWGN(), sent, [4.0, 4.0])
    assert measured_ratio(combined, sent) == pytest.approx(2 * linear(4.0), rel=0.02)
    assert (combined.latent - sent).square().mean().item() == pytest.approx(linear(-4.0) / 4, rel=0.02)
    torch.testing.assert_close(combined.snr, torch.full((400,), 2 * linear(4.0)))
    torch.testing.assert_close(combined.gain, torch.ones(400, 1))


def test_ratios_add_when_they_differ():
    sent = gaussian(400, 500)
    combined = repeats(AWGN(), sent, [0.0, 10.0, 4.0])
    assert measured_ratio(combined, sent) == pytest.approx(sum(linear(db) for db in (0.0, 10.0, 4.0)), rel=0.02)


@pytest.mark.parametrize("equaliser", ["mmse", "zero-forcing", "none"])
@pytest.mark.parametrize("branches", [1, 2, 3])
def test_repeats_on_rayleigh_have_the_diversity_of_the_closed_form(equaliser, branches):
    sent = qpsk(200_000, 1)
    combined = repeats(Fading(equaliser=equaliser), sent, [5.0] * branches)
    if branches == 1 and equaliser == "none":
        return  # a single reception stays as it is: its phase is not undone
    expected = rayleigh_bit_error(linear(5.0), branches)
    assert bit_error(sent, combined.latent) == pytest.approx(
        expected, abs=1.5 * binomial_margin(expected, sent.numel())
    )


@pytest.mark.parametrize(
    "text", ["awgn", "rayleigh", "rayleigh-fast", "rayleigh-fast:equaliser=none", "rician:csi_error=0.1"]
)
def test_the_result_says_what_it_is(text):
    # latent = gain * sent + noise of power gain^2 / snr, as of any reception: results can be combined again.
    channel, sent = parse_channel(text), gaussian(20_000, 10)
    combined = repeats(channel, sent, [2.0, 6.0])
    rest = as_complex(combined.latent) - combined.gain * as_complex(sent)
    scaled = rest * combined.snr_per_use.sqrt() / combined.gain.abs()
    assert scaled.abs().square().mean().item() == pytest.approx(1.0, rel=0.02)
    generator = seeded(1)
    first, second, third = (channel.receive(sent, 3.0, generator) for _ in range(3))
    at_once = maximum_ratio_combine([first, second, third])
    in_turn = maximum_ratio_combine([maximum_ratio_combine([first, second]), third])
    torch.testing.assert_close(at_once.snr, in_turn.snr)
    torch.testing.assert_close(
        as_complex(at_once.latent) / at_once.gain,
        as_complex(in_turn.latent) / in_turn.gain,
        rtol=1e-3,
        atol=1e-3,
    )


def test_the_bias_of_mmse_equalisers_is_undone():
    # A deep fade has been shrunk to nothing: averaging the equalised latents would halve the good one.
    sent = torch.ones(1, 2)
    good = Received(sent * 0.9, torch.tensor([9.0]), torch.tensor([[9.0]]), torch.tensor([[0.9]]))
    faded = Received(sent * 0.01, torch.tensor([0.0101]), torch.tensor([[0.0101]]), torch.tensor([[0.01]]))
    combined = maximum_ratio_combine([good, faded])
    torch.testing.assert_close(combined.latent / combined.gain, sent, rtol=1e-3, atol=0)
    assert combined.gain.item() == pytest.approx(9.0101 / (10 + 1.01), rel=1e-4)


def test_one_reception_stays_as_it_is():
    for channel in (AWGN(), Fading(), Fading(coherence="fast")):
        one = channel.receive(gaussian(5, 4), 3.0, seeded())
        for got, expected in zip(maximum_ratio_combine([one]), one, strict=True):
            torch.testing.assert_close(got, expected)


def test_what_was_erased_does_not_weigh():
    sent = gaussian(300, 20)
    generator = seeded(1)
    whole, holed = AWGN().receive(sent, 5.0, generator), Erasure(AWGN(), 0.5).receive(sent, 5.0, generator)
    combined = maximum_ratio_combine([holed, whole])
    gone = holed.gain == 0
    torch.testing.assert_close(as_complex(combined.latent)[gone], as_complex(whole.latent)[gone])
    average = (as_complex(whole.latent) + as_complex(holed.latent)) / 2
    torch.testing.assert_close(as_complex(combined.latent)[~gone], average[~gone])
    nothing = maximum_ratio_combine([Erasure(AWGN(), 1.0).receive(sent, 5.0) for _ in range(2)])
    assert not nothing.latent.any()
    assert not nothing.gain.any()


def test_real_uses_are_combined_too():
    sent = torch.randn(4000, 5, generator=seeded())
    combined = repeats(Fading(coherence="fast", complex_uses=False), sent, [3.0, 3.0])
    scaled = (combined.latent - combined.gain * sent) * combined.snr_per_use.sqrt() / combined.gain
    assert scaled.var().item() == pytest.approx(1.0, rel=0.05)


def test_gradients_pass():
    latent = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    for channel in (AWGN(), Fading(coherence="fast"), Fading(equaliser="none")):
        assert torch.autograd.gradcheck(lambda z, c=channel: repeats(c, z, [1.0, 4.0]).latent, latent)


def test_bad_receptions_are_refused():
    with pytest.raises(UmbelError, match="at least one"):
        maximum_ratio_combine([])
    with pytest.raises(UmbelError, match=r"\(2, 4\), \(2, 6\)"):
        maximum_ratio_combine([AWGN().receive(torch.ones(2, size), 0.0) for size in (4, 6)])
