from fractions import Fraction

import pytest

from umbel.channels.digital import CRC_BITS, MCS, ModulationCoding, find_mcs
from umbel.errors import UmbelError


def test_there_are_three_modulations_with_four_rates():
    assert len(MCS) == 12
    assert next(iter(MCS)) == "QPSK 1/3"
    assert find_mcs("64QAM 3/4") == ModulationCoding(6, Fraction(3, 4))


def test_a_third_is_exactly_a_third():
    # In floating point 1/3 x 2 x 192 is 127.99..., one bit less.
    assert find_mcs("QPSK 1/3").information_bits(192) == 128
    assert find_mcs("QPSK 2/3").information_bits(192) == 256


def test_check_bits_come_off_the_payload_and_grow_with_the_block():
    half = find_mcs("64QAM 1/2")
    assert half.payload_bits(512) == 1536 - CRC_BITS["CRC16"]
    assert (half.crc(1280), half.payload_bits(1280)) == ("CRC16", 3824)
    assert (half.crc(1281), half.payload_bits(1281)) == ("CRC24A", 3843 - CRC_BITS["CRC24A"])


def test_blocks_too_short_for_the_check_carry_nothing():
    assert find_mcs("QPSK 1/2").payload_bits(16) == 0
    assert find_mcs("QPSK 1/3").payload_bits(4) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: find_mcs("QPSK 1/5"),
        lambda: ModulationCoding(3, Fraction(1, 2)),
        lambda: ModulationCoding(2, Fraction(1, 6)),
        lambda: find_mcs("64QAM 3/4").payload_bits(4000),
        lambda: find_mcs("QPSK 1/2").payload_bits(0),
    ],
)
def test_codes_that_do_not_exist_are_refused(wrong):
    with pytest.raises(UmbelError):
        wrong()
