import pytest
import torch
from torch import nn

from umbel import tasks
from umbel.audit import Audit, Inference, Observed, observe
from umbel.channels import AWGN
from umbel.core import Batch, Learner, MultiTaskModel, OperatingPoint, Released
from umbel.data import TensorSource
from umbel.engine import open_runtime
from umbel.nn import FeatureRelease
from umbel.tasks import classification
from umbel.transmission import Goal, Stage, StagedLearner, build_transmission

POINT = OperatingPoint(sigma=0.5)


def pictures(count: int = 20) -> TensorSource:
    generator = torch.Generator().manual_seed(0)
    labels = {"a": torch.arange(count) % 2, "b": torch.arange(count) % 3}
    return TensorSource(Batch(torch.rand(count, 1, 4, 4, generator=generator), labels))


def learner(**links: nn.Module) -> Learner:
    heads = {"a": nn.Linear(5, 2), "b": nn.Linear(5, 3)}
    model = MultiTaskModel(nn.Sequential(nn.Flatten(), nn.Linear(16, 5)), heads, links)
    return Learner(model, [tasks.classification("a", "xy"), tasks.classification("b", "xyz")])


def test_what_a_task_gets_is_what_its_head_reads():
    taught, source = learner(a=nn.Linear(5, 5)), pictures()
    seen = observe(taught, source, open_runtime(), batch_size=7)
    predicted = taught.predict(source.samples, OperatingPoint())
    for name in ("a", "b"):
        torch.testing.assert_close(taught.model.heads[name](seen.features[name]), predicted[name])
        assert torch.equal(seen.targets[name], source.samples.targets[name])
    assert (
        isinstance(seen, Observed)
        and seen.serves == {"a": ("a",), "b": ("b",)}
        and torch.equal(seen.inputs, source.samples.inputs)
    )


def test_features_that_are_the_same_are_kept_and_put_together_once():
    seen = observe(learner(), pictures(), open_runtime(), most=9)
    assert seen.features["a"] is seen.features["b"] and len(seen) == 9
    assert seen.together(["a", "b"]) is seen.features["a"]
    apart = observe(learner(a=nn.Identity(), b=nn.Linear(5, 5)), pictures(), open_runtime())
    assert apart.together(["a", "b"]).shape == (20, 10)


def test_averaging_releases_takes_noise_away_and_nothing_else():
    noisy = learner(a=FeatureRelease(1.0), b=FeatureRelease(1.0))
    clean = observe(noisy, pictures(200), open_runtime(), OperatingPoint(sigma=0.0)).features["a"]
    errors = [
        (observe(noisy, pictures(200), open_runtime(), POINT, releases=n).features["a"] - clean).square().mean()
        for n in (1, 25)
    ]
    assert errors[0] == pytest.approx(0.25, rel=0.2) and errors[1] == pytest.approx(0.01, rel=0.2)
    once, again = (observe(noisy, pictures(), open_runtime(), POINT, seed=s).features["a"] for s in (1, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, observe(noisy, pictures(), open_runtime(), POINT, seed=2).features["a"])


def test_a_receiver_of_a_transmission_gets_what_it_hears():
    goals = [Goal(classification("a", "xy"), stage, who) for who in ("near", "far") for stage in (1, 2)]
    channels = {"near": AWGN(), "far": AWGN()}
    model = build_transmission((1, 4, 4), [Stage(4), Stage(6)], goals, channels, "mlp", seed=0)
    seen = observe(StagedLearner(model, {"near": (200.0, 200.0), "far": (-30.0, -30.0)}), pictures(), open_runtime())
    assert seen.serves == {who: (f"{who}/a@1", f"{who}/a@2") for who in ("near", "far")}
    assert seen.features["near"].shape == (20, 20)  # 4 and 6 complex uses
    sent = torch.cat([z.flatten(1) for z in model.transmit(pictures().samples.inputs, OperatingPoint())], 1)
    torch.testing.assert_close(seen.features["near"], sent, atol=1e-3, rtol=0)
    assert seen.features["far"].std() > 10 * sent.std()


def test_another_model_is_tapped_where_its_tasks_part():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.top = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), nn.Linear(3, 2)

        def forward(self, inputs, point):
            return {"a": self.top(self.trunk(inputs))}

    own = Learner(Own(), [tasks.classification("a", "xy")], shared=["trunk"])
    released = own.released(pictures().samples, OperatingPoint())
    assert isinstance(released["trunk"], Released) and released["trunk"].serves == ("a",)
    torch.testing.assert_close(released["trunk"].features, own.model.trunk(pictures().samples.inputs))


def entry(seen: str, wanted: str, score: float, higher: bool = True, **more) -> Inference:
    about = {"blind": 0.1, "label_floor": 0.2, "low": score, "high": score, "validation": {"mlp": (score,)}} | more
    served = seen == wanted
    return Inference(
        seen, wanted, served, "accuracy", higher, {"mlp": (score,)}, chosen=("mlp",), scores=(score,), **about
    )


def test_leakage_is_normalised_between_the_floor_and_what_is_meant_for_the_task():
    audit = Audit("x", {}, {}, (entry("a", "a", 0.8), entry("b", "a", 0.5), entry("a+b", "a", 0.9)))
    assert audit.ceiling("a") == 0.8 and audit.inference[1].leakage(0.8) == pytest.approx(0.5)
    error = entry("b", "a", 3.0, higher=False, blind=4.0, label_floor=5.0)  # an error: the smaller floor is the better
    assert error.floor == 4.0 and error.leakage(2.0) == pytest.approx(0.5)
    assert entry("b", "a", 0.5).leakage(0.2) != entry("b", "a", 0.5).leakage(0.2)  # no room: not a number
