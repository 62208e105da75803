"""Block error rates of the digital link, measured once by real decoding and looked up afterwards."""

import json
import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from umbel.channels.bounds import rayleigh_mean
from umbel.channels.digital.coded_link import CHECK_UPDATE, ITERATIONS
from umbel.channels.digital.mcs import ModulationCoding, find_mcs
from umbel.errors import UmbelError
from umbel.files import read_json, write_atomically

SHIPPED_TABLE = Path(__file__).with_name("block_errors.json")
"""The table that comes with the library; the command that made it is in it."""
_FORMAT = 1


@dataclass(frozen=True)
class Decoder:
    """What the block error rate depends on beside the code: how it is decoded."""

    code: str = "5G NR LDPC (3GPP TS 38.212), one block"
    check_update: str = CHECK_UPDATE
    iterations: int = ITERATIONS
    demapper: str = "app"


@dataclass
class BlockErrors:
    """Counts of one code over a grid of SNRs.

    Attributes:
        mcs: Name, as in "QPSK 1/2".
        uses: Complex channel uses of a block.
        crc: Name of the check.
        payload_bits: Payload bits in a block.
        snr_db: Es/N0 for each complex use, rising.
        blocks: Blocks sent at each.
        errors: Blocks lost at each.
    """

    mcs: str
    uses: int
    crc: str
    payload_bits: int
    snr_db: list[float]
    blocks: list[int]
    errors: list[int]

    def rate_at(self, snr_db: np.ndarray) -> np.ndarray:
        """Block error rates: 1 below the grid, log-linear in dB inside it, the last one above it.

        A point without any error counts as half an error, so the rate is never 0. Above the grid the true rate
        is smaller still; what is returned bounds it.
        """
        counts = np.maximum(np.asarray(self.errors, float), 0.5) / np.asarray(self.blocks, float)
        rates = 10 ** np.interp(snr_db, self.snr_db, np.log10(counts))
        return np.where(snr_db < self.snr_db[0], 1.0, rates)


class BlockErrorTable:
    """Block error rates over AWGN for many codes.

    Attributes:
        decoder: How the blocks were decoded.
        command: What regenerates the table.
    """

    def __init__(self, entries: Iterable[BlockErrors], decoder: Decoder | None = None, command: str = "") -> None:
        self.decoder, self.command = decoder or Decoder(), command
        self._entries = {(entry.uses, entry.mcs): entry for entry in entries}

    @property
    def entries(self) -> list[BlockErrors]:
        """All codes, by uses and then in the order measured."""
        return sorted(self._entries.values(), key=lambda entry: entry.uses)

    @property
    def uses(self) -> list[int]:
        """The block lengths that the table knows, in complex uses, rising."""
        return sorted({uses for uses, _ in self._entries})

    def codes(self, uses: int) -> list[ModulationCoding]:
        """The modulations and codings measured for so many uses.

        Raises:
            UmbelError: None was.
        """
        measured = [find_mcs(mcs) for length, mcs in self._entries if length == uses]
        if not measured:
            lengths = ", ".join(map(str, self.uses)) or "none"
            raise UmbelError(
                f"the block error table has no blocks of {uses} uses (measured: {lengths}); measure them: "
                f"python -m umbel.channels.digital.measure_block_errors --uses {uses} --out FILE"
            )
        return measured

    def entry(self, mcs: str | ModulationCoding, uses: int) -> BlockErrors:
        """The counts of one code.

        Raises:
            UmbelError: The table has none for it, or they belong to another check or payload.
        """
        mcs = find_mcs(mcs)
        entry = self._entries.get((uses, mcs.name))
        if entry is None:
            lengths = ", ".join(str(length) for length in self.uses) or "none"
            raise UmbelError(
                f"the block error table has no {mcs.name} over {uses} uses (lengths measured: {lengths}); "
                f"measure it: python -m umbel.channels.digital.measure_block_errors --uses {uses} --out FILE"
            )
        if (entry.crc, entry.payload_bits) != (mcs.crc(uses), mcs.payload_bits(uses)):
            raise UmbelError(
                f"the block error table's {mcs.name} over {uses} uses is for {entry.crc} and {entry.payload_bits} "
                f"payload bits, not {mcs.crc(uses)} and {mcs.payload_bits(uses)}; measure it anew"
            )
        return entry

    def error_rate(self, mcs: str | ModulationCoding, uses: int, snr_db: float) -> float:
        """Probability that a block is lost over AWGN.

        Args:
            mcs: Modulation and coding.
            uses: Complex channel uses of the block.
            snr_db: Es/N0 for each complex use.

        Raises:
            UmbelError: A code that is not in the table; an SNR that is NaN.
        """
        if math.isnan(snr_db):
            raise UmbelError("snr_db is NaN; it must be a number")
        return float(self.entry(mcs, uses).rate_at(np.asarray(snr_db, float)))

    def fading_error_rate(self, mcs: str | ModulationCoding, uses: int, snr_db: float) -> float:
        """Probability that a block is lost over block Rayleigh fading with perfect channel knowledge.

        One gain for the whole block, so the block sees AWGN at |h|^2 times the mean SNR; the rate is the mean of the
        AWGN rate over |h|^2 ~ Exp(1), by numerical integration.
        """
        if math.isnan(snr_db):
            raise UmbelError("snr_db is NaN; it must be a number")
        return float(rayleigh_mean(self.entry(mcs, uses).rate_at, snr_db))

    @classmethod
    def load(cls, path: str | Path = SHIPPED_TABLE) -> "BlockErrorTable":
        """Read a table.

        Raises:
            UmbelError: No such file, not a table, or made by a decoder other than `CodedLink`'s.
        """
        path = Path(path)
        if not path.is_file():
            raise UmbelError(f"no block error table at {path}")
        try:
            content = read_json(path, "measure it again")
            version, decoder = content["format"], Decoder(**content["decoder"])
            entries = [BlockErrors(**entry) for entry in content["codes"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UmbelError(f"{path} is not a block error table ({error})") from error
        if version != _FORMAT:
            raise UmbelError(f"{path}: format {version} of a block error table; this version reads {_FORMAT}")
        if decoder != Decoder():
            raise UmbelError(
                f"{path} was measured for another decoder ({decoder}); this version decodes by {Decoder()}"
            )
        for entry in entries:
            _refuse_malformed(entry, path)
        return cls(entries, decoder, content.get("command", ""))

    def save(self, path: str | Path) -> None:
        """Write the table, one code a line."""
        codes = ",\n".join("  " + json.dumps(asdict(entry)) for entry in self.entries)
        head = {"format": _FORMAT, "command": self.command, "decoder": asdict(self.decoder)}
        text = json.dumps(head, indent=1)[:-2] + f',\n "codes": [\n{codes}\n ]\n}}\n'
        write_atomically(Path(path), text)


def _refuse_malformed(entry: BlockErrors, path: Path) -> None:
    points = list(zip(entry.snr_db, entry.blocks, entry.errors, strict=False))
    same = len(entry.snr_db) == len(entry.blocks) == len(entry.errors) >= 1
    rising = all(bisect_right(entry.snr_db, snr) == i + 1 for i, snr in enumerate(entry.snr_db))
    if not (same and rising and all(0 <= errors <= blocks and blocks > 0 for _, blocks, errors in points)):
        raise UmbelError(f"{path}: the counts of {entry.mcs} over {entry.uses} uses make no sense")


@cache
def shipped_table() -> BlockErrorTable:
    """The table that comes with the library."""
    return BlockErrorTable.load()
