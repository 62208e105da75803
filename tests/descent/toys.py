"""Small float64 learners, batches with holes, and two processes that are really two threads taking turns."""

import threading

import torch
from torch import nn

from umbel.core import Batch, Learner, Losses, MultiTaskModel, OperatingPoint, SingleProcess, Task
from umbel.core.collectives import own_columns

POINT = OperatingPoint()
NAMES = ("a", "b", "c")


def squared(prediction, target):
    return (prediction - target).square()


def task(name: str, outputs: int = 2) -> Task:
    return Task(name, outputs, squared, {"mse": object}, False)


def batch(count: int = 12, missing: float = 0.3, seed: int = 1) -> Batch:
    """Targets [count, 2] for three tasks, some elements NaN, unevenly over the batch."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 2, 6, 6, generator=generator, dtype=torch.float64)
    targets = {}
    for name in NAMES:
        target = torch.randn(count, 2, generator=generator, dtype=torch.float64) + 0.5
        target[torch.rand(count, 2, generator=generator) < missing] = torch.nan
        targets[name] = target
    return Batch(inputs, targets)


def learner(normalise: bool = False, dropout: float = 0.0, seed: int = 0) -> Learner:
    """Convolution (and BN, dropout) shared; a linear head for each of three tasks."""
    torch.manual_seed(seed)
    norm = nn.BatchNorm2d(4) if normalise else nn.Identity()
    encoder = nn.Sequential(
        nn.Conv2d(2, 4, 3), norm, nn.ReLU(), nn.Dropout(dropout), nn.Conv2d(4, 5, 3), nn.Tanh(), nn.Flatten(),
        nn.Linear(20, 6), nn.Tanh(),
    )  # fmt: skip
    model = MultiTaskModel(encoder, {name: nn.Linear(6, 2) for name in NAMES})
    return Learner(model, [task(name) for name in NAMES]).double()


class Plane(Learner):
    """Losses L_t = b_t + J_t θ: the Jacobian over the shared parameters is J, whatever the batch."""

    def __init__(self, jacobian: torch.Tensor, offsets: torch.Tensor | None = None) -> None:
        encoder = nn.ParameterDict({"theta": nn.Parameter(torch.zeros(jacobian.shape[1], dtype=jacobian.dtype))})
        model = nn.Module()
        model.encoder = encoder
        super().__init__(model, [task(f"t{i}") for i in range(len(jacobian))])
        self.register_buffer("jacobian", jacobian)
        self.register_buffer("offsets", torch.ones(len(jacobian), dtype=jacobian.dtype) if offsets is None else offsets)

    def losses(self, batch, point) -> Losses:
        values = self.offsets + self.jacobian @ self.model.encoder["theta"]
        return Losses({t.name: value for t, value in zip(self.tasks, values, strict=True)})

    def counts(self, batch):
        return {t.name: torch.tensor(len(batch)) for t in self.tasks}

    def update(self, descent) -> torch.Tensor:
        """What the descent writes for θ."""
        descent.prepare(self)
        self.zero_grad()
        descent(self, Batch(torch.zeros(2, 1)), POINT, SingleProcess())
        return self.model.encoder["theta"].grad


def gradients(module: nn.Module) -> dict[str, torch.Tensor | None]:
    return {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}


def assert_same(one: dict, other: dict, tolerance: float = 1e-12) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert (value is None) == (other[name] is None), name
        if value is not None:
            assert torch.allclose(value, other[name], rtol=tolerance, atol=tolerance), name


def train(descent, taught, batches, runtime=None, rate: float = 0.05, epoch: int = 2):
    """Plain gradient descent through every hook of the contract; returns the losses of each step."""
    runtime = runtime or SingleProcess()
    logged = []
    for step, item in enumerate(batches):
        for p in [*taught.parameters(), *descent.parameters()]:
            p.grad = None
        logged.append(descent(taught, item, POINT, runtime).stack())
        with torch.no_grad():
            for p in [*taught.parameters(), *descent.parameters()]:
                if p.grad is not None:
                    p.sub_(rate * p.grad)
        descent.after_step(taught, item, POINT, runtime)
        if step % epoch == epoch - 1:
            descent.after_epoch()
    return torch.stack(logged) if logged else None


class TwoRanks:
    """Runs a function on two ranks, in threads of which one runs at a time; `sum` is where they wait for each other."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._meet = threading.Barrier(2)
        self._given: list = [None, None]

    def run(self, function, accumulate: int = 1) -> list:
        results, errors = [None, None], []

        def rank(index: int) -> None:
            runtime = SingleProcess(accumulate)
            runtime.rank, runtime.world_size = index, 2
            runtime.sum = lambda tensor: self._sum(index, tensor)
            runtime.sum_scattered = lambda rows: self._sum(index, rows)[:, own_columns(rows.shape[1], index, 2)]
            runtime.gather = lambda piece, total: self._gather(index, piece, total)
            try:
                with self._turn:
                    results[index] = function(index, runtime)
            except BaseException as error:
                errors.append(error)
                self._meet.abort()

        threads = [threading.Thread(target=rank, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        real = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
        if errors:
            raise (real or errors)[0]
        return results

    def _gather(self, index: int, piece: torch.Tensor, total: int) -> torch.Tensor:
        whole = piece.new_zeros(total)
        whole[own_columns(total, index, 2)] = piece
        return self._sum(index, whole)

    def _sum(self, index: int, tensor: torch.Tensor) -> torch.Tensor:
        assert not tensor.requires_grad
        self._given[index] = tensor.clone()
        self._turn.release()
        try:
            self._meet.wait(timeout=20)
            assert self._given[0].shape == self._given[1].shape, "the ranks are at different sums"
            result = self._given[0] + self._given[1]
            self._meet.wait(timeout=20)
        finally:
            self._turn.acquire()
        return result
