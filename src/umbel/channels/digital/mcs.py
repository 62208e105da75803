"""Modulation and coding: how many payload bits a block of channel uses carries."""

from dataclasses import dataclass
from fractions import Fraction

from umbel.errors import UmbelError, unknown

CRC_BITS = {"CRC16": 16, "CRC24A": 24}
"""Check bits of the cyclic redundancy checks in use (3GPP TS 38.212, section 5.1)."""
LONGEST_CRC16_PAYLOAD = 3824
"""Payloads up to this many bits are checked by 16 bits, longer ones by 24 (3GPP TS 38.212, section 7.2.1)."""
SHORTEST_BLOCK, LONGEST_BLOCK = 12, 8448
"""Information bits, check included, of one LDPC code block that the encoder supports."""

_MODULATIONS = {2: "QPSK", 4: "16QAM", 6: "64QAM"}


@dataclass(frozen=True)
class ModulationCoding:
    """A square QAM with Gray labels and the rate of the LDPC code before it.

    Attributes:
        bits_per_symbol: 2 (QPSK), 4 (16QAM) or 6 (64QAM).
        rate: Information bits, check included, for each coded bit.
    """

    bits_per_symbol: int
    rate: Fraction

    def __post_init__(self) -> None:
        if self.bits_per_symbol not in _MODULATIONS:
            known = ", ".join(str(bits) for bits in _MODULATIONS)
            raise UmbelError(f"bits_per_symbol is {self.bits_per_symbol}; it must be one of {known}")
        if not Fraction(1, 5) <= self.rate <= Fraction(9, 10):
            raise UmbelError(f"code rate {self.rate}: the 5G LDPC code works from 1/5 to 9/10")

    @property
    def name(self) -> str:
        """As in "16QAM 1/2"."""
        return f"{_MODULATIONS[self.bits_per_symbol]} {self.rate}"

    def coded_bits(self, uses: int) -> int:
        """Bits on the channel in so many complex uses."""
        return self.bits_per_symbol * uses

    def information_bits(self, uses: int) -> int:
        """Bits into the LDPC encoder, check included: floor(rate x coded bits)."""
        return int(self.rate * self.coded_bits(uses))

    def crc(self, uses: int) -> str:
        """Name of the check: 16 bits for payloads up to 3,824 bits, else 24, as in 5G."""
        short = self.information_bits(uses) - CRC_BITS["CRC16"] <= LONGEST_CRC16_PAYLOAD
        return "CRC16" if short else "CRC24A"

    def payload_bits(self, uses: int) -> int:
        """Payload bits in so many complex uses; 0 where the block is too short for the code and its check.

        Raises:
            UmbelError: Not one use, or more than one code block would be needed.
        """
        if uses < 1:
            raise UmbelError(f"{uses} channel uses; at least 1 is needed")
        information = self.information_bits(uses)
        if information > LONGEST_BLOCK:
            raise UmbelError(
                f"{self.name} over {uses} uses: {information} bits exceed one LDPC block of {LONGEST_BLOCK}; "
                "send fewer uses at a time"
            )
        payload = information - CRC_BITS[self.crc(uses)]
        return max(payload, 0) if information >= SHORTEST_BLOCK else 0


def _all() -> dict[str, ModulationCoding]:
    rates = (Fraction(1, 3), Fraction(1, 2), Fraction(2, 3), Fraction(3, 4))
    every = [ModulationCoding(bits, rate) for bits in _MODULATIONS for rate in rates]
    return {coding.name: coding for coding in every}


MCS: dict[str, ModulationCoding] = _all()
"""Name -> modulation and coding: QPSK, 16QAM and 64QAM with rates 1/3, 1/2, 2/3 and 3/4."""


def find_mcs(mcs: str | ModulationCoding) -> ModulationCoding:
    """The modulation and coding of that name (or itself).

    Raises:
        UmbelError: No such name.
    """
    if isinstance(mcs, ModulationCoding):
        return mcs
    if mcs not in MCS:
        raise unknown("modulation and coding", mcs, MCS)
    return MCS[mcs]
