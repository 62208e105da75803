"""Measure block error rates by real decoding: `python -m umbel.channels.digital.measure_block_errors --help`."""

import argparse
import math
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import torch

from umbel.channels.digital.block_errors import BlockErrors, BlockErrorTable
from umbel.channels.digital.coded_link import CodedLink
from umbel.channels.digital.mcs import MCS, ModulationCoding

_STEP_DB = 0.5
_ENOUGH_ERRORS = 100
_FIRST_BATCH = 50
_HIGHEST_SNR_DB = 60.0


def measure_code(
    mcs: ModulationCoding, uses: int, blocks: int, seed: int = 0, progress: Callable[[str], None] = print
) -> BlockErrors:
    """Count lost blocks of one code over AWGN, in steps of 0.5 dB through its waterfall.

    Starts where no code could work (capacity) and goes down from there if blocks still arrive, then up until a
    point loses none. A point ends after `blocks` blocks, or earlier when 100 were lost or the first 50 all were.
    Each point has its own seed, so points do not depend on what was measured before.

    Args:
        mcs: Modulation and coding.
        uses: Complex channel uses of a block.
        blocks: Most blocks for each SNR.
        seed: Of payloads and noise.
        progress: Gets a line for each point.
    """
    link = CodedLink(mcs, uses)
    needed = mcs.information_bits(uses) / uses
    start = math.floor(10 * math.log10(2**needed - 1) / _STEP_DB) * _STEP_DB
    counts: dict[float, tuple[int, int]] = {}
    for direction in (-1, 1):
        snr_db = start if direction < 0 else start + _STEP_DB
        while abs(snr_db) < _HIGHEST_SNR_DB:
            sent, lost = counts[snr_db] = _count(link, snr_db, blocks, seed)
            progress(f"{mcs.name} over {uses} uses, {snr_db:+.1f} dB: {lost} of {sent} lost")
            if lost == sent if direction < 0 else lost == 0:
                break
            snr_db += direction * _STEP_DB
    grid = sorted(counts)
    certain = [snr for snr in grid if counts[snr][0] == counts[snr][1]]
    grid = [snr for snr in grid if not certain or snr >= certain[-1]]  # below the last certain loss all is lost
    return BlockErrors(
        mcs=mcs.name,
        uses=uses,
        crc=mcs.crc(uses),
        payload_bits=link.payload_bits,
        snr_db=grid,
        blocks=[counts[snr][0] for snr in grid],
        errors=[counts[snr][1] for snr in grid],
    )


def _count(link: CodedLink, snr_db: float, blocks: int, seed: int) -> tuple[int, int]:
    point = f"{seed} {link.mcs.name} {link.uses} {snr_db}"
    generator = torch.Generator().manual_seed(zlib.crc32(point.encode()))
    sent = lost = 0
    while sent < blocks and lost < _ENOUGH_ERRORS and not (sent and lost == sent):
        bits = link.random_bits(min(2 * sent or _FIRST_BATCH, 200, blocks - sent), generator)
        received, holds = link.transmit(bits, snr_db, generator)
        lost += int((~holds | (received != bits).any(1)).sum())
        sent += len(bits)
    return sent, lost


def measure(uses: list[int], blocks: int, seed: int, out: Path, progress: Callable[[str], None] = print) -> None:
    """Measure every modulation and coding for every number of uses and write the table after each.

    What the file already has is kept, so a stopped measurement goes on where it was. Blocks of fewer than 256 uses
    are cheaper, so up to four times as many are sent.

    Args:
        uses: Block lengths in complex uses.
        blocks: Most blocks for each SNR at 256 uses and more.
        seed: Of payloads and noise.
        out: The JSON file.
        progress: Gets lines.
    """
    entries = BlockErrorTable.load(out).entries if out.exists() else []
    known = {(entry.uses, entry.mcs) for entry in entries}
    lengths = [*dict.fromkeys([*(entry.uses for entry in entries), *uses])]
    command = (
        "python -m umbel.channels.digital.measure_block_errors "
        f"--uses {' '.join(str(length) for length in lengths)} --blocks {blocks} --seed {seed} --out FILE"
    )
    for length in uses:
        for mcs in MCS.values():
            if (length, mcs.name) in known or mcs.payload_bits(length) < 1:
                continue
            most = round(blocks * min(4.0, max(1.0, 256 / length)))
            entries.append(measure_code(mcs, length, most, seed, progress))
            BlockErrorTable(entries, command=command).save(out)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m umbel.channels.digital.measure_block_errors", description=__doc__)
    parser.add_argument("--uses", type=int, nargs="+", required=True, help="block lengths in complex channel uses")
    parser.add_argument("--blocks", type=int, default=400, help="most blocks for each SNR (short codes: more)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file; what it has already is kept")
    chosen = parser.parse_args(arguments)
    measure(chosen.uses, chosen.blocks, chosen.seed, chosen.out, lambda line: print(line, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
