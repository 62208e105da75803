"""A network of liveness without training: what is bright is live; and pictures for it."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from umbel import tasks
from umbel.core import Learner
from umbel.data.data_record import DataRecord
from umbel.data.plain_inputs import PlainInputs
from umbel.data.task_records import TaskRecord
from umbel.engine import open_runtime
from umbel.inference import Predictor
from umbel.recipes.liveness import KeptLiveness

KEPT = KeptLiveness("liveness", threshold=0.6, eer=0.1, scale=0.5, shift=0.25, samples=40)
MATERIALS = ("skin", "paper")


class Bright(nn.Module):
    """The logit of live is 20 (mean - 0.5); depth is red, what is blue is paper; the mood is always good."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(1, 1)
        self.batches = []

    def forward(self, inputs, point=None):
        self.batches.append(tuple(inputs.shape))
        return {
            "liveness": 20 * (inputs.mean((1, 2, 3)) - 0.5)[:, None],
            "depth": inputs[:, :1],
            "material": torch.stack([torch.full_like(inputs[:, 2], 0.5), inputs[:, 2]], 1),
            "mood": torch.tensor([[0.0, 3.0]]).expand(len(inputs), 2),
        }


def bright_faces(folder: Path, kept: KeptLiveness | None = KEPT) -> Predictor:
    """Opened, as if it had been trained on pictures of 16×12 pixels into that folder."""
    of = [
        tasks.classification("mood", ("bad", "good")),
        tasks.liveness(),
        tasks.proxy_map("depth"),
        tasks.segmentation("material", MATERIALS),
    ]
    if kept is not None:
        (folder / "liveness.json").write_text(json.dumps(asdict(kept)))
    record = DataRecord("faces", PlainInputs.of((3, 12, 16)), tuple(map(TaskRecord.of, of)), {}, "")
    return Predictor(Learner(Bright(), of), record, open_runtime(), folder / "checkpoints" / "best")


def plain_picture(path: Path, grey: int, size: tuple[int, int] = (16, 12)) -> Path:
    """A picture of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), grey, np.uint8)).save(path)
    return path


def calibrated(grey: int, kept: KeptLiveness | None = KEPT) -> float:
    """The probability of live of such a picture."""
    logit = 20 * (grey / 255 - 0.5)
    scale, shift = (1.0, 0.0) if kept is None else (kept.scale, kept.shift)
    return float(1 / (1 + np.exp(-(scale * logit + shift))))
