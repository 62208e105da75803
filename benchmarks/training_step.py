"""A step of `fit` against a hand-written PyTorch loop: same network, data, optimizer, schedule and precision."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.measure import Row, compare, interleaved
from umbel.core import Batch, Learner, Task
from umbel.data import TensorSource
from umbel.descent import WeightedSum
from umbel.engine import FitSettings, Silent, open_runtime
from umbel.engine.loop import TrainingRun
from umbel.engine.plan import Plan
from umbel.nn import build_model
from umbel.tasks import classification

BATCH, SAMPLES, TURNS, WARM_UP, BLOCK = 128, 5120, 60, 5, 2
TASKS = {"fine": 100, "coarse": 20}
TARGET_TIME, TARGET_MEMORY = 1.03, 1.03


def _set() -> Batch:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (SAMPLES, 3, 32, 32), dtype=torch.uint8, generator=generator)
    targets = {name: torch.randint(0, count, (SAMPLES,), generator=generator) for name, count in TASKS.items()}
    return Batch(pictures, targets)


OPTIONS = {"conv": {}, "resnet": {"width": 16}}


def _model(encoder: str) -> tuple[nn.Module, list[Task]]:
    tasks = [classification(name, [str(i) for i in range(count)]) for name, count in TASKS.items()]
    return build_model((3, 32, 32), tasks, encoder, **OPTIONS[encoder]), tasks


def ours(encoder: str, bf16: bool, out: Path | None) -> Callable[[], None]:
    """A function that does `BLOCK` steps of the loop behind `fit`, logging included."""
    samples = _set()
    model, tasks = _model(encoder)
    settings = FitSettings(
        steps=10**6,
        batch_size=BATCH,
        precision="bf16" if bf16 else "float32",
        channels_last=bf16,
        validate_every=10**6,
        tensorboard=False,
        checkpoint_seconds=1e9,
    )
    source = TensorSource(samples)
    runtime = open_runtime().with_settings(settings.precision, 1)
    plan = Plan(
        Learner(model, tasks), WeightedSum(), source, source, settings, runtime, out, None, Silent(), "", {}, None
    )
    run = TrainingRun(plan)
    run.start(resume=False)
    run.learner.train()

    def steps() -> Iterator[None]:
        for epoch in range(10**6):
            for batch in source.train_batches(BATCH, 0, epoch):
                run._after_step(*run._step(run._placed(batch)))
                yield

    return _block(steps())


def by_hand(encoder: str, bf16: bool) -> Callable[[], None]:
    """The same, written out."""
    samples = _set()
    pictures, targets = samples.inputs, samples.targets
    model, _ = _model(encoder)
    trunk, heads = model.encoder, {name: model.heads[name] for name in TASKS}
    layout = torch.channels_last if bf16 else torch.contiguous_format
    model.to(memory_format=layout).train()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10**6)

    def steps() -> Iterator[None]:
        step = 0
        while True:
            order = torch.randperm(SAMPLES)
            for start in range(0, SAMPLES - BATCH + 1, BATCH):
                index = order[start : start + BATCH]
                x = pictures[index].float().div_(255).contiguous(memory_format=layout)
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    z = trunk(x)
                    losses = [F.cross_entropy(heads[name](z), targets[name][index]) for name in TASKS]
                optimizer.zero_grad(set_to_none=True)
                sum(losses).backward()
                optimizer.step()
                schedule.step()
                step += 1
                if not torch.isfinite(torch.stack(losses)).all():
                    raise RuntimeError("not finite")
                yield

    return _block(steps())


def _block(steps: Iterator[None]) -> Callable[[], None]:
    def block() -> None:
        for _ in range(BLOCK):
            next(steps)

    return block


def measure() -> list[Row]:
    rows = []
    for encoder in ("conv", "resnet"):
        for bf16 in (False, True):
            name = f"{encoder}, {'bf16 channels_last' if bf16 else 'float32'}, batch {BATCH}, 32x32, 2 tasks"
            with tempfile.TemporaryDirectory() as folder:
                turns = TURNS if encoder == "conv" else TURNS // 2
                mine, theirs = interleaved(ours(encoder, bf16, Path(folder)), by_hand(encoder, bf16), turns, WARM_UP)
            rows.append(compare(f"time of a step: {name}", mine, theirs, "by hand", TARGET_TIME, 1e3 / BLOCK, "ms"))
    peaks = [[_peak_mb(which) for _ in range(3)] for which in ("ours", "by_hand")]
    rows.append(compare("peak memory of the process: conv, float32", *peaks, "by hand", TARGET_MEMORY, 1, "MB"))
    return rows


def _peak_mb(which: str) -> float:
    """Peak resident memory of a process that does 40 steps and nothing else (imports are the same)."""
    call = "by_hand('conv', False)" if which == "by_hand" else "ours('conv', False, None)"
    code = (
        "import resource\nfrom benchmarks.training_step import *\n"
        f"block = {call}\nfor _ in range(20): block()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])
