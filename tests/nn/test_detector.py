import copy

import pytest
import torch
from detection_cases import rectangles
from torch import nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from umbel import UmbelError, tasks
from umbel.core import pad_inputs
from umbel.nn.detection import (
    FCOSDetector,
    RegionDetector,
    RetinaNetDetector,
    SmallBackbone,
    build_detector,
    insert_dropout,
)

LABELS = ["red", "blue"]
HEIGHT, WIDTH = 48, 64


def small(**options) -> RegionDetector:
    return build_detector("small-fasterrcnn", LABELS, 64, **{"anchors": (24, 48), "widths": (8, 8, 16, 16), **options})


def dense(kind: type, dropout: float = 0.0, seed: int = 0):
    """A tiny RetinaNet or FCOS of torchvision, and ours made of its parts."""
    torch.manual_seed(seed)
    sides = ((16, 32),) if kind is RetinaNet else ((4,),)
    anchors = AnchorGenerator(sides, ((1.0,),))
    size = {"min_size": HEIGHT, "max_size": WIDTH, "size_divisible": 4, "score_thresh": 0.001}
    model = kind(SmallBackbone((8, 32), (2, 2)), 2, anchor_generator=anchors, **size)
    ours = (RetinaNetDetector if kind is RetinaNet else FCOSDetector)(copy.deepcopy(model), LABELS, 64, 4)
    return model.eval(), insert_dropout(ours, dropout).eval()


def as_torchvision(detector: RegionDetector) -> GeneralizedRCNN:
    """The same weights in torchvision's own forward, without resizing; every candidate is in its sample."""
    parts = copy.deepcopy(detector)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    transform = GeneralizedRCNNTransform(HEIGHT, WIDTH, mean, std, size_divisible=4)
    return GeneralizedRCNN(parts.encoder, parts.rpn, parts.roi_heads, transform)


def exhaustive(detector: RegionDetector) -> RegionDetector:
    """Nothing is drawn: all objects and all background are learnt from."""
    for part in (detector.rpn, detector.roi_heads):
        part.fg_bg_sampler.batch_size_per_image = 20000
    return detector


def listed(batch, first_class: int) -> list[dict[str, torch.Tensor]]:
    rows = [target[target[:, 4] >= 0] for target in batch.targets["boxes"]]
    return [{"boxes": r[:, :4], "labels": r[:, 4].long() + first_class} for r in rows]


def as_rows(each: list[dict[str, torch.Tensor]], first_class: int) -> list[torch.Tensor]:
    return [torch.cat([e["boxes"], e["scores"][:, None], e["labels"][:, None] - first_class], 1) for e in each]


def test_losses_of_one_picture_are_torchvisions():
    batch = rectangles(1, seed=3)
    detector = exhaustive(small(dropout=0.0)).train()
    wanted = as_torchvision(detector).train()(list(batch.inputs["picture"]), listed(batch, 1))
    losses = detector.detection_losses(detector.features(batch.inputs), batch.targets["boxes"])
    names = dict(objectness="loss_objectness", rpn_box="loss_rpn_box_reg", box="loss_box_reg")
    names["class"] = "loss_classifier"
    assert losses.keys() == names.keys()
    for name, theirs in names.items():
        torch.testing.assert_close(losses[name], wanted[theirs], rtol=1e-4, atol=1e-6)


def test_detections_are_torchvisions():
    batch = rectangles(3)
    detector = small().eval()
    with torch.no_grad():
        nn.init.normal_(detector.roi_heads.box_predictor.cls_score.weight, std=0.3)  # so that some are sure
        wanted = as_rows(as_torchvision(detector).eval()(list(batch.inputs["picture"])), 1)
        prediction = detector(batch.inputs)["boxes"]
    for mine, theirs in zip(prediction, wanted, strict=True):
        assert len(theirs) and (mine[len(theirs) :] == -1).all()
        torch.testing.assert_close(mine[: len(theirs)], theirs, rtol=1e-3, atol=1e-3)
        assert (mine[1 : len(theirs), 4] <= mine[: len(theirs) - 1, 4]).all()


@pytest.mark.parametrize("kind", [RetinaNet, FCOS])
def test_a_dense_detector_is_torchvisions(kind):
    model, detector = dense(kind)
    batch = rectangles(1, seed=3)
    batch.targets["boxes"][0, 1] = batch.targets["boxes"][0, 0]
    batch.targets["boxes"][0, 0] = -1  # a row of nothing before a box
    with torch.no_grad():
        wanted = as_rows(model(list(batch.inputs["picture"])), 0)[0]
        found = detector(batch.inputs)["boxes"][0]
    torch.testing.assert_close(found[: len(wanted)], wanted, rtol=1e-3, atol=1e-3)
    wanted = model.train()(list(batch.inputs["picture"]), listed(batch, 0))
    losses = detector.train().detection_losses(detector.features(batch.inputs), batch.targets["boxes"])
    names = {"class": "classification", "box": "bbox_regression", "centre": "bbox_ctrness"}
    for name, loss in losses.items():
        torch.testing.assert_close(loss, wanted[names[name]], rtol=1e-4, atol=1e-5)


def detectors():
    return [exhaustive(small(dropout=0.0)).eval(), dense(RetinaNet)[1], dense(FCOS)[1]]


@pytest.mark.parametrize("which", range(3))
def test_losses_are_means_over_labelled_pictures(which):
    detector = detectors()[which]
    batch = rectangles(3)
    batch.targets["boxes"][1] = torch.nan
    whole = detector.detection_losses(detector.features(batch.inputs), batch.targets["boxes"])
    first, last = (
        detector.detection_losses(detector.features(part.inputs), part.targets["boxes"])
        for part in (batch[:2], batch[2:])
    )
    for name, loss in whole.items():
        torch.testing.assert_close(loss, (first[name] + last[name]) / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("which", range(3))
def test_pictures_without_labels_teach_nothing_and_those_without_objects_do(which):
    detector = detectors()[which]
    batch = rectangles(2)
    for value, learns in ((torch.nan, False), (-1.0, True)):
        losses = detector.detection_losses(detector.features(batch.inputs), torch.full((2, 1, 5), value))
        total = sum(losses.values())
        gradient = torch.autograd.grad(total, next(detector.encoder.parameters()))[0]
        assert bool(total > 0) == learns and bool(gradient.abs().sum() > 0) == learns


@pytest.mark.parametrize("which", range(3))
def test_ignored_boxes_are_not_learnt_as_background(which):
    detector = detectors()[which]
    batch = rectangles(1)
    seen, nothing = detector.features(batch.inputs), torch.full((1, 1, 5), -1.0)
    plain = detector.detection_losses(seen, nothing)
    everywhere = detector.detection_losses(seen, nothing, torch.tensor([[[-99.0, -99, 199, 199], [-1, -1, -1, -1]]]))
    none = detector.detection_losses(seen, nothing, torch.full((1, 2, 4), -1.0))
    assert all(bool(loss > 0) for name, loss in plain.items() if name in ("objectness", "class"))
    assert sum(everywhere.values()) == 0
    torch.testing.assert_close(sum(none.values()), sum(plain.values()))
    true = batch.targets["boxes"]  # objects stay objects
    kept = detector.detection_losses(seen, true, true[..., :4])
    alone = detector.detection_losses(seen, true)["box"]
    if which == 0:  # a mean over all that is learnt from, now less background
        assert bool(kept["box"] > alone)
    else:
        torch.testing.assert_close(kept["box"], alone)


@pytest.mark.parametrize("which", range(3))
def test_samples_of_dropout_differ_in_the_heads_alone(which):
    detector = [small(), dense(RetinaNet, 0.5)[1], dense(FCOS, 0.5)[1]][which]
    detector.train()
    norm = detector.encoder.blocks[0][1].running_mean.clone()
    with torch.no_grad():
        seen = detector.features(rectangles(2).inputs)
    assert not torch.equal(norm, detector.encoder.blocks[0][1].running_mean)
    buffers = {name: value.clone() for name, value in detector.named_buffers()}
    torch.manual_seed(0)
    first = detector.box_samples(seen, 4)
    again = detector.box_samples(seen, 4)
    assert all(part.training for part in detector.modules())
    assert all(torch.equal(value, buffers[name]) for name, value in detector.named_buffers())
    assert torch.equal(first.boxes, again.boxes) and torch.equal(first.picture, again.picture)
    assert first.probabilities.shape[:2] == first.deltas.shape[:2] == (4, len(first.picture))
    assert first.probabilities.std(0).max() > 0 and first.deltas.std(0).max() > 0
    assert not torch.equal(first.probabilities, again.probabilities)
    insert_dropout(detector, 0.0)
    still = detector.box_samples(seen, 2)
    assert torch.equal(still.probabilities[0], still.probabilities[1])
    if which == 0:
        torch.testing.assert_close(first.probabilities.sum(-1), torch.ones(4, len(first.picture)))
        assert first.deltas.shape[2] == 4 * first.probabilities.shape[2]


def test_a_picture_is_answered_as_if_it_were_alone():
    """Padding, and the chunks of `forward`, change nothing."""
    detector = small(heads=[tasks.classification("kind", 3)]).eval()
    pictures = list(rectangles(9).inputs["picture"])
    pictures[4] = pictures[4][:, :40, :52]
    with torch.no_grad():
        together = detector(pad_inputs("picture", pictures))
        alone = detector(pad_inputs("picture", pictures[4:5]))
    assert together["kind"].shape == (9, 3)
    count = int((alone["boxes"][0, :, 4] >= 0).sum())
    assert count and int((together["boxes"][4, :, 4] >= 0).sum()) == count
    edge = alone["boxes"][0, :count]
    torch.testing.assert_close(together["boxes"][4, :count, 4].sum(), edge[:, 4].sum(), rtol=0.05, atol=0)
    assert edge[:, [0, 2]].max() <= 52 and edge[:, [1, 3]].max() <= 40
    torch.testing.assert_close(together["kind"][4], alone["kind"][0], rtol=0.05, atol=0.02)


def test_further_heads_see_the_region_of_the_picture_alone():
    detector = small(heads=[tasks.classification("kind", 3)]).eval()
    seen = detector.features(rectangles(1).inputs)
    level = torch.zeros_like(seen.maps["0"])
    level[:, :, :6, :8] = 1  # of 12 x 16 cells
    half = type(seen)(seen.images, {"0": level}, ((24, 32),))
    assert torch.equal(detector.pooled(half), torch.ones(1, 16))


def test_bytes_and_floats_are_the_same_pictures():
    detector = small().eval()
    inputs = rectangles(2).inputs
    whole = (inputs["picture"] * 255).round().byte()
    as_float = {**inputs, "picture": whole / 255}
    one, other = (detector.features(x).maps["0"] for x in ({**inputs, "picture": whole}, as_float))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels_last", [False, True])
def test_it_runs_in_bf16_with_losses_in_float32(channels_last):
    detector = small().to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    batch = rectangles(2)
    with torch.autocast("cpu", torch.bfloat16):
        seen = detector.features(batch.inputs)
        losses = detector.detection_losses(seen, batch.targets["boxes"])
        assert seen.maps["0"].dtype == torch.bfloat16
        boxes = detector.eval().detections(seen)
    assert {loss.dtype for loss in losses.values()} == {torch.float32} and boxes.dtype == torch.float32
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())


def test_no_picture_is_a_batch_too():
    detector = small()
    batch = rectangles(2)[:0]
    losses = detector.detection_losses(detector.features(batch.inputs), batch.targets["boxes"])
    assert sum(losses.values()) == 0
    assert detector.eval()(batch.inputs)["boxes"].shape == (0, 1, 6)


def test_mistakes_are_one_line():
    with pytest.raises(UmbelError, match="did you mean 'small-fasterrcnn'"):
        build_detector("small-fasterrcn", LABELS, 64)
    with pytest.raises(UmbelError, match="did you mean 'anchors'"):
        small(anchor=(3,))
    with pytest.raises(UmbelError, match=r"widths .* and strides"):
        small(widths=(8, 8))
    with pytest.raises(UmbelError, match=r"dropout is 1\.0"):
        small(dropout=1.0)
    with pytest.raises(UmbelError, match="wants 'map'"):
        small(heads=[tasks.segmentation("parts", 3)])
    with pytest.raises(UmbelError, match=r"core\.pad_inputs"):
        small()(torch.zeros(1, 3, 48, 64))
    with pytest.raises(UmbelError, match="has no sizes beside it"):
        small()({"picture": torch.zeros(1, 3, 48, 64)})
    detector = small()
    detector.roi_heads.box_head = nn.Identity()
    with pytest.raises(UmbelError, match="no place for dropout"):
        insert_dropout(detector, 0.5)
