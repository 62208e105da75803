"""Comparisons that take a second, and data for them."""

import dataclasses

import study_laws as laws
import torch

from umbel import tasks
from umbel.core import Batch
from umbel.data import MultiTaskData, TensorSource
from umbel.engine import FitSettings
from umbel.recipes.compare import COMPARE, CompareSettings
from umbel.recipes.settings import DataSettings, ModelSettings

FIT = FitSettings(
    steps=6, batch_size=32, precision="float32", validate_every=2, log_every=2, tensorboard=False, learning_rate=0.01
)
SMALL = CompareSettings(
    data=DataSettings(data="digits", tasks="digit,loops"),
    model=ModelSettings(encoder_options="widths=4/8"),
    descents="equal,pcgrad",
    seeds=2,
    tuning_trials=3,
    tuning_budget=0.5,
    probes=3,
    fit=FIT,
)


def compared(out, settings=SMALL, **more):
    """The results of a comparison in a folder."""
    return laws.run(COMPARE, settings, out, **more)[0]


def toy(kinds=None, targets=None, inputs=None, count=96):
    """Random inputs (pictures, unless given) with two easy classifications, or with the given tasks."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.rand(count, 1, 8, 8, generator=generator) if inputs is None else inputs
    flat = inputs.reshape(len(inputs), -1)
    kinds = kinds or (tasks.classification("first", "ab"), tasks.classification("second", "ab"))
    targets = targets or {
        "first": (flat[:, 0] > flat[:, 0].median()).long(),
        "second": (flat[:, 1] > flat[:, 1].median()).long(),
    }
    samples = Batch(inputs, targets)
    third = len(inputs) // 3
    parts = (slice(0, third), slice(third, 2 * third), slice(2 * third, None))
    train, validation, test = (TensorSource(samples[part]) for part in parts)
    return MultiTaskData("toy", "Toy", tuple(kinds), train, validation, test, tuple(inputs.shape[1:]))


def learn_from(monkeypatch, data):
    """Let comparisons take this data, whatever their settings name; the checks of loaded data still run."""
    monkeypatch.setattr("umbel.recipes.build.load_data", lambda name, **options: data)
    changed = dataclasses.replace(SMALL, data=DataSettings(data="toy"), seeds=1, tuning_trials=0, descents="equal")
    return dataclasses.replace(changed, model=ModelSettings())
