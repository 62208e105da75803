"""What is seen of a detector without labels."""

import copy

import pytest
import torch
from adaptation_cases import pictures, small

from umbel import UmbelError
from umbel.methods import Alarm, Signals, Watch, agreement
from umbel.methods.source_free_watch import drift, with_drift

ONE = torch.tensor([[0.0, 0, 10, 10, 1.0, 0], [20, 0, 30, 10, 1.0, 1], [-1, -1, -1, -1, -1, -1]])
OTHER = torch.tensor([[0.0, 0, 5, 10, 0.5, 0], [20, 0, 30, 10, 0.8, 0]])


def test_agreement_by_hand_and_symmetric():
    assert agreement(ONE, ONE) == pytest.approx(1.0)
    # the first pair overlaps by a half and its lesser score is a half; the second is of two classes
    assert agreement(ONE, OTHER) == pytest.approx(2 * 0.5 * 0.5 / (2 + 1.3))
    assert agreement(OTHER, ONE) == pytest.approx(agreement(ONE, OTHER))
    assert agreement(ONE[2:], ONE) == agreement(ONE, ONE[2:]) == agreement(ONE[2:], ONE[2:]) == 0.0


def test_a_box_is_in_one_pair_at_most():
    twice = torch.tensor([[0.0, 0, 10, 10, 1.0, 0], [1, 0, 11, 10, 1.0, 0]])
    assert agreement(twice, ONE[:1]) == agreement(ONE[:1], twice) == pytest.approx(2 / 3)


def test_agreement_is_at_most_one_and_grows_with_certainty():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        corner = 50 * torch.rand(6, 2, generator=generator)
        side = 5 + 10 * torch.rand(6, 2, generator=generator)
        rest = torch.stack([torch.rand(6, generator=generator), torch.arange(6.0) % 2], 1)
        boxes = torch.cat([corner, corner + side, rest], 1)
        assert 0 <= agreement(boxes[:3], boxes[3:]) <= 1
        assert agreement(boxes, boxes) == pytest.approx(1.0)


def watch(threshold: float = 0.3) -> Watch:
    batch = pictures([0, 1, 0])
    return Watch([batch[:2].inputs, batch[2:].inputs], (threshold, threshold))


def test_it_sees_the_same_each_time_and_leaves_everything_as_it_was():
    detector, eyes = small(), watch()
    detector.train()
    torch.manual_seed(1)
    wanted = torch.rand(2)
    torch.manual_seed(1)
    first = eyes.look(detector)
    assert torch.equal(torch.rand(2), wanted) and detector.roi_heads.training
    assert eyes.look(detector) == first and isinstance(first, Signals)
    assert 0 < first.stability <= 1 and first.boxes > 0 and 0 < first.entropy <= 1 and first.certainty >= 0.3
    plain = torch.cat([detector.eval()(batch)["boxes"].flatten(0, 1) for batch in eyes.pictures])
    scores = plain[plain[:, 5] >= 0][:, 4]
    assert first.boxes == pytest.approx(int((scores >= 0.3).sum()) / 3)
    assert first.certainty == pytest.approx(float(scores[scores >= 0.3].mean()))
    p = scores
    assert first.entropy == pytest.approx(float(-(p * p.log2() + (1 - p) * (1 - p).log2()).mean()), rel=1e-4)


def test_nothing_to_see_is_no_division_by_zero():
    seen = watch(0.999).look(small())
    assert (seen.boxes, seen.certainty) == (0.0, 0.0)
    blind = small()
    blind.roi_heads.score_thresh = 1.1
    assert watch().look(blind) == Signals(0.0, 0.0, 0.0, 0.0)
    with pytest.raises(UmbelError, match="no picture to watch"):
        Watch([], (0.5,))


def test_drift_is_relative():
    detector = small()
    start = {name: value.detach().clone() for name, value in detector.named_parameters()}
    assert drift(start, detector) == 0.0
    moved = copy.deepcopy(detector)
    with torch.no_grad():
        for value in moved.parameters():
            value.mul_(1.25)
    assert with_drift(Signals(1, 1, 1, 1), start, moved).drift == pytest.approx(0.25)


def seen(boxes: float, stability: float = 0.5) -> Signals:
    return Signals(boxes, 0.8, 0.5, stability)


def test_the_alarm_has_three_cases():
    alarm, start = Alarm(fewest=0.4, most=4.0, stability=0.7), seen(10)
    for calm in (seen(10), seen(4.01), seen(39.9), seen(10, 0.36), seen(10, 0.9)):
        assert alarm.sounds(start, calm) == ""
    assert alarm.sounds(start, seen(3.9)) == "3.90 boxes a picture are left of 10.00"
    assert alarm.sounds(start, seen(41)) == "boxes have grown from 10.00 to 41.00 a picture"
    assert alarm.sounds(start, seen(10, 0.34)).startswith("boxes of two views of a picture agree by 0.34")
    assert alarm.sounds(seen(0.1), seen(3.9)) == ""  # of a few boxes many more may come
    assert alarm.sounds(seen(0.1), seen(4.1)) != ""
