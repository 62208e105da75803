"""Run by two processes: `python toy_pairs.py FOLDER [CASE...]`, alone (Fabric starts the second) or under torchrun.

Each process writes what it ended with to FOLDER/rank{0,1}.pt; the tests compare.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from toy_contracts import ALL, make
from toy_learners import TOYS

from umbel.core import Descent, Losses
from umbel.descent import make_descent
from umbel.engine import FabricRuntime, evaluate, fit, open_runtime
from umbel.errors import UmbelError

STEPS = 18


@dataclass(frozen=True)
class Case:
    toy: str
    accumulate: int = 1
    descent: str | None = None


PIECES = (
    *("slimmable", "private", "adversarial", "grid angles", "boxes", "series", "critic in turns", "poisson"),
    *("ascending critic", "concepts"),
)
CASES: Mapping[str, Case] = {
    **{name: Case(name) for name in ALL},
    **{f"{name}, 2 pieces": Case(name, 2) for name in PIECES},
    **{f"{name}, 2 pieces": Case("gradient groups", 2, name) for name in ("upgrad", "pcgrad", "nash-mtl")},
    **{name: Case("gradient groups", 1, name) for name in ("uncertainty", "dwa", "famo", "random-weights", "equal")},
    "famo, 2 pieces": Case("gradient groups", 2, "famo"),
    "geometric-mean, 2 pieces": Case("gradient groups", 2, "geometric-mean"),
    "normalised mgda": Case("mean teacher", 1, "mgda"),
}


def train(case: Case, runtime: FabricRuntime | None, **changes) -> dict[str, torch.Tensor]:
    """The learner's state after the last step, and its validation losses."""
    toy = make(case.toy)
    descent = make_descent(case.descent) if case.descent else toy.descent
    settings = replace(toy.settings, steps=STEPS, validate_every=1000, accumulate=case.accumulate, **changes)
    fitted = fit(toy.learner, descent, toy.train, toy.validation, settings, runtime=runtime)
    state = {**toy.learner.state_dict(), **{f"descent.{n}": p for n, p in descent.named_parameters()}}
    losses = {f"validation {name}": torch.tensor(value) for name, value in fitted.best.losses.items()}
    return {name: tensor.detach().clone() for name, tensor in {**state, **losses}.items()}


def message(function: Callable[[], object]) -> str:
    """The error that a user would see."""
    try:
        function()
    except UmbelError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


class LocalNaN(Descent):
    """The loss of one process is NaN; it says so in the sum over processes."""

    def forward(self, learner, batch, point, runtime):
        value = torch.tensor(float("nan") if runtime.rank == 1 else 1.0)
        return Losses({"value": runtime.sum(value)})


def together(runtime: FabricRuntime, folder: Path) -> dict:
    """What only several processes can get wrong."""
    toy = make("mean teacher")
    found = {}
    for size in (256, 10):
        result = evaluate(toy.learner, toy.validation, runtime, batch_size=size)
        found[f"metrics {size}"], found[f"losses {size}"] = result.metrics, result.losses
    first = replace(toy.validation.samples, targets=dict(toy.validation.samples.targets))
    first.targets["side"][10:] = -1  # the second process sees no label of this task
    found["uneven"] = evaluate(toy.learner, type(toy.validation)(first), runtime, batch_size=10).metrics
    found["odd batch"] = message(lambda: train(Case("slimmable"), runtime, batch_size=33))
    found["one is NaN"] = message(
        lambda: fit(make("slimmable").learner, LocalNaN(), toy.train, toy.validation, toy.settings, runtime=runtime)
    )
    part = runtime.sum_scattered(torch.arange(10.0).view(2, 5) * (1 + runtime.rank))
    assert part.shape == ((2, 3), (2, 2))[runtime.rank]
    found["rows"] = [runtime.gather(row, 5).tolist() for row in part]
    torch.manual_seed(runtime.rank)
    own = TOYS["slimmable"]()
    found["own weights"] = message(
        lambda: fit(own.learner, own.descent, own.train, own.validation, own.settings, runtime=runtime)
    )
    own = make("two domains")
    own.learner.sureness = lambda evaluation, runtime: float(runtime.rank)
    found["own scores"] = message(
        lambda: fit(own.learner, own.descent, own.train, own.validation, own.settings, runtime=runtime)
    )
    found["frozen"] = own.learner.model.encoder[0].running_mean.tolist()
    found["interrupted"] = message(lambda: stopped(runtime, folder, stop_at=7))
    found["resumed"] = stopped(runtime, folder)
    found["uninterrupted"] = stopped(runtime, folder.with_name("whole"))
    return found


def stopped(runtime: FabricRuntime, folder: Path, stop_at: int | None = None) -> dict[str, torch.Tensor]:
    """A noisy learner; one process alone hears the signal."""
    toy = make("noisy autoencoder")

    def observe(step: int, *_: object) -> None:
        if step == stop_at and runtime.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    fit(
        toy.learner, toy.descent, toy.train, toy.validation, replace(toy.settings, steps=STEPS),
        out=folder, resume=True, runtime=runtime, observe=observe,
    )  # fmt: skip
    return {name: tensor.clone() for name, tensor in toy.learner.state_dict().items()}


def main(folder: Path, names: list[str]) -> None:
    runtime = open_runtime(2)
    result: dict = {name: train(CASES[name], runtime) for name in names or CASES}
    result["processes"] = runtime.world_size
    if not names:
        result["together"] = together(runtime, folder / "run")
    torch.save(result, folder / f"rank{runtime.rank}.pt")
    runtime.barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
