"""Networks whose widths can be turned: made ready after training, opened by `umbel search` and `umbel export`."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from umbel.control import Latency, calibrate, configuration_table, machine_name, measure_latency, with_latency
from umbel.core import Learner, UmbelError
from umbel.data import MultiTaskData
from umbel.data.data_record import DataRecord
from umbel.engine import Checkpoint, FabricRuntime, load_checkpoint, load_weights, resolve
from umbel.engine import checkpoint as checkpoints
from umbel.engine.progress import Reporter
from umbel.files import read_json, write_atomically
from umbel.methods.controllable import ControllableLearner
from umbel.recipes.build import Described
from umbel.report.schema import build
from umbel.search import ConfigurationTable

_TABLE = "configurations"


@dataclass(frozen=True)
class _Times:
    """A `Latency` as it is kept."""

    encoder: tuple[float, ...]
    heads: tuple[tuple[tuple[float, ...], ...], ...]
    machine: str
    batch_size: int
    backend: Literal["torch", "onnxruntime"]


@dataclass(frozen=True)
class Turnable:
    """A trained network whose widths can be turned.

    Attributes:
        learner: With calibrated statistics, in evaluation mode.
        data: What is known of the data that it was trained on.
        table: Quality on validation and cost of every configuration.
        saved: The checkpoint.
    """

    learner: ControllableLearner
    data: DataRecord
    table: ConfigurationTable
    saved: Checkpoint


def make_ready(run: Path, learner: Learner, data: MultiTaskData, runtime: FabricRuntime) -> ConfigurationTable:
    """After training: measure statistics and the table of all configurations, and keep both as a checkpoint.

    A run that was made ready before is taken up as it is.

    Args:
        run: The folder of the training.
        learner: With its best weights; it ends calibrated.
        data: Training split for the statistics, validation split for the table.
        runtime: Processes and precision.
    """
    folder = run / "checkpoints"
    if ready := checkpoints.latest(folder, "ready"):
        saved = load_checkpoint(ready)
        load_weights(learner, saved)
        return _table_of(saved)
    calibrate(learner, data.train, runtime)
    table = configuration_table(learner, data.validation, runtime)
    if runtime.is_main:
        trained = load_checkpoint(resolve(run))
        weights, extra = checkpoints.split_state(learner)
        state = {**trained.state, "learner_extra": extra, _TABLE: table.to_json()}
        settings = {name: value for name, value in trained.settings.items() if name not in ("format", "step")}
        checkpoints.save(folder, "ready", trained.step, weights, state, settings)
    runtime.barrier()
    return table


def ready_table(run: Path) -> ConfigurationTable:
    """The table of all configurations of a training that was made ready.

    Raises:
        UmbelError: It was not.
    """
    return _table_of(load_checkpoint(resolve(run)))


def _table_of(saved: Checkpoint) -> ConfigurationTable:
    if _TABLE not in saved.state:
        raise UmbelError(
            f"{saved.path} was not made ready (its training did not end); go on with --resume, or give the folder of a "
            "finished training"
        )
    return ConfigurationTable.from_json(saved.state[_TABLE], str(saved.path / "state.pt"))


def open_turnable(path: Path, runtime: FabricRuntime) -> Turnable:
    """The network of a checkpoint or of a training's folder.

    Raises:
        UmbelError: Not a checkpoint, not one of a controllable network, or one that was not made ready.
    """
    saved = load_checkpoint(resolve(path))
    model = saved.settings.get("model")
    if not isinstance(model, dict) or not model.get("widths"):
        raise UmbelError(
            f"{saved.path} has one width only; train a network that can be turned with `umbel run controllable` or "
            "`umbel train --widths 0.25/0.5/0.75/1`"
        )
    return turnable(saved, runtime)


def turnable(saved: Checkpoint, runtime: FabricRuntime) -> Turnable:
    """The network of a checkpoint that has several widths.

    Raises:
        UmbelError: It was not made ready.
    """
    table = _table_of(saved)
    described = Described.read(saved.settings, str(saved.path))
    learner = described.trained(saved)
    learner.to(runtime.device).eval()
    return Turnable(learner, described.record, table, saved)


def timed(
    network: Turnable, batch_size: int, backend: str, reporter: Reporter, again: bool = False
) -> ConfigurationTable:
    """The network's table with times of this machine: those that were kept beside the checkpoint, or measured now.

    Args:
        network: Whose parts are timed.
        batch_size: Samples in one pass.
        backend: What runs them: "torch" or "onnxruntime".
        reporter: Hears that measuring takes a while, and when times cannot be kept.
        again: Measure even if times are kept.
    """
    file = network.saved.path / f"latency-{backend}-{batch_size}.json"
    if not again and (kept := _kept(file, network, backend, batch_size, reporter)):
        return with_latency(network.table, kept)
    latency = measure_latency(network.learner.model, batch_size=batch_size, backend=backend, say=reporter.say)
    plain = {**dataclasses.asdict(latency), "encoder": latency.encoder.tolist(), "heads": latency.heads.tolist()}
    try:
        write_atomically(file, json.dumps(plain))
    except UmbelError as error:
        reporter.say(f"the times cannot be kept ({error}); they will be measured again next time")
    return with_latency(network.table, latency)


def _kept(file: Path, network: Turnable, backend: str, batch_size: int, reporter: Reporter) -> Latency | None:
    """Times of this machine that were kept; None for none, those of another machine, or a damaged file."""
    if not file.exists():
        return None
    try:
        kept = build(_Times, read_json(file, "the times are measured again"), f"{file}: ")
        latency = Latency(np.array(kept.encoder), np.array(kept.heads), kept.machine, kept.batch_size, kept.backend)
        with_latency(network.table, latency)  # of other shapes, or not of numbers
    except (UmbelError, ValueError) as error:
        reporter.say(str(error))
        return None
    same = (latency.backend, latency.batch_size) == (backend, batch_size)
    return latency if same and latency.machine == machine_name(backend) else None
