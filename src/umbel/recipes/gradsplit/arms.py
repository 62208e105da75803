"""The arms of the gradient split study: which networks are trained, all with the same encoder and the same steps."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from umbel.core import Descent, Learner
from umbel.data import MultiTaskData
from umbel.descent import Affinity, AfterWarmUp, GradSplit, Measured, make_descent, random_matrix
from umbel.nn import with_attention
from umbel.recipes import bench as benches
from umbel.recipes.bench import SINGLE, about_descent, descent_of, joint_key, train_together
from umbel.recipes.gradsplit.settings import GradSplitSettings
from umbel.recipes.settings import options
from umbel.report.files import write_atomically
from umbel.report.schema import finite_again, plain

JOINT = "joint"
MEASURED = "measured"
OWN = "own"
RANDOM = "random"
MTAN = "mtan"
SPLIT = (MEASURED, OWN, RANDOM)
"""The arms that GradSplit teaches."""

TITLES = {
    SINGLE: ("Single-task", "one network for each task"),
    JOINT: ("Joint", "one network, equal weights"),
    MEASURED: ("GradSplit measured", "each group refuses the tasks that were measured to hurt it in a warm-up"),
    OWN: ("GradSplit own", "each group learns from its own task only"),
    RANDOM: ("GradSplit random", "after the same warm-up as many entries as were measured, drawn elsewhere"),
    MTAN: ("MTAN-like attention", "one network, and a mask on the shared features for each task"),
}
"""Key of an arm -> title and what it does; other arms are descents."""

_FILE = "affinity.json"


@dataclass
class Bench(benches.Bench):
    """What all arms share.

    Attributes:
        affinities: Seed -> what the warm-up measured.
        drawn: Seed -> the random matrix.
        costs: Arm -> "macs" and "parameters" of what serves all tasks.
        memory: Arm -> bytes at the peak of a training step; the largest of the single tasks'.
        other: Another set, with the one task that is tested on it.
        on_other: (arm, seed) -> that task's main metric there.
    """

    settings: GradSplitSettings
    affinities: dict[int, Affinity] = field(default_factory=dict)
    drawn: dict[int, Tensor] = field(default_factory=dict)
    costs: dict[str, dict[str, int]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    other: MultiTaskData | None = None
    on_other: dict[tuple[str, int], float] = field(default_factory=dict)

    @property
    def warm_up(self) -> int:
        """Steps of the warm-up."""
        return self.settings.warm_up_steps(self.joint_steps)


def train_arm(bench: Bench, arm: str, seed: int) -> Learner:
    """One network for all tasks; the measured split comes before the random one, which needs its density."""
    learner = arm_learner(bench, arm, seed)
    descent = arm_descent(bench, arm, seed)
    more = {"describe": bench.described(bench.tasks, seed)} if arm != MTAN else {}
    if arm == MEASURED:
        more["observe"] = _keeper(bench, descent, seed)
    train_together(bench, arm, learner, descent, seed, **more)
    if arm == MEASURED:
        bench.affinities[seed] = read_affinity((bench.study.folder(joint_key(MEASURED, seed)) / _FILE).read_text())
    return learner


def arm_learner(bench: Bench, arm: str, seed: int) -> Learner:
    """A fresh network of the arm; all start from the same encoder and heads."""
    learner = bench.learner(bench.data, seed)
    if arm != MTAN:
        return learner
    norm = options(bench.settings.model.encoder_options, "--encoder-options").get("norm", "batch")
    return Learner(with_attention(learner.model, seed, str(norm)), bench.data.tasks)


def arm_descent(bench: Bench, arm: str, seed: int) -> Descent:
    """What teaches the arm.

    Raises:
        UmbelError: An unknown descent.
    """
    settings = bench.settings
    if arm in (JOINT, MTAN):
        return make_descent("equal")
    if arm == OWN:
        return GradSplit("own", settings.layers)
    if arm == MEASURED:
        return GradSplit(
            Measured(bench.warm_up, settings.every, settings.look_ahead, unsure=settings.unsure), settings.layers
        )
    if arm == RANDOM:
        bench.drawn[seed] = random_matrix(bench.affinities[seed].accept, seed)
        return AfterWarmUp(bench.drawn[seed], bench.warm_up, settings.layers)
    return descent_of(arm)


def settled_descent(bench: Bench, arm: str, seed: int) -> Descent:
    """What teaches the arm once its warm-up, if it has one, is over."""
    if arm == MEASURED:
        return GradSplit(bench.affinities[seed].accept, bench.settings.layers)
    return GradSplit(bench.drawn[seed], bench.settings.layers) if arm == RANDOM else arm_descent(bench, arm, seed)


def _keeper(bench: Bench, descent: GradSplit, seed: int) -> Callable[..., None]:
    """Writes what the warm-up measured beside the network, once it is over."""
    file = bench.study.folder(joint_key(MEASURED, seed)) / _FILE

    def observe(*_: object) -> None:
        if descent.measured.finished and bench.study.runtime.is_main and not file.exists():
            write_atomically(file, json.dumps(plain(affinity_record(descent.affinity())), indent=1))

    return observe


def affinity_record(found: Affinity) -> dict[str, object]:
    """What was measured as plain values."""
    return {
        "tasks": list(found.names),
        "mean": found.mean.tolist(),
        "half_width": found.half_width.tolist(),
        "count": found.count.tolist(),
        "accept": found.accept.int().tolist(),
    }


def read_affinity(text: str) -> Affinity:
    """What was measured, from its file."""
    record = finite_again(json.loads(text))
    mean, half = (torch.tensor(record[name], dtype=torch.float64) for name in ("mean", "half_width"))
    accept = torch.tensor(record["accept"], dtype=torch.bool)
    return Affinity(tuple(record["tasks"]), mean, half, torch.tensor(record["count"]), accept, True)


def check_arms(settings: GradSplitSettings, data: MultiTaskData, learner: Learner) -> list[str]:
    """All arms in the order in which they are trained, each found to be possible.

    Raises:
        UmbelError: An unknown descent, one task only, a layer with fewer channels than tasks, features that are no
            map (for attention), ...
    """
    GradSplit("own", settings.layers).prepare(learner)
    for arm in settings.beside:
        if arm not in TITLES:
            descent_of(arm)  # an unknown name or a missing solver stops the study before it trains anything
    if MTAN in settings.beside:
        with_attention(learner.model, 0)
    return [JOINT, MEASURED, *settings.beside]


def title_of(arm: str) -> tuple[str, str]:
    """Title and description."""
    return TITLES.get(arm) or (arm, about_descent(arm))
