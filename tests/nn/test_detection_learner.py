import pytest
import torch
from detection_cases import rectangles

from umbel import UmbelError, make_descent, tasks
from umbel.core import Batch, OperatingPoint
from umbel.data import TensorSource
from umbel.engine import FitSettings, fit
from umbel.nn.detection import DetectionLearner, build_detector

LABELS = ["red", "blue"]
POINT = OperatingPoint({})


def several(count: int, seed: int = 0) -> Batch:
    """Rectangles, which class is the first, and how many there are."""
    batch = rectangles(count, seed=seed)
    boxes = batch.targets["boxes"]
    targets = {
        "boxes": boxes,
        "first": boxes[:, 0, 4].long(),
        "count": (boxes[:, :, 4] >= 0).sum(1, keepdim=True).float(),
    }
    return Batch(batch.inputs, targets)


def learner(seed: int = 0) -> DetectionLearner:
    further = [tasks.classification("first", LABELS), tasks.regression("count", 1, centre=2.0, scale=1.0)]
    options = {"anchors": (40,), "widths": (8, 16, 32, 32), "proposals": 60}
    detector = build_detector("small-fasterrcnn", LABELS, 64, heads=further, seed=seed, **options)
    return DetectionLearner(detector, [tasks.boxes("boxes", LABELS), *further])


def trained(descent: str, steps: int, batch_size: int = 8, rate: float = 3e-3, **settings) -> tuple:
    torch.manual_seed(0)
    one = learner()
    train, validation = TensorSource(several(64)), TensorSource(several(24, seed=1))
    plain = {"tensorboard": False, "precision": "float32", "monitor": "boxes/mAP50", "validate_every": steps}
    settings = FitSettings(steps=steps, batch_size=batch_size, learning_rate=rate, **{**plain, **settings})
    return one, fit(one, make_descent(descent), train, validation, settings)


@pytest.mark.slow
def test_it_learns_boxes_class_and_count_together():
    _, outcome = trained("equal", 40, clip_norm=5.0)
    assert outcome.best.metrics["boxes"]["mAP50"] > 0.4


@pytest.mark.parametrize(
    "settings", [{"descent": "pcgrad", "accumulate": 2}, {"descent": "equal", "precision": "bf16"}]
)
def test_any_descent_pieces_and_half_precision_run(settings):
    one, outcome = trained(settings.pop("descent"), 2, 4, **settings)
    assert outcome.steps == 2
    assert all(p.isfinite().all() for p in one.parameters())


def test_pieces_add_up_to_the_whole_batch():
    one = learner().eval()
    for part in (one.model.rpn, one.model.roi_heads):
        part.fg_bg_sampler.batch_size_per_image = 20000  # nothing is drawn
    batch = several(5)
    batch.targets["boxes"][1] = torch.nan
    whole = one.losses(batch, POINT)
    total = one.counts(batch)
    assert total["boxes"] == 4 and total["count"] == 5
    pieces = [(one.losses(piece, POINT), one.counts(piece)) for piece in batch.chunks(2)]
    for name, loss in whole.items():
        added = sum(losses[name] * counts[name] / total[name] for losses, counts in pieces)
        torch.testing.assert_close(added, loss, rtol=1e-4, atol=1e-6)


def test_a_batch_without_any_picture_has_losses_of_nothing():
    losses = learner().losses(several(3)[:0], POINT)
    assert [float(loss.detach()) for loss in losses.values()] == [0, 0, 0]
    losses.stack().sum().backward()


def test_a_step_depends_on_its_seed_alone():
    one, batch = learner(), several(4)
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append(one.losses(batch, POINT).stack().detach())
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])


def test_the_backbone_is_what_tasks_compete_for():
    one = learner()
    shared = {id(p) for p in one.shared_parameters()}
    assert shared == {id(p) for p in one.model.encoder.parameters()}
    rows = one.losses(several(4), POINT)
    for loss in rows.values():
        gradient = torch.autograd.grad(loss, one.shared_parameters(), retain_graph=True)
        assert all(g.abs().sum() > 0 for g in gradient if g.ndim == 4)


def test_a_task_of_another_name_gets_the_boxes():
    detector = build_detector("small-fasterrcnn", LABELS, 64)
    one = DetectionLearner(detector, [tasks.boxes("cells", LABELS)]).eval()
    prediction = one.predict(rectangles(2), POINT)
    assert list(prediction) == ["cells"] and prediction["cells"].shape[2] == 6


def test_mistakes_are_one_line():
    detector = build_detector("small-fasterrcnn", LABELS, 64)
    boxes, kind = tasks.boxes("boxes", LABELS), tasks.classification("kind", 3)
    with pytest.raises(UmbelError, match="one task of boxes, and 0 were given"):
        DetectionLearner(detector, [kind])
    with pytest.raises(UmbelError, match="'kind' has no head in the detector"):
        DetectionLearner(detector, [boxes, kind])
    with pytest.raises(UmbelError, match="the classes red, green, the detector red, blue"):
        DetectionLearner(detector, [tasks.boxes("boxes", ["red", "green"])])
