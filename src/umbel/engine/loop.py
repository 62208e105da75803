"""One training run: its state, its steps, and what it leaves on disk."""

import dataclasses
import itertools
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from umbel.core import (
    Batch,
    Losses,
    Sampling,
    UmbelError,
    align,
    check_classes,
    check_dense,
    check_finite,
    check_loss_parameters,
    check_scales,
)
from umbel.core.seeding import seed_default
from umbel.data import PoissonSource, seeded
from umbel.engine import checkpoint as checkpoints
from umbel.engine.evaluation import evaluate
from umbel.engine.log import Log
from umbel.engine.modes import start_training
from umbel.engine.monitor import Monitor
from umbel.engine.optimise import learning_rate_factor, load_optimizer, make_optimizer, set_learning_rate
from umbel.engine.plan import Plan, Progress
from umbel.engine.same_run import check_same_data, check_same_settings, described
from umbel.nn import synchronise_norms

_FIXED = (
    *("seed", "batch_size", "accumulate", "optimizer", "learning_rate", "weight_decay", "schedule", "warmup"),
    *("clip_norm", "precision", "channels_last"),  # moments of the optimizer have the weights' memory format
    *("compile", "validate_every", "monitor"),  # another rounding; other checkpoints to choose from
)


class Interrupted(UmbelError):
    """The user stopped the run; its state is saved."""


@contextmanager
def _pieces_normalised() -> Iterator[None]:
    """Batch normalisation that meets a single value becomes one line that says what to change."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UmbelError(
            "batch normalisation has one sample, of which there is no spread; raise `batch_size`, lower `accumulate`, "
            "or take a network that normalises otherwise"
        ) from error


class TrainingRun:
    """State and steps of one call of `fit`."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.settings, self.runtime, self.learner = plan, plan.settings, plan.runtime, plan.learner
        self.epoch_steps = plan.train.steps(self.settings.batch_size)
        self.total = self.settings.total_steps(self.epoch_steps)
        self.validate_every = self.settings.validate_every or max(self.epoch_steps, self.total // 50)
        self.progress = Progress()
        self.best_weights: dict[str, Tensor] | None = None
        self.best_extra: dict[str, Any] = {}
        self.loss_names: list[str] = []
        self.step_seconds: list[float] = []
        self.saved_at = time.monotonic()
        self.stop_requested = False
        self._done = False  # the learner wants no further step
        self.folder = plan.out / "checkpoints" if plan.out else None
        self.described = described(plan) if plan.out else {}
        self._check_sizes(self.settings.batch_size, self.runtime.world_size, self.settings.accumulate)

    def _check_sizes(self, size: int, processes: int, pieces: int) -> None:
        if size % processes:
            raise UmbelError(
                f"batch size {size} does not divide by {processes} processes; use a multiple of {processes}"
            )
        if pieces > (each := min(size, len(self.plan.train)) // processes):
            raise UmbelError(f"cannot split a batch of {each} samples into {pieces} pieces; lower `accumulate`")

    # -- setting up ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Place the learner, make the optimizer, and take up a previous run where there is one.

        The folder is claimed (see `umbel.engine.folder`).
        """
        previous = checkpoints.latest(self.folder, "step") if self.folder else None
        Monitor(self.settings.monitor, self.plan.references or {}).check(self.learner)
        check_dense(self.learner)
        check_scales(self.learner.tasks, self.plan.train.train_batches(self.settings.batch_size, self.settings.seed, 0))
        if self.runtime.world_size > 1:
            synchronise_norms(self.learner)
        self.learner.to(self.runtime.device)
        if self.settings.channels_last:
            self.learner.to(memory_format=torch.channels_last)
        self.plan.descent.to(self.runtime.device)
        self.plan.descent.learns_from(self._sampling())
        self.plan.descent.prepare(self.learner)
        self.optimizer = make_optimizer(
            [self.learner, self.plan.descent], self.settings, self.learner.parameter_groups()
        )
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        check_loss_parameters(self.learner.tasks, self.trained)
        if previous:
            self._restore(checkpoints.load_checkpoint(previous))
        if self.settings.compile:
            for module in self.learner.shared_modules():
                module.compile()
        self.runtime.check_replicas(self.learner, f"at step {self.progress.step}")
        main_out = self.plan.out if self.runtime.is_main else None
        if main_out:
            self._remove_others()
        self.log = Log(main_out, self.progress.step, self.settings.tensorboard)

    def _sampling(self) -> Sampling:
        train, samples = self.plan.train, len(self.plan.train)
        return Sampling(samples, min(self.settings.batch_size, samples), self.total, isinstance(train, PoissonSource))

    def _restore(self, saved: checkpoints.Checkpoint) -> None:
        """Everything as it was at the checkpoint's step."""
        checkpoints.check_resumable(saved)
        before, now = saved.settings["fit"], dataclasses.asdict(self.settings)
        for name in _FIXED:
            if name in before and before[name] != now[name]:
                was = f"{saved.path} was trained with {name}={before[name]}, not {now[name]}"
                raise UmbelError(f"{was}; use that to resume")
        check_same_settings(saved, self.described)
        checkpoints.load_weights(self.learner, saved)
        check_same_data(saved, self.described)
        try:
            self.plan.descent.load_state_dict(saved.state["descent"])
            load_optimizer(self.optimizer, saved.state["optimizer"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            name = type(self.plan.descent).__name__
            raise UmbelError(
                f"{saved.path} was trained with another descent than this {name} ({' '.join(str(error).split())}); "
                "use the same to resume"
            ) from None
        self.progress = Progress.of(saved.state["progress"])
        if self.progress.interval is not None:
            self.progress.interval = self.progress.interval.to(self.runtime.device)

    # -- training -----------------------------------------------------------------------------------

    def train(self) -> None:
        """All steps that are left; then the learner gets its best weights."""
        start_training(self.learner)
        self._done = self.progress.best is not None and self.learner.is_done()
        self.plan.reporter.begin(self.plan.label, self.total, self.progress.step)
        size, rank, world_size = self.settings.batch_size, self.runtime.rank, self.runtime.world_size
        try:
            with self._interruptible():
                while self.progress.step < self.total and not self._done:
                    epoch, start = divmod(self.progress.step, self.epoch_steps)
                    batches = self.plan.train.train_batches(size, self.settings.seed, epoch, start, rank, world_size)
                    came = self.progress.step
                    for batch in itertools.islice(batches, self.total - came):
                        began = time.perf_counter()
                        losses, rate = self._step(self._placed(batch))
                        self.step_seconds.append(time.perf_counter() - began)
                        self._after_step(losses, rate)
                        if self._done:
                            break
                    if self.progress.step == came:
                        raise UmbelError(f"the training set gave no batch for step {came + 1}; its `steps` says more")
            self._finish()
        finally:
            self.log.close()

    def _step(self, batch: Batch) -> tuple[Losses, float]:
        """One step of the optimizer; everything random in it depends on (seed, step, process) alone."""
        step, settings, runtime = self.progress.step, self.settings, self.runtime
        point = self.learner.draw_point(seeded(settings.seed, step, 2), step / self.total)
        seed_default(seeded(settings.seed, step, 3, runtime.rank).initial_seed(), runtime.device)
        if self.plan.observe:
            self.plan.observe(step, self.learner, batch, point)
        rate = settings.learning_rate * learning_rate_factor(step, self.total, settings)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        with _pieces_normalised():
            losses = self.plan.descent(self.learner, batch, point, runtime)
        align(self.trained)
        self._check(losses)
        if settings.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.trained, settings.clip_norm)
        self.optimizer.step()
        self.learner.after_step()
        self.plan.descent.after_step(self.learner, batch, point, runtime)
        self.progress.step += 1
        if self.progress.step % self.epoch_steps == 0:
            self.plan.descent.after_epoch()
        return losses, rate

    def _check(self, losses: Losses) -> None:
        """Stop on a loss or gradient that is not finite, before it reaches the weights (and the next checkpoint)."""
        try:
            check_finite(losses)
            self._check_gradients()
        except UmbelError as error:
            last = checkpoints.latest(self.folder, "step") if self.folder else None
            good = f"last good checkpoint: {last}" if last else "there is no checkpoint before it"
            raise UmbelError(f"step {self.progress.step + 1}: {error} ({good})") from None

    def _check_gradients(self) -> None:
        gradients = [p.grad for p in self.trained if p.grad is not None]
        if not gradients or torch.isfinite(torch.nn.utils.get_total_norm(gradients, norm_type=math.inf)):
            return
        parts = ((self.learner, ""), (self.plan.descent, "the descent's "))
        named = [(where + name, p.grad) for part, where in parts for name, p in part.named_parameters()]
        bad = next((n for n, gradient in named if gradient is not None and not gradient.isfinite().all()), "the whole")
        raise UmbelError(f"the gradient of {bad} is not finite; lower the learning rate or look at the inputs")

    def _placed(self, batch: Batch) -> Batch:
        """The batch on the device, pictures in the chosen memory format."""
        if self.runtime.device.type != "cpu":
            check_classes(self.learner.tasks, batch, f"step {self.progress.step + 1}")
            batch = batch.to(self.runtime.device)
        if self.settings.channels_last and isinstance(batch.inputs, torch.Tensor) and batch.inputs.ndim == 4:
            batch = dataclasses.replace(batch, inputs=batch.inputs.contiguous(memory_format=torch.channels_last))
        return batch

    def _after_step(self, losses: Losses, rate: float) -> None:
        """Log, validate and save when it is time."""
        progress = self.progress
        self.loss_names = self.loss_names or list(losses)
        if list(losses) != self.loss_names:
            now, before = ", ".join(losses), ", ".join(self.loss_names)
            raise UmbelError(f"step {progress.step}: the losses are {now}, but were {before}; return all in every step")
        values = losses.stack()
        progress.interval = values if progress.interval is None else progress.interval + values
        progress.interval_steps += 1
        last = progress.step == self.total
        if progress.step % self.settings.log_every == 0 or last:
            means = dict(zip(losses, (progress.interval / progress.interval_steps).tolist(), strict=True))
            progress.interval, progress.interval_steps = None, 0
            self.log.write("train", progress.step, {**means, "learning_rate": rate})
            self.plan.reporter.step(progress.step, means)
        if progress.step % self.validate_every == 0 or last:
            self._validate()
            self._done = self.learner.is_done()
        self._save_if_due()

    def _validate(self) -> None:
        size, progress = max(256, self.settings.batch_size), self.progress
        evaluation = evaluate(self.learner, self.plan.validation, self.runtime, batch_size=size)
        monitor = Monitor(self.settings.monitor, self.plan.references or {})
        score = monitor.score(evaluation, self.learner, self.runtime, progress.best, progress.best_score)
        metrics = {f"{t}/{m}": v for t, values in evaluation.metrics.items() for m, v in values.items()}
        losses = {f"{t}/loss": v for t, v in evaluation.losses.items()}
        self.log.write("validation", progress.step, {**metrics, **losses, self.settings.monitor: score})
        if progress.best is None or score > progress.best_score:
            progress.best, progress.best_score, progress.best_step = evaluation, score, progress.step
            self.best_weights, self.best_extra = checkpoints.split_state(self.learner)

    # -- saving -------------------------------------------------------------------------------------

    def _save_if_due(self) -> None:
        late = self.folder is not None and time.monotonic() - self.saved_at > self.settings.checkpoint_seconds
        stop = self.stop_requested
        if self.runtime.world_size > 1:  # the processes must agree; they ask each other when they log
            if self.progress.step % self.settings.log_every:
                return
            wishes = torch.tensor([float(stop), float(late)], device=self.runtime.device)
            stop, late = (bool(wish) for wish in self.runtime.sum(wishes).tolist())
        if stop or late:
            self._save()
        if stop:
            kept = f"; the state is in {self.plan.out}, go on with --resume" if self.plan.out else ""
            raise Interrupted(f"stopped at step {self.progress.step} of {self.total}{kept}")

    def _save(self) -> None:
        """Write the best weights, then the state to resume from."""
        progress = self.progress
        self.runtime.check_replicas(self.learner, f"at step {progress.step}")
        if self.folder and self.runtime.is_main:
            settings = {"fit": dataclasses.asdict(self.settings), **self.described}
            if self.best_weights is not None and progress.best is not None:
                results = {"metrics": progress.best.metrics, "losses": progress.best.losses}
                best = {"learner_extra": self.best_extra, **results}
                checkpoints.save(self.folder, "best", progress.best_step, self.best_weights, best, settings)
            weights, extra = checkpoints.split_state(self.learner)
            state = {
                "learner_extra": extra,
                "optimizer": self.optimizer.state_dict(),
                "descent": self.plan.descent.state_dict(),
                "progress": progress.state(),
            }
            checkpoints.save(self.folder, "step", progress.step, weights, state, settings)
            self._remove_others()
        self.runtime.barrier()
        self.saved_at = time.monotonic()

    def _remove_others(self) -> None:
        """Leave the two checkpoints that this progress belongs to, and no half-written ones."""
        if self.folder is not None:
            checkpoints.keep_only(self.folder, "step", self.progress.step)
            checkpoints.keep_only(self.folder, "best", self.progress.best_step)

    def _finish(self) -> None:
        """Save, and leave the learner with its best weights."""
        self._save()
        self.plan.reporter.end()
        if self.best_weights is None:
            assert self.folder is not None, "without a folder the best weights are in memory"
            best = checkpoints.of_step(self.folder, "best", self.progress.best_step)
            checkpoints.load_weights(self.learner, checkpoints.load_checkpoint(best))
        else:
            self.learner.load_state_dict({**self.best_weights, **self.best_extra})

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the run after the step in hand; a second one ends it at once."""

        def request(*_: object) -> None:
            if self.stop_requested:
                raise KeyboardInterrupt
            self.stop_requested = True

        try:
            previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: signals stay as they are
            previous = {}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
