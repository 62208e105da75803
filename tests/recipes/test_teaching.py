"""What the flags on weights, rates, warm starts and frozen parts do to tasks and learners."""

import pytest
import torch

from umbel import tasks
from umbel.core import Batch, UmbelError
from umbel.data import MultiTaskData, TensorSource
from umbel.recipes.build import make_learner
from umbel.recipes.settings import ControllableModelSettings, ModelSettings
from umbel.recipes.teaching import check_alike, prepare, weighed_descent, with_weighed_classes
from umbel.recipes.teaching_settings import TeachingSettings


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    kind = torch.tensor([0] * 30 + [1] * 10)
    targets = {"kind": kind, "side": kind.flip(0), "size": torch.randn(40, 1, generator=generator)}
    source = TensorSource(Batch(torch.randn(40, 3, generator=generator), targets))
    wanted = (tasks.classification("kind", 2), tasks.classification("side", 2), tasks.regression("size"))
    return MultiTaskData("own", "own", wanted, source, source, source, (3,))


def class_weights(data, name):
    weigh = data.task(name).weigh
    return None if weigh is None else weigh(torch.tensor([0, 1])).tolist()


def test_class_weights_are_balanced_everywhere_or_given_by_task(data):
    assert with_weighed_classes(data, "") is data
    balanced = with_weighed_classes(data, "balanced")
    for name in ("kind", "side"):
        assert class_weights(balanced, name) == pytest.approx([40 / 60, 2.0])
    assert class_weights(balanced, "size") is None
    given = with_weighed_classes(data, "kind=1/3.5,side=balanced")
    assert class_weights(given, "kind") == [1, 3.5]
    assert class_weights(given, "side") == pytest.approx([40 / 60, 2.0])
    assert class_weights(with_weighed_classes(data, "side=1/0"), "kind") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("knd=1/2", "unknown task of --class-weights 'knd'; did you mean 'kind'"),
        ("kind=1/2/3", "give one for each of the 2 classes"),
        ("kind=1/-2", "must be finite, 0 or more"),
        ("kind=0/0", "not all 0"),
        ("kind=1/nan", "kind"),
        ("kind=3", "give one for each of the 2 classes"),
        ("kind=ballanced", "did you mean 'balanced'"),
        ("size=1/2", "for classification and segmentation, not for regression"),
        ("balance", "--class-weights"),
    ],
)
def test_class_weights_that_do_not_fit_are_one_line(data, text, message):
    with pytest.raises(UmbelError, match=message):
        with_weighed_classes(data, text)


def test_balanced_weights_need_a_task_with_classes(data):
    with pytest.raises(UmbelError, match="has classes to weigh"):
        with_weighed_classes(data.only(["size"]), "balanced")


def test_task_weights_are_those_of_the_sum(data):
    assert weighed_descent("equal", {}, "kind=2,size=0.5", data).weighting.weights == {"kind": 2.0, "size": 0.5}
    assert weighed_descent("equal", {}, "", data).weighting.weights == {}
    with pytest.raises(UmbelError, match="give one of the two"):
        weighed_descent("equal", {"weights": (1, 2, 3)}, "kind=2", data)
    for name, text, message in (
        ("pcgrad", "kind=2", "is for --descent equal"),
        ("equal", "kin=2", "did you mean 'kind'"),
        ("equal", "kind=2/3", "give a number"),
        ("equal", "kind=-1", "-1"),
        ("equal", "kind=0,side=0,size=0", "every weight is 0"),
        ("equal", "kind", "name=value"),
    ):
        with pytest.raises(UmbelError, match=message):
            weighed_descent(name, {}, text, data)


def fresh(data, **model):
    return make_learner(ModelSettings(encoder="mlp", **model), data, 0)


def test_parts_are_frozen_and_learn_at_their_rates(data):
    learner = fresh(data)
    told = prepare(learner, TeachingSettings(freeze="encoder,heads.kind", rates="heads=2,heads.size=0.5"))
    assert told == ""
    assert not any(p.requires_grad for p in learner.model.encoder.parameters())
    assert learner.rates == {"heads": 2.0, "heads.size": 0.5}
    assert learner.shared_parameters() == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": "encodr"}, "--freeze: unknown part .*did you mean 'encoder'"),
        ({"freeze": "heads.knd"}, r"--freeze: .*did you mean 'heads\.kind'"),
        ({"rates": "encoders=1"}, "--rates: .*did you mean 'encoder'"),
        ({"rates": "encoder=-1"}, "rate is -1"),
        ({"rates": "encoder=fast"}, "--rates encoder is 'fast'"),
        ({"rates": "encoder"}, "name=value"),
        ({"rates": "encoder=2", "freeze": "encoder"}, "this part is frozen"),
        ({"freeze": "links"}, "--freeze links: nothing in this part is trained"),
        ({"start_from": "/nowhere"}, "/nowhere does not exist"),
    ],
)
def test_what_cannot_be_done_is_one_line(data, settings, message):
    with pytest.raises(UmbelError, match=message):
        prepare(fresh(data), TeachingSettings(**settings))


def test_frozen_parts_do_not_go_with_widths(data):
    controllable = make_learner(ControllableModelSettings(encoder="mlp", widths="0.5/1"), data, 0)
    with pytest.raises(UmbelError, match="does not go with --widths"):
        prepare(controllable, TeachingSettings(freeze="encoder"))


def test_a_run_that_is_resumed_is_not_started_again(data):
    assert prepare(fresh(data), TeachingSettings(start_from="/nowhere"), start=False) == ""


def test_comparisons_treat_all_their_networks_alike():
    check_alike(TeachingSettings(freeze="encoder.0", rates="encoder=0.1,heads=2"))
    for settings in (TeachingSettings(freeze="heads.kind"), TeachingSettings(rates="heads.kind=2")):
        with pytest.raises(UmbelError, match="treats all its networks alike"):
            check_alike(settings)
