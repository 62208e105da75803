"""Small trained runs for the tests of predictions."""

import numpy as np
import pandas as pd
from PIL import Image

from umbel.engine import FitSettings, Silent, open_runtime
from umbel.recipes.settings import ControllableModelSettings, DataSettings
from umbel.recipes.single import train
from umbel.recipes.train_settings import TrainSettings

FIT = FitSettings(steps=60, batch_size=32, precision="float32", tensorboard=False, learning_rate=0.01)


def flats(rows=120, seed=0) -> pd.DataFrame:
    """Numbers with gaps, codes that differ by a zero, a target of large numbers and one of classes."""
    generator = np.random.default_rng(seed)
    metres = generator.normal(70, 20, rows).round(2)
    return pd.DataFrame(
        {
            "id": [f"flat {i}" for i in range(rows)],
            "metres": metres,
            "rooms": [None if i % 7 == 0 else float(1 + i % 5) for i in range(rows)],
            "code": [("007", "7", "12")[i % 3] for i in range(rows)],
            "rent": [None if i % 5 == 0 else 1_700_000_000 + 10.0 * m for i, m in enumerate(metres)],
            "balcony": [None if i % 11 == 0 else ("yes", "no")[i % 3 == 0] for i in range(rows)],
        }
    )


def table_run(folder, frame=None, targets="rent,balcony", kinds="code=category", fit=FIT, **more):
    """The folder of a training on a table."""
    frame = flats() if frame is None else frame
    path = folder / "table.csv"
    frame.to_csv(path, index=False)
    data = DataSettings(data=str(path), targets=targets, kinds=kinds, **more)
    return trained(folder, TrainSettings(data=data, fit=fit))


def picture_run(folder, resolution=8):
    """The folder of a training on pictures that a table names; red ones are warm."""
    generator = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    rows = []
    for i in range(40):
        pixels = generator.integers(0, 60, (10, 12, 3), dtype=np.uint8)
        pixels[..., 0 if i % 2 else 2] += 180
        Image.fromarray(pixels).save(folder / "pictures" / f"{i}.png")
        rows.append({"picture": f"pictures/{i}.png", "warm": ("no", "yes")[i % 2]})
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)
    data = DataSettings(str(folder / "table.csv"), targets="warm", image_column="picture", resolution=resolution)
    model = ControllableModelSettings(encoder="conv", encoder_options="widths=4/8")
    return trained(folder, TrainSettings(data=data, model=model, fit=FIT.replace(steps=80, batch_size=14)))


def trained(folder, settings):
    """The folder of a training."""
    train(settings, open_runtime(), folder / "run", False, Silent())
    return folder / "run"
