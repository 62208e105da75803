"""`fit`: train any learner with any descent."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from umbel.core import Descent, Evaluation, Learner
from umbel.data import Source, poisson
from umbel.engine import checkpoint as checkpoints
from umbel.engine.folder import claimed, output_folder
from umbel.engine.loop import TrainingRun
from umbel.engine.plan import Observer, Plan
from umbel.engine.progress import Reporter, Silent
from umbel.engine.runtime import FabricRuntime, fastest_precision, open_runtime
from umbel.engine.settings import FitSettings


@dataclass(frozen=True)
class Fitted:
    """How a run ended.

    Attributes:
        steps: Optimizer steps done.
        best_step: Step of the best validation.
        best: Its evaluation. The learner holds the weights of that step.
        seconds_per_step: Median over the steps that this process did itself (NaN when it did none).
        settings: The settings as they were resolved (precision, memory format).
        statements: What the descent says must be said of the network; see `Descent.statements`.
    """

    steps: int
    best_step: int
    best: Evaluation
    seconds_per_step: float
    settings: FitSettings
    statements: tuple[str, ...]


def resolve_settings(settings: FitSettings, runtime: FabricRuntime, resumed: Path | None = None) -> FitSettings:
    """Settings with `auto` precision and memory format decided on this machine; all processes agree.

    A run that is resumed from the folder `resumed` keeps what was decided when it began.
    """
    precision = settings.precision
    previous = checkpoints.latest(resumed / "checkpoints", "step") if resumed else None
    if previous and precision == "auto":
        before = checkpoints.load_checkpoint(previous).settings["fit"]
        return settings.replace(precision=before["precision"], channels_last=before["channels_last"])
    if precision == "auto":
        choice = torch.tensor(float(runtime.is_main and fastest_precision(runtime.device)[0] == "bf16"))
        precision = "bf16" if runtime.sum(choice.to(runtime.device)).item() else "float32"
    fast = precision == "bf16" or runtime.device.type != "cpu"
    channels_last = fast if settings.channels_last is None else settings.channels_last
    return settings.replace(precision=precision, channels_last=channels_last)


def fit(
    learner: Learner,
    descent: Descent,
    train: Source,
    validation: Source,
    settings: FitSettings | None = None,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    runtime: FabricRuntime | None = None,
    references: Mapping[str, float] | None = None,
    reporter: Reporter | None = None,
    label: str = "training",
    describe: Mapping[str, object] | None = None,
    observe: Observer | None = None,
) -> Fitted:
    """Train a learner; on return it holds the weights of its best validation.

    Randomness of a step depends on (seed, step, process) alone, so a run that was killed and resumed ends
    bit-identical to one that was not (on the CPU, with the same number of processes and threads).

    Args:
        learner: What is trained, in place.
        descent: Writes the gradients of a step.
        train: Training split. Where the descent wants samples drawn by themselves, its batches are so drawn.
        validation: Split that chooses the best step.
        settings: How; defaults to `FitSettings()`.
        out: Folder for checkpoints and logs: a new or empty one, or one that holds a run already. No other process can
            train in it meanwhile. None keeps everything in memory.
        resume: Go on from the last checkpoint in `out`, if there is one.
        runtime: Processes; defaults to one.
        references: Task -> main metric that "improvement" is relative to; without them each validation is compared
            with the best one before it (`Monitor`).
        reporter: Where progress goes; defaults to nowhere.
        label: Name of the run in the progress.
        describe: Kept in the checkpoints' settings.json (how to rebuild the model, say).
        observe: Called before each step.

    Raises:
        UmbelError: A loss is not finite, the disk is full, the folder holds another run or something else or is in use
            by another process, ...
        Interrupted: Ctrl-C or SIGTERM; the state was saved.
    """
    runtime = runtime or open_runtime()
    folder = None if out is None else output_folder(out)
    with claimed(folder, "run", runtime, resume) if folder else nullcontext():
        settings = resolve_settings(settings or FitSettings(), runtime, folder if resume else None)
        plan = Plan(
            learner=learner,
            descent=descent,
            train=poisson(train) if descent.independent_samples else train,
            validation=validation,
            settings=settings,
            runtime=runtime.with_settings(settings.precision, settings.accumulate),
            out=folder,
            references=references,
            reporter=reporter or Silent(),
            label=label,
            describe=dict(describe or {}),
            observe=observe,
        )
        run = TrainingRun(plan)
        run.start()
        run.train()
    assert run.progress.best is not None, "the last step is validated"
    seconds = sorted(run.step_seconds)
    median = seconds[len(seconds) // 2] if seconds else float("nan")
    said = descent.statements()
    return Fitted(run.progress.step, run.progress.best_step, run.progress.best, median, settings, said)
