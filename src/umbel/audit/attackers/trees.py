"""Boosted trees: strong where features are few, as in tables."""

import math
from typing import Any

import numpy
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from torch import Tensor

from umbel.audit.forms import Form, number_count, numbers_of, raw_of
from umbel.audit.judging import better, score_of
from umbel.audit.problem import Answer, Problem

_FEATURES = 64
_TREES = {"quick": 300, "full": 800}  # in all, over classes
_VARIANTS = {"quick": ((0.2, 15),), "full": ((0.2, 15), (0.1, 31))}  # learning rate, leaves


class Trees:
    """scikit-learn's histogram gradient boosting, one model for each output; a few sizes are tuned."""

    name = "trees"
    varies = False

    def fits(self, problem: Problem) -> bool:
        """Where there are at most 64 numbers, and targets of samples that are classes, yes/no or values."""
        return not problem.is_dense and problem.form is not None and number_count(problem.features) <= _FEATURES

    def train(self, problem: Problem) -> Answer:
        """See `Attacker.train`."""
        best, winner = math.nan, None
        for rate, leaves in _VARIANTS[problem.effort]:
            answer = boosted(problem, rate, leaves)
            score = score_of(problem.task, answer, problem.held_features, problem.held_targets)
            if winner is None or better(problem.task, score, best):
                best, winner = score, answer
        assert winner is not None
        return winner


def boosted(problem: Problem, rate: float, leaves: int) -> Answer:
    """One model of trees.

    Args:
        problem: Features may hold NaN, for what is not known.
        rate: How much each tree counts.
        leaves: Of each tree, at most.
    """
    form, trees = problem.form, _TREES[problem.effort]
    assert form is not None
    inputs = problem.features.flatten(1).numpy()
    settings: dict[str, Any] = {"learning_rate": rate, "max_leaf_nodes": leaves, "early_stopping": False}
    settings |= {"random_state": problem.seed % 2**31, "min_samples_leaf": min(20, max(len(inputs) // 20, 1))}
    if form == "classes":
        present = int(problem.targets.unique().numel())
        rounds = max(min(trees // present, 200), 10)
        model = HistGradientBoostingClassifier(max_iter=rounds, **settings).fit(inputs, problem.targets.numpy())
        return _Classes(model, problem.task.outputs)
    numbers, known = numbers_of(problem.task, form, problem.targets)
    kind = HistGradientBoostingClassifier if form == "yes/no" else HistGradientBoostingRegressor
    rounds = max(min(trees // numbers.shape[1], 100), 10)
    models: list[Any] = []
    for values, there in zip(numbers.T, known.T, strict=True):
        wanted = values[there].round().long() if form == "yes/no" else values[there]
        alike = len(wanted) < 2 or bool((wanted == wanted[0]).all())
        constant = float(wanted[0]) if len(wanted) else 0.0
        models.append(constant if alike else kind(max_iter=rounds, **settings).fit(inputs[there], wanted.numpy()))
    return _Columns(models, form)


class _Classes:
    def __init__(self, model: Any, outputs: int) -> None:
        self.model, self.outputs = model, outputs

    def __call__(self, features: Tensor) -> Tensor:
        shares = torch.zeros(len(features), self.outputs)
        places = torch.from_numpy(self.model.classes_.astype(numpy.int64))
        shares[:, places] = torch.from_numpy(self.model.predict_proba(features.flatten(1).numpy())).float()
        return raw_of("classes", shares)


class _Columns:
    def __init__(self, models: list[Any], form: Form) -> None:
        self.models, self.form = models, form

    def __call__(self, features: Tensor) -> Tensor:
        inputs = features.flatten(1).numpy()
        columns = [self._column(model, inputs) for model in self.models]
        numbers = torch.stack([torch.from_numpy(numpy.asarray(column)).float() for column in columns], 1)
        return raw_of(self.form, numbers)

    def _column(self, model: Any, inputs: Any) -> Any:
        if isinstance(model, float):
            return numpy.full(len(inputs), model)
        return model.predict_proba(inputs)[:, 1] if self.form == "yes/no" else model.predict(inputs)
