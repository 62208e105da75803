"""What an aggregator needs (rows, their products, or nothing), and that its weights say all when it needs no rows."""

import pytest
import torch
from solver_cases import J3, gramian
from torchjd import aggregation as tj

from umbel.core import UmbelError
from umbel.descent import GradientSurgery, GramianWeighting
from umbel.descent.aggregation import Aggregation, inner_weighting, looks_at


class Loudest(GramianWeighting):
    def forward(self, gramian):
        return (gramian.diagonal() == gramian.diagonal().max()).to(gramian)


class ByGramian(tj.Weighting):
    def forward(self, stat, /):
        return stat.sum(1)


class Doubled(tj.MGDA):
    """Combines rows in a way of its own."""

    def forward(self, matrix, /):
        return 2 * super().forward(matrix)


FROM_GRAMIAN = {
    "AlignedMTL": tj.AlignedMTL,
    "CAGrad": lambda: tj.CAGrad(c=0.5),
    "CRMOGM": lambda: tj.GramianWeightedAggregator(tj.CRMOGMWeighting(tj.MGDAWeighting())),
    "FairGrad": lambda: tj.FairGrad(alpha=2.0),
    "GradVac": tj.GradVac,
    "IMTLG": tj.IMTLG,
    "Krum": lambda: tj.Krum(n_byzantine=0),
    "MGDA": tj.MGDA,
    "PCD": tj.PCD,
    "PCGrad": tj.PCGrad,
    "a weighting": tj.PCGradWeighting,
    "a smoothed weighting": lambda: tj.CRMOGMWeighting(tj.MGDAWeighting()),
    "a weighting of one's own, torchjd's kind": ByGramian,
    "a weighting of one's own": Loudest,
    "ours": GradientSurgery,
}
FROM_SHAPE = {
    "Constant": lambda: tj.Constant(torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)),
    "Mean": tj.Mean,
    "Random": tj.Random,
    "Sum": tj.Sum,
    "a weighting": tj.SumWeighting,
    "a smoothed weighting": lambda: tj.WeightedAggregator(tj.CRMOGMWeighting(tj.MeanWeighting())),
}
FROM_ROWS = {
    "ConFIG": tj.ConFIG,
    "ExcessMTL": tj.ExcessMTL,
    "GradDrop": tj.GradDrop,
    "TrimmedMean": lambda: tj.TrimmedMean(trim_number=1),
    "one that combines rows in its own way": Doubled,
    "a composed weighting": lambda: tj.MGDAWeighting() << (lambda rows: rows @ rows.T),
}


def two_steps(call, steps: tuple) -> list[torch.Tensor]:
    torch.manual_seed(3)
    return [call(step) for step in steps]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", FROM_GRAMIAN)
def test_weights_from_the_gramian_say_all(name):
    """Over two steps, so that state and draws count, and as the aggregator itself would do it."""
    make, steps = FROM_GRAMIAN[name], (J3, J3.flip(0) * 2)
    aggregation = Aggregation(make())
    assert (aggregation.needs_rows, aggregation.needs_gramian) == (False, True)
    weights = two_steps(lambda jacobian: aggregation.weights(gramian(jacobian)), steps)
    updates = two_steps(Aggregation(make()), steps)
    alone = make()

    def by_itself(jacobian):
        return alone(jacobian) if isinstance(alone, tj.Aggregator) else alone(gramian(jacobian)) @ jacobian

    for jacobian, weight, update, expected in zip(steps, weights, updates, two_steps(by_itself, steps), strict=True):
        assert torch.allclose(update, expected, rtol=1e-12, atol=1e-12)
        assert torch.allclose(weight @ jacobian, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FROM_SHAPE)
def test_weights_that_depend_on_the_number_of_rows_alone(name):
    make = FROM_SHAPE[name]
    aggregation = Aggregation(make())
    assert (aggregation.needs_rows, aggregation.needs_gramian) == (False, False)
    torch.manual_seed(0)
    update = aggregation(J3)
    torch.manual_seed(0)
    weights = Aggregation(make()).weights(torch.full((3, 3), torch.nan, dtype=torch.float64))  # G is not looked at
    assert torch.allclose(weights @ J3, update, rtol=1e-12)
    torch.manual_seed(0)
    alone = make()
    expected = alone(J3) if isinstance(alone, tj.Aggregator) else alone(J3) @ J3
    assert torch.allclose(update, expected, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", FROM_ROWS)
def test_what_needs_rows_says_so_and_still_works(name):
    aggregation = Aggregation(FROM_ROWS[name]())
    assert (aggregation.needs_rows, aggregation.needs_gramian) == (True, True)
    with pytest.raises(UmbelError, match="needs the gradients themselves"):
        aggregation.weights(gramian(J3))
    torch.manual_seed(0)
    update = aggregation(J3)
    torch.manual_seed(0)
    alone = FROM_ROWS[name]()
    expected = alone(J3) if isinstance(alone, tj.Aggregator) else alone(J3) @ J3
    assert torch.allclose(update, expected, rtol=1e-12)


def test_hooks_on_an_aggregator_see_the_jacobian():
    """TorchJD's way of monitoring. A hook on the Gramian's weighting costs nothing: it is called either way."""
    aggregator, seen = tj.MGDA(), []
    aggregation = Aggregation(aggregator)
    inner = aggregator.gramian_weighting.register_forward_hook(lambda *found: seen.append(found[2]))
    assert not aggregation.needs_rows
    aggregation(J3)
    assert torch.equal(seen.pop(), tj.MGDAWeighting()(gramian(J3)))
    inner.remove()
    for module in (aggregator, aggregator.weighting):
        hook = module.register_forward_hook(lambda *found: seen.append(found[1][0]))
        assert aggregation.needs_rows
        aggregation(J3)
        assert torch.equal(seen.pop(), J3)
        hook.remove()
        assert not aggregation.needs_rows


class Broken(GramianWeighting):
    """Gives what it is told, or raises it."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, gramian):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (torch.tensor([1.0, torch.nan, 0.0]), "Broken gave weights that are not finite"),
        (torch.ones(2), r"Broken gave weights of shape \[2\] for 3 rows"),
        (RuntimeError("no luck"), "Broken failed on a Gramian of 3 rows: no luck"),
        (UmbelError("as it is"), "^as it is$"),
    ],
)
def test_errors_name_the_aggregator(answer, message):
    for call in (lambda: Aggregation(Broken(answer)).weights(gramian(J3)), lambda: Aggregation(Broken(answer))(J3)):
        with pytest.raises(UmbelError, match=message):
            call()


def test_an_update_that_overflows_is_refused():
    rows = torch.tensor([[3e38, 1.0], [3e38, 1.0]])
    with pytest.raises(UmbelError, match="Sum gave an update that is not finite"):
        Aggregation(tj.Sum())(rows)
    with pytest.raises(UmbelError, match="GradientSurgery: the Gramian of the gradients is not finite"):
        Aggregation(GradientSurgery())(rows)


def test_a_wrong_number_of_rows_keeps_its_cause():
    """`Jacobian` tells a missing row from other faults by it."""
    for wrong in (tj.Constant(torch.ones(2)), tj.Krum(n_byzantine=1)):
        with pytest.raises(UmbelError, match=type(wrong).__name__) as raised:
            Aggregation(wrong).weights(gramian(J3))
        assert isinstance(raised.value.__cause__, ValueError)


def test_weights_come_in_the_gramians_precision_and_without_a_graph():
    rows = J3.float().requires_grad_()
    for make in (GradientSurgery, tj.MGDA, lambda: tj.Constant(torch.ones(3).double())):
        weights = Aggregation(make()).weights(gramian(rows))
        assert weights.dtype == torch.float32 and not weights.requires_grad
        assert not Aggregation(make())(rows).requires_grad


def test_what_is_inside():
    aggregator = tj.MGDA()
    assert inner_weighting(aggregator) is aggregator.gramian_weighting
    assert inner_weighting(tj.ConFIG()) is None
    assert [looks_at(w) for w in (tj.MeanWeighting(), tj.MGDAWeighting(), tj.ExcessMTLWeighting(), Loudest())] == [
        "shape",
        "gramian",
        "rows",
        "gramian",
    ]
