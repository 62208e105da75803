"""Separate source and channel coding: each picture a file, each file a block over the digital link."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from umbel.channels.bounds import best_outage_rate, capacity_bits, normal_approximation_bits, outage_probability
from umbel.channels.digital.block_errors import BlockErrorTable, shipped_table
from umbel.channels.digital.coded_link import CodedLink
from umbel.channels.digital.judge import Classifier, Judge
from umbel.channels.digital.mcs import ModulationCoding, find_mcs
from umbel.channels.digital.rate_table import RateTable, as_float
from umbel.errors import UmbelError, unknown

FADINGS: Mapping[str, str | None] = {"awgn": None, "rayleigh": "rayleigh"}
"""Channels that the digital links know, as on the command line -> what they call their fading."""
_LEAST_ERROR = 1e-10  # 100 dB, as `umbel.metrics.PicturePSNR` counts a picture without error
_BATCH = 200
_IDEAL = ("capacity", "finite block")


def mean_colour(training_images: Tensor) -> Tensor:
    """The colour shown where a picture is lost: each channel's mean over the training pictures, float [C].

    Args:
        training_images: [N, C, H, W], uint8 or float in 0 to 1.
    """
    mean = training_images.double().mean((0, 2, 3))
    return (mean if training_images.is_floating_point() else mean / 255).float()


@dataclass(frozen=True)
class Delivery:
    """What is sent, and how likely it arrives.

    Attributes:
        choice: Quality of each picture as an index into the codec's qualities, int64 [N]; -1: no file fits.
        arrives: Probability that a block is received, from 0 to 1.
    """

    choice: Tensor
    arrives: float


class SeparateChain:
    """Codec, then CRC, LDPC and QAM, for some pictures at one number of channel uses a picture.

    Each picture is written at the quality with the smallest error whose file fits the block's payload. A block that
    fails its check shows `fallback`, as does a picture of which no file fits. SNR is Es/N0 for each complex use.

    Attributes:
        table: Sizes and errors of the pictures' files.
        uses: Complex channel uses for each picture.
        fallback: Colour of a lost picture, float [C]: the mean of the *training* pictures (`mean_colour`).
        count_header: Whether the whole file counts, or only what exceeds the codec's floor (header-free: as if the
            receiver knew the headers, which favours this chain). Print which beside every result.
        block_errors: Block error rates; the shipped table unless given.
    """

    def __init__(
        self,
        table: RateTable,
        uses: int,
        fallback: Tensor,
        count_header: bool = True,
        block_errors: BlockErrorTable | None = None,
    ) -> None:
        """Puts the parts together.

        Raises:
            UmbelError: The colour does not have one value for each channel, or the table has no block of so many uses.
        """
        if fallback.shape != (table.pictures.shape[3],):
            raise UmbelError(
                f"fallback has shape {tuple(fallback.shape)}; one value for each of {table.pictures.shape[3]} "
                "channels is needed (see mean_colour)"
            )
        self.table, self.uses, self.fallback, self.count_header = table, uses, fallback.float(), count_header
        self.block_errors = block_errors or shipped_table()
        self._choices: dict[float, Tensor] = {}
        self._links: dict[str, CodedLink] = {}
        lost = (table.originals() - fallback[:, None, None]).double().square().mean((1, 2, 3))
        self._lost_psnr = _psnr(lost)

    @property
    def codings(self) -> list[ModulationCoding]:
        """The modulations and codings to choose from at this number of uses.

        Raises:
            UmbelError: The block error table has none.
        """
        return self.block_errors.codes(self.uses)

    def choice(self, bits: float) -> Tensor:
        """The quality of each picture for a budget of bits, as `RateTable.choose`; kept."""
        if bits not in self._choices:
            self._choices[bits] = self.table.choose(bits, self.count_header)
        return self._choices[bits]

    def delivery(self, snr_db: float, mcs: str | ModulationCoding, fading: str | None = None) -> Delivery:
        """What is sent with one modulation and coding, and how likely it arrives.

        Args:
            snr_db: Mean Es/N0 for each complex use.
            mcs: Modulation and coding.
            fading: None (AWGN) or "rayleigh" (one gain for each picture, known to the receiver).

        Raises:
            UmbelError: The table has no such code; SNR is NaN; an unknown kind of fading.
        """
        mcs = find_mcs(mcs)
        rates = {None: self.block_errors.error_rate, "rayleigh": self.block_errors.fading_error_rate}
        if fading not in rates:
            raise UmbelError(f"fading {fading!r}: the digital chain knows None (AWGN) and 'rayleigh'")
        lost = rates[fading](mcs, self.uses, snr_db)
        return Delivery(self.choice(mcs.payload_bits(self.uses)), 1 - lost)

    def ideal_delivery(
        self, snr_db: float, bound: str = "capacity", error: float = 1e-3, fading: str | None = None
    ) -> Delivery:
        """What ideal codes would deliver: no check bits, no gap.

        Over AWGN "capacity" sends n log2(1 + snr) bits that always arrive; "finite block" what the normal
        approximation allows at a block error rate of `error`. Over Rayleigh fading both send at a fixed rate, that
        of the largest mean PSNR among fractions and multiples of the best outage rate, and lose the blocks in outage;
        for fading channels that is close to finite blocks too. The rate is chosen on these pictures themselves,
        so it is a little optimistic, as a bound may be.
        """
        if bound not in _IDEAL:
            raise unknown("bound", bound, _IDEAL)
        if fading == "rayleigh":
            rates = best_outage_rate(snr_db) * np.geomspace(1 / 16, 4, 97)
            every = [self._in_outage(float(rate), snr_db) for rate in rates]
            return max(every, key=self.psnr_of)
        if fading is not None:
            raise UmbelError(f"fading {fading!r}: the digital chain knows None (AWGN) and 'rayleigh'")
        if bound == "capacity":
            return Delivery(self.choice(float(capacity_bits(snr_db, self.uses))), 1.0)
        return Delivery(self.choice(float(normal_approximation_bits(snr_db, self.uses, error))), 1 - error)

    def _in_outage(self, rate: float, snr_db: float) -> Delivery:
        return Delivery(self.choice(math.floor(rate * self.uses)), 1 - float(outage_probability(rate, snr_db)))

    def psnr_of(self, delivery: Delivery) -> float:
        """Mean over pictures of each one's expected PSNR in dB; a picture without error counts 100 dB."""
        sent = delivery.choice >= 0
        arrived = torch.where(sent, _psnr(self.table.errors_of(delivery.choice)), self._lost_psnr)
        return float((delivery.arrives * arrived + (1 - delivery.arrives) * self._lost_psnr).mean())

    def psnr(
        self,
        snr_db: float,
        mcs: str | ModulationCoding,
        fading: str | None = None,
        real: bool = False,
        generator: torch.Generator | None = None,
    ) -> float:
        """Mean PSNR in dB with one modulation and coding; its fall over the SNR is the cliff.

        Args:
            snr_db: Mean Es/N0 for each complex use.
            mcs: Modulation and coding.
            fading: None (AWGN) or "rayleigh".
            real: Send and decode every picture once (needs the `[comms]` extra) instead of the block error table.
            generator: For `real`.
        """
        if not real:
            return self.psnr_of(self.delivery(snr_db, mcs, fading))
        return mean_psnr(self.send(snr_db, mcs, generator, fading), self.table.originals())

    def shown(self, image: int, delivery: Delivery, luck: float) -> Tensor:
        """What is shown of one picture, float [C, H, W]: its file where `luck`, in 0 to 1, is below `arrives`."""
        rung = int(delivery.choice[image])
        if rung >= 0 and luck < delivery.arrives:
            return self.table.decoded(image, rung)
        return self.fallback[:, None, None].expand(-1, *self.table.pictures.shape[1:3])

    def ideal_psnr(
        self, snr_db: float, bound: str = "capacity", error: float = 1e-3, fading: str | None = None
    ) -> float:
        """Mean PSNR in dB with ideal codes; see `ideal_delivery`."""
        return self.psnr_of(self.ideal_delivery(snr_db, bound, error, fading))

    def judge(self, classifier: Classifier, labels: Tensor) -> Judge:
        """A judge of these pictures, for `accuracy`; share it among chains of the same table."""
        return Judge(self.table, classifier, labels, self.fallback)

    def accuracy_of(self, delivery: Delivery, judge: Judge) -> float:
        """Expected accuracy of the classifier at the receiver: of decoded pictures, and of lost ones."""
        arrived, lost = judge.right(delivery.choice).double(), judge.lost().double()
        return float((delivery.arrives * arrived + (1 - delivery.arrives) * lost).mean())

    def accuracy(
        self,
        judge: Judge,
        snr_db: float,
        mcs: str | ModulationCoding,
        fading: str | None = None,
        real: bool = False,
        generator: torch.Generator | None = None,
    ) -> float:
        """Accuracy of a classifier on what arrives with one modulation and coding; arguments as `psnr`."""
        if real:
            return judge.accuracy(self.send(snr_db, mcs, generator, fading))
        return self.accuracy_of(self.delivery(snr_db, mcs, fading), judge)

    def best_mcs(self, snr_db: float, fading: str | None = None, judge: Judge | None = None) -> ModulationCoding:
        """The modulation and coding with the largest PSNR, or accuracy if there is a judge, on these pictures.

        For an honest envelope ask a chain of *validation* pictures and give the answer to that of the test pictures.
        Of equals the most robust is taken.
        """

        def score(mcs: ModulationCoding) -> float:
            delivery = self.delivery(snr_db, mcs, fading)
            return self.psnr_of(delivery) if judge is None else self.accuracy_of(delivery, judge)

        return max(self.codings, key=score)

    def envelope(
        self, snrs_db: list[float], validation: "SeparateChain", fading: str | None = None
    ) -> list[tuple[ModulationCoding, float]]:
        """For each SNR the modulation and coding that is best on validation pictures, and the PSNR here."""
        best = [validation.best_mcs(snr_db, fading) for snr_db in snrs_db]
        return [(mcs, self.psnr(snr_db, mcs, fading)) for snr_db, mcs in zip(snrs_db, best, strict=True)]

    def send(
        self,
        snr_db: float,
        mcs: str | ModulationCoding,
        generator: torch.Generator | None = None,
        fading: str | None = None,
    ) -> Tensor:
        """Really send every picture once: its bits, padded at random, coded, modulated, through noise and back.

        In a header-free count the bytes that do not fit (from the file's start, at most the codec's floor) are taken
        as known to the receiver.

        Returns:
            The pictures at the receiver, float [N, C, H, W] in 0 to 1.

        Raises:
            UmbelError: The `[comms]` extra is missing; a block too short for the code; another fading.
        """
        mcs = find_mcs(mcs)
        if mcs.name not in self._links:
            self._links[mcs.name] = CodedLink(mcs, self.uses)
        link = self._links[mcs.name]
        choice = self.choice(link.payload_bits)
        side = self.table.pictures.shape[1:3]
        pictures = self.fallback[None, :, None, None].expand(len(self.table), -1, *side).clone()
        sent = (choice >= 0).nonzero().squeeze(1)
        for images in sent.split(_BATCH) if len(sent) else ():
            files = [self.table.file(int(i), int(choice[i])) for i in images]
            over_air = [file[self._known_bytes(file, link.payload_bits) :] for file in files]
            bits = link.random_bits(len(files), generator)
            for row, data in enumerate(over_air):
                bits[row, : 8 * len(data)] = _bits(data)
            received, holds = link.transmit(bits, snr_db, generator, fading)
            for row in holds.nonzero().squeeze(1).tolist():
                known = files[row][: len(files[row]) - len(over_air[row])]
                body = _bytes(received[row, : 8 * len(over_air[row])])
                pictures[images[row]] = self._shown(known + body)
        return pictures

    def _known_bytes(self, file: bytes, bits: int) -> int:
        return 0 if self.count_header else max(0, len(file) - bits // 8)

    def _shown(self, file: bytes) -> Tensor:
        channels = self.table.pictures.shape[3]
        try:
            shown = as_float(self.table.codec.decode(file, channels))
        except UmbelError:  # an error that the check missed: one block in 65,536 of those lost
            shown = self.fallback[:, None, None]
        return shown


def mean_psnr(pictures: Tensor, originals: Tensor) -> float:
    """Mean over pictures [N, C, H, W] in 0 to 1 of each one's PSNR in dB; one without error counts 100 dB."""
    return float(_psnr((pictures - originals).double().square().mean((1, 2, 3))).mean())


def _psnr(squared_error: Tensor) -> Tensor:
    return -10 * squared_error.clamp(min=_LEAST_ERROR).log10()


def _bits(data: bytes) -> Tensor:
    return torch.from_numpy(np.unpackbits(np.frombuffer(data, np.uint8))).float()


def _bytes(bits: Tensor) -> bytes:
    return np.packbits(bits.to(torch.uint8).numpy()).tobytes()
