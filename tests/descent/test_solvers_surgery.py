"""PCGrad and GradVac from the Gramian against the papers' loops over explicit vectors; GradVac's memory."""

import io

import pytest
import torch
from solver_cases import J2, gramian, rows
from toys import Plane

from umbel.core import UmbelError
from umbel.descent import GradientSurgery, GradientVaccine, Jacobian


def pcgrad_by_hand(jacobian: torch.Tensor) -> torch.Tensor:
    """Algorithm 1 of Yu et al. on the vectors themselves, with the orders that are drawn next."""
    total = torch.zeros_like(jacobian[0])
    for i, row in enumerate(jacobian):
        corrected = row.clone()
        for j in torch.randperm(len(jacobian)).tolist():
            product = corrected @ jacobian[j]
            if j != i and product < 0:
                corrected -= product / jacobian[j].square().sum() * jacobian[j]
        total += corrected
    return total


def gradvac_by_hand(jacobian: torch.Tensor, usual: torch.Tensor, beta: float) -> torch.Tensor:
    """Algorithm 1 of Wang et al. on the vectors themselves; moves `usual`."""
    total = torch.zeros_like(jacobian[0])
    for i, row in enumerate(jacobian):
        corrected = row.clone()
        others = [j for j in range(len(jacobian)) if j != i]
        for k in torch.randperm(len(others)).tolist():
            j = others[k]
            cosine, aim = torch.cosine_similarity(corrected, jacobian[j], dim=0, eps=0.0), usual[i, j].clone()
            if cosine < aim:
                top = corrected.norm() * (aim * (1 - cosine**2).sqrt() - cosine * (1 - aim**2).sqrt())
                corrected = corrected + top / (jacobian[j].norm() * (1 - aim**2).sqrt()) * jacobian[j]
            usual[i, j] = (1 - beta) * aim + beta * cosine
        total += corrected
    return total


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tasks", [2, 3, 5, 11])
def test_pcgrad(tasks, seed):
    jacobian = rows(tasks, tasks + 1, seed)
    torch.manual_seed(seed)
    expected = pcgrad_by_hand(jacobian)
    torch.manual_seed(seed)
    assert torch.allclose(GradientSurgery()(gramian(jacobian)) @ jacobian, expected, rtol=1e-10, atol=1e-10)


def test_orders_are_drawn_anew_in_every_call():
    product = gramian(rows(6))
    weighting = GradientSurgery()
    torch.manual_seed(0)
    found = {tuple(weighting(product).tolist()) for _ in range(5)}
    assert len(found) == 5


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("tasks", [2, 3, 7])
def test_gradvac_over_several_steps(tasks, beta):
    weighting, usual = GradientVaccine(beta, eps=0.0), torch.zeros(tasks, tasks).double()
    for step in range(4):
        jacobian = rows(tasks, 20, step)
        torch.manual_seed(step)
        expected = gradvac_by_hand(jacobian, usual, beta)
        torch.manual_seed(step)
        got = weighting(gramian(jacobian)) @ jacobian
        assert torch.allclose(got, expected, rtol=1e-9, atol=1e-9)
        assert torch.allclose(weighting.cosines, usual, atol=1e-12)


def test_gradvac_aims_at_the_cosine_that_is_usual():
    """Two steps on the same two conflicting rows, by hand: φ = -22/√(18·38), then φ̂ = φ/2."""
    product = gramian(J2)
    cosine = -22 / (18 * 38) ** 0.5
    weighting = GradientVaccine(beta=0.5, eps=0.0)
    assert torch.allclose(weighting(product), torch.tensor([20 / 9, 30 / 19]).double())
    assert torch.allclose(weighting.cosines, cosine / 2 * torch.tensor([[0.0, 1], [1, 0]]).double())
    taken = weighting(product) - 1  # of each row, by the other, which keeps itself
    for row, other in ((0, 1), (1, 0)):
        corrected = taken.clone()
        corrected[row] = 1.0
        length = (corrected @ product @ corrected).sqrt() * product[other, other].sqrt()
        assert abs((product @ corrected)[other] / length - cosine / 2) < 1e-12


def test_averages_near_one_do_not_blow_up():
    """Copies of one gradient for many steps, then a small difference."""
    weighting, row = GradientVaccine(eps=0.0), rows(1, 20)
    for _ in range(60):
        weighting(gramian(row.repeat(3, 1)))
    assert weighting.cosines[0, 1] > 1 - 1e-12
    assert (weighting(gramian(row.repeat(3, 1))) - 1).abs().max() < 1e-2
    other = row.repeat(3, 1) + 0.1 * rows(3, 20, 1)
    assert weighting(gramian(other)).abs().max() < 1e5  # without the cap on averages: 1e8 and more


def test_eps_damps_short_gradients_as_in_torchjd_and_0_does_not():
    for eps, like in ((0.0, True), (1e-8, False)):
        usual, short = (GradientVaccine(eps=eps)(gramian(s * J2)) for s in (1.0, 1e-6))
        assert torch.allclose(usual, short, rtol=1e-6) is like


def test_memory_is_saved_loaded_and_forgotten():
    steps = [rows(3, 20, seed) for seed in range(6)]

    def run(descent, jacobians):
        return torch.stack([Plane(jacobian).update(descent) for jacobian in jacobians])

    first = Jacobian(GradientVaccine(0.3), seed=4)
    empty = {key: value.clone() for key, value in first.state_dict().items()}
    run(first, steps[:3])
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    expected = run(first, steps[3:])
    resumed = Jacobian(GradientVaccine(0.3), seed=4)
    saved.seek(0)
    resumed.load_state_dict(torch.load(saved, weights_only=True))
    assert resumed.aggregator.beta == 0.3
    assert torch.equal(run(resumed, steps[3:]), expected)
    resumed.load_state_dict(empty)
    assert resumed.aggregator.cosines is None
    resumed.aggregator.reset()
    assert torch.equal(run(resumed, steps), run(Jacobian(GradientVaccine(0.3), seed=4), steps))


def test_settings_are_no_state():
    """A state loaded into a descent with another beta leaves that beta."""
    other = Jacobian(GradientVaccine(0.9))
    other.load_state_dict(Jacobian(GradientVaccine(0.1)).state_dict())
    assert (other.aggregator.beta, other.aggregator.eps) == (0.9, 1e-8)


def test_another_number_of_tasks_is_an_error():
    weighting = GradientVaccine()
    weighting(gramian(rows(3)))
    with pytest.raises(UmbelError, match=r"averages of 3 tasks.*given 2.*reset"):
        weighting(gramian(rows(2)))
    weighting.reset()
    assert weighting(gramian(rows(2))).isfinite().all()
