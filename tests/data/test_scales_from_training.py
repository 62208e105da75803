"""What a task takes from the training split when it is put into a data set: scales, and balanced class weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from umbel import (
    FitSettings,
    Learner,
    MultiTaskData,
    build_model,
    data_from_datasets,
    evaluate,
    fit,
    make_descent,
    tasks,
)
from umbel.core import Batch, MultiTaskModel, UmbelError, check_scales
from umbel.data import SideBySide, TensorSource, from_dataset
from umbel.data import source as sources
from umbel.engine import open_runtime
from umbel.losses.class_weights import balanced_weights, weights_of
from umbel.losses.standardising import moments, natural_units, standardised_error

INK = 800.0 + 250.0 * torch.randn(300, 1, generator=torch.Generator().manual_seed(1))


def inputs(count: int = 300) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(2))


def made(wanted, targets, train=None) -> MultiTaskData:
    split = {name: TensorSource(Batch(inputs(), targets)) for name in ("train", "validation", "test")}
    if train is not None:
        split["train"] = train
    return MultiTaskData("own", "own", tuple(wanted), **split, input_shape=(4,))


def scales(task) -> tuple[torch.Tensor, torch.Tensor]:
    zero = torch.zeros(1, task.outputs)
    centre = task.decode(zero).double()
    return centre, task.decode(zero + 1).double() - centre


def test_the_scales_of_a_regression_are_those_of_its_training_split():
    target = INK.clone()
    target[::3] = torch.nan
    data = made([tasks.regression("ink", unit="ml")], {"ink": target})
    known = target[~target.isnan()].double()
    centre, scale = scales(data.tasks[0])
    torch.testing.assert_close(centre.squeeze(), known.mean(), rtol=1e-5, atol=0)
    torch.testing.assert_close(scale.squeeze(), known.std(unbiased=False), rtol=1e-4, atol=0)
    assert data.tasks[0].from_training is None
    assert data.tasks[0].unit == "ml"
    given = made([tasks.regression("ink", centre=700, scale=10)], {"ink": target}).tasks[0]
    assert [float(x) for x in scales(given)] == [700, 10]
    half = made([tasks.regression("ink", scale=10.0)], {"ink": target}).tasks[0]
    assert float(scales(half)[1]) == 10
    torch.testing.assert_close(scales(half)[0], centre)


def test_the_obvious_call_learns_as_well_as_the_one_with_scales():
    x = inputs()
    target = 800 + 250 * (x @ torch.tensor([[1.0], [-1.0], [0.5], [0.0]]))
    errors = {}
    for name, task in {
        "plain": tasks.regression("ink"),
        "given": tasks.regression("ink", centre=float(target.mean()), scale=float(target.std(unbiased=False))),
    }.items():
        data = made([task], {"ink": target})
        learner = Learner(build_model(data.input_shape, data.tasks, encoder="mlp", seed=0), data.tasks)
        settings = FitSettings(steps=60, precision="float32", tensorboard=False, learning_rate=1e-2)
        fit(learner, make_descent("equal"), data.train, data.validation, settings)
        errors[name] = evaluate(learner, data.test, open_runtime()).main()["ink"]
    assert errors["plain"] == pytest.approx(errors["given"], rel=1e-3)
    assert errors["plain"] < 150  # of a spread of 375: unscaled it is above 800


def test_fit_refuses_targets_that_nobody_put_on_a_scale():
    task = tasks.regression("ink")
    model = MultiTaskModel(nn.Linear(4, 3), {"ink": nn.Linear(3, 1)})
    train = TensorSource(Batch(inputs(), {"ink": INK}))
    with pytest.raises(
        UmbelError, match=r"task 'ink' has no centre and scale, and its targets are about 8\d\d ± 2\d\d"
    ):
        fit(Learner(model, [task]), make_descent("equal"), train, train, FitSettings(steps=1, precision="float32"))
    near = Batch(inputs(), {"ink": (INK - 800) / 250})
    check_scales((task,), [near])
    check_scales((task,), [])
    check_scales((tasks.regression("ink", centre=0.0, scale=1.0),), [Batch(inputs(), {"ink": INK})])
    with pytest.raises(UmbelError, match="about"):
        check_scales((task,), [Batch(inputs(), {"ink": (INK - 800) / 1e6})])


def test_every_output_has_its_own_scale_and_a_map_has_one():
    pair = torch.cat([INK, torch.arange(300.0)[:, None], torch.full((300, 1), 7.0)], 1)
    deep = 5 + torch.rand(300, 1, 2, 3)
    empty = torch.full((300, 1), torch.nan)
    wanted = [tasks.regression("three", 3), tasks.dense_regression("deep"), tasks.regression("none")]
    data = made(wanted, {"three": pair, "deep": deep, "none": empty})
    centre, scale = scales(data.task("three"))
    torch.testing.assert_close(centre[0], pair.double().mean(0), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(scale[0, :2], pair.double().std(0, unbiased=False)[:2], rtol=1e-4, atol=0)
    assert float(scale[0, 2]) == 1  # what is constant is only centred
    assert float(scales(data.task("deep"))[0]) == pytest.approx(float(deep.mean()), rel=1e-5)
    assert data.task("deep").output == "map"
    assert [float(x) for x in scales(data.task("none"))] == [0, 1]


def test_large_numbers_are_centred_in_double_precision():
    times = 1_700_000_000.0 + torch.arange(300.0, dtype=torch.float64)[:, None]
    task = made([tasks.regression("time")], {"time": times}).tasks[0]
    loss = task.loss(torch.zeros(300, 1), times)
    assert float(loss.mean()) == pytest.approx(1.0, rel=1e-5)
    got = moments([times[:100], times[100:]], 1)
    assert float(got["centre"]) == 1_700_000_149.5
    torch.testing.assert_close(natural_units(torch.zeros(1, 1), **got), torch.tensor([[1_700_000_149.5]]).double())
    assert float(standardised_error(torch.zeros(1, 1), times[149:150] + 0.5, **got)) == 0


class Items:
    def __len__(self) -> int:
        return 300

    def __getitem__(self, number):
        return inputs()[number], {"ink": float(INK[number])}


def test_streams_are_looked_at_in_part_and_at_random(monkeypatch):
    held = data_from_datasets("own", [tasks.regression("ink")], Items(), Items(), Items())
    centre, scale = scales(held.tasks[0])
    torch.testing.assert_close(centre.squeeze(), INK.double().mean(), rtol=1e-5, atol=0)
    streamed = data_from_datasets("own", [tasks.regression("ink")], Items(), Items(), Items(), in_memory=False)
    torch.testing.assert_close(scales(streamed.tasks[0])[0], centre, rtol=0.05, atol=0)  # all but the last 44
    monkeypatch.setattr(sources, "_LOOK_AT", 100)
    again = [made([tasks.regression("ink")], {"ink": INK}, from_dataset(Items(), held.tasks)).tasks[0] for _ in "ab"]
    assert float(scales(again[0])[0]) == float(scales(again[1])[0]) != float(centre)
    torch.testing.assert_close(scales(again[0])[1], scale, rtol=0.3, atol=0)
    part = TensorSource(Batch(inputs(), {"ink": INK}))
    both = made([tasks.regression("ink")], {"ink": INK}, SideBySide([part, part], (1, 1)))
    torch.testing.assert_close(scales(both.tasks[0])[0], centre, rtol=0.1, atol=0)


def test_balanced_class_weights_come_from_the_training_labels():
    labels = torch.tensor([0] * 270 + [1] * 20 + [-1] * 10)
    data = made([tasks.classification("kind", "abc", class_weights="balanced")], {"kind": labels})
    (task,) = data.tasks
    expected = torch.tensor([290 / (3 * 270), 290 / (3 * 20), 1.0])
    torch.testing.assert_close(balanced_weights([labels[:150], labels[150:]], 3).float(), expected)
    logits = torch.randn(300, 3)
    known = labels >= 0
    wanted = functional.cross_entropy(logits[known], labels[known], weight=expected)
    torch.testing.assert_close(task.mean_loss(logits, labels), wanted)
    torch.testing.assert_close(weights_of(torch.tensor([1, 0]), expected), expected[[1, 0]])
    maps = torch.randint(0, 3, (300, 2, 2))
    ground = made([tasks.segmentation("ground", "abc", class_weights="balanced")], {"ground": maps}).tasks[0]
    assert (ground.output, ground.kind, ground.main_metric) == ("map", "segmentation", "mIoU")
    assert ground.weigh is not None


def test_class_weights_are_for_classes_and_need_the_data_when_balanced():
    with pytest.raises(UmbelError, match="for classification and segmentation, not for regression"):
        tasks.with_class_weights(tasks.regression("ink"), "balanced")
    with pytest.raises(UmbelError, match=r"choice of class_weights of task 'kind'.*did you mean 'balanced'"):
        tasks.classification("kind", 2, class_weights="balance")
    unsettled = tasks.classification("kind", 2, class_weights="balanced")
    with pytest.raises(UmbelError, match=r"MultiTaskData\.tasks"):
        unsettled.mean_loss(torch.zeros(2, 2), torch.tensor([0, 1]))
