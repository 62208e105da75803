"""What every study shares: its folder, its processes, and networks that are trained once and then remembered."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from umbel.core import Descent, Learner, UmbelError
from umbel.data import MultiTaskData
from umbel.data.data_record import DataRecord, changed_split, changed_table
from umbel.engine import (
    Evaluation,
    FabricRuntime,
    FitSettings,
    Silent,
    fit,
    load_checkpoint,
    load_weights,
    resolve,
    resolve_settings,
)
from umbel.engine.folder import Claim
from umbel.engine.log import read
from umbel.engine.plan import Observer
from umbel.engine.progress import Reporter
from umbel.engine.same_run import flat
from umbel.engine.settings import Precision
from umbel.files import read_json, write_atomically
from umbel.report.schema import build, finite_again, plain

_REMEDY = "restore it, or choose another --out"
_AGAIN = "remove it, and --resume makes it again"


@dataclass(frozen=True)
class Outcome:
    """One trained network: what the tables are made of, and what is left on disk to remember it by.

    Attributes:
        validation: Task -> metric -> value on the validation split, with the weights that were chosen there.
        steps: Steps of training.
        best_step: Step that was chosen.
        seconds_per_step: Median time of a step.
        seconds: Time of the whole training, validation included (of the last part, when it was resumed).
        parameters: Trainable parameters.
    """

    validation: dict[str, dict[str, float]]
    steps: int
    best_step: int
    seconds_per_step: float
    seconds: float
    parameters: int

    def main_validation(self) -> dict[str, float]:
        """Task -> main metric on the validation split."""
        return Evaluation(self.validation, {}).main()


@dataclass(frozen=True)
class _Decided:
    """What was decided once, for all trainings of a study."""

    precision: Precision
    channels_last: bool | None


@dataclass(frozen=True)
class _Begun:
    """What `study.json` holds."""

    settings: dict[str, Any]
    decided: _Decided
    command: str
    data: dict[str, Any]


@dataclass
class Study:
    """A study while it runs. Its folder is this process's from `claim` on; as a context manager it lets it go.

    Attributes:
        out: Its folder.
        runtime: Its processes.
        command: The exact command, for the report.
        resume: Go on with what the folder holds.
        reporter: Where progress goes.
        warnings: What a reader of the results must know; studies add to it.
    """

    out: Path
    runtime: FabricRuntime
    command: str
    resume: bool = False
    reporter: Reporter = field(default_factory=Silent)
    warnings: list[str] = field(default_factory=list)
    _claim: Claim | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def claim(self) -> None:
        """Take the folder: no other process can write into it until `release` or the end of this one.

        Raises:
            UmbelError: It holds something else, or a study when none is to be resumed; another process is in it.
        """
        if self._claim is None:
            self._claim = Claim(self.out, "study", self.runtime, self.resume)

    def release(self) -> None:
        """Let another process have the folder; one in which nothing was written is removed."""
        if self._claim is not None:
            self._claim.undo()
            self._claim = None

    def settle(self, settings: object, fit_settings: FitSettings, data: MultiTaskData | None) -> FitSettings:
        """Claim the folder for these settings and this data, and decide the precision once for all trainings.

        Args:
            settings: Of the study.
            fit_settings: Those of them that say how a network is trained.
            data: What is learnt from; its record is kept in the folder. None for a study that learns from nothing.

        Raises:
            UmbelError: What `claim` refuses; the folder holds another study, or this one with other settings or data.
        """
        self.claim()
        try:
            record = {} if data is None else DataRecord.of(data).plain()
            return self._settled(plain(settings), fit_settings, record)
        except BaseException:
            self.release()
            raise

    def _settled(self, wanted: Any, fit_settings: FitSettings, record: dict[str, Any]) -> FitSettings:
        file = self.out / "study.json"
        if file.exists():
            before = build(_Begun, read_json(file, _REMEDY), f"{file}: ")
            for name, value in flat(before.settings).items():
                if (now := flat(wanted).get(name)) != value:
                    was = f"{self.out} was begun with {name}={value}, not {now}"
                    raise UmbelError(f"{was}; resume with the same settings")
            self._check_data(before, record)
            return fit_settings.replace(**dataclasses.asdict(before.decided))
        resolved = resolve_settings(fit_settings, self.runtime)
        chosen = _Decided(resolved.precision, resolved.channels_last)
        self.runtime.barrier()
        if self.runtime.is_main:
            begun = _Begun(wanted, chosen, self.command, record)
            write_atomically(file, json.dumps(dataclasses.asdict(begun), indent=1))
        self.runtime.barrier()
        return fit_settings.replace(**dataclasses.asdict(chosen))

    def _check_data(self, before: _Begun, record: Mapping[str, Any]) -> None:
        """Refuse data other than that which the study was begun with."""
        for split, kept in record.get("splits", {}).items():
            known = before.data.get("splits")
            if not isinstance(known, dict) or not isinstance(known.get(split), dict):
                raise UmbelError(f"{self.out / 'study.json'} is damaged: it does not say its {split} split; {_REMEDY}")
            if said := changed_split(split, known, {split: kept}):
                raise UmbelError(f"{self.out} was begun with other data: {said}; resume with the unchanged data")
        if said := changed_table(before.data, record):
            raise UmbelError(f"{self.out} was begun with other data: {said}; resume with the unchanged data")

    def folder(self, key: str) -> Path:
        """Where the network called `key` is kept."""
        return self.out / "networks" / key

    def trained(
        self,
        key: str,
        learner: Learner,
        descent: Descent,
        data: MultiTaskData,
        settings: FitSettings,
        *,
        references: Mapping[str, float] | None = None,
        describe: Mapping[str, object] | None = None,
        observe: Observer | None = None,
        label: str = "",
    ) -> Outcome:
        """Train a network, or take up the one of that key; `learner` ends with its best weights either way.

        The test split is not looked at.
        """
        folder = self.folder(key)
        if (known := self.outcome(key)) is not None:
            load_weights(learner, load_checkpoint(resolve(folder)))
            learner.to(self.runtime.device)
            self.reporter.begin(label or key, 1, 1)
            self.reporter.end()
            return known
        began = time.perf_counter()
        fitted = fit(
            learner,
            descent,
            data.train,
            data.validation,
            settings,
            out=folder,
            resume=self.resume,
            runtime=self.runtime,
            references=references,
            reporter=self.reporter,
            label=label or key,
            describe=describe,
            observe=observe,
        )
        seconds = time.perf_counter() - began
        self._say(label or key, fitted.statements)
        outcome = Outcome(
            validation=fitted.best.metrics,
            steps=fitted.steps,
            best_step=fitted.best_step,
            seconds_per_step=fitted.seconds_per_step,
            seconds=seconds,
            parameters=sum(p.numel() for p in learner.parameters() if p.requires_grad),
        )
        if self.runtime.is_main:
            write_atomically(folder / "outcome.json", json.dumps(plain(dataclasses.asdict(outcome)), indent=1))
        self.runtime.barrier()
        return outcome

    def _say(self, label: str, statements: Sequence[str]) -> None:
        for statement in statements:
            self.reporter.say(f"{label}: {statement}")

    def outcome(self, key: str) -> Outcome | None:
        """How the training of that key went; None when it is not done.

        Raises:
            UmbelError: Its file is damaged.
        """
        file = self.folder(key) / "outcome.json"
        return build(Outcome, read_json(file, _AGAIN), f"{file}: ") if file.exists() else None

    def has_measured(self, key: str, name: str) -> bool:
        """Whether a measurement was taken before; all processes agree."""
        known = (self.folder(key) / f"{name}.json").exists()
        self.runtime.barrier()  # the first process may write it before another has looked
        return known

    def measured(self, key: str, name: str, kind: Any, measure: Callable[[], Any]) -> Any:
        """What `measure` gives, or what it gave when this study got so far before.

        Args:
            key: Of the trained network that is measured.
            name: Of the measurement; its file is `name`.json in the network's folder.
            kind: Type of what is given back, as `umbel.report.schema.build` takes it: `float`, `dict[str, float]`, a
                dataclass, `Any` for plain values.
            measure: Gives it, or what becomes it: numbers, texts, lists and dictionaries with texts as keys.

        Raises:
            UmbelError: The file of an earlier measurement is damaged.
        """
        file = self.folder(key) / f"{name}.json"
        if self.has_measured(key, name):
            return build(kind, finite_again(read_json(file, _AGAIN)), f"{file}: ")
        values = plain(measure())
        if self.runtime.is_main:
            write_atomically(file, json.dumps(values, indent=1))
        self.runtime.barrier()
        return build(kind, finite_again(values), f"{file}: ")

    def log(self, key: str, name: str) -> list[dict[str, float]]:
        """Rows of a network's log: "train", "validation" or what an observer wrote."""
        return read(self.folder(key) / f"{name}.csv")
