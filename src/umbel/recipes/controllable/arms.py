"""The networks of the controllable study: which are trained, all with the same encoder and the same steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import nn

from umbel.core import Learner, MultiTaskModel
from umbel.data import MultiTaskData
from umbel.descent import make_descent
from umbel.engine import FitSettings
from umbel.methods.controllable import ControllableLearner
from umbel.methods.preference_conditioned import PreferenceLearner
from umbel.metrics import relative_improvement
from umbel.nn import PreferenceConditioned, dense_copy, seeded_start
from umbel.recipes.build import describe, make_learner, predicts_maps
from umbel.recipes.controllable.settings import ControllableSettings
from umbel.recipes.settings import ModelSettings
from umbel.recipes.study import Outcome, Study
from umbel.recipes.turnable import make_ready
from umbel.search import ConfigurationTable

EXACT = "controllable"
RULE = "paper-rule"
EQUAL = "equal-heads"
SEPARATE = "separate"
PREFERENCE = "preference"
TUNING_SEED = 1000

TITLES = {
    EXACT: ("Controllable", "one slimmable network; widths found by the exact search on validation"),
    RULE: ("Proportional rule", "the same network; head widths in proportion to the preferences, as the paper says"),
    EQUAL: ("Equal head widths", "the same network; one width for all heads, the best one for the budget"),
    SEPARATE: ("Separate networks", "a network for each width, trained by itself"),
    PREFERENCE: ("Preference as input", "for each budget a network of that cost that reads the preference (FiLM)"),
}
"""Key of an arm -> title and what it does."""


@dataclass
class Bench:
    """What all arms share.

    Attributes:
        study: Folder, processes, progress.
        settings: Of the study.
        fit: How every network is trained, precision resolved.
        data: All tasks.
        outcomes: Folder of a network -> how its training went.
        strengths: Distillation -> its weight, once it was chosen.
        penalty: Of the networks that read the preference, once it was chosen.
    """

    study: Study
    settings: ControllableSettings
    fit: FitSettings
    data: MultiTaskData
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    strengths: dict[str, float] = field(default_factory=dict)
    penalty: float | None = None

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return [task.name for task in self.data.tasks]

    @property
    def groups(self) -> list[list[str]]:
        """Tasks whose preferences turn together."""
        return self.settings.groups_of(self.tasks)

    def preferences(self, ray: tuple[float, ...]) -> dict[str, float]:
        """Task -> preference, from one number for each group."""
        return {task: share for group, share in zip(self.groups, ray, strict=True) for task in group}

    def trained(
        self, key: str, learner: Learner, seed: int, label: str, steps: int | None = None, **about: Any
    ) -> Outcome:
        """Train a network, or take up the one of that folder."""
        fit = self.fit if steps is None else replace(self.fit, steps=steps)
        self.outcomes[key] = self.study.trained(
            key,
            learner,
            make_descent(self.settings.descent),
            self.data,
            replace(fit, seed=seed),
            label=f"{label}, seed {seed}",
            tested=False,
            **about,
        )
        return self.outcomes[key]


def supernet_key(distillation: str, seed: int) -> str:
    """The folder of a controllable network."""
    return f"{EXACT}/{distillation}/seed-{seed}"


def train_supernet(
    bench: Bench, distillation: str, seed: int, references: Mapping[str, float]
) -> tuple[ControllableLearner, ConfigurationTable]:
    """A controllable network, trained and made ready, with its table on validation."""
    model = bench.settings.supernet(distillation, strength_of(bench, distillation, references))
    label = f"controllable, distillation {distillation}"
    return _ready(bench, model, supernet_key(distillation, seed), seed, label, references=references)


def _ready(bench: Bench, model: ModelSettings, key: str, seed: int, label: str, **about: Any) -> tuple:
    learner = make_learner(model, bench.data, seed)
    described = describe(bench.settings.data, model, bench.tasks, seed, predicts_maps(bench.data))
    bench.trained(key, learner, seed, label, describe=described, **about)
    here = bench.study.runtime.with_settings(bench.fit.precision, 1)
    return learner, make_ready(bench.study.folder(key), learner, bench.data, here)


def strength_of(bench: Bench, distillation: str, references: Mapping[str, float]) -> float:
    """The weight of a distillation: as set, or the best of several on validation, over trials with a seed of their own.

    Best is the mean over all configurations and tasks of the relative improvement over the separate full network.
    """
    settings = bench.settings
    if distillation == "none" or not settings.trials:
        return settings.model.strength
    if distillation not in bench.strengths:
        scores = {value: _trial(bench, distillation, value, references) for value in settings.trials}
        bench.strengths[distillation] = max(scores, key=scores.get)
    return bench.strengths[distillation]


def _trial(bench: Bench, distillation: str, strength: float, references: Mapping[str, float]) -> float:
    model = bench.settings.supernet(distillation, strength)
    key, label = f"tuning/{distillation}-{strength:g}", f"tuning: distillation {distillation}, strength {strength:g}"
    _, table = _ready(bench, model, key, TUNING_SEED, label, steps=trial_steps(bench), references=references)
    gains = [
        np.mean([relative_improvement(q, references[task.name], task.higher_is_better) for q in of_task.ravel()])
        for task, of_task in zip(bench.data.tasks, table.quality, strict=True)
    ]
    return float(np.mean(gains))


def separate_key(width: float, seed: int) -> str:
    """The folder of a network of one width."""
    return f"{SEPARATE}/width-{width:g}/seed-{seed}"


def train_separate(bench: Bench, width: float, seed: int, references: Mapping[str, float] | None) -> Learner:
    """A network of one width (encoder and heads), trained by itself."""
    learner = Learner(fresh_model(bench, {"width": width, "heads": width}, seed), bench.data.tasks)
    bench.trained(separate_key(width, seed), learner, seed, f"separate, width {width:g}", references=references)
    return learner


def preference_key(shape: Mapping[str, float], seed: int) -> str:
    """The folder of a network that reads the preference."""
    return f"{PREFERENCE}/encoder-{shape['width']:g}-heads-{shape['heads']:g}/seed-{seed}"


def trial_steps(bench: Bench) -> int:
    """Steps of a training that only chooses."""
    total = bench.fit.total_steps(bench.data.train.steps(bench.fit.batch_size))
    return max(1, round(total * bench.settings.tuning_budget))


def train_preference(
    bench: Bench,
    shape: Mapping[str, float],
    seed: int,
    references: Mapping[str, float],
    penalty: float,
    trial: str = "",
) -> PreferenceLearner:
    """A network of one cost that reads the preference, and is taught the whole range of them.

    Args:
        bench: Data and settings.
        shape: See `fresh_model`.
        seed: Of the start and the training.
        references: Of the checkpoint's choice.
        penalty: See `PreferenceLearner`.
        trial: Folder of a shorter training that only chooses; empty for a training that counts.
    """
    plain = fresh_model(bench, shape, seed)
    names = plain.task_names
    with seeded_start(seed, "preferences"):
        encoder = PreferenceConditioned(plain.encoder, names, input_shape=bench.data.input_shape)
        features = plain.encoder.feature_shape
        heads = {name: PreferenceConditioned(plain.heads[name], names, input_shape=features) for name in names}
    model = MultiTaskModel(encoder, heads)
    learner = PreferenceLearner(model, bench.data.tasks, groups=bench.groups, penalty=penalty)
    key, steps = (trial, trial_steps(bench)) if trial else (preference_key(shape, seed), None)
    label = f"preference as input, encoder {shape['width']:g}, heads {shape['heads']:g}, penalty {penalty:g}"
    bench.trained(key, learner, seed, label, steps=steps, references=references)
    return learner


def fresh_model(bench: Bench, shape: Mapping[str, float], seed: int) -> MultiTaskModel:
    """The ordinary network that one configuration is, newly initialised; the full one starts as the controllable does.

    Args:
        bench: Data and network.
        shape: "width" of the encoder and "heads", the width of all heads.
        seed: Of the start.
    """
    full: ControllableLearner = make_learner(bench.settings.model, bench.data, seed)
    model = dense_copy(full.model, full.point(shape["width"], shape["heads"]))
    if min(shape.values()) < 1:
        parts = {"": model.encoder, **{name: model.heads[name] for name in model.task_names}}
        for name, part in parts.items():
            with seeded_start(seed, name):
                _start_again(part)
    return model.train()


def _start_again(part: nn.Module) -> None:
    """Draw all weights anew: a prefix of a wide layer's start is too small for a narrow one."""
    for layer in part.modules():
        if callable(reset := getattr(layer, "reset_parameters", None)):
            reset()


def equal_shape(table: ConfigurationTable, choice: Any) -> dict[str, float]:
    """Widths of a choice with one width for all heads."""
    return {"width": choice.point["width"], "heads": choice.point["head_widths"][table.tasks[0]]}
