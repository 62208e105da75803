"""Batches from tensors, augmented as tensors, against torch's DataLoader with a transform for each sample."""

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.measure import Row, compare, interleaved
from umbel.core import Batch
from umbel.data import CropAndFlip, TensorSource

SAMPLES, BATCH, TURNS = 10240, 128, 7


class _Pictures(Dataset):
    def __init__(self, pictures: torch.Tensor, labels: torch.Tensor) -> None:
        self.pictures, self.labels = pictures, labels
        self.transform = v2.Compose(
            [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.transform(self.pictures[index]), self.labels[index]


def measure() -> list[Row]:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (SAMPLES, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (SAMPLES,), generator=generator)
    source = TensorSource(Batch(pictures, {"class": labels}), CropAndFlip(4))
    epochs = iter(range(10**6))

    def ours() -> None:
        for batch in source.train_batches(BATCH, 0, next(epochs)):
            assert len(batch) == BATCH

    rows = []
    for workers in (0, 2):
        loader = DataLoader(
            _Pictures(pictures, labels),
            BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )

        def other(loader: DataLoader = loader) -> None:
            for inputs, _ in loader:
                assert len(inputs) == BATCH

        mine, theirs = interleaved(ours, other, TURNS, 1)
        steps = SAMPLES // BATCH
        name = f"DataLoader, {workers} worker processes"
        rows.append(compare("a batch of 128, crop and flip, 32x32", mine, theirs, name, 1.0, 1e3 / steps, "ms"))
    rows.append(_limit(pictures, source))
    return rows


def _limit(pictures: torch.Tensor, source: TensorSource) -> Row:
    """Distance to the least that any batch costs: gathering its bytes and making floats of them."""
    order = torch.randperm(SAMPLES)

    def gather() -> None:
        for start in range(0, SAMPLES, BATCH):
            pictures[order[start : start + BATCH]].float().div_(255)

    def ours() -> None:
        for _ in source.train_batches(BATCH, 0, 0):
            pass

    mine, theirs = interleaved(ours, gather, TURNS, 1)
    scale = 1e3 / (SAMPLES // BATCH)
    return compare("the same against the limit", mine, theirs, "gather and convert only", None, scale, "ms")
