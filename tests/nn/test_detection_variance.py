"""How much dropout moves a detector: laws and brute force."""

import pytest
import torch
from detection_cases import rectangles

from umbel import UmbelError
from umbel.nn.detection import BoxSamples, build_detector, detection_variances, picture_scores, variance_scores

LABELS = ["red", "blue"]


def samples(passes: int = 5, candidates: int = 4, classes: int = 3) -> BoxSamples:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.randn(passes, candidates, classes, generator=generator).softmax(-1)
    deltas = torch.randn(passes, candidates, 4 * classes, generator=generator)
    return BoxSamples(probabilities, deltas, torch.tensor([0, 0, 0, 2]), torch.zeros(candidates, 4))


def small(dropout: float = 0.5):
    options = {"anchors": (24, 48), "widths": (8, 8, 16, 16)}
    return build_detector("small-fasterrcnn", LABELS, 64, dropout=dropout, **options).eval()


def batches(count: int = 5):
    inputs = rectangles(count).inputs
    return [{name: value[start : start + 2] for name, value in inputs.items()} for start in range(0, count, 2)]


def test_variances_are_traces_of_covariances():
    made = samples()
    for ours, values in zip(detection_variances(made), (made.probabilities, made.deltas), strict=True):
        wanted = [torch.cov(values[:, r].T.double(), correction=0).diagonal().sum() for r in range(4)]
        torch.testing.assert_close(ours, torch.stack(wanted).float())
        paper = values.square().sum(2).mean(0) - values.mean(0).square().sum(1)
        torch.testing.assert_close(ours, paper, rtol=1e-4, atol=1e-5)


def test_passes_that_agree_have_exactly_no_variance():
    one = samples()
    same = BoxSamples(one.probabilities[:1].repeat(7, 1, 1), one.deltas[:1].repeat(7, 1, 1), one.picture, one.boxes)
    for variance in detection_variances(same):
        assert (variance >= 0).all() and variance.max() < 1e-12
    with pytest.raises(UmbelError, match="at least 2 passes"):
        detection_variances(BoxSamples(one.probabilities[:1], one.deltas[:1], one.picture, one.boxes))


def test_scores_of_pictures_by_hand():
    made = samples()
    of_class, of_box = detection_variances(made)
    product = of_class * of_box
    total, mean = product[:3].sum(), product[:3].mean()
    torch.testing.assert_close(picture_scores(made, 3), torch.stack([total, torch.tensor(0.0), product[3]]))
    torch.testing.assert_close(picture_scores(made, 3, "mean")[:2], torch.stack([mean, torch.tensor(0.0)]))
    weight = 1 - made.probabilities.mean(0)[:, 0]  # the background comes first
    wanted = (product * weight)[:3].sum() / weight[:3].sum()
    torch.testing.assert_close(picture_scores(made, 3, "per-object")[0], wanted)


def test_dense_detectors_have_no_background_class():
    made = samples()
    dense = BoxSamples(made.probabilities, made.deltas[..., :4], made.picture, made.boxes)
    of_class, of_box = detection_variances(dense)
    weight = dense.probabilities.mean(0).amax(1)
    wanted = (of_class * of_box * weight)[:3].sum() / weight[:3].sum()
    torch.testing.assert_close(picture_scores(dense, 3, "per-object")[0], wanted)


def test_scores_depend_on_the_seed_alone_and_leave_everything_as_it_was():
    detector = small()
    detector.roi_heads.train()
    modes = [part.training for part in detector.modules()]
    torch.manual_seed(3)
    wanted = torch.rand(3)
    torch.manual_seed(3)
    first = variance_scores(detector, batches(), passes=3, seed=1)
    assert torch.equal(torch.rand(3), wanted)
    assert [part.training for part in detector.modules()] == modes
    assert first.shape == (5,) and (first > 0).all()
    torch.rand(7)
    assert torch.equal(variance_scores(detector, batches(), passes=3, seed=1), first)
    assert not torch.equal(variance_scores(detector, batches(), passes=3, seed=2), first)


def test_only_dropout_is_random():
    assert variance_scores(small(dropout=0.0), batches(2), passes=3).max() == 0
    seen = small().features(batches(2)[0])
    one, other = (small().box_samples(seen, 2) for _ in range(2))
    assert torch.equal(one.boxes, other.boxes) and torch.equal(one.picture, other.picture)
    assert not torch.equal(one.probabilities[0], one.probabilities[1])


def test_mistakes_are_one_line():
    with pytest.raises(UmbelError, match="no picture to measure"):
        variance_scores(small(), [])
    with pytest.raises(UmbelError, match="passes"):
        variance_scores(small(), batches(1), passes=1)
    with pytest.raises(UmbelError, match="score"):
        picture_scores(samples(), 3, "median")
