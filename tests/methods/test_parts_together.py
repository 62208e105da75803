"""Parts that know nothing of each other in one training: widths, a channel, a split of gradients, a teacher."""

import itertools

import pytest
import torch
from torch import nn

from umbel import tasks
from umbel.channels import AWGN, ChannelLink
from umbel.control import calibrate, configuration_table
from umbel.core import Batch, Learner, Losses, MultiTaskModel, OperatingPoint, UmbelError, Uniform
from umbel.data import TensorSource, seeded
from umbel.descent import GradSplit, Measured, make_descent
from umbel.engine import FitSettings, evaluate, fit, open_runtime
from umbel.methods.controllable import CONFIGURATIONS, ControllableLearner, slimmable_model
from umbel.methods.preference_conditioned import PreferenceLearner, conditioned_model
from umbel.nn import WIDTH_NAMES, ExponentialMovingAverage, build_model, fixed_model, recalibrate

KINDS = (tasks.classification("side", "ab"), tasks.regression("height", 1))
SHAPE, WIDTHS = (1, 8, 8), (0.5, 1.0)
SNR = Uniform(0.0, 10.0, sweep=(5.0, 0.0, 10.0))
STEPS = 12


def source(count: int, seed: int) -> TensorSource:
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.rand(count, *SHAPE, generator=generator)
    halves = pictures.flatten(2).mean(2)
    return TensorSource(Batch(pictures, {"side": (pictures[:, 0, 0, 0] > 0.5).long(), "height": halves}))


TRAIN, VALIDATION = source(96, 0), source(64, 1)


class _Teacher:
    """Beside what the learner does anyway, full-width predictions follow those of an averaged copy."""

    def __init__(self, model, kinds) -> None:
        super().__init__(model, kinds)
        self.average = ExponentialMovingAverage(model, decay=0.9)

    def losses(self, batch, point):
        at = point.without(CONFIGURATIONS, *WIDTH_NAMES)
        student, teacher = self.predict(batch, at), self.average(batch.inputs, at)
        gap = sum((student[name] - teacher[name]).square().mean() for name in student)
        return Losses({**super().losses(batch, point), "consistency": gap})

    def after_step(self):
        self.average.update(self.model)


class TaughtLearner(_Teacher, Learner):
    pass


class TaughtControllable(_Teacher, ControllableLearner):
    pass


def made(parts: set[str]) -> Learner:
    model = build_model(SHAPE, KINDS, "conv", widths=(16, 16), hidden=16, vector_head="conv")
    if "channel" in parts:
        links = {name: ChannelLink(AWGN(), snr_db=SNR) for name in model.task_names}
        model = MultiTaskModel(model.encoder, heads_of(model), links)
    slim = "slimmable" in parts
    model = slimmable_model(model, SHAPE, WIDTHS) if slim else model
    if "teacher" in parts:
        return (TaughtControllable if slim else TaughtLearner)(model, KINDS)
    return (ControllableLearner if slim else Learner)(model, KINDS)


def heads_of(model: MultiTaskModel) -> dict[str, nn.Module]:
    return {name: model.heads[name] for name in model.task_names}


DESCENTS = {
    "own": lambda: GradSplit("own", 0.5),
    "measured": lambda: GradSplit(Measured(warm_up=6, every=2), 0.5),
    "jacobian": lambda: make_descent("upgrad"),
}


def trained(parts: set[str]) -> tuple[Learner, list]:
    """The learner after some steps (which end in an error if a loss is not finite), and the points of its steps."""
    learner, points = made(parts), []
    teach = next((DESCENTS[part]() for part in parts if part in DESCENTS), make_descent("equal"))
    settings = FitSettings(steps=STEPS, batch_size=16, precision="float32", monitor="loss", tensorboard=False)
    observe = lambda step, learner, batch, point: points.append(point)  # noqa: E731
    fit(learner, teach, TRAIN, VALIDATION, settings, observe=observe)
    return learner, points


PARTS = ("slimmable", "channel", "own", "measured", "jacobian", "teacher")
PAIRS = [set(pair) for pair in itertools.combinations(PARTS, 2) if len(DESCENTS.keys() & {*pair}) < 2]


@pytest.mark.parametrize("parts", [*PAIRS, {"slimmable", "channel", "own"}], ids=lambda parts: "-".join(sorted(parts)))
def test_a_step_has_what_every_part_wants_and_all_points_of_the_sweep_can_be_evaluated(parts):
    learner, points = trained(parts)
    assert len(points) == STEPS
    wanted = {name for name, part in ((CONFIGURATIONS, "slimmable"), ("snr_db", "channel")) if part in parts}
    assert all(point.keys() == wanted for point in points)
    if "channel" in parts:
        assert len({point["snr_db"] for point in points}) == STEPS
        assert all(0 <= point["snr_db"] <= 10 for point in points)
    runtime = open_runtime()
    if "slimmable" in parts:
        calibrate(learner, TRAIN, runtime)
    sweep = learner.sweep()
    assert len(sweep) == (len(WIDTHS) if "slimmable" in parts else 1) * (3 if "channel" in parts else 1)
    for point in sweep:
        losses = evaluate(learner, VALIDATION, runtime, point).losses
        assert all(torch.isfinite(torch.tensor(value)) for value in losses.values()), point


def test_an_ordinary_learner_turns_slimmable_parts_too():
    model = slimmable_model(
        build_model(SHAPE, KINDS, "conv", widths=(16, 16), hidden=16, vector_head="conv"), SHAPE, WIDTHS
    )
    learner = Learner(model, KINDS)
    points = [learner.draw_point(seeded(0, step), 0.0) for step in range(40)]
    drawn = {(p["width"], p["head_widths"]["side"], p["head_widths"]["height"]) for p in points}
    assert len(drawn) == 8, "each part's width is drawn by itself"
    assert learner.sweep()[0] == ControllableLearner(model, KINDS).point(1.0)
    assert len(learner.sweep()) == 4, "all heads turn together"


def test_a_method_that_draws_in_its_own_way_keeps_what_it_is_given():
    """The way before parts could ask: a subclass that adds to the point."""

    class OverTheAir(ControllableLearner):
        def draw_point(self, generator, progress):
            return super().draw_point(generator, progress).with_values(snr_db=7.0)

    plain = made({"slimmable"}).model
    links = {name: ChannelLink(AWGN()) for name in plain.task_names}
    learner = OverTheAir(MultiTaskModel(plain.encoder, heads_of(plain), links), KINDS)
    point = learner.draw_point(seeded(0), 0.0)
    assert point.keys() == {CONFIGURATIONS, "snr_db"}
    assert all(value.isfinite() for value in learner.losses(next(VALIDATION.batches(16)), point).values())


def test_channels_of_different_ranges_are_refused_or_told_apart():
    plain = build_model(SHAPE, KINDS, "conv", widths=(16,))
    pair = zip(plain.task_names, (Uniform(0, 10), Uniform(5, 15)), strict=True)
    alike = MultiTaskModel(plain.encoder, heads_of(plain), {n: ChannelLink(AWGN(), snr_db=axis) for n, axis in pair})
    with pytest.raises(UmbelError, match=r"links\.task_side wants snr_db drawn as .* links\.task_height as"):
        Learner(alike, KINDS).draw_point(seeded(0), 0.0)
    pair = zip(plain.task_names, (Uniform(0, 10), Uniform(5, 15)), strict=True)
    links = {name: ChannelLink(AWGN(), receiver=name, snr_db=axis) for name, axis in pair}
    apart = Learner(MultiTaskModel(plain.encoder, heads_of(plain), links), KINDS)
    assert apart.sweep()[0] == {"snr_db": {"side": 5.0, "height": 10.0}}
    point = apart.draw_point(seeded(0), 0.0)
    assert all(value.isfinite() for value in apart.losses(next(VALIDATION.batches(16)), point).values())


def test_statistics_are_taken_over_the_whole_range_of_the_channel():
    """As training takes those of the full width. Taken at one ratio, heads at others would be off by the noise."""
    model = made({"slimmable", "channel"}).model
    head = model.heads["side"]
    (norm,) = (norm for norm in head.norms)

    def spread(at: dict) -> float:
        recalibrate(model, [batch.inputs for batch in TRAIN.batches(8)], [OperatingPoint(width=0.5, **at)])
        return float(norm.variances.sum())

    worst, drawn, again, best = (spread(at) for at in ({"snr_db": 0.0}, {}, {}, {"snr_db": 10.0}))
    assert best < drawn < worst
    assert drawn == again, "what is drawn comes from a fixed seed"


def test_the_table_of_configurations_is_measured_over_the_channel():
    learner, runtime = made({"slimmable", "channel"}), open_runtime()
    calibrate(learner, TRAIN, runtime)
    quality = configuration_table(learner, VALIDATION, runtime).quality
    expected = evaluate(learner, VALIDATION, runtime, learner.point(0.5).with_values(snr_db=5.0)).main()
    assert quality.shape == (2, 2, 2) and abs(quality[0, 0, 0] - expected["side"]) < 0.2


def test_preferences_and_a_channel_are_drawn_together_and_one_preference_is_fixed_over_the_range():
    model = conditioned_model(made({"channel"}).model, SHAPE)
    learner = PreferenceLearner(model, KINDS)
    assert learner.draw_point(seeded(0), 0.0).keys() == {"snr_db", "preferences"}
    assert [point["snr_db"] for point in learner.sweep()] == [5.0, 0.0, 10.0]
    fixed = fixed_model(model, learner.at([1, 3]), [batch.inputs for batch in TRAIN.batches(32)])
    predictions = fixed(next(VALIDATION.batches(8)).inputs, learner.sweep()[1])
    assert all(value.isfinite().all() for value in predictions.values())
