from functools import cache

import pytest
import torch
from digital_pictures import smooth_pictures
from hypothesis import given, settings
from hypothesis import strategies as st

from umbel.channels.digital import CODECS, RateTable
from umbel.errors import UmbelError

COUNT = 20


@cache
def table() -> RateTable:
    return RateTable(smooth_pictures(COUNT), "webp")


def test_sizes_and_errors_are_those_of_the_files():
    codec = CODECS["webp"]
    for image, rung in ((0, 0), (7, 9), (19, len(codec.qualities) - 1)):
        data = codec.encode(table().pictures[image], codec.qualities[rung])
        error = (codec.decode(data) / 255.0 - table().pictures[image] / 255.0) ** 2
        assert table().sizes[image, rung] == len(data) == len(table().file(image, rung))
        assert float(table().squared_errors[image, rung]) == pytest.approx(error.mean(), abs=1e-12)
        again = (table().decoded(image, rung) - table().originals()[image]).square().mean()
        assert float(again) == pytest.approx(error.mean(), rel=1e-4, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 6000), st.booleans())
def test_a_choice_fits_and_nothing_that_fits_is_better(bits, count_header):
    choice = table().choose(bits, count_header)
    free = 0 if count_header else 8 * table().floor
    for image in range(COUNT):
        files = zip(table().sizes[image].tolist(), table().squared_errors[image].tolist(), strict=True)
        fitting = [error for size, error in files if 8 * size - free <= bits]
        if choice[image] < 0:
            assert not fitting
        else:
            assert 8 * int(table().sizes[image, choice[image]]) - free <= bits
            assert float(table().errors_of(choice)[image]) == min(fitting)


def test_without_the_header_more_fits():
    few = 8 * (table().floor - 1)
    assert (table().choose(few, count_header=True) < 0).all()
    assert (table().choose(few, count_header=False) >= 0).any()
    assert table().errors_of(table().choose(0)).isinf().all()


def test_bytes_and_floats_are_the_same_pictures_and_progress_is_told():
    images, told = smooth_pictures(5), []
    as_floats = RateTable(images.float() / 255, "jpeg", lambda done, total: told.append((done, total)))
    assert (as_floats.pictures == RateTable(images, "jpeg").pictures).all()
    assert told[-1] == (5, 5)
    assert torch.equal((as_floats.originals() * 255).round().to(torch.uint8), images)


def test_grey_pictures_stay_grey():
    grey = RateTable(smooth_pictures(3, channels=1), "webp")
    assert grey.decoded(0, 5).shape == (1, 16, 16)
    assert grey.squared_errors[:, -2].max().sqrt() < 0.03


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(2, 2, 8, 8),
        torch.zeros(0, 3, 8, 8),
        torch.full((1, 3, 8, 8), 1.5),
        torch.full((1, 3, 8, 8), torch.nan),
        torch.zeros(1, 3, 8, 8, dtype=torch.int64),
    ],
)
def test_other_tensors_are_refused(wrong):
    with pytest.raises(UmbelError):
        RateTable(wrong)
