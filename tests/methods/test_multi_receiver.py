"""One transmission for several receivers: the loss, who depends on what, transmitters that stay as they are."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from umbel import tasks
from umbel.channels import make_channel
from umbel.core import Batch, OperatingPoint, UmbelError
from umbel.data import TensorSource
from umbel.descent import make_descent
from umbel.engine import FitSettings, fit
from umbel.methods.multi_receiver import ReusedTransmitter, multi_receiver

TASKS = [tasks.classification("first", "ab"), tasks.classification("second", "abc")]
SHAPE = (1, 8, 8)
SMALL = {"encoder": "conv", "widths": (4, 8)}


def batch(count=24):
    generator = torch.Generator().manual_seed(1)
    pictures = torch.rand(count, *SHAPE, generator=generator)
    labels = {
        "first": torch.randint(0, 2, (count,), generator=generator),
        "second": torch.randint(0, 3, (count,), generator=generator),
    }
    return Batch(pictures, labels)


def make(uses=3, channel="awgn", weights=None, receivers=None, **more):
    receivers = receivers or {"alice": TASKS[:1], "bob": TASKS[1:]}
    return multi_receiver(SHAPE, receivers, uses, make_channel(channel), weights, **(SMALL | more))


def predictions(learner, snr_db, seed=0):
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        return learner.eval().model(batch().inputs, OperatingPoint(snr_db=snr_db), generator)


@pytest.mark.parametrize("weights", [None, {"alice": 0.2, "bob": 0.8}])
def test_the_objective_is_the_weighted_sum_of_cross_entropies(weights):
    learner = make(weights=weights).eval()
    point = OperatingPoint(snr_db=5.0)
    torch.manual_seed(3)
    losses = learner.losses(batch(), point)
    torch.manual_seed(3)
    raw = learner.predict(batch(), point)
    used = weights or {"alice": 0.5, "bob": 0.5}
    wanted = used["alice"] * cross_entropy(raw["alice/first@1"], batch().target("first"))
    wanted += used["bob"] * cross_entropy(raw["bob/second@1"], batch().target("second"))
    torch.testing.assert_close(sum(losses.values()), wanted)


def test_the_weight_of_a_receiver_is_shared_by_its_tasks():
    learner = make(receivers={"alice": TASKS, "bob": TASKS[:1]}, weights={"alice": 0.6, "bob": 0.4})
    weights = {goal.name: goal.weight for goal in learner.model.goals}
    assert weights == pytest.approx({"alice/first@1": 0.3, "alice/second@1": 0.3, "bob/first@1": 0.4})


@pytest.mark.parametrize("channel", ["awgn", "rayleigh"])
def test_what_a_receiver_predicts_depends_on_its_own_snr_alone(channel):
    learner = make(channel=channel)
    before = predictions(learner, {"alice": 3.0, "bob": 3.0})
    for other, name in (("alice", "bob/second@1"), ("bob", "alice/first@1")):
        after = predictions(learner, {"alice": 3.0, "bob": 3.0, other: -10.0})
        assert torch.equal(before[name], after[name])
        assert not all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("channel", ["awgn", "rayleigh"])
def test_all_receivers_hear_one_latent_with_noise_of_their_own(channel):
    learner = make(uses=4, channel=channel).eval()
    point, model = OperatingPoint(snr_db=0.0), learner.model
    latents = [latent.detach() for latent in model.transmit(batch().inputs, point)]
    assert [tuple(latent.shape) for latent in latents] == [(24, 8)], "4 complex uses, sent once"
    generator = torch.Generator().manual_seed(0)
    heard = [model.hear(latents, receiver, point, generator)[0] for receiver in model.receivers]
    assert not torch.equal(heard[0].latent, heard[1].latent)
    noises = [(part.latent - part.gain.real * latents[0]).flatten() for part in heard]
    assert abs(float(torch.corrcoef(torch.stack(noises))[0, 1])) < 0.3


def test_a_network_for_one_task_starts_as_the_shared_one():
    """Else arms would differ by the luck of their start."""
    joint, single = make(), make(receivers={"alice": TASKS[:1]})
    own = single.state_dict()
    assert own
    for name, value in own.items():
        assert torch.equal(value, joint.state_dict()[name]), name


def test_each_receiver_may_have_a_channel_and_a_range_of_its_own():
    channels = {"alice": make_channel("awgn"), "bob": make_channel("rayleigh")}
    receivers = {"alice": TASKS[:1], "bob": TASKS[1:]}
    learner = multi_receiver(SHAPE, receivers, 2, channels, None, {"alice": (0, 3), "bob": (10, 10)}, **SMALL)
    generator = torch.Generator().manual_seed(0)
    drawn = [learner.draw_point(generator, 0.0)["snr_db"] for _ in range(50)]
    assert all(0 <= snr["alice"] <= 3 and snr["bob"] == 10 for snr in drawn)
    assert len({snr["alice"] for snr in drawn}) > 40
    assert learner.model.receiver("bob").channel is channels["bob"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"receivers": {"alice": []}}, "'alice' has no task"),
        ({"weights": {"alice": 0.5, "bob": 0.6}}, "add up to 1.1"),
        ({"weights": {"alice": 1.0}}, "'bob' has no weight"),
        ({"weights": {"alice": float("nan"), "bob": 1.0}}, "weight of 'alice' is nan"),
        ({"weights": {"alice": 1.5, "bob": -0.5}}, "weight of 'bob' is -0.5"),
        ({"weights": {"alice": 0.5, "eve": 0.5}}, "eve"),
        ({"uses": 0}, "0 channel uses"),
        ({"snr_db": (float("nan"), 10.0)}, "SNR from nan"),
    ],
)
def test_what_cannot_be_is_refused(change, said):
    with pytest.raises(UmbelError, match=said):
        make(**change)


def test_no_receiver_is_refused():
    with pytest.raises(UmbelError, match="no receiver"):
        multi_receiver(SHAPE, {}, 2, make_channel("awgn"))


def test_a_reused_transmitter_stays_as_it_was_while_receivers_learn():
    source = make(receivers={"alice": TASKS[:1]}, seed=7)
    fit_settings = FitSettings(steps=5, batch_size=8, precision="float32", tensorboard=False, learning_rate=0.05)
    samples = TensorSource(batch())
    fit(source, make_descent("equal"), samples, samples, fit_settings)
    before = copy.deepcopy(source.model.state_dict())
    learner = ReusedTransmitter(make(receivers={"bob": TASKS[1:]}).model, (0, 10), source.model)
    start = copy.deepcopy(learner.state_dict())
    fit(learner, make_descent("equal"), samples, samples, fit_settings)
    sent = [n for n in before if n.startswith(("encoder", "codes"))]
    assert any("running_mean" in name for name in sent)
    for name in sent:
        assert torch.equal(learner.model.state_dict()[name], before[name]), name
    changed = [n for n, v in learner.state_dict().items() if not torch.equal(v, start[n])]
    assert changed and all("receivers" in name for name in changed)
    assert learner.shared_parameters() == []


def test_a_transmitter_of_another_shape_is_not_reused():
    with pytest.raises(UmbelError, match="uses=3"):
        ReusedTransmitter(make(uses=2).model, (0, 10), make(uses=3).model)
    with pytest.raises(UmbelError, match="another encoder"):
        ReusedTransmitter(make().model, (0, 10), make(widths=(4, 16)).model)
