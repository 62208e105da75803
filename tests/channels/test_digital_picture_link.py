"""Coded pictures of two splits: validation chooses, the test is measured."""

from functools import cache

import pytest
import torch
from digital_pictures import brighter_side, sides, smooth_pictures

from umbel.channels.digital import (
    FADINGS,
    CodedPictures,
    Coding,
    Delivery,
    PictureJudge,
    PictureLink,
    RateTable,
    Received,
    SeparateChain,
    find_mcs,
    mean_colour,
    mean_psnr,
)
from umbel.errors import UmbelError

COUNT, USES = 24, 128
LABELS = sides(COUNT)


@cache
def coded() -> CodedPictures:
    """Validation pictures are coarser than those of the test, so that other codings are best for them."""
    validation = smooth_pictures(COUNT, side=8, seed=1)
    return CodedPictures(validation, smooth_pictures(COUNT, seed=2), colour(), ("webp", "jpeg"))


@cache
def colour() -> torch.Tensor:
    return mean_colour(smooth_pictures(50, seed=9))


@cache
def link(count_header: bool = False) -> PictureLink:
    return coded().link(USES, count_header)


@cache
def judge() -> PictureJudge:
    return coded().judge(brighter_side, LABELS, LABELS)


def upside_down(pictures: torch.Tensor) -> torch.Tensor:
    return -brighter_side(pictures)


@pytest.mark.parametrize("fading", list(FADINGS.values()))
@pytest.mark.parametrize("snr_db", [2.0, 12.0])
def test_psnr_is_chosen_on_validation_over_all_codecs_and_measured_on_the_test(snr_db, fading):
    best = link().best(snr_db, fading)
    scores = {coding: link().validation[coding.codec].psnr(snr_db, coding.mcs, fading) for coding in link().codings}
    assert len(scores) == 2 * 12 and scores[best] == max(scores.values())
    measured = link().expected(snr_db, best, fading)
    assert measured == Received(link().test[best.codec].psnr(snr_db, best.mcs, fading))


def test_validation_would_choose_otherwise_than_the_test():
    snrs_db = range(-2, 16)
    chosen = [link().best(snr_db) for snr_db in snrs_db]
    on_test = [max(link().codings, key=lambda c, s=s: link().expected(s, c).psnr) for s in snrs_db]
    assert chosen != on_test


def test_judges_choose_by_their_summed_accuracy_on_validation():
    snr_db, chains = 5.0, link().validation

    def accuracy(coding: Coding, judges: list[PictureJudge]) -> float:
        return sum(chains[coding.codec].accuracy(each.validation[coding.codec], snr_db, coding.mcs) for each in judges)

    for classifiers in ([brighter_side], [upside_down], [brighter_side, brighter_side]):
        judges = [coded().judge(classifier, LABELS, LABELS) for classifier in classifiers]
        best = link().best(snr_db, judges=judges)
        assert accuracy(best, judges) == max(accuracy(coding, judges) for coding in link().codings)
    worst = link().best(snr_db, judges=[coded().judge(upside_down, LABELS, LABELS)])
    assert worst != link().best(snr_db)  # who is always wrong is best served by losing every picture


def test_accuracies_are_those_of_the_test_pictures_in_the_judges_order():
    best = link().best(12.0)
    judges = [judge(), coded().judge(upside_down, LABELS, LABELS)]
    found = link().expected(12.0, best, judges=judges)
    right = link().test[best.codec].accuracy(judge().test[best.codec], 12.0, best.mcs)
    assert found.accuracies[0] == right > 0.6
    assert found.accuracies[0] + found.accuracies[1] == pytest.approx(1.0, abs=0.02)


def test_ideal_codes_take_the_better_codec_and_are_above_the_best_coding():
    for count_header in (True, False):
        each = [chain.ideal_psnr(8.0, "finite block") for chain in link(count_header).test.values()]
        ideal = link(count_header).ideal(8.0, "finite block", judges=[judge()])
        assert ideal.psnr == max(each) and len(ideal.accuracies) == 1
        assert ideal.psnr >= link(count_header).expected(8.0, link(count_header).best(8.0)).psnr


def test_links_are_kept_and_differ_by_what_is_counted():
    assert coded().link(USES, True) is coded().link(USES) is not coded().link(USES, False)
    smaller = coded().link(USES).ideal(8.0).psnr
    assert coded().link(USES, False).ideal(8.0).psnr > smaller


def test_what_is_shown_is_the_chosen_file_or_the_colour_of_lost_pictures():
    chain = link().test["webp"]
    delivery = Delivery(torch.tensor([3, -1]), 0.25)
    assert torch.equal(chain.shown(0, delivery, luck=0.2), chain.table.decoded(0, 3))
    for image, luck in ((0, 0.25), (1, 0.0)):
        assert torch.equal(chain.shown(image, delivery, luck), colour()[:, None, None].expand(3, 16, 16))


def test_really_sent_over_a_clean_channel_it_is_what_was_expected():
    pytest.importorskip("sionna", reason="sending for real needs the [comms] extra")
    coding = Coding("webp", find_mcs("QPSK 1/2"))
    real = link().decoded(40.0, coding, judges=[judge()], generator=torch.Generator().manual_seed(0))
    expected = link().expected(40.0, coding, judges=[judge()])
    assert real.psnr == pytest.approx(expected.psnr, abs=0.05)
    assert real.accuracies == pytest.approx(expected.accuracies, abs=0.01)


def test_where_no_file_fits_nothing_is_sent_and_every_picture_is_lost():
    pytest.importorskip("sionna", reason="sending for real needs the [comms] extra")
    coding, short = Coding("webp", find_mcs("QPSK 2/3")), coded().link(16)
    real, expected = (way(40.0, coding, judges=[judge()]) for way in (short.decoded, short.expected))
    assert real.psnr == pytest.approx(expected.psnr, abs=1e-4) and real.accuracies == expected.accuracies


def test_mean_psnr_is_the_mean_of_each_pictures_own():
    originals = torch.zeros(2, 1, 4, 4)
    shown = torch.stack([torch.full((1, 4, 4), 0.1), torch.full((1, 4, 4), 0.01)])
    assert mean_psnr(shown, originals) == pytest.approx((20 + 40) / 2, abs=1e-4)
    assert mean_psnr(originals, originals) == pytest.approx(100)


def test_names_and_mistakes():
    assert Coding("webp", find_mcs("16QAM 2/3")).name == "16QAM 2/3, webp"
    assert FADINGS == {"awgn": None, "rayleigh": "rayleigh"}
    chain = SeparateChain(RateTable(smooth_pictures(2)), 257, colour())
    with pytest.raises(UmbelError, match="no blocks of 257 uses"):
        _ = coded().link(257).codings
    with pytest.raises(UmbelError, match="no blocks of 257 uses"):
        chain.best_mcs(5.0)
    with pytest.raises(UmbelError, match="one class for each"):
        coded().judge(brighter_side, LABELS, LABELS[:3])
    with pytest.raises(UmbelError, match="rician"):
        link().best(5.0, "rician")
