import pickle

import pytest
import torch
from detection_cases import rectangles
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model
from torchvision.ops import FrozenBatchNorm2d

from umbel import UmbelError, tasks
from umbel.nn.detection import build_detector, load_weights, save_weights, with_norm

LABELS = ["red", "blue"]
SMALL = {"anchors": (24,), "widths": (8, 8), "strides": (2, 2)}


def small(**options):
    return build_detector("small-fasterrcnn", options.pop("labels", LABELS), 64, **{**SMALL, **options})


def answers(detector) -> torch.Tensor:
    with torch.no_grad():
        return detector.eval()(rectangles(1).inputs)["boxes"]


def test_what_is_saved_is_what_is_loaded(tmp_path):
    one = small(seed=1)
    path = save_weights(one, tmp_path / "kept" / "detector.safetensors")
    again = small(weights=path)
    assert torch.equal(answers(one), answers(again))
    assert not torch.equal(answers(one), answers(small()))
    more = small(weights=path, heads=[tasks.classification("kind", 3)])  # heads that the file does not have
    assert torch.equal(answers(one), answers(more))
    assert torch.equal(answers(one), answers(small(weights=path, dropout=0.1)))  # dropout has no weights


def test_weights_of_a_learner_and_of_torchvision_fit(tmp_path):
    one = small(seed=1)
    save_file({f"model.{n}": x.clone() for n, x in one.state_dict().items()}, tmp_path / "learner.safetensors")
    assert torch.equal(answers(one), answers(small(weights=tmp_path / "learner.safetensors")))
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    model = get_model(name, weights=None, weights_backbone=None, num_classes=3)
    theirs = {n: x.clone() for n, x in model.state_dict().items() if not n.endswith("num_batches_tracked")}
    save_file(theirs, tmp_path / "torchvision.safetensors")  # as with frozen norms, whose weights are published
    loaded = build_detector(name, LABELS, 64, weights=tmp_path / "torchvision.safetensors", norm="frozen")
    own = loaded.state_dict()
    for n, value in theirs.items():
        assert torch.equal(own[n.replace("backbone.", "encoder.")], value), n
    assert any(isinstance(part, FrozenBatchNorm2d) for part in loaded.encoder.modules())


def test_other_classes_keep_their_last_layers_if_told_so(tmp_path):
    path = save_weights(small(labels=["a", "b", "c"], seed=1), tmp_path / "detector.safetensors")
    with pytest.raises(UmbelError, match="other classes: give their names, or in Python fresh_classes=True"):
        small(weights=path)
    fresh, start = small(weights=path, fresh_classes=True), small()
    assert torch.equal(fresh.roi_heads.box_predictor.cls_score.weight, start.roi_heads.box_predictor.cls_score.weight)
    assert not torch.equal(fresh.roi_heads.box_head.fc6.weight, start.roi_heads.box_head.fc6.weight)
    assert not torch.equal(fresh.rpn.head.bbox_pred.weight, start.rpn.head.bbox_pred.weight)  # proposals know no class


def test_files_that_are_no_weights_are_one_line(tmp_path):
    torch.save(small().state_dict(), tmp_path / "detector.pth")
    with pytest.raises(UmbelError, match="is a pickle, which can run code"):
        load_weights(small(), tmp_path / "detector.pth")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(UmbelError, match="is a pickle, which can run code"):
        load_weights(small(), tmp_path / "plain.pkl")
    (tmp_path / "text.safetensors").write_text("hello, this is no file of weights")
    with pytest.raises(UmbelError, match="is no file of safetensors"):
        load_weights(small(), tmp_path / "text.safetensors")
    with pytest.raises(UmbelError, match="is missing"):
        load_weights(small(), tmp_path / "none.safetensors")
    save_file({"fc.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(UmbelError, match="weights of another detector"):
        load_weights(small(), tmp_path / "other.safetensors")
    save_weights(small(widths=(8, 16)), tmp_path / "wider.safetensors")
    with pytest.raises(UmbelError, match="build it as it was saved"):
        load_weights(small(), tmp_path / "wider.safetensors")


@pytest.mark.parametrize(
    ("norm", "kind"), [("batch", nn.BatchNorm2d), ("group", nn.GroupNorm), ("frozen", FrozenBatchNorm2d)]
)
def test_the_norm_of_the_backbone(norm, kind):
    detector = small(norm=norm)
    kinds = {type(part) for part in detector.encoder.modules() if "Norm" in type(part).__name__}
    assert kinds == {kind}
    trained = {n for n, p in detector.named_parameters() if p.requires_grad}
    assert ("encoder.blocks.0.1.weight" in trained) == (norm != "frozen")


def test_frozen_norms_compute_what_the_batch_norms_did():
    body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    nn.init.normal_(body[1].running_mean)
    x = torch.randn(2, 3, 5, 5)
    with torch.no_grad():
        before = body(x)
        torch.testing.assert_close(with_norm(body, "frozen")(x), before)
