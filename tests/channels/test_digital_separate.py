import math
import subprocess
import sys
import time
from functools import cache

import pytest
import torch
from digital_pictures import brighter_side, sides, smooth_pictures

from umbel.channels.digital import (
    BlockErrors,
    BlockErrorTable,
    Delivery,
    Judge,
    RateTable,
    SeparateChain,
    find_mcs,
    mean_colour,
    shipped_table,
)
from umbel.channels.digital.judge import Classifier
from umbel.errors import UmbelError
from umbel.metrics import PicturePSNR

COUNT, USES, MCS = 40, 256, "16QAM 3/4"


@cache
def table() -> RateTable:
    return RateTable(smooth_pictures(COUNT), "webp")


@cache
def colour() -> torch.Tensor:
    return mean_colour(smooth_pictures(50, seed=9))


def chain(count_header: bool = True, **changes) -> SeparateChain:
    parts = {"table": table(), "uses": USES, "fallback": colour(), "count_header": count_header}
    return SeparateChain(**{**parts, **changes})


def certain(rate: float) -> BlockErrorTable:
    """A table in which that share of blocks is lost at every SNR above -100 dB."""
    mcs = find_mcs(MCS)
    counts = {"snr_db": [-100.0], "blocks": [1000], "errors": [round(1000 * rate)]}
    return BlockErrorTable([BlockErrors(MCS, USES, mcs.crc(USES), mcs.payload_bits(USES), **counts)])


def psnr_of_pictures(pictures: torch.Tensor) -> float:
    metric = PicturePSNR()
    metric.update(pictures, table().originals())
    return float(metric.compute())


def received(choice: torch.Tensor) -> torch.Tensor:
    lost = colour()[:, None, None].expand(3, 16, 16)
    return torch.stack([table().decoded(i, q) if q >= 0 else lost for i, q in enumerate(choice.tolist())])


@pytest.mark.parametrize("count_header", [True, False])
def test_psnr_is_that_of_the_pictures_weighted_by_what_arrives(count_header):
    bits = find_mcs(MCS).payload_bits(USES)
    arrived = psnr_of_pictures(received(table().choose(bits, count_header)))
    lost = psnr_of_pictures(received(torch.full((COUNT,), -1)))
    assert lost < 20 < arrived
    for rate in (0.25, 1.0):
        found = chain(count_header, block_errors=certain(rate)).psnr(0.0, MCS)
        assert found == pytest.approx((1 - rate) * arrived + rate * lost, abs=1e-3)


def test_where_no_file_fits_the_mean_colour_is_shown_even_on_a_perfect_channel():
    nothing = Delivery(torch.full((COUNT,), -1), 1.0)
    assert chain().psnr_of(nothing) == pytest.approx(psnr_of_pictures(received(nothing.choice)), abs=1e-3)


def test_accuracy_is_that_of_decoded_and_of_lost_pictures():
    judge = chain().judge(brighter_side, sides(COUNT))
    choice = chain().choice(find_mcs(MCS).payload_bits(USES))
    arrived = (brighter_side(received(choice)).argmax(1) == sides(COUNT)).double().mean().item()
    assert arrived > 0.6
    found = chain(block_errors=certain(0.5)).accuracy(judge, 0.0, MCS)
    # A flat picture has no brighter side: every one is called class 0, half of them rightly.
    assert found == pytest.approx(0.5 * arrived + 0.5 * 0.5)


def test_a_judge_classifies_each_picture_once():
    seen = []

    def counting(pictures: torch.Tensor) -> torch.Tensor:
        seen.append(len(pictures))
        return brighter_side(pictures)

    classifier: Classifier = counting
    judge = Judge(table(), classifier, sides(COUNT), colour())
    first = chain().accuracy(judge, 9.0, MCS)
    before = sum(seen)
    assert chain().accuracy(judge, 9.0, MCS) == first
    assert sum(seen) == before


@pytest.mark.parametrize("count_header", [True, False])
@pytest.mark.parametrize(("snr_db", "fading"), [(10.0, None), (14.0, "rayleigh")])
def test_tables_agree_with_sending_for_real(count_header, snr_db, fading):
    pytest.importorskip("sionna", reason="sending for real needs the [comms] extra")
    digital = chain(count_header)
    expected = digital.psnr(snr_db, MCS, fading)
    lost, kept = (
        digital.psnr_of(Delivery(digital.choice(0), 1.0)),
        digital.psnr_of(Delivery(digital.choice(find_mcs(MCS).payload_bits(USES)), 1.0)),
    )
    share = (expected - lost) / (kept - lost)
    assert 0.1 < share < 0.95
    generator = torch.Generator().manual_seed(3)
    shown = [digital.psnr(snr_db, MCS, fading, real=True, generator=generator) for _ in range(3)]
    spread = (kept - lost) * math.sqrt(share * (1 - share) / (3 * COUNT))
    assert sum(shown) / 3 == pytest.approx(expected, abs=4 * spread + 0.05 * (kept - lost))


def test_what_is_sent_for_real_on_a_clean_channel_is_the_chosen_file():
    pytest.importorskip("sionna", reason="sending for real needs the [comms] extra")
    for count_header in (True, False):
        digital = chain(count_header)
        shown = digital.send(40.0, MCS, torch.Generator().manual_seed(0))
        assert torch.equal(shown, received(digital.choice(find_mcs(MCS).payload_bits(USES))))
        judge = digital.judge(brighter_side, sides(COUNT))
        real = digital.accuracy(judge, 40.0, MCS, real=True, generator=torch.Generator().manual_seed(0))
        assert real == pytest.approx(digital.accuracy(judge, 40.0, MCS), abs=0.01)


def test_the_envelope_is_the_best_of_all_and_below_ideal_codes():
    digital, snrs = chain(count_header=False), [2.0, 8.0, 14.0]
    for (mcs, found), snr_db in zip(digital.envelope(snrs, digital), snrs, strict=True):
        every = [digital.psnr(snr_db, other) for other in digital.codings]
        assert found == max(every) == digital.psnr(snr_db, mcs)
        assert found < digital.ideal_psnr(snr_db, "finite block") <= digital.ideal_psnr(snr_db, "capacity")
        faded = digital.psnr(snr_db, digital.best_mcs(snr_db, "rayleigh"), "rayleigh")
        assert faded <= digital.ideal_psnr(snr_db, fading="rayleigh") + 1e-6


def test_validation_chooses_for_the_test_pictures():
    other = SeparateChain(RateTable(smooth_pictures(12, seed=5), "webp"), USES, colour())
    ((mcs, found),) = chain().envelope([9.0], validation=other)
    assert mcs == other.best_mcs(9.0)
    assert found == chain().psnr(9.0, mcs)
    judge = other.judge(brighter_side, sides(12))
    assert other.accuracy(judge, 9.0, other.best_mcs(9.0, judge=judge)) == max(
        other.accuracy(judge, 9.0, mcs) for mcs in other.codings
    )


def test_one_code_falls_off_a_cliff():
    digital = chain(count_header=False)
    assert digital.psnr(10.0, "16QAM 2/3") - digital.psnr(7.0, "16QAM 2/3") > 8


def test_mean_colours_of_bytes_and_floats_agree():
    images = smooth_pictures(10)
    assert torch.allclose(mean_colour(images), mean_colour(images.float() / 255), atol=1e-6)
    assert mean_colour(images).shape == (3,)


@pytest.mark.parametrize(
    ("wrong", "say"),
    [
        (lambda: chain(fallback=torch.zeros(1)), "one value for each of 3 channels"),
        (lambda: chain().psnr(math.nan, MCS), "NaN"),
        (lambda: chain().psnr(5.0, MCS, "rician"), "rician"),
        (lambda: chain().ideal_psnr(5.0, "shannon"), "unknown bound"),
        (lambda: chain().ideal_psnr(5.0, fading="rician"), "rician"),
        (lambda: chain(uses=257).codings, "no blocks of 257 uses"),
        (lambda: chain(uses=257).psnr(5.0, MCS), "over 257 uses"),
        (lambda: chain().judge(brighter_side, torch.zeros(3)), "one class for each of 40"),
        (lambda: chain().judge(brighter_side, torch.full((COUNT,), -1)), "one class for each of 40"),
    ],
)
def test_mistakes_are_one_clear_line(wrong, say):
    with pytest.raises(UmbelError, match=say):
        wrong()


def test_a_set_of_pictures_over_many_snrs_is_quick_with_tables():
    start = time.process_time()
    digital = chain()
    for snr_db in range(0, 18, 3):
        digital.psnr(snr_db, digital.best_mcs(snr_db))
        digital.psnr(snr_db, digital.best_mcs(snr_db, "rayleigh"), "rayleigh")
    assert time.process_time() - start < 5
    assert shipped_table() is chain().block_errors


def test_evaluation_by_tables_needs_no_extra():
    code = """
import sys
sys.modules["sionna"] = sys.modules["imagecodecs"] = None
import torch
from umbel.channels.digital import RateTable, SeparateChain
chain = SeparateChain(RateTable(torch.rand(2, 3, 16, 16)), 256, torch.full((3,), 0.5))
print(chain.psnr(10.0, chain.best_mcs(10.0)) > 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
