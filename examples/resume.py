"""Stop a training and go on later: the end is the same, bit for bit.

A training with a folder (`out=`) leaves checkpoints. Ctrl-C stops it after the step in hand and saves; here the stop
is asked for at step 30. The same call with `resume=True` goes on, after a power cut too.
"""

import os
import signal
from pathlib import Path

import torch

from umbel import FitSettings, Learner, build_model, fit, load_data, make_descent
from umbel.engine import Interrupted

data = load_data("digits")
splits = data.train, data.validation
settings = FitSettings(steps=60, learning_rate=3e-3, precision="float32", tensorboard=False)


def new_learner() -> Learner:
    """The same start each time."""
    return Learner(build_model(data.input_shape, data.tasks, "mlp", width=32, seed=0), data.tasks)


def stop_at_30(step, learner, batch, point) -> None:
    """Called before each step: what Ctrl-C does."""
    if step == 30:
        os.kill(os.getpid(), signal.SIGINT)


stopped = new_learner()
try:
    fit(stopped, make_descent("uncertainty"), *splits, settings, out=Path("run"), observe=stop_at_30)
except Interrupted as message:
    print("stopped:", message)
print("kept:", *sorted(path.name for path in Path("run/checkpoints").iterdir()))

# Later, perhaps in another process: everything is made anew, and the weights come from the checkpoint.
resumed = new_learner()
fitted = fit(resumed, make_descent("uncertainty"), *splits, settings, out=Path("run"), resume=True)
print(f"went on to step {fitted.steps}")

# For comparison, the same training without a stop.
straight = new_learner()
fit(straight, make_descent("uncertainty"), *splits, settings)

pairs = list(zip(resumed.parameters(), straight.parameters(), strict=True))
identical = all(torch.equal(one, other) for one, other in pairs)
print("the same weights as without the stop, bit for bit:", identical)
