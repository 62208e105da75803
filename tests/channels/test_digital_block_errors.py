import dataclasses
import json
import math

import pytest
import torch

from umbel.channels.bounds import capacity_bits, rayleigh_mean
from umbel.channels.digital import (
    ITERATIONS,
    SHIPPED_TABLE,
    BlockErrors,
    BlockErrorTable,
    CodedLink,
    Decoder,
    find_mcs,
    shipped_table,
)
from umbel.channels.digital.measure_block_errors import main, measure_code
from umbel.errors import UmbelError


def entry(**changes) -> BlockErrors:
    values = {"mcs": "QPSK 1/2", "uses": 64, "crc": "CRC16", "payload_bits": 48}
    counts = {"snr_db": [0.0, 1.0, 2.0, 3.0], "blocks": [100, 100, 1000, 1000], "errors": [100, 50, 10, 0]}
    return BlockErrors(**{**values, **counts, **changes})


def test_rates_are_measured_ones_and_log_linear_between():
    table = BlockErrorTable([entry()])
    rates = [table.error_rate("QPSK 1/2", 64, snr) for snr in (-30.0, 0.0, 1.0, 2.0, 3.0, 30.0)]
    assert rates == pytest.approx([1.0, 1.0, 0.5, 0.01, 0.0005, 0.0005])
    assert table.error_rate("QPSK 1/2", 64, 1.5) == pytest.approx(math.sqrt(0.5 * 0.01))


def test_fading_averages_over_the_gain():
    # A code that works from 2 dB on fails as often as the gain is below it.
    step = entry(snr_db=[1.999, 2.0], blocks=[10**9] * 2, errors=[10**9, 0])
    found = BlockErrorTable([step]).fading_error_rate("QPSK 1/2", 64, 12.0)
    assert found == pytest.approx(1 - math.exp(-0.1), rel=0.02)


@pytest.mark.parametrize(
    ("changes", "say"),
    [
        ({"uses": 65}, "no QPSK 1/2 over 64 uses"),
        ({"mcs": "QPSK 1/3"}, "no QPSK 1/2 over 64 uses"),
        ({"crc": "CRC24A"}, "CRC24A and 48 payload bits, not CRC16"),
        ({"payload_bits": 40}, "40 payload bits, not CRC16 and 48"),
    ],
)
def test_counts_of_another_code_are_refused(changes, say):
    with pytest.raises(UmbelError, match=say):
        BlockErrorTable([entry(**changes)]).error_rate("QPSK 1/2", 64, 0.0)


def test_nan_is_refused():
    table = BlockErrorTable([entry()])
    for ask in (table.error_rate, table.fading_error_rate):
        with pytest.raises(UmbelError, match="NaN"):
            ask("QPSK 1/2", 64, math.nan)


def test_a_table_comes_back_from_its_file(tmp_path):
    BlockErrorTable([entry()], command="measured so").save(tmp_path / "table.json")
    back = BlockErrorTable.load(tmp_path / "table.json")
    assert (back.entries, back.command, back.decoder) == ([entry()], "measured so", Decoder())


@pytest.mark.parametrize(
    ("change", "say"),
    [
        (lambda t: t["decoder"].update(iterations=ITERATIONS + 1), "another decoder"),
        (lambda t: t["decoder"].update(check_update="minsum"), "another decoder"),
        (lambda t: t.update(format=2), "format 2"),
        (lambda t: t["codes"][0].pop("crc"), "not a block error table"),
        (lambda t: t.pop("codes"), "not a block error table"),
        (lambda t: t["codes"][0].update(errors=[200, 50, 10, 0]), "make no sense"),
        (lambda t: t["codes"][0].update(snr_db=[0.0, 2.0, 1.0, 3.0]), "make no sense"),
        (lambda t: t["codes"][0].update(blocks=[100]), "make no sense"),
    ],
)
def test_tables_of_other_decoders_and_damaged_ones_are_refused(tmp_path, change, say):
    path = tmp_path / "table.json"
    BlockErrorTable([entry()]).save(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UmbelError, match=say):
        BlockErrorTable.load(path)
    with pytest.raises(UmbelError, match="no block error table at"):
        BlockErrorTable.load(tmp_path / "nowhere.json")


def test_the_shipped_table_is_small_and_says_how_it_was_made():
    assert SHIPPED_TABLE.stat().st_size < 300_000
    assert "measure_block_errors --uses" in shipped_table().command
    assert {49, 98, 128, 196, 256, 512} <= set(shipped_table().uses)
    assert all(len(shipped_table().codes(uses)) == 12 for uses in (49, 98, 128, 196, 256, 512))


def test_shipped_codes_fall_beyond_capacity_and_within_reach_of_it():
    for found in shipped_table().entries:
        mcs = find_mcs(found.mcs)
        assert shipped_table().entry(mcs, found.uses) is found  # check and payload agree
        rates = [errors / blocks for errors, blocks in zip(found.errors, found.blocks, strict=True)]
        assert rates[0] > 0.99
        assert rates[-1] < 0.005
        half = next(snr for snr, rate in zip(found.snr_db, rates, strict=True) if rate < 0.5)
        needed = mcs.information_bits(found.uses)
        assert capacity_bits(half, found.uses) > 0.9 * needed
        assert capacity_bits(half - 6, found.uses) < needed


def test_known_rates_of_the_shipped_table():
    # Measured apart from this table, by another program: 512 uses, Es/N0.
    table = shipped_table()
    assert table.error_rate("QPSK 1/2", 512, 1.0) == pytest.approx(0.43, abs=0.1)
    assert table.error_rate("QPSK 1/2", 512, 2.0) < 0.03
    assert table.error_rate("QPSK 1/3", 512, -2.0) == pytest.approx(0.91, abs=0.1)


@pytest.mark.parametrize(("mcs", "snr_db", "fading"), [("QPSK 1/2", 1.25, None), ("16QAM 1/2", 10.0, "rayleigh")])
def test_the_table_agrees_with_real_decoding(mcs, snr_db, fading):
    pytest.importorskip("sionna", reason="real decoding needs the [comms] extra")
    link, blocks = CodedLink(mcs, 128), 400
    generator = torch.Generator().manual_seed(11)
    _, holds = link.transmit(link.random_bits(blocks, generator), snr_db, generator, fading)
    lookup = shipped_table().fading_error_rate if fading else shipped_table().error_rate
    expected = lookup(mcs, 128, snr_db)
    assert 0.1 < expected < 0.9  # where it says something
    measured = 1 - holds.double().mean().item()
    spread = math.sqrt(expected * (1 - expected) / blocks)
    assert measured == pytest.approx(expected, abs=4 * spread + 0.03)  # and the table's own error


def test_measuring_covers_the_waterfall_and_goes_on_where_it_stopped(tmp_path, capsys):
    pytest.importorskip("sionna", reason="real decoding needs the [comms] extra")
    found = measure_code(find_mcs("QPSK 2/3"), 24, 60, progress=lambda line: None)
    assert found.errors[0] == found.blocks[0]
    assert found.errors[-1] == 0
    assert found.snr_db == sorted(found.snr_db)
    again = measure_code(find_mcs("QPSK 2/3"), 24, 60, progress=lambda line: None)
    assert dataclasses.asdict(found) == dataclasses.asdict(again)
    arguments = ["--uses", "9", "--blocks", "10", "--out", str(tmp_path / "table.json")]
    assert main(arguments) == 0
    first = (tmp_path / "table.json").read_text()
    assert "QPSK" not in capsys.readouterr().out  # nine QPSK uses leave no payload
    assert main(arguments) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "table.json").read_text() == first


def test_mean_rates_lie_between():
    rate = rayleigh_mean(entry().rate_at, 10.0)
    assert 0 < rate < 1
