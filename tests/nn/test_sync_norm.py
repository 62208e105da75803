import copy
import math

import pytest
import torch
from torch import nn
from two_processes import TwoProcesses, run_in_two_processes, share_of

from umbel import tasks
from umbel.core import Batch, Learner, MultiTaskModel, OperatingPoint, SingleProcess, UmbelError, shares, sum_gradients
from umbel.nn import build_model, synchronise_norms

TASKS = (
    tasks.classification("kind", ["a", "b", "c"]),
    tasks.regression("pm2.5", centre=1.0, scale=2.0),
    tasks.dense_regression("depth"),
)


def make_learner() -> Learner:
    model = build_model((2, 6, 6), TASKS, "conv", seed=3, widths=(5, 7), downsample=2)
    norm = nn.BatchNorm1d(7, momentum=None)
    model.heads["kind"].layers.insert(0, norm)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
            parameter.add_(noise, alpha=0.1)
    return Learner(model, TASKS).double()


def make_batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.rand(16, 2, 6, 6, generator=generator, dtype=torch.float64)
    pictures[:5] += 0.5  # the processes see different statistics
    kinds = torch.randint(-1, 3, (16,), generator=generator)
    ages = torch.randn(16, 1, generator=generator, dtype=torch.float64)
    ages[:5] = math.nan  # one process has no label of this task at all
    depth = torch.randn(16, 1, 6, 6, generator=generator, dtype=torch.float64)
    depth[torch.rand(depth.shape, generator=generator) < 0.3] = math.nan
    return Batch(pictures, {"kind": kinds, "pm2.5": ages, "depth": depth})


def task_gradients(learner: Learner, batch: Batch, runtime) -> torch.Tensor:
    """One row of gradients a task, over all parameters, summed over pieces and processes."""
    parameters = list(learner.parameters())
    rows = torch.zeros(len(TASKS), sum(p.numel() for p in parameters), dtype=torch.float64)
    for share in shares(learner, batch, OperatingPoint(), runtime):
        for row, loss in zip(rows, share.values(), strict=True):
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
            row.add_(torch.cat([g.reshape(-1) for g in gradients]))
    return runtime.sum(rows)


def train(runtime, part: slice) -> dict:
    """Two steps of gradient descent, and the gradients of every task on the way."""
    learner = make_learner()
    synchronise_norms(learner)
    optimiser = torch.optim.SGD(learner.parameters(), lr=0.1)
    rows = []
    for step in range(2):
        batch = make_batch(step)[part]
        rows.append(task_gradients(learner, batch, runtime))
        optimiser.zero_grad()
        for share in shares(learner, batch, OperatingPoint(), runtime):
            share.stack().sum().backward()
        sum_gradients(list(learner.parameters()), runtime)
        optimiser.step()
    result = {"rows": torch.stack(rows), "state": dict(learner.state_dict())}
    result["answers"] = learner.eval().predict(make_batch(9), OperatingPoint())["depth"].detach()
    return result


def batched_gradients(part: slice) -> torch.Tensor:
    """The same gradients from one vectorised backward pass, and the error of the one-by-one way."""
    learner = synchronise_norms(make_learner())
    shared = learner.shared_parameters()
    (share,) = shares(learner, make_batch(0)[part], OperatingPoint(), TwoProcesses())
    losses = share.stack()

    def gradients(weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(losses, shared, weights, retain_graph=True)

    at_once = torch.vmap(gradients)(torch.eye(3).double())
    singly = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses]
    pairs = [(g[i] - s).abs().max() for i, row in enumerate(singly) for g, s in zip(at_once, row, strict=True)]
    return torch.stack(pairs).max()


def curved(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    return layer(x).tanh().square().mean((2, 3, 4)).sum()


def second_derivatives(rank: int | None) -> torch.Tensor:
    """The gradient of a squared input gradient, through a three-dimensional norm without scale and shift."""
    layer = synchronise_norms(nn.BatchNorm3d(2, affine=False).double())
    x = torch.rand(8, 2, 2, 3, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (x if rank is None else x[share_of(rank)]).requires_grad_()
    (first,) = torch.autograd.grad(curved(x, layer), x, create_graph=True)
    return torch.autograd.grad(first.square().sum(), x)[0]


def empty_share(rank: int | None) -> torch.Tensor:
    """Running statistics when one process has no sample at all."""
    layer = synchronise_norms(nn.BatchNorm1d(3).double())
    x = torch.arange(12.0, dtype=torch.float64).reshape(4, 3).square()
    layer(x if rank in (None, 0) else x[:0])
    return torch.stack([layer.running_mean, layer.running_var])


def in_each_process() -> dict:
    rank = TwoProcesses().rank
    return {
        "train": train(TwoProcesses(), share_of(rank)),
        "batched": batched_gradients(share_of(rank)),
        "second": second_derivatives(rank),
        "empty": empty_share(rank),
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return run_in_two_processes(in_each_process, tmp_path_factory.mktemp("gloo"))


def assert_close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_train_as_one(both, rank):
    whole = train(SingleProcess(), slice(None))
    found = both[rank]["train"]
    assert_close(found["rows"], whole["rows"])
    assert_close(found["answers"], whole["answers"])
    assert found["state"].keys() == whole["state"].keys()
    for name, value in whole["state"].items():
        assert_close(found["state"][name], value)


def test_replicas_stay_identical_to_the_last_bit(both):
    for name, value in both[0]["train"]["state"].items():
        assert torch.equal(value, both[1]["train"]["state"][name]), name


def test_vectorised_backward_gives_the_same_gradients(both):
    assert max(result["batched"] for result in both) < 1e-12


def test_second_derivatives_match_one_process(both):
    assert_close(torch.cat([result["second"] for result in both]), second_derivatives(None))


def test_a_process_without_samples_takes_part(both):
    for result in both:
        assert_close(result["empty"], empty_share(None))


def test_without_synchronisation_two_processes_would_differ():
    # Otherwise the test above would pass for a layer that does nothing.
    x = make_batch(0).inputs
    norm = nn.BatchNorm2d(2).double()
    assert not torch.allclose(norm(x)[:5], norm(x[:5]), atol=1e-3)


def test_in_one_process_it_is_ordinary_batch_normalisation():
    plain = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    synchronised = synchronise_norms(copy.deepcopy(plain))
    x = torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    for training in (True, False):
        plain.train(training), synchronised.train(training)
        assert torch.equal(plain(x), synchronised(x))
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), synchronised.buffers(), strict=True))


def test_parameters_names_and_type_are_kept():
    module = nn.ModuleDict({"norm": nn.BatchNorm2d(3), "other": nn.LayerNorm(3)})
    weight, names = module["norm"].weight, list(module.state_dict())
    assert synchronise_norms(module) is module
    synchronise_norms(module)  # twice does no harm
    assert module["norm"].weight is weight
    assert list(module.state_dict()) == names
    assert isinstance(module["norm"], nn.BatchNorm2d)
    assert type(module["other"]) is nn.LayerNorm


def test_a_norm_with_its_own_forward_is_refused():
    class Special(nn.BatchNorm2d):
        pass

    with pytest.raises(UmbelError, match=r"stage\.1 is a Special"):
        synchronise_norms(
            MultiTaskModel(nn.Identity(), {"x": nn.ModuleDict({"stage": nn.Sequential(nn.ReLU(), Special(1))})})
        )
