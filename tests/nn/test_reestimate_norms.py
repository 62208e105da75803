import copy

import pytest
import torch
from detection_cases import rectangles

from umbel import UmbelError
from umbel.nn.detection import build_detector, live_norms, reestimate_norms


def small(norm: str = "batch"):
    options = {"anchors": (24, 48), "widths": (8, 8, 16, 16)}
    return build_detector("small-fasterrcnn", ["red", "blue"], 64, norm=norm, **options).eval()


def batches(count: int = 6, each: int = 3):
    inputs = rectangles(count).inputs
    return [{name: value[start : start + each] for name, value in inputs.items()} for start in range(0, count, each)]


def test_statistics_are_those_of_the_pictures():
    detector = small()
    before = copy.deepcopy(detector)
    seen: list[torch.Tensor] = []
    first = live_norms(detector.encoder)[0]
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    reestimate_norms(detector, batches())
    hook.remove()
    means = torch.stack([maps.mean((0, 2, 3)) for maps in seen]).mean(0)
    variances = torch.stack([maps.transpose(0, 1).flatten(1).var(1) for maps in seen]).mean(0)
    torch.testing.assert_close(first.running_mean, means)
    torch.testing.assert_close(first.running_var, variances)
    pooled = torch.cat(seen).transpose(0, 1).flatten(1)  # batches of one size and kind: nearly the pooled ones
    torch.testing.assert_close(first.running_mean, pooled.mean(1))
    torch.testing.assert_close(first.running_var, pooled.var(1), rtol=0.1, atol=1e-3)
    for (name, old), new in zip(before.named_parameters(), detector.parameters(), strict=True):
        assert torch.equal(old, new), name


def test_every_norm_is_normalised_by_statistics_of_its_own_batch():
    detector = small()
    (whole,) = batches(4, 4)
    reestimate_norms(detector, [whole])
    maps = list(detector.features(whole).maps.values())[-1]
    taught = copy.deepcopy(detector)
    taught.encoder.train()
    wanted = list(taught.features(whole).maps.values())[-1]
    torch.testing.assert_close(maps, wanted, rtol=5e-3, atol=5e-3)  # but for n / (n - 1) of the variance


def test_modes_and_momenta_stay():
    detector = small()
    detector.roi_heads.train()
    modes = [part.training for part in detector.modules()]
    momenta = [norm.momentum for norm in live_norms(detector.encoder)]
    reestimate_norms(detector, batches())
    assert [part.training for part in detector.modules()] == modes
    assert [norm.momentum for norm in live_norms(detector.encoder)] == momenta and None not in momenta


@pytest.mark.parametrize("norm", ["frozen", "group"])
def test_norms_without_statistics_of_their_own_are_refused(norm):
    detector = small(norm)
    assert live_norms(detector.encoder) == []
    with pytest.raises(UmbelError, match="no batch norm that could be estimated anew"):
        reestimate_norms(detector, batches())


def test_no_picture_is_refused_and_changes_nothing():
    detector = small()
    before = copy.deepcopy(detector.state_dict())
    with pytest.raises(UmbelError, match="no picture"):
        reestimate_norms(detector, [])
    assert all(torch.equal(before[name], value) for name, value in detector.state_dict().items())
