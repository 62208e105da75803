import copy

import pytest
import torch
from slim_cases import CASES, COARSE, FULL, SMALL, small_model
from torch import Tensor, nn

from umbel import tasks
from umbel.core import Batch, Learner, MultiTaskModel, OperatingPoint, PointModule, UmbelError
from umbel.engine import checkpoint
from umbel.nn import check_widths, dense, dense_model, recalibrate, slimmable
from umbel.nn.ema import ExponentialMovingAverage

POINT = OperatingPoint(width=0.5, head_widths={"kind": 0.25, "depth": 0.5})


def batches(count: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.rand(4 + 3 * i, 3, 8, 8, generator=generator) * (i + 1) for i in range(count)]


def tables(model: nn.Module) -> dict[str, Tensor]:
    state = model.state_dict()
    return {k: v.clone() for k, v in state.items() if k.rpartition(".")[2] in ("means", "variances", "calibrated")}


@pytest.mark.parametrize("name", ["conv", "resnet", "own", "mobilenet", "resnext"])
def test_statistics_are_those_of_the_dense_net_in_training(name):
    """What goes into each norm of the dense net, in training mode and over all batches, measured by hooks."""
    case = CASES[name]
    _, slim = case.pair()
    slim.double()
    point = case.points()[0]
    given = [case.inputs(samples=n, seed=n).double() for n in (4, 7)]
    recalibrate(slim, given, [point])
    direct = dense(slim, point, fold=False)
    seen: dict[str, list[Tensor]] = {}
    stored = {}
    for key, norm in direct.named_modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            stored[key] = norm.running_mean.clone(), norm.running_var.clone()
            norm.train().register_forward_pre_hook(lambda _, x, key=key: seen.setdefault(key, []).append(x[0]))
    for x in given:
        direct(x)
    assert seen.keys() == stored.keys()
    for key, inputs in seen.items():
        values = torch.cat(inputs).transpose(0, 1).flatten(1)
        torch.testing.assert_close(stored[key], (values.mean(1), values.var(1)))


def test_one_batch_gives_what_an_ordinary_training_pass_keeps():
    model = small_model().double()
    (x,) = batches(1)
    recalibrate(model, [x.double()], [POINT])
    ordinary = dense(model.encoder, POINT, fold=False)
    kept = {key: value.clone() for key, value in ordinary.state_dict().items() if "running" in key}
    for part in ordinary.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = 1.0
    ordinary.train()(x.double())
    torch.testing.assert_close({k: v for k, v in ordinary.state_dict().items() if "running" in k}, kept)


def test_heads_are_measured_on_features_of_the_calibrated_encoder():
    model = small_model().double()
    given = [x.double() for x in batches()]
    recalibrate(model, given, [POINT])
    model.eval()
    features = torch.cat([model.encoder(x, POINT) for x in given])
    norm = model.heads["depth"].module.body[1]
    convolution = model.heads["depth"].module.body[0]
    values = nn.functional.conv2d(features, convolution.weight[:16, :16], padding=1).transpose(0, 1).flatten(1)
    row = 1 * 3 + 1
    torch.testing.assert_close(norm.means[row, :16], values.mean(1))
    torch.testing.assert_close(norm.variances[row, :16], values.var(1))


def test_neither_order_nor_mode_nor_chance_matters():
    results = []
    for arrangement in (batches(), batches()[::-1], batches()):
        model = small_model()
        model.encoder.module.stages.append(nn.Dropout(0.5))
        model.train(len(results) != 2)
        modes = [part.training for part in model.modules()]
        recalibrate(model, arrangement, [POINT])
        assert [part.training for part in model.modules()] == modes
        results.append(tables(model))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-6, atol=1e-7)
    assert all(torch.equal(value, results[2][key]) for key, value in results[2].items())


def test_only_what_was_asked_for_is_measured_and_weights_stay():
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    recalibrate(model, batches(), [POINT, FULL])
    after = model.state_dict()
    changed = {key for key in after if not torch.equal(after[key], before[key])}
    assert changed == tables(model).keys() - {"heads.task_kind.calibrated"}  # it has no norm
    assert model.encoder.calibrated.tolist() == [False, True]
    assert model.heads["depth"].calibrated.nonzero().flatten().tolist() == [4]


def test_the_whole_grid_at_once_is_the_points_one_by_one():
    at_once, singly = small_model(), small_model()
    recalibrate(at_once, batches())
    for width in reversed(COARSE):
        for own in COARSE:
            point = OperatingPoint(width=width, head_widths={"depth": own, "kind": own})
            recalibrate(singly, batches(), [point])
    assert at_once.encoder.calibrated.all() and at_once.heads["depth"].calibrated.all()
    one, other = tables(at_once), tables(singly)
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("part", ["encoder", "head"])
def test_evaluating_an_uncalibrated_configuration_is_refused(part):
    model = small_model().eval()
    x = batches(1)[0]
    model(x, FULL)
    point = POINT
    if part == "head":
        recalibrate(model, batches(), [POINT.with_values(head_widths={})])
        line = (
            r"the head of task 'depth' has no batch-norm statistics for width 0.5 and head width 0.5; .*recalibrate\("
        )
    else:
        line = r"the encoder has no batch-norm statistics for width 0.5; .*recalibrate\("
    with pytest.raises(UmbelError, match=line):
        model(x, point)
    with pytest.raises(UmbelError, match=line):
        dense_model(model, point)
    recalibrate(model, batches(), [point])
    assert model.heads["depth"].is_calibrated(point)
    model(x, point)


def test_a_training_pass_makes_statistics_stale():
    model = small_model()
    recalibrate(model, batches())
    model.train()(batches(1)[0], FULL)
    assert not model.encoder.calibrated.any()
    with pytest.raises(UmbelError, match="has no batch-norm statistics"):
        model.eval()(batches(1)[0], POINT)
    model(batches(1)[0], FULL)


def test_frozen_norms_need_statistics_in_training_too():
    model = small_model().train()
    for norm in model.encoder.norms:
        norm.eval()
    with pytest.raises(UmbelError, match="the encoder has no batch-norm statistics"):
        model(batches(1)[0], POINT)


@pytest.mark.parametrize("name", ["resnet-group", "pixel", "mlp", "pooled-head"])
def test_what_has_no_batch_statistics_needs_none(name):
    _, slim = SMALL[name].pair()
    slim.eval()
    for point in SMALL[name].points():
        slim(SMALL[name].inputs(point["width"]), point)


def test_norms_that_keep_no_statistics_use_the_batch():
    net = nn.Sequential(nn.Linear(4, 32), nn.BatchNorm1d(32, track_running_stats=False))
    slim = slimmable(net, (4,)).eval()
    answer = slim(torch.rand(64, 4), OperatingPoint(width=0.5))
    torch.testing.assert_close(answer.mean(0), torch.zeros(16), atol=1e-5, rtol=0)


def test_statistics_survive_a_checkpoint(tmp_path):
    kinds = (tasks.classification("kind", list("abcd")), tasks.dense_regression("depth"))
    learner, other = Learner(small_model(), kinds), Learner(small_model(), kinds)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.mul_(1.1)
    recalibrate(learner.model, batches(), [POINT])
    weights, extra = checkpoint.split_state(learner)
    path = checkpoint.save(tmp_path, "step", 1, weights, {"learner_extra": extra}, {"fit": {}})
    checkpoint.load_weights(other, checkpoint.load_checkpoint(path))
    batch = Batch(batches(1)[0])
    expected = learner.eval().predict(batch, POINT)
    torch.testing.assert_close(other.eval().predict(batch, POINT), expected, rtol=0, atol=0)
    with pytest.raises(UmbelError, match=r"for width 0.25"):
        other.predict(batch, POINT.with_values(width=0.25))


def test_a_following_teacher_takes_the_statistics_over():
    model = small_model()
    teacher = ExponentialMovingAverage(model, decay=0.0)
    recalibrate(model, batches(), [POINT])
    teacher.update(model)
    torch.testing.assert_close(teacher(batches(1)[0], POINT), model.eval()(batches(1)[0], POINT))


class Noise(PointModule):
    """A link with noise."""

    def forward(self, x: Tensor, point: OperatingPoint) -> Tensor:
        return x + point.get("noise", 1.0) * torch.randn(x.shape)


def test_links_are_part_of_what_heads_are_measured_on():
    def measured(noise: float) -> Tensor:
        model = small_model()
        linked = MultiTaskModel(model.encoder, {"depth": model.heads["depth"]}, {"depth": Noise()})
        recalibrate(linked, batches(), [POINT.with_values(noise=noise, head_widths={"depth": 0.5})])
        return model.heads["depth"].norms[0].variances[4, :16]

    generator = torch.get_rng_state()
    quiet, loud = measured(0.0), measured(3.0)
    assert (loud > quiet).all()
    assert torch.equal(measured(3.0), loud)
    assert torch.equal(torch.get_rng_state(), generator)


def test_an_ordinary_encoder_may_have_slimmable_heads():
    model = small_model()
    mixed = MultiTaskModel(dense(model.encoder, FULL), {"depth": model.heads["depth"]})
    recalibrate(mixed, [Batch(x) for x in batches()])
    point = OperatingPoint(head_widths={"depth": 0.5})
    assert mixed.eval()(batches(1)[0], point)["depth"].shape == (4, 1, 8, 8)


def test_bad_calibrations_are_one_clear_line():
    model = small_model()
    with pytest.raises(UmbelError, match="was given no batch"):
        recalibrate(model, [])
    with pytest.raises(UmbelError, match="unknown task in head_widths 'dpeth'; did you mean 'depth'"):
        recalibrate(model, batches(), [OperatingPoint(head_widths={"dpeth": 0.5})])
    with pytest.raises(UmbelError, match=r"width is 0.75"):
        recalibrate(model, batches(), [OperatingPoint(width=0.75)])
    with pytest.raises(UmbelError, match="head of task 'depth' by itself"):
        recalibrate(model.heads["depth"], batches())
    plain = MultiTaskModel(nn.Identity(), {"a": nn.Identity()})
    with pytest.raises(UmbelError, match="neither the encoder nor a head of this model is slimmable"):
        recalibrate(plain, batches())
    with pytest.raises(UmbelError, match=r"head width of task 'kind' is 0.3"):
        check_widths(model, OperatingPoint(head_widths={"kind": 0.3}))
