"""The training loop. It knows no method: a learner makes losses, a descent writes gradients."""

import dataclasses
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from umbel.core import Batch, Descent, Learner, Losses, OperatingPoint, UmbelError, check_finite
from umbel.data import Source, seeded
from umbel.engine import checkpoint as checkpoints
from umbel.engine.evaluation import Evaluation, Monitor, evaluate
from umbel.engine.log import Log
from umbel.engine.optimise import learning_rate_factor, make_optimizer, set_learning_rate
from umbel.engine.progress import Reporter, Silent
from umbel.engine.runtime import FabricRuntime, fastest_precision, open_runtime
from umbel.engine.settings import FitSettings

Observer = Callable[[int, Learner, Batch, OperatingPoint], None]
"""Called before each step with (step, learner, batch, point); must leave everything as it is."""


class Interrupted(UmbelError):
    """The user stopped the run; its state is saved."""


@dataclass(frozen=True)
class Fitted:
    """How a run ended.

    Attributes:
        steps: Optimizer steps done.
        best_step: Step of the best validation.
        best: Its evaluation. The learner holds the weights of that step.
        seconds_per_step: Median over the steps that this process did itself (NaN when it did none).
        settings: The settings as they were resolved (precision, memory format).
    """

    steps: int
    best_step: int
    best: Evaluation
    seconds_per_step: float
    settings: FitSettings


def resolve_settings(settings: FitSettings, runtime: FabricRuntime) -> FitSettings:
    """Settings with `auto` precision and memory format decided on this machine; all processes agree."""
    precision = settings.precision
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
    out: Path | None = None,
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
        train: Training split.
        validation: Split that chooses the best step.
        settings: How; defaults to `FitSettings()`.
        out: Folder for checkpoints and logs; None keeps everything in memory.
        resume: Go on from the last checkpoint in `out`, if there is one.
        runtime: Processes; defaults to one.
        references: Task -> main metric that "improvement" is relative to; defaults to the first validation.
        reporter: Where progress goes; defaults to nowhere.
        label: Name of the run in the progress.
        describe: Kept in the checkpoints' settings.json (how to rebuild the model, say).
        observe: Called before each step.

    Raises:
        UmbelError: A loss is not finite, the disk is full, the folder holds another run, ...
        Interrupted: Ctrl-C or SIGTERM; the state was saved.
    """
    runtime = runtime or open_runtime()
    settings = resolve_settings(settings or FitSettings(), runtime)
    run = _Run(
        learner,
        descent,
        train,
        validation,
        settings,
        out,
        runtime.with_settings(settings.precision, settings.accumulate),
    )
    run.references, run.label, run.describe = references, label, dict(describe or {})
    run.reporter, run.observe = reporter or Silent(), observe
    run.start(resume)
    return run.train_all()


class _Run:
    """State and steps of one call of `fit`."""

    def __init__(self, learner, descent, train, validation, settings: FitSettings, out, runtime) -> None:
        self.learner, self.descent, self.train, self.validation = learner, descent, train, validation
        self.settings, self.out, self.runtime = settings, out, runtime
        self.epoch_steps = train.steps(settings.batch_size)
        self.total = settings.steps or settings.epochs * self.epoch_steps
        self.validate_every = settings.validate_every or self.epoch_steps
        self.step, self.best_step, self.best_score = 0, 0, -float("inf")
        self.best: Evaluation | None = None
        self.best_weights: dict | None = None
        self.first: dict[str, float] | None = None
        self.interval: torch.Tensor | None = None
        self.interval_steps = 0
        self.times: list[float] = []
        self.saved_at = time.monotonic()
        self.stop = False

    # -- setting up ---------------------------------------------------------------------------------

    def start(self, resume: bool) -> None:
        if self.settings.batch_size % self.runtime.world_size:
            raise UmbelError(
                f"batch size {self.settings.batch_size} does not divide by {self.runtime.world_size} processes"
            )
        folder = self.checkpoint_folder
        previous = checkpoints.latest(folder, "step") if folder else None
        if previous and not resume:
            raise UmbelError(f"{self.out} already holds a run; go on with --resume or choose another folder")
        self.learner.to(self.runtime.device)
        if self.settings.channels_last:
            self.learner.to(memory_format=torch.channels_last)
        self.descent.to(self.runtime.device)
        self.descent.prepare(self.learner)
        self.optimizer = make_optimizer([self.learner, self.descent], self.settings)
        if previous:
            self.restore(checkpoints.load(previous))
        if self.settings.compile:
            self.learner.model.encoder.compile()
        self.runtime.check_replicas(self.learner, f"at step {self.step}")
        main_out = self.out if self.runtime.is_main else None
        if main_out:
            main_out.mkdir(parents=True, exist_ok=True)
        self.log = Log(main_out, self.step, self.settings.tensorboard)

    @property
    def checkpoint_folder(self) -> Path | None:
        return self.out / "checkpoints" if self.out else None

    def restore(self, saved: checkpoints.Checkpoint) -> None:
        """Everything as it was at the checkpoint's step."""
        checkpoints.load_weights(self.learner, saved)
        state = saved.state
        before = saved.settings["fit"]
        same = dataclasses.asdict(self.settings)
        for name in ("seed", "batch_size", "optimizer", "learning_rate", "schedule", "precision", "accumulate"):
            if before[name] != same[name]:
                raise UmbelError(
                    f"{saved.path} was trained with {name}={before[name]}, not {same[name]}; use that to resume"
                )
        self.optimizer.load_state_dict(state["optimizer"])
        self.descent.load_state_dict(state["descent"])
        self.step, self.best_step, self.best_score = saved.step, state["best_step"], state["best_score"]
        self.best = Evaluation(**state["best"]) if state["best"] else None
        self.first = state["first"]
        self.interval, self.interval_steps = state["interval"], state["interval_steps"]
        if self.interval is not None:
            self.interval = self.interval.to(self.runtime.device)

    # -- training -----------------------------------------------------------------------------------

    def train_all(self) -> Fitted:
        self.learner.train()
        self.reporter.begin(self.label, self.total, self.step)
        with self.interruptible():
            while self.step < self.total:
                epoch, start = divmod(self.step, self.epoch_steps)
                for batch in self.train.train_batches(
                    self.settings.batch_size,
                    self.settings.seed,
                    epoch,
                    start,
                    self.runtime.rank,
                    self.runtime.world_size,
                ):
                    self.one_step(self.placed(batch))
                    if self.step == self.total:
                        break
        self.finish()
        times = sorted(self.times)
        median = times[len(times) // 2] if times else float("nan")
        return Fitted(self.step, self.best_step, self.best, median, self.settings)

    def one_step(self, batch: Batch) -> None:
        began = time.perf_counter()
        settings, runtime = self.settings, self.runtime
        point = self.learner.draw_point(seeded(settings.seed, self.step, 2), self.step / self.total)
        torch.manual_seed(seeded(settings.seed, self.step, 3, runtime.rank).initial_seed())
        if self.observe:
            self.observe(self.step, self.learner, batch, point)
        rate = settings.learning_rate * learning_rate_factor(self.step, self.total, settings)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.descent(self.learner, batch, point, runtime)
        self.check(losses)
        if settings.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.learner.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.learner.after_step()
        self.descent.after_step(self.learner, batch, point, runtime)
        self.step += 1
        if self.step % self.epoch_steps == 0:
            self.descent.after_epoch()
        self.times.append(time.perf_counter() - began)
        self.record(losses, rate)
        if self.step % self.validate_every == 0 or self.step == self.total:
            self.validate()
        self.save_if_due()

    def check(self, losses: Losses) -> None:
        """Stop on a loss that is not finite, before it reaches the weights."""
        try:
            check_finite(losses)
        except UmbelError as error:
            last = checkpoints.latest(self.checkpoint_folder, "step") if self.checkpoint_folder else None
            good = f"last good checkpoint: {last}" if last else "there is no checkpoint before it"
            raise UmbelError(f"step {self.step + 1}: {error} ({good})") from None

    def placed(self, batch: Batch) -> Batch:
        """The batch on the device, pictures in the chosen memory format."""
        if self.runtime.device.type != "cpu":
            batch = batch.to(self.runtime.device)
        if self.settings.channels_last and isinstance(batch.inputs, torch.Tensor) and batch.inputs.ndim == 4:
            batch = dataclasses.replace(batch, inputs=batch.inputs.contiguous(memory_format=torch.channels_last))
        return batch

    def record(self, losses: Losses, rate: float) -> None:
        values = losses.stack()
        self.interval = values if self.interval is None else self.interval + values
        self.interval_steps += 1
        if self.step % self.settings.log_every == 0 or self.step == self.total:
            means = dict(zip(losses, (self.interval / self.interval_steps).tolist(), strict=True))
            self.interval, self.interval_steps = None, 0
            self.log.write("train", self.step, {**means, "learning_rate": rate})
            self.reporter.step(self.step, means)

    def validate(self) -> None:
        evaluation = evaluate(
            self.learner, self.validation, self.runtime, batch_size=max(256, self.settings.batch_size)
        )
        self.first = self.first or evaluation.main()
        monitor = Monitor(self.settings.monitor, self.references or self.first)
        score = monitor.score(evaluation, self.learner)
        flat = {f"{t}/{m}": v for t, values in evaluation.metrics.items() for m, v in values.items()}
        losses = {f"{t}/loss": v for t, v in evaluation.losses.items()}
        self.log.write("validation", self.step, {**flat, **losses, self.settings.monitor: score})
        if self.best is None or score > self.best_score:
            self.best, self.best_score, self.best_step = evaluation, score, self.step
            self.best_weights, _ = checkpoints.split_state(self.learner)

    # -- saving -------------------------------------------------------------------------------------

    def save_if_due(self) -> None:
        due = torch.tensor([self.stop, time.monotonic() - self.saved_at > self.settings.checkpoint_seconds]).float()
        if self.runtime.world_size > 1:
            if self.step % self.settings.log_every:
                return
            due = self.runtime.sum(due.to(self.runtime.device))
        stop, late = due.tolist()
        if stop or late:
            self.save()
        if stop:
            raise Interrupted(
                f"stopped at step {self.step} of {self.total}"
                + (f"; the state is in {self.out}, go on with --resume" if self.out else "")
            )

    def save(self) -> None:
        """Write the best weights, then the state to resume from."""
        self.runtime.check_replicas(self.learner, f"at step {self.step}")
        folder = self.checkpoint_folder
        if folder and self.runtime.is_main:
            settings = {"fit": dataclasses.asdict(self.settings), **self.describe}
            if self.best_weights is not None:
                best = {"metrics": self.best.metrics, "losses": self.best.losses}
                checkpoints.save(folder, "best", self.best_step, self.best_weights, best, settings)
            weights, extra = checkpoints.split_state(self.learner)
            checkpoints.save(folder, "step", self.step, weights, {**self.state(), "learner_extra": extra}, settings)
        self.runtime.barrier()
        self.saved_at = time.monotonic()

    def state(self) -> dict:
        return {
            "optimizer": self.optimizer.state_dict(),
            "descent": self.descent.state_dict(),
            "best_step": self.best_step,
            "best_score": self.best_score,
            "best": dataclasses.asdict(self.best) if self.best else None,
            "first": self.first,
            "interval": self.interval,
            "interval_steps": self.interval_steps,
        }

    def finish(self) -> None:
        """Save, and leave the learner with its best weights."""
        self.save()
        self.log.close()
        self.reporter.end()
        weights = self.best_weights
        if weights is None and self.checkpoint_folder:
            weights = checkpoints.load(checkpoints.latest(self.checkpoint_folder, "best")).weights
        extra = {k: v for k, v in self.learner.state_dict().items() if not isinstance(v, torch.Tensor)}
        self.learner.load_state_dict({**weights, **extra})

    @contextmanager
    def interruptible(self):
        """Ctrl-C and SIGTERM end the run after the step in hand; a second Ctrl-C ends it at once."""

        def request(number, _frame) -> None:
            if self.stop:
                raise KeyboardInterrupt
            self.stop = True

        try:
            previous = {s: signal.signal(s, request) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: signals stay as they are
            previous = {}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
