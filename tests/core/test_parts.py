"""Parts by name: what they are, what they hold, at which rate they learn, and that frozen ones stay."""

import pytest
import torch
from torch import nn

from umbel import FitSettings, tasks
from umbel.core import Batch, Learner, MultiTaskModel, OperatingPoint, UmbelError, freeze, named_part
from umbel.core.parts import parameters_by_part
from umbel.data import TensorSource
from umbel.descent import make_descent
from umbel.engine import fit
from umbel.engine.modes import start_training
from umbel.engine.optimise import make_optimizer

NAMES = ("pm2.5", "age")


def learner() -> Learner:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 4))
    model = MultiTaskModel(encoder, {name: nn.Linear(4, 1) for name in NAMES}, {"age": nn.Linear(4, 4)})
    return Learner(model, [tasks.regression(name) for name in NAMES])


def test_parts_are_named_as_modules_are_and_heads_by_their_task():
    model = learner().model
    assert named_part(model, "encoder") is model.encoder
    assert named_part(model, "encoder.3") is model.encoder[3]
    assert named_part(model, "encoder.3.bias") is model.encoder[3].bias
    assert named_part(model, "heads.pm2.5") is model.heads["pm2.5"]
    assert named_part(model, "links.age") is model.links["age"]
    for wrong, message in {
        "encoders": "did you mean 'encoder'",
        "heads.agee": "did you mean 'heads.age'",
        "links.pm2.5": "did you mean 'links.age'|did you mean 'heads.pm2.5'",
        "": "unknown part of a MultiTaskModel ''",
    }.items():
        with pytest.raises(UmbelError, match=message):
            named_part(model, wrong)


def test_a_parameter_in_several_parts_belongs_to_the_innermost():
    model = learner().model
    parts = parameters_by_part(model, ["encoder", "encoder.0", "encoder.0.bias"])
    assert [id(p) for p in parts["encoder.0.bias"]] == [id(model.encoder[0].bias)]
    assert [id(p) for p in parts["encoder.0"]] == [id(model.encoder[0].weight)]
    assert len(parts["encoder"]) == 4


def test_rates_are_multiples_for_the_optimizer():
    taught = learner()
    assert taught.parameter_groups() == []
    taught.learn_at({"encoder": 0.1, "encoder.3": 0, "heads.age": 2})
    settings = FitSettings(optimizer="sgd", learning_rate=0.5)
    optimizer = make_optimizer([taught], settings, taught.parameter_groups())
    rates = {id(p): group["rate"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: rates[id(p)] for name, p in taught.model.named_parameters()}
    assert found["encoder.0.weight"] == found["encoder.1.bias"] == 0.1
    assert found["encoder.3.weight"] == 0
    assert taught.parameter_groups()[2].rate == 2
    assert rates[id(taught.model.heads["age"].weight)] == 2
    assert rates[id(taught.model.heads["pm2.5"].weight)] == 1
    for wrong, message in ((-1, "rate is -1"), (float("nan"), "rate is nan"), ("fast", "the rate is 'fast'")):
        with pytest.raises(UmbelError, match=f"part 'encoder': .*{message}"):
            taught.learn_at({"encoder": wrong})
    with pytest.raises(UmbelError, match="unknown part"):
        taught.learn_at({"encodr": 1})


def source() -> TensorSource:
    generator = torch.Generator().manual_seed(0)
    targets = {name: torch.randn(32, 1, generator=generator) for name in NAMES}
    return TensorSource(Batch(torch.randn(32, 3, generator=generator), targets))


def test_what_is_frozen_stays_bit_for_bit_and_in_evaluation_mode():
    taught = learner()
    freeze(taught.model, ["encoder", "heads.pm2.5.bias"])
    before = {name: tensor.clone() for name, tensor in taught.model.state_dict().items()}
    start_training(taught)
    assert not taught.model.encoder[1].training
    assert taught.model.heads["age"].training
    fit(taught, make_descent("equal"), source(), source(), FitSettings(steps=3, batch_size=8, precision="float32"))
    changed = {n for n, tensor in taught.model.state_dict().items() if not torch.equal(tensor, before[n])}
    assert not any(name.startswith("encoder") for name in changed), "running statistics, too"
    assert "heads.task_pm2%2e5.weight" in changed
    assert "heads.task_pm2%2e5.bias" not in changed
    assert taught.losses(source().samples, OperatingPoint()).stack().isfinite().all()
    with pytest.raises(UmbelError, match="did you mean 'encoder'"):
        freeze(taught.model, ["encder"])
