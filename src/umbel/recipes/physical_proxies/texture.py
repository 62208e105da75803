"""A rival without a network: local binary patterns in two colour spaces, as detectors of attacks long used.

Source: Boulkenafet, Komulainen, Hadid, "Face spoofing detection using colour texture analysis", IEEE TIFS 2016.
Differs from the paper: pictures are small, so that one histogram covers the whole picture; the classifier is the best
of three on validation, where the paper has a linear support vector machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from umbel.data import MultiTaskData
from umbel.data.source import first_samples
from umbel.metrics import eer_threshold
from umbel.recipes.physical_proxies.settings import LIVENESS

_NEIGHBOURS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True)
class TextureClassifier:
    """Scores from colour textures: greater is surer live.

    Attributes:
        classifier: Of scikit-learn.
        name: Which of the three was best on validation.
    """

    classifier: Any
    name: str

    @classmethod
    def fitted(cls, data: MultiTaskData) -> "TextureClassifier":
        """Trained on the training split, as it is and mirrored; chosen among three by the EER on validation."""
        train, validation = (first_samples(split, len(split)) for split in (data.train, data.validation))
        pictures = torch.cat([train.inputs, train.inputs.flip(-1)])
        features = texture_features(pictures)
        live = (train.targets[LIVENESS] == 0).repeat(2).numpy()
        best: tuple[float, TextureClassifier] | None = None
        for name, make in _classifiers().items():
            one = cls(make().fit(features, live), name)
            eer = eer_threshold(one.scores(validation.inputs), validation.targets[LIVENESS]).eer
            if best is None or eer < best[0]:
                best = eer, one
        assert best is not None
        return best[1]

    def scores(self, pictures: Tensor) -> Tensor:
        """A score for each picture [n, 3, H, W] of floats from 0 to 1: [n]."""
        return torch.from_numpy(np.asarray(self.classifier.decision_function(texture_features(pictures)))).float()


def texture_features(pictures: Tensor) -> np.ndarray:
    """Histograms of uniform local binary patterns of each channel of HSV and YCbCr.

    Args:
        pictures: Floats from 0 to 1, [n, 3, H, W].

    Returns:
        float32 [n, 6 * 59], each histogram with sum 1.
    """
    channels = torch.cat([hsv(pictures), ycbcr(pictures)], 1)
    patterns = uniform_patterns()[pattern_codes(channels)].flatten(2)
    counts = torch.zeros(*patterns.shape[:2], 59).scatter_add_(2, patterns, torch.ones(patterns.shape))
    return (counts / patterns.shape[2]).flatten(1).numpy()


def pattern_codes(channels: Tensor) -> Tensor:
    """Local binary patterns: which of the eight neighbours are at least as bright, from the right against the clock.

    Args:
        channels: [n, c, H, W].

    Returns:
        int64 [n, c, H-2, W-2], from 0 to 255.
    """
    middle = channels[..., 1:-1, 1:-1]
    height, width = channels.shape[-2:]
    codes = torch.zeros(middle.shape, dtype=torch.int64)
    for bit, (down, right) in enumerate(_NEIGHBOURS):
        moved = channels[..., 1 + down : height - 1 + down, 1 + right : width - 1 + right]
        codes |= (moved >= middle).long() << bit
    return codes


def uniform_patterns() -> Tensor:
    """Code 0 to 255 -> its number among the 58 with at most two changes around the circle; 58 for all others."""
    circles = [[code >> bit & 1 for bit in range(8)] for code in range(256)]
    even = [code for code, bits in enumerate(circles) if sum(bits[k] != bits[k - 1] for k in range(8)) <= 2]
    table = torch.full((256,), len(even))
    table[torch.tensor(even)] = torch.arange(len(even))
    return table


def _classifiers() -> dict[str, Callable[[], Any]]:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - slow to import
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415
    from sklearn.svm import SVC  # noqa: PLC0415

    return {
        "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)),
        "support vectors": lambda: make_pipeline(StandardScaler(), SVC(C=10.0)),
        "boosted trees": lambda: HistGradientBoostingClassifier(random_state=0),
    }


def hsv(rgb: Tensor) -> Tensor:
    """Hue, saturation and value, each from 0 to 1: [n, 3, H, W] from the same of red, green and blue."""
    most, least = rgb.amax(1), rgb.amin(1)
    spread = most - least
    red, green, blue = rgb.unbind(1)
    safe = spread.clamp(min=1e-6)
    hue = torch.where(
        most == red,
        ((green - blue) / safe) % 6,
        torch.where(most == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return torch.stack([hue / 6, spread / most.clamp(min=1e-6), most], 1)


def ycbcr(rgb: Tensor) -> Tensor:
    """Luma and both differences of colour (JPEG), each from 0 to 1, the differences around 0.5: [n, 3, H, W]."""
    red, green, blue = rgb.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([luma, 0.5 + (blue - luma) / 1.772, 0.5 + (red - luma) / 1.402], 1)
