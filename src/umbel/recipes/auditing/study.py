"""`umbel audit`: a frozen network is observed at each operating point, and attacked."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from umbel.audit import Audit, Inference, Membership, Observed
from umbel.audit.kept import kept_audits
from umbel.core import OperatingPoint, Task
from umbel.engine import FabricRuntime, FitSettings, evaluate
from umbel.recipes.auditing.attacked import Attacked, Cell, Samples, check_room, samples_of
from umbel.recipes.auditing.attacks import KeptPictures, inferred, rebuilt
from umbel.recipes.auditing.leaks import ITSELF
from umbel.recipes.auditing.members import attacked_members, check_membership
from umbel.recipes.auditing.promises import promises, sigmas_of
from umbel.recipes.auditing.settings import AuditSettings
from umbel.recipes.auditing.subject import Subject, points_of, subject_of
from umbel.report import MethodInfo, Results, Run, SampleSheet, TaskInfo, describe_environment
from umbel.report.records import DataInfo
from umbel.report.schema import plain
from umbel.report.summary import point_text
from umbel.study import Job, Study

NETWORK = "network"
"""Arm of the network's own metrics."""
MEMBERS = "membership"
"""Name of what is told of the membership of training samples, in the folder and among the facts."""


def audit(settings: AuditSettings, study: Study) -> Results:
    """Run an audit.

    Raises:
        UmbelError: Nothing to audit, a network that cannot be built, data that does not fit, ...; before anything is
            computed.
    """
    subject = subject_of(settings, study.reporter.say)
    points = points_of(settings.point, subject.learner, sigmas_of(settings, subject))
    places = [(point, count) for point in points for count in settings.counts]
    samples = samples_of(subject.data, settings.most)
    promised = {place: promises(settings, subject, *place) for place in places}
    check_membership(settings, subject)
    check_room(subject, samples, places[0][0], study.runtime)
    fit = study.settle(settings, FitSettings(precision=subject.precision), subject.data)
    here = study.runtime.with_settings(fit.precision, 1)
    subject.learner.to(here.device).eval()
    one = _Audits(settings, study, subject, samples, here)
    audits = [one.at(point, count, promised[point, count]) for point, count in places]
    return _results(settings, study, subject, audits, one)


def _members(settings: AuditSettings, study: Study, subject: Subject, runtime: FabricRuntime) -> dict[str, Any]:
    """What is told of the membership of training samples, as facts; nothing where it was not asked for."""
    if not settings.membership:
        return {}
    if not study.has_measured(MEMBERS, MEMBERS):
        study.reporter.expect(1)
    attack = lambda: attacked_members(settings, subject, runtime, study.reporter)  # noqa: E731
    return {MEMBERS: plain(study.measured(MEMBERS, MEMBERS, Membership, attack))}


@dataclasses.dataclass
class _Audits:
    """An audit while it runs; every step is kept in the study's folder.

    Attributes:
        settings: Of the audit.
        study: Its folder and progress.
        subject: The network.
        samples: Its splits, cut to what attackers use.
        runtime: Device and precision.
        runs: The network's own metrics so far.
        sheets: Pictures so far.
    """

    settings: AuditSettings
    study: Study
    subject: Subject
    samples: dict[str, Samples]
    runtime: FabricRuntime
    runs: list[Run] = dataclasses.field(default_factory=list)
    sheets: list[SampleSheet] = dataclasses.field(default_factory=list)

    def at(self, point: OperatingPoint, count: int, promised: Sequence[str]) -> Audit:
        """Everything at one operating point, with so many releases averaged."""
        self._own(point)
        job = Job.at("audit", 0, **point, releases=count)
        seen = Attacked(self.subject, self.samples, self.runtime, point, count)
        tasks, wanted = self.subject.learner.tasks, [task.name for task in self.subject.wanted]
        inference: list[Inference] = []
        for number, cell in enumerate(seen.cells if len(tasks) > 1 or seen.unserved else []):
            inference += self._inferred(job.key, f"inference-{number}", seen.observed, cell, tasks, wanted)
        if seen.unserved:  # once: no operating point changes the input
            inference += self._inferred("input", "inference", seen.inputs, [(ITSELF,)], seen.unserved, None)
        pictures = self._rebuilt(job, seen) if not self.settings.no_reconstruction and seen.has_pictures else None
        return Audit(
            self.subject.title,
            point.as_dict() | ({"releases": count} if len(self.settings.counts) > 1 else {}),
            {split: some.count for split, some in self.samples.items()},
            tuple(inference),
            pictures.entries if pictures else (),
            tuple(promised),
            (*self.subject.notes, *seen.notes, *(pictures.notes if pictures else ())),
        )

    def _own(self, point: OperatingPoint) -> None:
        """The network's own metrics on the whole test split."""
        plain = point.as_dict()
        if self.subject.answers and all(run.point != plain for run in self.runs):
            learner, test = self.subject.learner, self.subject.data.test
            measured = self.study.measured(
                Job.at(NETWORK, 0, **point).key,
                "own",
                dict[str, dict[str, float]],
                lambda: evaluate(learner, test, self.runtime, point).metrics,
            )
            own = {task: of_task for task, of_task in measured.items() if task in self.subject.answers}
            self.runs.append(Run(NETWORK, 0, own, plain))

    def _inferred(
        self,
        key: str,
        name: str,
        splits: Mapping[str, Observed],
        cell: Cell,
        tasks: Sequence[Task],
        wanted: Sequence[str] | None,
    ) -> Sequence[Inference]:
        """What is inferred from one tensor of features; its receivers have a file together."""
        reporter = self.study.reporter
        if not self.study.has_measured(key, name):
            reporter.expect(1)
        return self.study.measured(
            key, name, tuple[Inference, ...], lambda: inferred(self.settings, splits, cell, tasks, wanted, reporter)
        )

    def _rebuilt(self, job: Job, seen: Attacked) -> KeptPictures:
        reporter, file = self.study.reporter, f"rebuilt-{len(self.sheets)}.png"
        if not self.study.has_measured(job.key, "reconstruction"):
            reporter.expect(1)
        kept: KeptPictures = self.study.measured(
            job.key,
            "reconstruction",
            KeptPictures,
            lambda: rebuilt(self.settings, seen, self.study.out / file, reporter),
        )
        best = max(kept.entries, key=lambda one: sum(one.ssim))
        title = "inputs, and what decoders make of features"
        several = len(self.settings.sigmas + self.settings.epsilons) > 1 or len(self.settings.counts) > 1
        place = f" at {point_text(job.place)}" if several else ""
        self.sheets.append(SampleSheet(arm_of(best.seen), file, title + place, f"{title}, a row for each receiver"))
        return kept


def arm_of(seen: str) -> str:
    """Key of the arm of a receiver, or of several together."""
    return f"seen: {seen}"


# -- results ---------------------------------------------------------------------------------------------------------


def _results(settings: AuditSettings, study: Study, subject: Subject, audits: Sequence[Audit], one: _Audits) -> Results:
    data = subject.data
    sizes = {split: len(getattr(data, split)) for split in ("train", "validation", "test")}
    runs = [*one.runs, *(run for audit in audits for run in _runs(audit))]
    several = len(audits) > 1
    return Results(
        study="audit",
        title=f"What the features of a network give away: {subject.title}",
        command=study.command,
        data=DataInfo(data.name, data.title, data.note, sizes),
        tasks=tuple(map(TaskInfo.of, subject.learner.tasks)),
        methods=tuple(_arms(subject, audits)),
        runs=tuple(runs),
        settings=dataclasses.asdict(settings),
        environment=describe_environment("bf16" if one.runtime.bf16 else "float32", "that of the training"),
        samples=tuple(one.sheets),
        facts=kept_audits(audits) | _members(settings, study, subject, one.runtime),
        headline=({"sigma": audits[0].point["sigma"]},) if several and "sigma" in audits[0].point else (),
        warnings=(*study.warnings, *data.warnings, *dict.fromkeys(note for audit in audits for note in audit.notes)),
    )


def _arms(subject: Subject, audits: Sequence[Audit]) -> Iterator[MethodInfo]:
    if subject.answers:
        parameters = sum(p.numel() for p in subject.learner.parameters())
        yield MethodInfo(NETWORK, "The network itself", "Its own metrics on the test split.", parameters)
    seen = dict.fromkeys(one.seen for audit in audits for one in (*audit.inference, *audit.reconstruction))
    for name in seen:
        together = " together" if "+" in name else ""
        about = f"The best attacker on what {name.replace('+', ' and ')} get{'' if together else 's'}{together}."
        yield MethodInfo(arm_of(name), f"Attackers on {name}", about)


def _runs(audit: Audit) -> Iterator[Run]:
    """A run for each receiver and seed of the attackers: what the best of them tells of every task."""
    for seen in dict.fromkeys(one.seen for one in audit.inference):
        ones = [one for one in audit.inference if one.seen == seen]
        for repeat in range(max(len(one.scores) for one in ones)):
            metrics = {one.wanted: {one.metric: one.scores[repeat]} for one in ones if repeat < len(one.scores)}
            yield Run(arm_of(seen), repeat, metrics, audit.point)
