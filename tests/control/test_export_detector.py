"""Exported detectors: files that answer as the original, whatever the size of the picture and the number of boxes."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator

from umbel import tasks
from umbel.control import export_detector
from umbel.control.exports import run_export
from umbel.control.exports.detecting import Detecting
from umbel.control.exports.detector_cases import answers_of, detector_cases, detector_differences
from umbel.core import UmbelError
from umbel.data.data_record import DataRecord
from umbel.data.padded_pictures import PaddedPictures
from umbel.data.task_records import TaskRecord
from umbel.engine import open_runtime
from umbel.inference import BoxPredictor
from umbel.nn.detection import (
    DetectionLearner,
    Detector,
    FCOSDetector,
    RetinaNetDetector,
    SmallBackbone,
    build_detector,
    load_weights,
)

LABELS = ["red", "blue"]
RESOLUTION = 64
FURTHER = [
    tasks.regression("how many", 2, centre=torch.tensor(1e6), scale=torch.tensor(3.0)),
    tasks.classification("place", ["in", "out"]),
]
TASKS = [tasks.boxes("boxes", LABELS), *FURTHER]
INPUTS = PaddedPictures((3, RESOLUTION, RESOLUTION), RESOLUTION)


_SURE = {"cls_score": 20, "bbox_pred": 6, "cls_logits": 10}


def opinionated(detector: Detector) -> Detector:
    """With random statistics and layers that are sure of something: equal scores would have no order."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in detector.state_dict().items():
            layer, _, part = name.rpartition(".")
            if part == "running_mean":
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
            if part == "weight" and layer.rpartition(".")[2] in _SURE:
                scale = _SURE[layer.rpartition(".")[2]] * tensor.abs().mean()
                tensor.copy_(scale * torch.randn(tensor.shape, generator=generator))
            if part == "weight" and ".conv." in name:  # of RetinaNet and FCOS
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
            if name.endswith("cls_logits.bias"):
                tensor.fill_(-1)
    return detector.eval()


def region() -> Detector:
    options = {"anchors": (24, 48, 64), "widths": (8, 8, 16, 16), "hidden": 32, "detections": 300}
    return opinionated(build_detector("small-fasterrcnn", LABELS, RESOLUTION, heads=FURTHER, **options))


def dense(kind: type) -> Detector:
    torch.manual_seed(0)
    anchors = AnchorGenerator(((16, 32),) if kind is RetinaNet else ((4,),), ((1.0,),))
    model = kind(SmallBackbone((8, 32), (2, 2)), 2, anchor_generator=anchors, score_thresh=0.05, topk_candidates=60)
    ours = RetinaNetDetector if kind is RetinaNet else FCOSDetector
    return opinionated(ours(model, LABELS, RESOLUTION, 4, FURTHER))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two photographs, one cut upright, one small: four pictures of different shapes."""
    folder = tmp_path_factory.mktemp("photographs")
    first, second = map(Image.fromarray, load_sample_images().images)
    for name, picture in (
        ("lying.png", first),
        ("upright.png", first.crop((0, 0, 250, 427))),
        ("small.png", second.resize((50, 40))),
        ("narrow.png", second.crop((0, 0, 640, 150))),
    ):
        picture.save(folder / name)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    detector = region()
    about = {"data": "made up"}
    return detector, export_detector(detector, INPUTS, TASKS, tmp_path_factory.mktemp("export") / "new", about=about)


def test_the_onnx_file_finds_the_same_boxes_in_photographs_of_any_size(exported, photographs):
    detector, made = exported
    record = DataRecord("made up", INPUTS, tuple(map(TaskRecord.of, TASKS)), {}, "")
    predictor = BoxPredictor(DetectionLearner(detector, TASKS), record, open_runtime(), made.folder)
    session = onnxruntime.InferenceSession(made.files["onnx"], providers=["CPUExecutionProvider"])
    about = json.loads((made.folder / "export.json").read_text())
    counts = set()
    for path in sorted(photographs.iterdir()):
        with Image.open(path) as opened:
            given = [(path.name, opened.convert("RGB"))]
        _, picture, expected = next(predictor.stream(given, threshold=0))
        line = run_export.detections(session, about, str(path))
        scale = max(picture.size) / RESOLUTION
        np.testing.assert_allclose([one["box"] for one in line["boxes"]], expected.boxes[:, :4], atol=1e-3 * scale)
        np.testing.assert_allclose([one["score"] for one in line["boxes"]], expected.boxes[:, 4], atol=1e-5)
        assert [one["class"] for one in line["boxes"]] == [LABELS[int(kind)] for kind in expected.boxes[:, 5]]
        np.testing.assert_allclose(line["how many"], expected.answers["how many"], rtol=1e-6)
        np.testing.assert_allclose([*line["place"].values()], expected.answers["place"], atol=1e-5)
        counts.add(len(line["boxes"]))
    assert len(counts) > 1 and min(counts) > 0  # the number of boxes is free


def test_the_record_says_what_is_in_the_files(exported):
    detector, made = exported
    record = made.record
    assert {name: path.name for name, path in made.files.items()} == {
        "torch": "model.ts",
        "onnx": "model.onnx",
        "safetensors": "model.safetensors",
    }
    assert record["inputs"]["longer_side"] == RESOLUTION and record["inputs"]["shape"] == [3, "height", "width"]
    boxes = record["tasks"]["boxes"]
    assert boxes["labels"] == LABELS and (boxes["lowest_score"], boxes["largest_overlap"]) == (0.05, 0.5)
    assert record["tasks"]["how many"]["output"] == "how_many" and record["tasks"]["place"]["shape"] == [2]
    assert record["compared"]["boxes"] >= 30 and record["about"] == {"data": "made up"}
    assert all(found["boxes"] <= 1e-3 for found in made.differences.values())
    assert record["cost"]["total"]["parameters"] == sum(p.numel() for p in detector.parameters())
    again = region()
    with torch.no_grad():
        again.roi_heads.box_predictor.bbox_pred.weight.zero_()
    load_weights(again, made.files["safetensors"])
    picture = detector_cases(detector, FURTHER)[0].picture
    assert torch.equal(answers_of(again, FURTHER, picture)[0], answers_of(detector, FURTHER, picture)[0])


@pytest.mark.parametrize("kind", [RetinaNet, FCOS])
def test_a_dense_detector_keeps_its_boxes_in_onnx(tmp_path, kind):
    made = export_detector(dense(kind), INPUTS, TASKS, tmp_path / "new", formats=["onnx"])
    assert made.record["compared"]["boxes"] >= 30 and made.differences["onnx"]["boxes"] <= 1e-3
    assert sorted(path.name for path in made.folder.iterdir()) == ["export.json", "model.onnx", "run_export.py"]


def test_a_difference_stops_the_export(tmp_path, monkeypatch):
    detector = region()
    cases = detector_cases(detector, FURTHER)

    def answering(change) -> None:
        detector_differences(
            "model.onnx", lambda picture: change(*answers_of(detector, FURTHER, picture)), FURTHER, cases, "boxes"
        )

    answering(lambda *answer: answer)
    answering(lambda b, s, c, *more: (b.flip(0), s.flip(0), c.flip(0), *more))  # equal scores have no order
    changes = {
        "boxes differ": lambda b, s, c, *more: (b + 0.01, s, c, *more),
        "boxes differ from": lambda b, s, c, *more: (b, s, 1 - c, *more),
        "boxes differ from the": lambda b, s, c, *more: (b, s + 0.001, c, *more),
        "boxes differ from the original": lambda b, s, c, *more: (b[:-4], s[:-4], c[:-4], *more),
        "task 'how many' differs": lambda b, s, c, first, second: (b, s, c, first + 0.01, second),
    }
    for message, change in changes.items():
        with pytest.raises(UmbelError, match=message):
            answering(change)

    class Wrong(Detecting):
        def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
            boxes, *others = super().forward(picture)
            return boxes * 1.001, *others

    monkeypatch.setattr("umbel.control.exports.write_detector.Detecting", Wrong)
    with pytest.raises(UmbelError, match=r"model.ts: .* nothing was exported"):
        export_detector(detector, INPUTS, TASKS, tmp_path / "new", formats=["torch"])
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_one_line(tmp_path):
    with torch.no_grad():
        broken = region()
        broken.heads["place"].weight.fill_(torch.nan) if hasattr(broken.heads["place"], "weight") else [
            parameter.fill_(torch.nan) for parameter in broken.heads["place"].parameters()
        ]
    with pytest.raises(UmbelError, match="not finite"):
        export_detector(broken, INPUTS, TASKS, tmp_path / "new")
    with pytest.raises(UmbelError, match="unknown format of export 'tflite'"):
        export_detector(region(), INPUTS, TASKS, tmp_path / "new", formats=["tflite"])
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(UmbelError, match="not an empty folder"):
        export_detector(region(), INPUTS, TASKS, tmp_path / "taken")
    with pytest.raises(UmbelError, match="has no graph that could be exported"):
        Detecting(torch.nn.Identity(), [])
