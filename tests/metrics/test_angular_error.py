import math

import numpy as np
import pytest
import torch
from two_processes import TwoProcesses, run_in_two_processes, share_of

from umbel.metrics import MeanAngularError


def directions(seed: int, count: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def angles_in_degrees(prediction: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """Another formula: atan2 of the cross and the dot product."""
    p, t = prediction.double().numpy(), target.double().numpy()
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(p, t), axis=1), (p * t).sum(1)))


def test_it_is_the_mean_angle_over_all_updates():
    metric = MeanAngularError()
    for part in (slice(0, 3), slice(3, 16)):
        metric.update(directions(0)[part], directions(1)[part])
    wanted = angles_in_degrees(directions(0), directions(1)).mean()
    assert metric.compute().item() == pytest.approx(wanted, rel=1e-6)
    metric.reset()
    metric.update(directions(2), directions(2) * 5)
    assert metric.compute().item() == pytest.approx(0, abs=1e-4)
    metric.update(directions(2), -directions(2))
    assert metric.compute().item() == pytest.approx(90, abs=1e-4)


def test_it_is_nan_before_anything_was_measured():
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert math.isnan(MeanAngularError().compute())


def measure() -> torch.Tensor:
    part = share_of(TwoProcesses().rank)
    metric = MeanAngularError()
    metric.update(directions(0)[part], directions(1)[part])
    return metric.compute()


def test_two_processes_add_up(tmp_path):
    wanted = angles_in_degrees(directions(0), directions(1)).mean()
    for found in run_in_two_processes(measure, tmp_path):
        assert found.item() == pytest.approx(wanted, rel=1e-6)
