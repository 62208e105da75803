"""A detector without training: the frame around the bright pixels of a picture, and a picture with one."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from umbel import tasks
from umbel.core import Learner
from umbel.data.data_record import DataRecord
from umbel.data.padded_pictures import PaddedPictures
from umbel.data.task_records import TaskRecord
from umbel.engine import open_runtime
from umbel.inference import BoxPredictor

LABELS = ("dim", "=bright")


class Bright(nn.Module):
    """Around the bright pixels of each picture a box of class 1, score .9, and one of class 0, score .4."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(1, 1)
        self.batches = []

    def forward(self, inputs, point=None):
        rows = []
        self.batches.append(tuple(inputs["picture"].shape))
        for picture, (_, height, width) in zip(inputs["picture"], inputs["picture/size"].tolist(), strict=True):
            bright = (picture[:, :height, :width].float().mean(0) > 128).nonzero()
            if not len(bright):
                rows.append(torch.full((1, 6), -1.0))
                continue
            (top, left), (bottom, right) = bright.amin(0).tolist(), (bright.amax(0) + 1).tolist()
            box = [left, top, right, bottom]
            rows.append(torch.tensor([[*box, 0.9, 1], [*box, 0.4, 0]]))
        count = torch.tensor([[float(len(one))] for one in rows])
        return {"boxes": nn.utils.rnn.pad_sequence(rows, True, -1.0), "count": count}


def bright_predictor(resolution=32, further=False) -> BoxPredictor:
    """Opened, as if it had been trained; with a further task, if wanted."""
    of = [tasks.boxes("boxes", LABELS)]
    if further:
        of.append(tasks.regression("count", 1, centre=torch.tensor(10.0), scale=torch.tensor(2.0)))
    learner = Learner(Bright(), of)
    record = DataRecord("bright", PaddedPictures((3, 32, 32), resolution), tuple(map(TaskRecord.of, of)), {}, "")
    return BoxPredictor(learner, record, open_runtime(), Path("run"))


def bright_picture(width, height, left, top):
    """Black, with a white rectangle of a quarter of both sides."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[top : top + height // 4, left : left + width // 4] = 255
    return Image.fromarray(pixels)
