"""Sketches: unbiased, with an error that falls as it should, and an update that is exact for the weights found."""

import pytest
import torch
from gramian_cases import (
    ENCODERS,
    Noted,
    assert_close,
    by_hand,
    make_batch,
    make_learner,
    step,
)
from gramian_learners import (
    HOOKS,
    LEARNERS,
)
from toys import POINT, TwoRanks

from umbel.core import SingleProcess, UmbelError
from umbel.descent import Jacobian, measure_gramian
from umbel.descent.gramian import gramian_pass
from umbel.descent.gramian.sites import find_sites
from umbel.descent.gramian.sketched import SketchedPass, random_signs
from umbel.descent.graph import Graph

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths"),
    pytest.mark.filterwarnings("ignore:Full backward hook is firing"),
]


@pytest.mark.parametrize("name", {**ENCODERS, **LEARNERS})
def test_the_update_is_exact_for_the_weights_found(name):
    make = LEARNERS.get(name) or (lambda: make_learner(ENCODERS[name]))
    found = step(make(), make_batch(7), "sketched", directions=2)
    expected = by_hand(make(), make_batch(7), weigh=lambda _: found.weights)
    assert_close(found.gradients, expected.gradients)
    for key, value in found.buffers.items():
        torch.testing.assert_close(value, expected.buffers[key])
    assert torch.equal(found.random, expected.random)


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_of_users_act_once(name):
    learners = [make_learner(ENCODERS["batch norm"]) for _ in range(2)]
    for learner in learners:
        HOOKS[name](learner)
    found = step(learners[0], make_batch(), "sketched", directions=2)
    expected = by_hand(learners[1], make_batch(), weigh=lambda _: found.weights)
    assert_close(found.gradients, expected.gradients)


UNBIASED = ["strides", "dilation", "same", "one dimension", "three dimensions", "channels last", "lines", "transformer"]


@pytest.mark.parametrize("name", [*UNBIASED, "transposed", "groups", "adapted"])
def test_the_mean_over_seeds_tends_to_the_gramian(name):
    """Every element, by five standard errors of its mean: R = 1, so that no layer is left out."""
    learner, batch, runtime = make_learner(ENCODERS[name]).eval(), make_batch(), SingleProcess()
    exact = measure_gramian(learner, batch, POINT, runtime)
    samples = torch.stack([
        measure_gramian(learner, batch, POINT, runtime, "sketched", directions=1, seed=seed) for seed in range(70)
    ])  # fmt: skip
    spread = samples.std(0)
    assert (spread > 1e-3 * exact.abs()).any(), "nothing was sketched"
    deviation = (samples.mean(0) - exact).abs() / (spread / len(samples) ** 0.5 + 1e-9 * exact.abs().max())
    assert deviation.max() < 5
    half = (samples[:18].mean(0) - exact).norm()  # and the mean of more is nearer
    assert (samples.mean(0) - exact).norm() < half or half < 0.05 * exact.norm()


@pytest.mark.parametrize("name", ["strides", "transformer"])
def test_the_error_falls_with_the_square_root_of_the_directions(name):
    learner, batch, runtime = make_learner(ENCODERS[name]).eval(), make_batch(), SingleProcess()
    exact = measure_gramian(learner, batch, POINT, runtime)

    def error(directions: int) -> float:
        found = [
            measure_gramian(learner, batch, POINT, runtime, "sketched", directions=directions, seed=seed)
            for seed in range(30)
        ]
        return float(torch.stack([(one - exact).square().sum() for one in found]).mean().sqrt())

    one, more = error(1), error(3)
    expected = 3**-0.5  # and less where layers become exact: those with fewer than six inputs
    assert 0.7 * expected < more / one < 1.3 * expected
    assert error(1000) < 1e-10 * exact.norm()


def given(name: str, batch=None) -> tuple[list, Graph, list, list]:
    torch.manual_seed(3)
    learner = make_learner(ENCODERS[name])
    losses = list(learner.losses(make_batch() if batch is None else batch, POINT).values())
    shared, own = learner.shared_parameters(), learner.own_parameters()
    return losses, Graph(losses, [*shared, *own]), shared, own


def rows(name: str, directions: int = 2, seed: int = 0, batch=None) -> torch.Tensor:
    return SketchedPass(*given(name, batch), directions, torch.Generator().manual_seed(seed)).rows


def test_rows_depend_on_the_seed_and_on_nothing_else():
    first, state = rows("strides"), torch.get_rng_state()
    assert torch.equal(rows("strides"), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(rows("strides", seed=1), first)


@pytest.mark.parametrize("directions", [1, 3, 8])
def test_a_sketch_is_semidefinite_and_symmetric(directions):
    for seed in range(5):
        found = step(make_learner(ENCODERS["transformer"]), make_batch(), "sketched", directions=directions, seed=seed)
        assert torch.equal(found.gramian, found.gramian.T)
        assert torch.linalg.eigvalsh(found.gramian).min() > -1e-12 * found.gramian.trace()


@pytest.mark.parametrize("name", ["strides", "channels last", "lines", "one dimension"])
def test_a_row_is_the_gradient_seen_along_the_directions(name):
    """S = (∂L/∂W) Ωᵀ / √R for every layer that is wide enough, the gradient itself for all else."""
    directions = 3
    losses, graph, shared, _ = given(name)
    sites, generator = find_sites(graph), torch.Generator().manual_seed(0)
    found = rows(name, directions)
    gradients = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses]
    wide = [p for p in shared if id(p) in sites and sites[id(p)].inputs >= 2 * directions]
    assert 0 < len(wide) < len(shared)
    places = {id(p): place for place, p in enumerate(shared)}
    parts = [torch.cat([g[places[id(p)]].flatten() for p in shared if p not in set(wide)]) for g in gradients]
    expected = [torch.stack(parts)]
    for p in wide:
        signs = random_signs(directions, sites[id(p)].inputs, generator).double()
        assert set(signs.unique().tolist()) == {-1.0, 1.0}
        matrices = torch.stack([g[places[id(p)]].reshape(len(p), -1) for g in gradients])
        expected.append((matrices @ signs.T).flatten(1) * directions**-0.5)
    torch.testing.assert_close(found, torch.cat(expected, 1))


def test_layers_with_few_inputs_are_exact():
    exact = by_hand(make_learner(ENCODERS["strides"]), make_batch()).gramian  # 18 and 30 inputs
    for directions, is_exact in ((16, True), (15, False), (9, False)):
        found = step(make_learner(ENCODERS["strides"]), make_batch(), "sketched", directions=directions).gramian
        assert ((found - exact).norm() < 1e-10 * exact.norm()) == is_exact


@pytest.mark.parametrize("name", ["strides", "residual, group norm", "transformer", "unused"])
def test_rows_of_two_processes_add_up(name):
    whole = make_batch(count=6, missing=0.0)
    halves = [rows(name, batch=whole[part]) / 2 for part in (slice(3), slice(3, None))]  # losses are means
    torch.testing.assert_close(halves[0] + halves[1], rows(name, batch=whole))


@pytest.mark.parametrize("name", ["strides", "transformer", "recurrent"])
def test_two_processes_find_the_same_weights(name):
    batch = make_batch(count=9)

    def rank(index, runtime):
        torch.manual_seed(index)
        part = batch[slice(4) if index == 0 else slice(4, None)]
        found = step(make_learner(ENCODERS[name]), part, "sketched", runtime=runtime, directions=2)
        return found.weights, found.gradients

    one = step(make_learner(ENCODERS[name]), batch, "sketched", directions=2)
    (weights, gradients), (others, other_gradients) = TwoRanks().run(rank)
    assert torch.equal(weights, others)
    assert all(value is None or torch.equal(value, other_gradients[key]) for key, value in gradients.items())
    assert_close(gradients, one.gradients)


def test_processes_that_see_other_layers_are_refused_on_both():
    def rank(index, runtime):
        make = ENCODERS["strides" if index else "one convolution"]
        with pytest.raises(UmbelError, match="do not see the same layers"):
            step(make_learner(make), make_batch(), "sketched", runtime=runtime)
        return True

    assert TwoRanks().run(rank) == [True, True]


def test_directions_change_from_step_to_step_and_with_the_seed():
    seen = []
    for seed in (0, 5):
        noted = Noted()
        descent = Jacobian(noted, seed=seed, engine="sketched", directions=1)
        for _ in range(2):
            step(make_learner(ENCODERS["strides"]), make_batch(), descent=descent)
            seen.append(noted.gramian)
    assert not any(torch.equal(seen[i], seen[j]) for i in range(4) for j in range(i))


@pytest.mark.parametrize("name", ["batch norm", "transformer", "channels last"])
def test_bf16_changes_a_sketch_by_its_rounding(name):
    runtime = SingleProcess()
    runtime.autocast = lambda: torch.autocast("cpu", torch.bfloat16)
    batch = make_batch(count=8).map(lambda t: t.float())
    learner = make_learner(ENCODERS[name]).float().eval()
    found = []
    for place in (runtime, SingleProcess()):
        *_, one = gramian_pass("sketched", learner, batch, POINT, place, directions=4, seed=2)
        assert one.gramian.dtype == torch.float64
        found.append(one.gramian)
    assert 0 < (found[0] - found[1]).norm() < 0.05 * found[1].norm()
