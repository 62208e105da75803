import pytest
import torch

from umbel.channels import SMALLEST_NORM, channel_uses, normalise_power
from umbel.core import UmbelError


def energies(latent: torch.Tensor) -> torch.Tensor:
    return latent.double().square().flatten(1).sum(1)


@pytest.mark.parametrize("shape", [(7, 2), (7, 16), (5, 6, 4, 4), (3, 4, 5)])
@pytest.mark.parametrize("complex_uses", [True, False])
@pytest.mark.parametrize("power", [1.0, 0.25])
def test_every_sample_has_n_times_the_power(shape, complex_uses, power):
    latent = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * torch.rand(shape[0]).reshape(
        -1, *[1] * (len(shape) - 1)
    )
    sent = normalise_power(latent, power, complex_uses=complex_uses)
    n = channel_uses(latent, complex_uses)
    torch.testing.assert_close(energies(sent), torch.full((shape[0],), n * power).double(), rtol=1e-5, atol=0)


def test_real_uses_have_half_the_energy_of_complex_ones_for_each_real_number():
    # The trap of 3 dB: unit power for each real number is power 2 for each complex use.
    latent = torch.randn(4, 64)
    assert normalise_power(latent).square().mean() == pytest.approx(0.5, rel=1e-5)
    assert normalise_power(latent, complex_uses=False).square().mean() == pytest.approx(1.0, rel=1e-5)


def test_the_scale_of_a_sample_does_not_matter():
    latent = torch.randn(3, 8)
    torch.testing.assert_close(normalise_power(latent), normalise_power(latent * 1e4), rtol=1e-5, atol=1e-6)


def test_a_batch_shares_its_power():
    latent = torch.stack([torch.ones(8), 3 * torch.ones(8)])
    sent = normalise_power(latent, per="batch")
    assert energies(sent).mean() == pytest.approx(4.0, rel=1e-5)
    assert energies(sent)[1] / energies(sent)[0] == pytest.approx(9.0, rel=1e-5)


def test_bf16_is_computed_in_float32_under_autocast():
    latent = torch.randn(6, 512).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sent = normalise_power(latent)
    assert sent.dtype == torch.float32
    torch.testing.assert_close(energies(sent), torch.full((6,), 256.0).double(), rtol=1e-5, atol=0)


def test_the_gradient_is_that_of_the_definition():
    latent = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    for per in ("sample", "batch"):
        assert torch.autograd.gradcheck(lambda z, per=per: normalise_power(z, 2.0, per), latent)


def test_a_latent_of_zeros_stays_zero_and_has_a_finite_gradient():
    latent = torch.zeros(2, 8, requires_grad=True)
    sent = normalise_power(latent)
    sent.sum().backward()
    assert torch.equal(sent, torch.zeros(2, 8))
    torch.testing.assert_close(latent.grad, torch.full((2, 8), 2.0 / SMALLEST_NORM))


def test_zeros_in_one_sample_leave_the_others_alone():
    latent = torch.randn(3, 8)
    latent[1] = 0
    assert energies(normalise_power(latent)).tolist() == pytest.approx([4.0, 0.0, 4.0])


def test_bad_words_and_powers_are_refused():
    with pytest.raises(UmbelError, match="did you mean 'sample'"):
        normalise_power(torch.ones(2, 2), per="samples")
    with pytest.raises(UmbelError, match="positive"):
        normalise_power(torch.ones(2, 2), power=0.0)
    with pytest.raises(UmbelError, match="even"):
        normalise_power(torch.ones(2, 3))
