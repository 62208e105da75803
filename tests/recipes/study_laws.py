"""Laws that every study obeys, stated once; a study's tests say them of a small run of it.

finished = laws.run(RECIPE, SMALL, folder)        # (results, folder)
"""

import dataclasses
import json

import pytest

from umbel.core import UmbelError
from umbel.engine import Silent, open_runtime
from umbel.report import Results
from umbel.study import Study

_TIMES = {"seconds", "seconds_per_step", "created", "command", "environment"}


class Killed(Exception):
    """The power went."""


class Killer(Silent):
    """Ends the process's work at a step of a network, as a power cut would: nothing is saved any more."""

    def __init__(self, label, step):
        self.wanted, self.label = (label, step), ""

    def begin(self, label, total, done=0):
        self.label = label

    def step(self, done, losses):
        if (self.label, done) == self.wanted:
            raise Killed


def run(recipe, settings, out, *, resume=False, reporter=None):
    """The results of a study in a folder, and the folder."""
    more = {} if reporter is None else {"reporter": reporter}
    return recipe.run(settings, Study(out, open_runtime(), f"umbel run {recipe.name}", resume, **more)), out


def timeless(value):
    """Plain results without what differs between two runs of the same study: times, and what is said about them."""
    if isinstance(value, Results):
        record = json.loads(value.to_json())
        record["charts"] = [chart for chart in record["charts"] if "time of a step" not in chart["x_label"]]
        record["verdict"] = [sentence for sentence in record["verdict"] if "time of a step" not in sentence]
        return timeless(record)
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in _TIMES}
    return [timeless(v) for v in value] if isinstance(value, list | tuple) else value


def assert_nothing_is_done_twice(recipe, settings, finished):
    """A finished study that is resumed trains and measures nothing, writes nothing, and says the same."""
    results, out = finished
    marks = {p: p.stat().st_mtime_ns for p in (out / "networks").rglob("*") if p.is_file()}
    again, _ = run(recipe, settings, out, resume=True)
    assert {p: p.stat().st_mtime_ns for p in (out / "networks").rglob("*") if p.is_file()} == marks
    assert timeless(again) == timeless(results)


def assert_goes_on_after_a_kill(recipe, settings, finished, tmp_path, label, step):
    """Killed at a step of a network, the study ends with the very numbers of one that was not."""
    often = dataclasses.replace(settings, fit=settings.fit.replace(checkpoint_seconds=0.0))
    with pytest.raises(Killed):
        run(recipe, often, tmp_path / "killed", reporter=Killer(label, step))
    done = {p: p.stat().st_mtime_ns for p in (tmp_path / "killed").rglob("outcome.json")}
    resumed, _ = run(recipe, often, tmp_path / "killed", resume=True)
    assert all(p.stat().st_mtime_ns == time for p, time in done.items()), "a network was trained again"
    mine, theirs = timeless(resumed), timeless(finished[0])
    for values in (mine, theirs):
        del values["settings"]["fit"]["checkpoint_seconds"]
    assert mine == theirs


def assert_refused_before_writing(recipe, settings, tmp_path, says):
    """What cannot work is one clear error, before anything is trained or the folder is there."""
    with pytest.raises(UmbelError, match=says) as caught:
        run(recipe, settings, tmp_path / "study")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "study").exists()


def assert_batches_divide(recipe, settings, tmp_path, monkeypatch):
    """A batch that does not divide by the processes is refused at once, not after the first network."""
    monkeypatch.setattr("umbel.engine.runtime.FabricRuntime.world_size", 3)
    assert_refused_before_writing(recipe, settings, tmp_path, "does not divide by 3 processes")


def assert_follows_from_its_runs(recipe, results):
    """Claims, charts, matrices and sentences come out of the results file alone, whatever was stored there."""
    bare = dataclasses.replace(results, claims=(), charts=(), matrices=(), verdict=())
    read = Results.from_json(bare.to_json())
    again = recipe.concluded(read)
    assert timeless(again) == timeless(results)
    assert again.verdict and again.claims
