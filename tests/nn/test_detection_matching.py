import pytest
import torch
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou, roi_align

from umbel.nn.detection import RegionPool, overlapping, pairwise_overlaps
from umbel.nn.detection.matching import Matches, balanced_sample, match


def random_boxes(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner, size = torch.rand(2, count, 2, generator=generator)
    return torch.cat([corner * 60, corner * 60 + 4 + size * 30], 1)


@pytest.mark.parametrize("keep_best", [True, False])
def test_matches_are_those_of_torchvision_for_each_picture(keep_best):
    candidates = random_boxes(300, 0)
    true = torch.full((3, 6, 5), -1.0)
    for place, count in enumerate((6, 2, 0)):
        true[place, :count, :4] = random_boxes(count, place + 1)
        true[place, :count, 4] = 0
    matches = match(true, candidates[None], 0.7, 0.3, keep_best)
    for place, count in enumerate((6, 2)):
        wanted = Matcher(0.7, 0.3, keep_best)(box_iou(true[place, :count, :4], candidates))
        assert torch.equal(matches.object[place], wanted >= 0)
        assert torch.equal(matches.background[place], wanted == -1)
        assert torch.equal(matches.box[place][wanted >= 0], wanted[wanted >= 0])
    assert matches.background[2].all() and not matches.object[2].any()  # a picture without objects is all background


def test_a_true_box_that_meets_no_candidate_makes_none_an_object():
    true = torch.tensor([[[100.0, 100, 120, 120, 0]]])
    assert not match(true, random_boxes(20, 0)[None], 0.7, 0.3, keep_best=True).object.any()


def test_overlaps_with_ignored_boxes_are_neither_object_nor_background():
    candidates = torch.tensor([[0.0, 0, 10, 10], [2, 2, 4, 4], [20, 20, 30, 30], [0, 0, 9, 10], [40, 40, 50, 50]])
    true = torch.tensor([[[0.0, 0, 10, 10, 0]]])
    ignored = torch.tensor([[[0.0, 0, 10, 10], [20, 20, 30, 31], [-1, -1, -1, -1]]])
    matches = match(true, candidates[None], 0.95, 0.95, ignored=ignored)
    assert matches.object[0].tolist() == [True, False, False, False, False]  # a true box wins over an ignored one
    assert matches.background[0].tolist() == [False, False, False, False, True]
    nothing = torch.full((1, 2, 4), torch.nan)
    assert not overlapping(nothing, candidates[None]).any()


def test_overlaps_agree_with_torchvision_and_with_a_hand_made_case():
    boxes, candidates = random_boxes(5, 1), random_boxes(7, 2)
    torch.testing.assert_close(pairwise_overlaps(boxes[None], candidates[None])[0][0], box_iou(boxes, candidates))
    inner = pairwise_overlaps(torch.tensor([[[0.0, 0, 10, 10]]]), torch.tensor([[[5.0, 0, 15, 10]]]))[1]
    assert inner.item() == 0.5


def test_a_sample_has_its_share_of_objects_and_background_for_the_rest():
    is_object = torch.zeros(3, 40, dtype=torch.bool)
    is_object[0, :20], is_object[1, :2] = True, True
    background = ~is_object
    background[2, 5:] = False  # only 5 that may be drawn
    sample = balanced_sample(Matches(torch.zeros(3, 40, dtype=torch.int64), is_object, background), 16, 0.25)
    counts = [int((sample.picture == place).sum()) for place in range(3)]
    assert counts == [16, 16, 5]
    assert [int(sample.object[sample.picture == place].sum()) for place in range(3)] == [4, 2, 0]
    assert torch.equal(sample.object, is_object[sample.picture, sample.candidate])
    assert len({*zip(sample.picture.tolist(), sample.candidate.tolist(), strict=True)}) == sum(counts)  # none twice
    torch.testing.assert_close(torch.zeros(3).index_add(0, sample.picture, sample.weight), torch.ones(3))


def test_drawing_depends_on_the_generator_alone():
    matches = Matches(torch.zeros(1, 99), torch.zeros(1, 99, dtype=torch.bool), torch.ones(1, 99, dtype=torch.bool))
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(balanced_sample(matches, 9, 0.5).candidate)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_pooling_and_its_gradient_are_torchvisions():
    torch.manual_seed(0)
    maps = torch.randn(3, 4, 12, 20, requires_grad=True)
    regions = [random_boxes(5, 3), random_boxes(0, 4), random_boxes(4, 5) * 1.5 - 20]  # some beyond the edges
    mine = RegionPool(5)({"0": maps}, regions, [(48, 80)] * 3)
    wanted = roi_align(maps, regions, 5, 0.25, 2)
    torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)
    weight = torch.randn_like(mine)
    gradients = [torch.autograd.grad((x * weight).sum(), maps)[0] for x in (mine, wanted)]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)
    large = torch.randn(1, 1, 80, 80)
    torch.testing.assert_close(
        RegionPool(3)({"0": large}, regions[:1], [(80, 80)]), roi_align(large, regions[:1], 3, 1.0, 2)
    )
