"""A learner that wants no further step ends its training, and a resumed one at the same step."""

from dataclasses import replace

import pytest
import torch
from toy_learners import PAIR, SETTINGS, mlp, split, two_heads, two_tasks

from umbel.core import Learner
from umbel.descent import WeightedSum
from umbel.engine import fit, load_checkpoint, resolve
from umbel.engine.log import Log


class Stops(Learner):
    """Is done after three validations, which is part of its state."""

    def __init__(self, after: int = 3) -> None:
        torch.manual_seed(0)
        super().__init__(two_heads(mlp(4, 16, 8)), PAIR)
        self.double()
        self.after, self.seen = after, 0

    def scores(self):
        return {**super().scores(), "worse": self._worse}

    def _worse(self, evaluation, runtime):
        self.seen += 1
        return -float(self.seen)

    def is_done(self):
        return self.seen >= self.after

    def get_extra_state(self):
        return self.seen

    def set_extra_state(self, state):
        self.seen = max(self.seen, state)


def run(learner, out=None, resume=False):
    settings = replace(SETTINGS, steps=20, validate_every=2, monitor="worse", log_every=1, checkpoint_seconds=0.0)
    return fit(learner, WeightedSum(), *split(two_tasks()), settings, out=out, resume=resume)


def test_training_ends_after_the_validation_that_says_so(tmp_path):
    learner = Stops()
    outcome = run(learner, tmp_path / "run")
    assert outcome.steps == 6 and learner.seen == 3
    assert outcome.best_step == 2  # of which the weights are
    last = resolve(tmp_path / "run" / "checkpoints" / "step-00000006")
    assert load_checkpoint(last).path.name == "step-00000006"
    assert run(Stops(after=99)).steps == 20


def test_a_run_that_was_stopped_ends_at_the_same_step_and_a_done_one_goes_no_further(tmp_path, monkeypatch):
    whole = Stops()
    run(whole, tmp_path / "whole")
    write = Log.write

    def stop(self, split, step, *more):
        if step == 5:
            raise KeyboardInterrupt
        return write(self, split, step, *more)

    monkeypatch.setattr(Log, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        run(Stops(), tmp_path / "run")
    monkeypatch.setattr(Log, "write", write)
    for _ in range(2):  # and once more, when it is done
        resumed = Stops()
        outcome = run(resumed, tmp_path / "run", resume=True)
        assert outcome.steps == 6 and resumed.seen == 3
        for name, value in whole.state_dict().items():
            assert name.endswith("extra_state") or torch.equal(value, resumed.state_dict()[name]), name
