"""What parts want drawn and swept: axes, how they are merged, and what is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from umbel.core import (
    Axes,
    Axis,
    Learner,
    MultiTaskModel,
    OneOf,
    OperatingPoint,
    PointModule,
    Sweep,
    Task,
    UmbelError,
    Uniform,
    axes_of,
    drawn_point,
    sweep_over,
)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Wants(PointModule):
    """Reads nothing, wants what it was told."""

    def __init__(self, **axes) -> None:
        super().__init__()
        self.wanted = axes

    def forward(self, x, point):
        return x

    def axes(self) -> Axes:
        return self.wanted


class Falling(Axis):
    """A schedule: no randomness at all."""

    sweep = (0.1,)

    def draw(self, generator, progress):
        return 1 - 0.9 * progress


def learner(*parts: nn.Module) -> Learner:
    squared = lambda p, t: (p - t).square()  # noqa: E731
    kinds = [Task(f"t{i}", 1, squared, {"error": lambda: None}, False) for i in range(len(parts))]
    heads = {kind.name: nn.Linear(2, 1) for kind in kinds}
    return Learner(MultiTaskModel(nn.Linear(2, 2), heads, dict(zip(heads, parts, strict=True))), kinds)


# -- single axes -----------------------------------------------------------------------------------------------------


@given(st.floats(-100, 100), st.floats(0, 50), st.integers(0, 2**31))
def test_uniform_draws_one_number_of_its_range(low, extent, seed):
    axis, generator = Uniform(low, low + extent), draws(seed)
    drawn = axis.draw(generator, 0.0)
    assert low <= drawn <= low + extent
    assert drawn == low + torch.rand((), generator=draws(seed)).item() * (axis.high - low) or not extent
    expected = draws(seed)
    torch.rand((), generator=expected)
    assert torch.equal(generator.get_state(), expected.get_state()), "a fixed value must take a draw, too"


def test_a_fixed_value_may_be_infinite_and_a_range_may_not():
    assert Uniform(math.inf, math.inf).draw(draws(), 0.0) == math.inf
    assert Uniform(math.inf, math.inf).sweep == (math.inf,)
    for low, high in ((0, math.inf), (-math.inf, 0), (2, 1), (math.nan, 1), (1, math.nan)):
        with pytest.raises(UmbelError, match="give finite numbers, the lower one first"):
            Uniform(low, high)


def test_one_of_draws_every_value_and_is_swept_over_all():
    axis, generator = OneOf(("a", "b", "c")), draws()
    assert {axis.draw(generator, 0.0) for _ in range(50)} == {"a", "b", "c"}
    assert axis.sweep == ("a", "b", "c")
    assert OneOf([1, 2], sweep=(2,)).sweep == (2,)
    with pytest.raises(UmbelError, match="no value to draw"):
        OneOf(())


def test_the_middle_is_swept_unless_it_is_said_otherwise():
    assert Uniform(-10, 20).sweep == (5.0,)
    assert Uniform(-10, 20, sweep=(20.0, -10.0)).sweep == (20.0, -10.0)


# -- points and sweeps from axes -------------------------------------------------------------------------------------


def test_axes_are_drawn_in_their_order_and_mappings_entry_by_entry():
    axes = {"width": OneOf((0.5, 1.0)), "snr_db": {"near": Uniform(5, 15), "far": Uniform(-5, 0)}, "heat": Falling()}
    point, generator = drawn_point(axes, draws(3), 0.5), draws(3)
    width = (0.5, 1.0)[int(torch.randint(2, (), generator=generator))]
    near, far = 5 + 10 * torch.rand((), generator=generator).item(), -5 + 5 * torch.rand((), generator=generator).item()
    assert point == OperatingPoint(width=width, snr_db={"near": near, "far": far}, heat=0.55)
    untouched = draws(3)
    assert drawn_point({}, untouched, 0.5) == OperatingPoint()
    assert torch.equal(untouched.get_state(), draws(3).get_state())


def test_a_sweep_is_every_combination_but_entries_of_a_mapping_turn_together():
    three, one = Uniform(0, 4, sweep=(2, 0, 4)), Uniform(1, 1)
    sweep = sweep_over({"width": OneOf((1.0, 0.5)), "snr_db": {"near": three, "fixed": one, "far": three}})
    snr = [{"near": value, "fixed": 1.0, "far": value} for value in (2, 0, 4)]
    assert list(sweep) == list(Sweep.grid(width=[1.0, 0.5], snr_db=snr))
    assert list(sweep_over({})) == [OperatingPoint()]
    with pytest.raises(UmbelError, match="snr_db is evaluated at 2 values for 'b' and at 3 for 'a'"):
        sweep_over({"snr_db": {"a": three, "b": OneOf((1, 2)), "c": one}})


# -- merging ---------------------------------------------------------------------------------------------------------


def test_a_learner_draws_and_sweeps_what_all_parts_want():
    taught = learner(Wants(snr_db=Uniform(0, 10)), Wants(sigma=OneOf((1.0, 2.0)), head={"t1": OneOf((1, 2))}))
    assert list(taught.axes()) == ["snr_db", "sigma", "head"]
    point = taught.draw_point(draws(1), 0.0)
    assert point.keys() == {"snr_db", "sigma", "head"} and point["head"].keys() == {"t1"}
    assert point == taught.draw_point(draws(1), 0.9) != taught.draw_point(draws(2), 0.0)
    assert len(taught.sweep()) == 4
    assert taught.sweep()[0] == OperatingPoint(snr_db=5.0, sigma=1.0, head={"t1": 1})


def test_parts_that_ask_for_the_same_share_it_and_each_may_have_an_entry_of_its_own():
    shared = learner(Wants(snr_db=Uniform(0, 10)), Wants(snr_db=Uniform(0.0, 10.0)))
    assert shared.axes() == {"snr_db": Uniform(0, 10)}
    one = Wants(snr_db=Uniform(0, 10))
    assert learner(one, one).axes() == shared.axes()
    apart = learner(Wants(snr_db={"near": Uniform(5, 15)}), Wants(snr_db={"far": Uniform(-5, 0)}))
    assert apart.axes() == {"snr_db": {"near": Uniform(5, 15), "far": Uniform(-5, 0)}}


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (Uniform(0, 10), Uniform(0, 20), r"links\.task_t0 wants v drawn as Uniform\(.*\), links\.task_t1 as Uniform"),
        (Uniform(0, 10), Uniform(0, 10, sweep=(1,)), "let both ask for the same"),
        ({"a": Uniform(0, 1)}, {"a": Uniform(0, 2)}, "wants v for a drawn as"),
        ({"a": Uniform(0, 1)}, Uniform(0, 1), r"links\.task_t1 wants one v for all, links\.task_t0 one for a"),
        (Uniform(0, 1), {"a": Uniform(0, 1)}, r"links\.task_t0 wants one v for all, links\.task_t1 one for a"),
        (Uniform(0, 1), (0, 1), r"links\.task_t1 gives \(0, 1\) as an axis of v"),
        ((0, 1), Uniform(0, 1), r"links\.task_t0 gives \(0, 1\) as an axis of v"),
        ({"a": {"b": Uniform(0, 1)}}, Uniform(0, 1), r"links\.task_t0 gives .* as an axis of v"),
    ],
)
def test_parts_that_do_not_agree_are_named(one, other, message):
    with pytest.raises(UmbelError, match=message):
        learner(Wants(v=one), Wants(v=other)).draw_point(draws(), 0.0)


def test_a_learner_adds_its_own_or_takes_a_parts_place():
    class Sharpening(Learner):
        def axes(self):
            return {**super().axes(), "snr_db": Uniform(3, 3), "temperature": Falling()}

    plain = learner(Wants(snr_db=Uniform(0, 10), sigma=Uniform(1, 1)))
    taught = Sharpening(plain.model, plain.tasks)
    assert taught.draw_point(draws(), 1.0) == OperatingPoint(snr_db=3.0, sigma=1.0, temperature=1 - 0.9)
    assert list(taught.sweep()) == [OperatingPoint(snr_db=3.0, sigma=1.0, temperature=0.1)]


def test_parts_inside_parts_are_asked_and_others_want_nothing():
    class Holder(Wants):
        def __init__(self) -> None:
            super().__init__(outer=Uniform(0, 1))
            self.inner = Wants(inner=Uniform(0, 1))

    assert list(axes_of(nn.Sequential(nn.Linear(1, 1), Holder()))) == ["outer", "inner"]

    class Plain(PointModule):
        def forward(self, x, point):
            return x

    assert axes_of(Plain()) == {}
    with pytest.raises(UmbelError, match=r"^Wants gives 1 as an axis of a;"):
        axes_of(Wants(a=1))
