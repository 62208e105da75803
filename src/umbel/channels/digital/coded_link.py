"""One block over the air for real: check, LDPC, QAM, noise, soft demapping, belief propagation, check."""

import math
from typing import Any

import torch
from torch import Tensor

from umbel.channels.digital.extra import from_extra
from umbel.channels.digital.mcs import ModulationCoding, find_mcs
from umbel.errors import UmbelError

ITERATIONS = 20
"""Iterations of belief propagation."""
CHECK_UPDATE = "boxplus"
"""Sionna's name of the exact check node update by hyperbolic tangents."""


def through_noise(
    symbols: Tensor, snr_db: float, generator: torch.Generator | None = None, fading: str | None = None
) -> tuple[Tensor, Tensor]:
    """Symbols after the channel and division by the known gain, and the noise variance that is left.

    Args:
        symbols: Complex, unit mean power, [B, n].
        snr_db: Mean Es/N0 for each complex use: noise CN(0, 10^(-snr_db/10)).
        generator: Of noise and fading; None is torch's default.
        fading: None (AWGN) or "rayleigh": one gain h ~ CN(0, 1) for each block, known to the receiver.

    Returns:
        y / h, [B, n], and the variance of its noise, 10^(-snr_db/10) / |h|^2, [B, 1].

    Raises:
        UmbelError: An SNR that is not finite, an unknown kind of fading.
    """
    if not math.isfinite(snr_db):
        raise UmbelError(f"snr_db is {snr_db}; it must be a finite number")
    if fading not in (None, "rayleigh"):
        raise UmbelError(f"fading {fading!r}: the digital link knows None (AWGN) and 'rayleigh'")
    noise_variance = torch.full((len(symbols), 1), 10 ** (-snr_db / 10))
    if fading:
        gain = torch.randn(len(symbols), 1, dtype=torch.complex64, generator=generator).abs().square()
        noise_variance = noise_variance / gain.clamp(min=1e-12)
    noise = torch.randn(symbols.shape, dtype=symbols.dtype, generator=generator)
    return symbols + noise_variance.sqrt() * noise, noise_variance


class CodedLink:
    """Blocks of payload bits through a 5G LDPC code and QAM over AWGN or block Rayleigh fading.

    The blocks (CRC and LDPC of 3GPP TS 38.212, Gray-labelled QAM of TS 38.211, a-posteriori demapping, flooding
    belief propagation) are Sionna's. `snr_db` is Es/N0 for each complex channel use: symbols have unit mean power and
    the noise is CN(0, 10^(-snr_db/10)), so each real dimension has half of that variance.

    Differs from 5G: no transport block segmentation, scrambling or retransmission; one code block of any length.

    Attributes:
        mcs: Modulation and coding.
        uses: Complex channel uses of a block.
        payload_bits: Payload bits in a block.
    """

    def __init__(self, mcs: str | ModulationCoding, uses: int, iterations: int = ITERATIONS) -> None:
        """Builds encoder and decoder.

        Args:
            mcs: A name of `MCS`, or one of your own.
            uses: Complex channel uses of a block.
            iterations: Of belief propagation.

        Raises:
            UmbelError: The extra is missing; the block is too short or too long for the code.
        """
        self.mcs, self.uses, self.iterations = find_mcs(mcs), uses, iterations
        self.payload_bits = self.mcs.payload_bits(uses)
        if self.payload_bits < 1:
            raise UmbelError(f"{self.mcs.name} over {uses} uses leaves no payload beside the check; use more of them")
        ldpc, crc, mapping = (
            from_extra(f"sionna.phy.{name}", "the digital chain") for name in ("fec.ldpc", "fec.crc", "mapping")
        )
        bits, here = self.mcs.bits_per_symbol, {"device": "cpu"}
        self._check: Any = crc.CRCEncoder(self.mcs.crc(uses), k=self.payload_bits, **here)
        self._uncheck: Any = crc.CRCDecoder(self._check, **here)
        try:
            self._encode: Any = ldpc.LDPC5GEncoder(
                self.mcs.information_bits(uses), self.mcs.coded_bits(uses), num_bits_per_symbol=bits, **here
            )
        except ValueError as error:
            raise UmbelError(f"{self.mcs.name} over {uses} uses: {error}") from error
        self._decode: Any = ldpc.LDPC5GDecoder(
            self._encode, cn_update=CHECK_UPDATE, num_iter=iterations, hard_out=True, return_infobits=True, **here
        )
        self._map: Any = mapping.Mapper("qam", bits, **here)
        self._demap: Any = mapping.Demapper("app", "qam", bits, **here)

    def random_bits(self, blocks: int, generator: torch.Generator | None = None) -> Tensor:
        """Payloads to try the link with: float 0 and 1, [blocks, payload_bits]."""
        return torch.randint(0, 2, (blocks, self.payload_bits), generator=generator).float()

    @torch.no_grad()
    def transmit(
        self,
        bits: Tensor,
        snr_db: float,
        generator: torch.Generator | None = None,
        fading: str | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Send blocks and say what arrives.

        Args:
            bits: 0 and 1, [B, payload_bits].
            snr_db: Mean Es/N0 for each complex use.
            generator: Of noise and fading; None is torch's default.
            fading: None (AWGN) or "rayleigh": one gain h ~ CN(0, 1) for each block, known to the receiver.

        Returns:
            The received payload, [B, payload_bits], and whether its check holds, bool [B].

        Raises:
            UmbelError: Bits of another shape, an SNR that is not finite, an unknown kind of fading.
        """
        if bits.ndim != 2 or bits.shape[1] != self.payload_bits:
            raise UmbelError(f"bits have shape {tuple(bits.shape)}; this link takes [blocks, {self.payload_bits}]")
        received, noise_variance = through_noise(self.symbols(bits), snr_db, generator, fading)
        payload, holds = self._uncheck(self._decode(self._demap(received, noise_variance)))
        return payload, holds.squeeze(-1)

    def symbols(self, bits: Tensor) -> Tensor:
        """What is sent for payload bits [B, payload_bits]: complex symbols of unit mean power, [B, uses]."""
        return self._map(self._encode(self._check(bits.float())))
