"""How much memory rows and deltas may take: a share of the machine's, and only above it they are walked again."""

import logging

import pytest
import torch
from torch import nn
from toys import POINT

from umbel import tasks
from umbel.core import Batch, Learner, MultiTaskModel, SingleProcess
from umbel.descent import make_descent
from umbel.descent.gramian import plan as plans
from umbel.descent.gramian import room
from umbel.descent.gramian.room import memory_of

CPU = torch.device("cpu")
TASKS = 8


@pytest.fixture(autouse=True)
def asked_anew():
    memory_of.cache_clear()
    yield
    memory_of.cache_clear()


class Tokens(nn.Module):
    """Four layers, 128 wide, over 16 tokens; the mean of the tokens."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, activation="gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 4)
        self.feature_shape = (128,)

    def forward(self, x):
        return self.layers(x).mean(1)


def learner() -> Learner:
    torch.manual_seed(0)
    goals = [tasks.classification(f"t{i}", 4) for i in range(TASKS)]
    return Learner(MultiTaskModel(Tokens(), {goal.name: nn.Linear(128, 4) for goal in goals}), goals).train()


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    targets = {f"t{i}": torch.randint(0, 4, (64,), generator=generator) for i in range(TASKS)}
    return Batch(torch.randn(64, 16, 128, generator=generator), targets)


def settled() -> tuple[dict[str, torch.Tensor], str]:
    """Gradients of one step by the engine "auto", and what the log says of it."""
    lines: list[str] = []
    handler, log = logging.Handler(), logging.getLogger("umbel.descent.gramian.choice")
    handler.emit = lambda record: lines.append(record.getMessage())
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        taught, descent = learner(), make_descent("aligned-mtl")
        descent.prepare(taught)
        descent(taught, batch(), POINT, SingleProcess())
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    (line,) = lines
    return {name: p.grad.clone() for name, p in taught.named_parameters()}, line


def test_rows_that_nobody_misses_are_kept_and_those_above_the_bound_walked_again(monkeypatch):
    monkeypatch.setattr(plans, "memory_of", lambda _: 16 * 2**30)
    kept, line = settled()
    assert "engine rows" in line
    assert line.endswith("the rows are kept (25 MB; they may take 1,074 MB)")
    monkeypatch.setattr(plans, "memory_of", lambda _: 16 * 2**20)  # what a plain step holds decides
    again, line = settled()
    assert "one more walk teaches" in line
    assert "to keep all would take 25 MB; they may take" in line
    for name, gradient in kept.items():
        torch.testing.assert_close(again[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_only_what_is_settled_is_counted(monkeypatch):
    monkeypatch.setattr(plans, "memory_of", lambda _: 0)
    _, line = settled()
    shared = len(learner().shared_parameters())
    assert f"0 of {shared} shared parameters give deltas" in line
    again = int(line.split("teaches ")[1].split(" ")[0])
    assert 0 < again <= shared


def test_many_tasks_alone_may_be_walked_again(monkeypatch):
    """Of few the rows are kept whatever they take; the log says that this is above the bound."""
    monkeypatch.setattr(plans, "memory_of", lambda _: 0)
    monkeypatch.setattr(f"{__name__}.TASKS", 7)
    _, line = settled()
    assert "but one more walk would take long" in line


def test_the_memory_is_that_of_the_machine_or_of_its_container(tmp_path, monkeypatch):
    whole = memory_of(CPU)
    assert whole > 2**28
    assert memory_of(CPU) == whole, "what is used meanwhile must not count"
    limit = tmp_path / "limit"
    monkeypatch.setattr(room, "_LIMITS", (str(limit), str(tmp_path / "absent")))
    for text, expected in (("max\n", None), (f"{2**20}\n", 2**20), (f"{2**62}\n", None), ("", None)):
        limit.write_text(text)
        memory_of.cache_clear()
        monkeypatch.setattr(room.os, "sysconf", lambda name: 2**12 if "SIZE" in name else 2**20)
        assert memory_of(CPU) == (expected or 2**32)


def test_where_the_memory_is_not_known_the_plain_step_decides(monkeypatch):
    def unknown(_):
        raise ValueError

    monkeypatch.setattr(room, "_LIMITS", ())
    monkeypatch.setattr(room.os, "sysconf", unknown)
    assert memory_of(CPU) == 0
    assert memory_of(torch.device("meta")) == 0
    _, line = settled()
    assert "one more walk teaches" in line


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_memory_of_a_gpu_is_its_own():
    assert memory_of(torch.device("cuda")) == torch.cuda.get_device_properties(0).total_memory
