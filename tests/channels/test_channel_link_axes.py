"""What a link wants drawn: nothing, one ratio for all, or that of its receiver."""

from umbel.channels import AWGN, ChannelLink
from umbel.core import Uniform


def test_a_link_asks_for_its_ratio_if_it_was_told_how_to_draw_it():
    axis = Uniform(0, 10)
    assert ChannelLink(AWGN()).axes() == {}
    assert ChannelLink(AWGN(), receiver="near").axes() == {}
    assert ChannelLink(AWGN(), snr_db=axis).axes() == {"snr_db": axis}
    assert ChannelLink(AWGN(), receiver="near", snr_db=axis).axes() == {"snr_db": {"near": axis}}
