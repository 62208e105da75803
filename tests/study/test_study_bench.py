"""The bench: checked before anything is written, every job once, networks and other things, and what it adds up to."""

import dataclasses
import json
from dataclasses import dataclass

import pytest
import torch

from umbel.core import Learner, OperatingPoint, UmbelError
from umbel.data import load_data
from umbel.engine import FitSettings, Silent, open_runtime
from umbel.nn import build_model
from umbel.report import Profile, Run
from umbel.study import (
    Arm,
    Bench,
    Findings,
    Job,
    Measurement,
    Outcome,
    Study,
    Table,
    Trained,
    Training,
    claim,
    concluded,
    on_test_split,
    safe_name,
    settings_of,
)
from umbel.study.collected import merged

FIT = FitSettings(steps=3, batch_size=32, precision="float32", monitor="loss", tensorboard=False)


@dataclass(frozen=True)
class Settings:
    """Of a study that is not there."""

    seeds: int = 2
    fit: FitSettings = FIT


@pytest.fixture(scope="module")
def data():
    return load_data("digits").only(["digit", "loops"])


def bench_in(folder, data, settings=Settings(), resume=False):
    return Bench(Study(folder, open_runtime(), "umbel run toy", resume), settings, settings.fit, data)


def network(data, job, **options):
    return Learner(build_model(data.input_shape, data.tasks, "mlp", seed=job.repeat, **options), data.tasks)


def study(folder, data, calls, resume=False):
    """A reference for each task, a joint network that is compared with them, a ridge that needs the joint network."""
    bench = bench_in(folder, data, resume=resume)
    references = [[Job.at("single", seed, task=task.name) for task in data.tasks] for seed in range(2)]
    joint = [Job("joint", seed, needs=tuple(references[seed])) for seed in range(2)]

    def make(job):
        calls.append(job.key)
        if job.arm == "single":
            own = data.only([job.place["task"]])
            return Training(network(own, job), data=own)
        return Training(network(data, job), references=job.needs)

    bench.check(joint, make)
    bench.run([job for jobs in references for job in jobs], make)
    bench.run(joint, make)

    def ridge(job):
        def fitted():
            calls.append(job.key)
            encoder = bench.learner(Job("joint", job.repeat, needs=tuple(references[job.repeat]))).model.encoder.eval()
            with torch.no_grad():
                batch = next(iter(data.train.batches(200)))
                features = encoder(batch.inputs)
                wanted = torch.nn.functional.one_hot(batch.targets["digit"], 10).float()
                return torch.linalg.lstsq(features, wanted).solution, encoder

        return fitted

    def accuracy(trained: Trained):
        weights, encoder = trained.model
        assert trained.outcome is None
        batch = next(iter(data.test.batches(100)))
        with torch.no_grad():
            right = ((encoder(batch.inputs) @ weights).argmax(1) == batch.targets["digit"]).double().mean()
        yield Measurement({"digit": {"accuracy": float(right)}}, {"ridge": 0.0}, settings={"rows": 200})
        yield Profile("ridge", "sizes", {"rows": (200.0,)}, trained.job.repeat)

    bench.run([Job("ridge", seed, needs=(joint[seed],)) for seed in range(2)], ridge, accuracy)
    arms = [Arm("single", "Single"), Arm("joint", "Joint"), Arm("ridge", "Ridge", of="joint"), Arm("never", "Never")]
    return bench, bench.results("toy", "Toy", arms, reference="single")


def test_every_job_is_done_once_and_taken_up_again(tmp_path, data):
    calls, again = [], []
    bench, results = study(tmp_path / "out", data, calls)
    assert [m.key for m in results.methods] == ["single", "joint", "ridge"]
    assert len(results.runs) == 6 and len(results.profiles) == 2
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.is_file()}
    _, resumed = study(tmp_path / "out", data, again, resume=True)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert [dataclasses.replace(r, seconds=0) for r in resumed.runs] == [
        dataclasses.replace(r, seconds=0) for r in results.runs
    ]
    assert resumed.profiles == results.profiles
    assert "ridge/repeat-0" in calls and "ridge/repeat-0" not in again, "the ridge was fitted again"
    assert len(again) == 3, "a resumed study builds one network of each arm and place to check it, and no other"
    assert next(o.parameters for job, o in bench.outcomes.items() if job.arm == "joint") > 0


def test_networks_that_serve_different_tasks_are_one_run(tmp_path, data):
    _, results = study(tmp_path / "out", data, [])
    single = Table(results.runs).runs_of("single")[0]
    assert set(single.metrics) == {"digit", "loops"} == set(single.validation)
    assert single.steps == 6
    sizes = {m.key: m.parameters for m in results.methods}
    assert sizes["single"] > 1.5 * sizes["joint"] > 0 and sizes["ridge"] == sizes["joint"]
    assert len(results.method("single").seconds_per_step) == 2 and results.method("ridge").seconds_per_step == ()
    with pytest.raises(ValueError, match="measure 'digit'"):
        merged([Run("a", 0, {"digit": {}}), Run("a", 0, {"digit": {}})])


def test_time_of_training_stands_in_one_row_alone(tmp_path, data):
    """That of networks without a row of their own (they serve several arms) stands with the arms that read them."""
    bench, _ = study(tmp_path / "out", data, [])
    both, single = Arm("both", "Both", of="single"), Arm("single", "Single")
    bench.profiles, bench.runs = [], [Run("both", seed, {"digit": {"accuracy": 0.5}}) for seed in range(2)]
    assert len(bench.results("toy", "Toy", [both, single]).method("both").seconds_per_step) == 2
    bench.runs += [Run("single", 0, {"digit": {"accuracy": 0.5}})]
    assert bench.results("toy", "Toy", [both, single]).method("both").seconds_per_step == ()


def test_the_scale_of_improvement_is_that_of_the_references(tmp_path, data):
    bench, _ = study(tmp_path / "out", data, [])
    job = next(job for job in bench.outcomes if job.arm == "joint" and job.repeat == 1)
    alone = {}
    for need in job.needs:
        alone |= bench.validation(need)
    assert set(alone) == {"digit", "loops"}


def test_nothing_is_written_when_a_job_cannot_work(tmp_path, data):
    bench = bench_in(tmp_path / "out", data)
    later = Job.at("later", 0, width=-1)

    def make(job):
        options = {"widths": (job.place["width"],)} if job.arm == "later" else {}
        return Training(network(data, job, **options))

    with pytest.raises((UmbelError, RuntimeError)):
        bench.check([later], make)
    with pytest.raises(UmbelError, match="unknown descent"):
        Bench(bench.study, Settings(), FIT, data, descent="up")
    with pytest.raises(UmbelError, match="monitor"):
        bench_in(tmp_path / "out", data, Settings(fit=FIT.replace(monitor="digit/acc"))).run(
            [Job("a", 0)], lambda job: Training(network(data, job))
        )
    assert not (tmp_path / "out").exists()


def test_jobs_have_folders_of_their_own():
    places = [{}, {"a": 1}, {"a": 1.0}, {"a": "1/b"}, {"a": "1", "b": ""}, {"a": (1, 2)}, {"a": "1+2"}]
    jobs = [Job("x/y", 0, OperatingPoint(place)) for place in places]
    keys = {job.key for job in jobs}
    assert len(keys) >= len(places) - 2  # 1 and 1.0 are the same place; a tuple and its text are the caller's affair
    assert all(key.count("/") == len(job.place) + 1 for key, job in zip([j.key for j in jobs], jobs, strict=True))
    assert safe_name("..") == "%2E." and safe_name("a/b c") == "a%2Fb%20c"
    assert Job.at("a", 3, snr_db=7.5).label == "a, snr_db 7.5, repeat 3"


def test_order_and_names_are_checked(tmp_path, data):
    make = lambda job: Training(network(data, job))  # noqa: E731
    one = Job("a", 0)
    with pytest.raises(ValueError, match="two jobs are called a/repeat-0"):
        bench_in(tmp_path / "out", data).run([one, one], make)
    with pytest.raises(ValueError, match="needs a/repeat-0"):
        bench_in(tmp_path / "out", data).run([Job("b", 0, needs=(one,)), one], make)


def test_findings_replace_what_a_file_says_and_settings_come_back_typed(tmp_path, data):
    _, results = study(tmp_path / "out", data, [])
    assert settings_of(results, Settings) == Settings()

    def findings(results):
        assert results.claims == () and results.verdict == ()
        joint = Table(results.runs, "digit")("joint")
        return Findings(claims=(claim("good", "it is good", joint, above=2.0),), verdict=("No.",))

    said = concluded(dataclasses.replace(results, verdict=("Old.",)), findings)
    assert said.verdict == ("No.",) and said.claims[0].value == Table(results.runs, "digit")("joint").mean
    with pytest.raises(UmbelError, match="no settings"):
        settings_of(dataclasses.replace(results, settings={}), Settings)


def test_few_repeats_are_said(tmp_path, data):
    _, results = study(tmp_path / "out", data, [])
    assert any("2 seed(s)" in warning for warning in results.warnings)
    assert results.environment["why this precision"] == "asked for"


def test_an_outcome_is_read_back(tmp_path, data):
    bench, _ = study(tmp_path / "out", data, [])
    job, outcome = next(iter(bench.outcomes.items()))
    again = bench.study.outcome(job.key)
    assert isinstance(again, Outcome) and again == outcome
    assert json.loads((bench.study.folder(job.key) / "measured.json").read_text())["profiles"] == []
    assert on_test_split(Trained(job, bench.learner(job), outcome, data.only(["digit"]), bench.runtime))[0].test == (
        {"digit": bench.runs[0].metrics["digit"]}
    )


class Counter(Silent):
    """Counts the networks that are announced and those that are done."""

    def __init__(self):
        self.expected, self.ended = 0, 0

    def expect(self, runs, title=""):
        self.expected += runs

    def end(self):
        self.ended += 1


def test_every_job_counts_in_the_progress_also_without_training_and_when_remembered(tmp_path, data):
    for resume in (False, True):
        counter = Counter()
        bench = Bench(Study(tmp_path / "out", open_runtime(), "umbel", resume, counter), Settings(), FIT, data)
        bench.run([Job("net", 0)], lambda job: Training(network(data, job)))
        bench.run(
            [Job("sum", 0)], lambda job: lambda: 3.0, lambda trained: [Measurement({"digit": {"a": trained.model}})]
        )
        assert counter.expected == counter.ended == 2


def test_an_arm_that_reads_some_networks_of_another_has_their_size_alone(tmp_path, data):
    bench = bench_in(tmp_path / "out", data)
    jobs = [Job.at("net", 0, width=width) for width in (4, 64)]

    def both(trained):
        for arm in ("net", "last"):
            yield Measurement({"digit": {"accuracy": 0.5}}, dict(trained.job.place), arm=arm)

    bench.run(jobs, lambda job: Training(network(data, job, width=job.place["width"])), both)
    last = Arm("last", "Last", of="net", at=OperatingPoint(width=64))
    results = bench.results("toy", "Toy", [Arm("net", "All"), last])
    parameters = [bench.outcomes[job].parameters for job in jobs]
    assert results.method("net").parameters == sum(parameters)
    assert results.method("last").parameters == parameters[1] > parameters[0]
    assert results.method("last").seconds_per_step == ()
