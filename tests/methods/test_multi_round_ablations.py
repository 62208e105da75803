"""A latent that is cut short: what is sent of it, with which power, and which cuts are drawn."""

import pytest
import torch

from umbel import tasks
from umbel.channels import AWGN, Truncate
from umbel.core import OperatingPoint, UmbelError
from umbel.methods.multi_round_ablations import CutModel, PrefixLearner
from umbel.transmission import Goal, Stage, build_transmission

DIGIT = tasks.classification("digit", "0123456789")
INPUTS = torch.rand(4, 8, generator=torch.Generator().manual_seed(0))


def cut_model(uses=6) -> CutModel:
    about = {"width": 16, "decoder_width": 16}
    plain = build_transmission((8,), [Stage(uses)], [Goal(DIGIT)], Truncate(AWGN()), "mlp", **about)
    return CutModel(plain.encoder, list(plain.codes), plain.stages, list(plain.receivers))


def test_what_is_sent_has_the_power_of_its_uses_and_the_rest_is_zero():
    model = cut_model()
    for cut in (1, 2, 6):
        sent = model.transmit(INPUTS, OperatingPoint(uses=cut))[0].detach()
        assert sent.square().sum(1).tolist() == pytest.approx([cut] * 4, rel=1e-4)
        of_use = sent.unflatten(1, (2, 6)).square().sum(1)
        assert (of_use[:, :cut] > 0).all() and not of_use[:, cut:].any()
    everything, all_six = (model.transmit(INPUTS, point)[0] for point in (OperatingPoint(), OperatingPoint(uses=6)))
    assert torch.equal(everything, all_six)


def test_cuts_are_drawn_with_the_snr():
    learner = PrefixLearner(cut_model(), (0.0, 8.0), [2, 3, 6])
    generator = torch.Generator().manual_seed(0)
    drawn = [learner.draw_point(generator, 0.0) for _ in range(60)]
    assert {point["uses"] for point in drawn} == {2, 3, 6}
    assert all(0 <= point["snr_db"] <= 8 for point in drawn)
    assert len({point["snr_db"] for point in drawn}) == 60
    assert learner.sweep()[0] == OperatingPoint(snr_db=4.0, uses=3), "validation is at the middle of both"


def test_no_cut_at_all_is_refused():
    with pytest.raises(UmbelError, match="at least one number of uses"):
        PrefixLearner(cut_model(), (0.0, 8.0), [])
