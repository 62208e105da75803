"""Encoders that were trained elsewhere, as audits attack them."""

import pytest
import torch
from torch import nn

from umbel import tasks
from umbel.audit import EncoderLearner
from umbel.core import Batch, OperatingPoint, UmbelError

TASKS = [tasks.classification("a", "xy"), tasks.classification("b", "xyz")]
POINT = OperatingPoint()


def encoder() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def batch(channels: int = 1, side: int = 8) -> Batch:
    return Batch(torch.rand(5, channels, side, side, generator=torch.Generator().manual_seed(0)))


def test_pictures_are_prepared_as_the_encoder_wants_them():
    grey = batch()
    learner = EncoderLearner(encoder(), TASKS, size=(6, 4), normalise="imagenet")
    given = learner.model.prepared(grey.inputs)
    assert given.shape == (5, 3, 6, 4)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    back = given * deviation[:, None, None] + mean[:, None, None]
    torch.testing.assert_close(back[:, 0], back[:, 2])  # the grey picture, three times
    assert back.mean() == pytest.approx(float(grey.inputs.mean()), abs=0.02)
    alone = EncoderLearner(encoder(), TASKS).model.prepared(batch(3).inputs)
    assert torch.equal(alone, batch(3).inputs)


def test_features_are_those_of_the_layer_and_serve_whom_they_are_said_to():
    own = encoder()
    learner = EncoderLearner(own, TASKS, layer="0", serves=["a"]).eval()
    (receiver, released), *others = learner.released(batch(3), POINT).items()
    assert (receiver, released.serves, others) == ("encoder", ("a",), [])
    torch.testing.assert_close(released.features, own[0](batch(3).inputs))
    whole = EncoderLearner(own, TASKS).eval().released(batch(3), POINT)["encoder"].features
    torch.testing.assert_close(whole, own(batch(3).inputs))


def test_what_does_not_fit_is_refused_and_checking_changes_nothing():
    learner = EncoderLearner(encoder(), TASKS)
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    learner.check(batch(), "set 'd'")
    assert learner.training and all(torch.equal(v, before[name]) for name, v in learner.state_dict().items())
    with pytest.raises(UmbelError, match=r"does not take inputs of shape \[2, 8, 8\] as set 'd' has them"):
        learner.check(batch(2), "set 'd'")
    with pytest.raises(UmbelError, match="gives no features"):
        EncoderLearner(nn.Sequential(nn.Flatten(0)), TASKS).check(batch(), "set 'd'")
    with pytest.raises(UmbelError, match="several inputs by name"):
        learner.check(Batch({"x": torch.zeros(5, 3)}), "set 'd'")
    with pytest.raises(UmbelError, match="predicts nothing"):
        learner.predict(batch(), POINT)
    with pytest.raises(UmbelError, match="unknown layer"):
        EncoderLearner(encoder(), TASKS, layer="7")
    with pytest.raises(UmbelError, match="unknown normalisation"):
        EncoderLearner(encoder(), TASKS, normalise="imagnet")
