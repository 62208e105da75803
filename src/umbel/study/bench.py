"""Training and measuring what a study compares: every job once, remembered on disk, and a table of runs at the end."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from umbel.core import Learner, UmbelError
from umbel.data import MultiTaskData
from umbel.descent import make_descent
from umbel.engine import FabricRuntime, FitSettings, Monitor, load_checkpoint, load_weights, resolve
from umbel.report import Profile, Results, Run, TaskInfo, describe_environment
from umbel.report.records import DataInfo
from umbel.report.schema import plain
from umbel.study.collected import merged, method_info, reference_warnings, usual_warnings, why_precision
from umbel.study.folder import Outcome, Study
from umbel.study.job import Arm, Job
from umbel.study.table import Table
from umbel.study.training import Make, Measure, Measured, Measurement, Trained, Training, on_test_split

S = TypeVar("S")
SPLITS = ("train", "validation", "test")


class Bench(Generic[S]):
    """What all jobs of a study share, and what they gave.

    Nothing is written before the first `run` has checked its jobs, and whatever else was given to `check`.

    Args:
        study: Folder, processes, progress.
        settings: Of the study.
        fit: How every network is trained, as the user asked; after the first `run` with the precision decided.
        data: What is learnt from.
        descent: Name of what teaches every network, unless its `Training` says otherwise.

    Attributes:
        runs: What was measured so far.
        profiles: Likewise.
        outcomes: Job -> how its training went.
    """

    def __init__(
        self, study: Study, settings: S, fit: FitSettings, data: MultiTaskData, descent: str = "equal"
    ) -> None:
        self.study, self.settings, self.fit, self.data, self.descent = study, settings, fit, data, descent
        self.runs: list[Run] = []
        self.profiles: list[Profile] = []
        self.outcomes: dict[Job, Outcome] = {}
        self._makers: dict[Job, Make] = {}
        self._checked: set[tuple[object, ...]] = set()
        self._done: set[Job] = set()
        self._claimed = False
        make_descent(descent)

    @property
    def runtime(self) -> FabricRuntime:
        """Device and precision of evaluations."""
        return self.study.runtime.with_settings(self.fit.precision, 1)

    @property
    def steps(self) -> int:
        """Steps of one training on all data."""
        return self.fit.total_steps(self.data.train.steps(self.fit.batch_size))

    def check(self, jobs: Iterable[Job], make: Make) -> None:
        """Build one network of each arm and place, and find what would stop its training later on.

        Raises:
            UmbelError: No such network, a batch that does not divide by the processes, an unknown monitor, ...
        """
        for job in jobs:
            if (kind := (job.arm, job.place)) in self._checked:
                continue
            self._makers.setdefault(job, make)
            training = make(job)
            if isinstance(training, Training):
                self._check(training)
            self._checked.add(kind)

    def _check(self, training: Training) -> None:
        fit, processes = training.fit or self.fit, self.study.runtime.world_size
        if fit.batch_size % processes:
            size = f"batch size {fit.batch_size} does not divide by {processes} processes"
            raise UmbelError(f"{size}; use a multiple of {processes}")
        Monitor(fit.monitor, {}).check(training.learner)
        if training.descent is not None:
            training.descent.prepare(training.learner)

    def run(self, jobs: Sequence[Job], make: Make, measure: Measure = on_test_split) -> Table:
        """Check, train and measure all jobs in their order; what was done before is taken up from the folder.

        Args:
            jobs: A job stands behind those that it needs.
            make: Job -> how its network is trained. It is also called for checking, before anything is trained: what
                it asks of jobs that are not done yet (`learner`) are then fresh networks.
            measure: What is measured; remembered with the network.

        Returns:
            The runs of these jobs.
        """
        keys = [job.key for job in jobs]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"two jobs are called {min(twice)}")
        self._makers.update(dict.fromkeys(jobs, make))
        self.check(jobs, make)
        self.claim()
        self.study.reporter.expect(len(jobs))
        before = len(self.runs)
        for job in jobs:
            if missing := [need.key for need in job.needs if need not in self._done]:
                raise ValueError(f"job {job.key} needs {missing[0]}, which was not run before it")
            self._add(job, *self._result(job, measure))
        return Table(merged(self.runs[before:]))

    def claim(self) -> None:
        """Take the study's folder for these settings and decide the precision, once."""
        if not self._claimed:
            self.fit = self.study.settle(self.settings, self.fit, self.data)
            self._claimed = True

    def _result(self, job: Job, measure: Measure) -> tuple[Outcome | None, Measured]:
        """Train and measure a job, or remember both."""
        outcome = self.study.outcome(job.key)
        if self.study.has_measured(job.key, "measured"):
            kept = self.study.measured(job.key, "measured", Measured, dict)
            self._count(job)
            return outcome, kept
        made = self._makers[job](job)
        data = (made.data if isinstance(made, Training) else None) or self.data
        model: Any = made.learner if isinstance(made, Training) else made()
        if isinstance(made, Training):
            outcome = self._trained(job, made)
        else:
            self._count(job)
        trained = Trained(job, model, outcome, data, self.runtime)

        def measured() -> Measured:
            both = list(measure(trained))
            measurements = tuple(one for one in both if isinstance(one, Measurement))
            return Measured(measurements, tuple(one for one in both if isinstance(one, Profile)))

        return outcome, self.study.measured(job.key, "measured", Measured, measured)

    def _count(self, job: Job) -> None:
        """Show a job without a training loop of its own as done."""
        self.study.reporter.begin(job.label, 1, 1)
        self.study.reporter.end()

    def _trained(self, job: Job, training: Training) -> Outcome:
        references = {name: v for need in training.references for name, v in self.validation(need).items()}
        return self.study.trained(
            job.key,
            training.learner,
            training.descent or make_descent(self.descent),
            training.data or self.data,
            training.fit or self.fit.replace(seed=job.repeat),
            references=references or None,
            describe=training.describe,
            observe=training.observe,
            label=job.label,
        )

    def _add(self, job: Job, outcome: Outcome | None, measured: Measured) -> None:
        self._done.add(job)
        about: dict[str, Any] = {}
        if outcome is not None:
            self.outcomes[job] = outcome
            about = {"steps": outcome.steps, "seconds": outcome.seconds, "best_step": outcome.best_step}
        for one in measured.measurements:
            arm = one.arm or job.arm
            self.runs.append(Run(arm, job.repeat, one.test, one.point, one.validation, settings=one.settings, **about))
        self.profiles += measured.profiles

    # -- what was done ---------------------------------------------------------------------------------------------

    def validation(self, job: Job) -> dict[str, float]:
        """Task -> main metric on validation, of a job that is done."""
        return self.outcomes[job].main_validation()

    def learner(self, job: Job) -> Learner:
        """The network of a job: with its best weights where it is done, fresh where it is not."""
        training = self._makers[job](job)
        if not isinstance(training, Training):
            raise ValueError(f"job {job.key} has no network")
        if job in self.outcomes:
            load_weights(training.learner, load_checkpoint(resolve(self.study.folder(job.key))))
        return training.learner.to(self.study.runtime.device)

    @property
    def table(self) -> Table:
        """All runs so far; those that serve different tasks at one point are one run."""
        return Table(merged(self.runs))

    def results(
        self,
        name: str,
        title: str,
        arms: Iterable[Arm],
        *,
        tasks: Iterable[TaskInfo] | None = None,
        counted: Callable[[Job], bool] = lambda job: True,
        costs: Mapping[str, Mapping[str, float]] | None = None,
        warnings: Iterable[str] = (),
        **records: Any,
    ) -> Results:
        """The results file of the study, without what follows from it (see `umbel.study.concluded`).

        Args:
            name: Of the study on the command line.
            title: For people.
            arms: In the order of the tables; those without runs are left out.
            tasks: As the tables need them; unset: all of the data.
            counted: Which jobs of an arm together serve all its tasks once (those of one channel, say): their sizes and
                times add up.
            costs: Arm -> further costs by name.
            warnings: Beside the usual ones.
            **records: Further fields of `Results`.
        """
        runs, data = self.table.runs, self.data
        measured = {run.method for run in runs}
        rows = [arm for arm in arms if arm.key in measured]
        keys = {arm.key for arm in rows}
        chosen = {job: outcome for job, outcome in self.outcomes.items() if counted(job)}
        sizes = {split: len(getattr(data, split)) for split in SPLITS}
        infos = tuple(map(TaskInfo.of, data.tasks) if tasks is None else tasks)
        without = reference_warnings(runs, records.get("reference"), infos)
        return Results(
            study=name,
            title=title,
            command=self.study.command,
            data=DataInfo(data.name, data.title, data.note, sizes),
            tasks=infos,
            methods=tuple(method_info(arm, chosen, arm.of not in keys, (costs or {}).get(arm.key, {})) for arm in rows),
            runs=runs,
            settings=plain(self.settings),
            environment=describe_environment(self.fit.precision, why_precision(self.settings, self.fit)),
            profiles=tuple(self.profiles),
            warnings=(*self.study.warnings, *data.warnings, *usual_warnings(self.table, self.fit), *without, *warnings),
            **records,
        )
