"""Any `torch.utils.data.Dataset` of your own, with labels that some samples lack.

An item is (inputs, {task: target}). A target that is None, or absent, is not labelled.
"""

import torch
from torch.utils.data import Dataset

from umbel import (
    FitSettings,
    Learner,
    build_model,
    data_from_datasets,
    evaluate,
    fit,
    make_descent,
    open_runtime,
    tasks,
)

SHAPES = ["disc", "square"]
SIZE = 16  # pixels, height and width


class Shapes(Dataset):
    """A bright disc or square on noise. Tasks: which shape, its radius, and the pixels that belong to it."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, dict]:
        draw = torch.Generator().manual_seed(1000 * self.seed + index)  # the same item at every call
        kind = index % len(SHAPES)
        radius = 3 + 3 * torch.rand((), generator=draw).item()
        row, column = torch.meshgrid(*[torch.arange(SIZE) - SIZE / 2] * 2, indexing="ij")
        distance = torch.hypot(row, column) if SHAPES[kind] == "disc" else torch.maximum(row.abs(), column.abs())
        inside = distance < radius
        picture = inside.float() + 0.3 * torch.randn(SIZE, SIZE, generator=draw)
        mask = inside.long() if index % 4 == 0 else None  # masks are expensive: only every fourth sample has one
        return picture.unsqueeze(0), {"shape": kind, "radius": radius, "mask": mask}


wanted = [
    tasks.classification("shape", SHAPES),
    tasks.regression("radius", centre=4.5, scale=0.9, unit="pixels"),  # mean and spread, so that the loss is near 1
    tasks.segmentation("mask", ["background", "shape"]),
]
data = data_from_datasets("shapes", wanted, Shapes(600, seed=0), Shapes(100, seed=1), Shapes(200, seed=2))

# One encoder; a head for each task, made to fit what the task predicts (a vector or a map). The usual head of a vector
# is one linear layer on features averaged over the picture; one with convolutions sees where things are.
model = build_model(data.input_shape, data.tasks, "conv", widths=(8, 16), hidden=16, vector_head="conv")
learner = Learner(model, data.tasks)
settings = FitSettings(steps=120, learning_rate=3e-3, batch_size=32, precision="float32", tensorboard=False)
fit(learner, make_descent("equal"), data.train, data.validation, settings)

scores = evaluate(learner, data.test, open_runtime()).main()
for task in data.tasks:
    print(f"{task.name}: {task.main_metric} {scores[task.name]:.3f} {task.unit}".rstrip())
