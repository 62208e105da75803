import pytest
import torch
from torch import nn

from umbel import tasks
from umbel.core import (
    Batch,
    ByTask,
    Learner,
    Losses,
    MultiTaskModel,
    OperatingPoint,
    PointModule,
    PointSequential,
    Sweep,
    UmbelError,
    at_point,
)

ODD_NAMES = ["pm2.5", "values", "a/b", "größe 大きさ", "100%", "a%2eb", "a.b", "forward", "0", "weight"]


class Scaled(PointModule):
    """Its input times the point's gain."""

    def forward(self, x, point):
        return x * point.require("gain")


def odd_learner() -> Learner:
    heads = {name: nn.Linear(3, 1) for name in ODD_NAMES}
    return Learner(MultiTaskModel(nn.Linear(2, 3), heads), [tasks.regression(name) for name in ODD_NAMES])


def test_tasks_may_have_any_name():
    learner = odd_learner()
    batch = Batch(torch.rand(4, 2), {name: torch.rand(4, 1) for name in ODD_NAMES})
    assert list(learner.losses(batch, OperatingPoint())) == ODD_NAMES
    other = odd_learner()
    other.load_state_dict(learner.state_dict())
    for name in ODD_NAMES:
        only = other.model(batch.inputs, OperatingPoint(), [name])
        assert list(only) == [name]
        assert torch.equal(only[name], learner.predict(batch, OperatingPoint())[name])


def test_a_loss_that_bears_no_tasks_name_is_auxiliary():
    learner = odd_learner()
    assert learner.task_names == tuple(ODD_NAMES)
    assert [name for name in (*ODD_NAMES, "pm2", "penalty", "") if learner.is_auxiliary(name)] == ["pm2", "penalty", ""]


def test_modules_by_task_keep_names_apart():
    modules = ByTask({"a.b": nn.Linear(1, 1), "a%2eb": nn.Linear(1, 2)})
    assert modules["a.b"].out_features == 1 and modules["a%2eb"].out_features == 2
    assert "a.b" in modules and "a_b" not in modules


def test_the_point_reaches_encoder_links_and_heads():
    model = MultiTaskModel(
        PointSequential(nn.Identity(), Scaled()), {"x": Scaled(), "y": nn.Identity()}, links={"x": Scaled()}
    )
    answers = model(torch.ones(1, 2), OperatingPoint(gain=3.0))
    assert answers["x"].tolist() == [[27.0, 27.0]] and answers["y"].tolist() == [[3.0, 3.0]]
    assert model.decode(torch.ones(1), OperatingPoint(gain=3.0))["x"].item() == 9
    assert at_point(nn.Identity(), torch.ones(1), OperatingPoint()).item() == 1
    with pytest.raises(UmbelError, match="unknown operating-point value 'gain'"):
        model(torch.ones(1, 2), OperatingPoint())


def test_shared_and_own_parameters_are_all_that_train_and_no_more():
    learner = odd_learner()
    learner.model.encoder.bias.requires_grad_(False)
    learner.model.heads["pm2.5"].bias.requires_grad_(False)
    shared, own = learner.shared_parameters(), learner.own_parameters()
    assert [p.shape for p in shared] == [learner.model.encoder.weight.shape]
    assert {id(p) for p in shared + own} == {id(p) for p in learner.parameters() if p.requires_grad}
    assert len(shared + own) == len({id(p) for p in shared + own})


def test_plain_learner_is_evaluated_and_trained_at_one_empty_point():
    learner = odd_learner()
    assert learner.draw_point(torch.Generator(), 0.5) == OperatingPoint()
    assert list(learner.sweep()) == list(Sweep())


def test_mistakes_in_models_and_learners_are_one_clear_line():
    model = MultiTaskModel(nn.Identity(), {"age": nn.Identity()})
    for make, words in (
        (lambda: Learner(model, []), "at least one task"),
        (lambda: Learner(model, [tasks.regression("age")] * 2), "two tasks are called 'age'"),
        (lambda: Learner(model, [tasks.regression("sex")]), "'sex' has no head"),
        (lambda: MultiTaskModel(nn.Identity(), {}), "at least one head"),
        (lambda: MultiTaskModel(nn.Identity(), {"a": nn.Identity()}, {"b": nn.Identity()}), "unknown task of a link"),
        (lambda: model(torch.ones(1), OperatingPoint(), ["agee"]), "did you mean 'age'"),
        (lambda: Losses({"age": torch.ones(2)}), r"'age' has shape \(2,\)"),
    ):
        with pytest.raises(UmbelError, match=words):
            make()
