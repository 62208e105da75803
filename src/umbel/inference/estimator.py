"""Multi-task networks behind scikit-learn's fit, predict and score."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from umbel.core import Batch
from umbel.data.data_record import DataRecord
from umbel.data.table_description import TableDescription
from umbel.data.table_rows import described_values, input_tensor
from umbel.descent import make_descent
from umbel.engine import FitSettings, fit, open_runtime
from umbel.engine import checkpoint as checkpoints
from umbel.engine.folder import claimed, output_folder
from umbel.errors import UmbelError
from umbel.files import writing
from umbel.inference.answers import decoded
from umbel.inference.estimator_data import cells_of, dealt, described, described_data, targets_of
from umbel.recipes.build import GIVEN_ROWS, describe, make_learner
from umbel.recipes.settings import DataSettings, ModelSettings

_ROWS_AT_A_TIME = 4096


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """What Umbel refuses is a ValueError, as scikit-learn's users expect."""
    try:
        yield
    except UmbelError as error:
        raise ValueError(str(error)) from error


class _MultiTask(BaseEstimator):  # type: ignore[misc]
    """What the three estimators share; see `MultiTaskEstimator`."""

    _kinds: str | None = None

    def __init__(
        self,
        descent: str = "equal",
        *,
        encoder_options: str = "",
        hidden: int | None = None,
        steps: int = 500,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.descent = descent
        self.encoder_options = encoder_options
        self.hidden = hidden
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> "_MultiTask":
        """Train a network for all targets.

        Args:
            X: A DataFrame of numbers, text, booleans or categories, or an array of numbers [n, F]; cells may be
                missing.
            y: A DataFrame, a Series or an array, [n] or [n, T]; NaN, None and NA are missing labels.

        Raises:
            ValueError: X or y cannot be learnt from; says which column, and what to do.
        """
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        X = self._checked(X, reset=True)
        with _as_value_errors():
            self._train(X, y)
        return self

    def _train(self, x: Any, y: Any) -> None:
        targets = targets_of(y, self._kinds or getattr(self, "kinds", None))
        check_consistent_length(x, targets[0].values)
        for target in targets:
            present = target.values[~target.gaps]
            if present.dtype.kind == "f" and not np.isfinite(present).all():
                raise UmbelError(f"target {target.name!r} holds infinity; leave the cell blank")
            if target.kind == "classification":
                check_classification_targets(present)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        cells = cells_of(x, self._names())
        parts = dealt(len(x), targets, seed)
        description = described(cells, targets, parts[0], seed)
        data = described_data(cells, targets, description, parts)
        model = ModelSettings("mlp", self.encoder_options, self.hidden)
        settings = FitSettings(
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            precision="float32",
            monitor="loss",
            validate_every=max(1, self.steps // 20),
            tensorboard=False,
            seed=seed,
        )
        learner = make_learner(model, data, seed)
        fitted = fit(learner, make_descent(self.descent), data.train, data.validation, settings)
        kept = describe(DataSettings(data=GIVEN_ROWS), model, data, seed, False)
        self._kept = {"fit": dataclasses.asdict(fitted.settings), **kept, "descent": {"name": self.descent}}
        self._step = fitted.best_step
        self.learner_ = learner.cpu().double().eval()  # in double precision a row does not feel its batch
        self.targets_ = [target.name for target in targets]
        one = isinstance(y, pd.Series) or (not isinstance(y, pd.DataFrame) and np.asarray(y).ndim == 1)
        self._y = "one" if one else "frame" if isinstance(y, pd.DataFrame) else "columns"
        self._classes = [target.classes() if target.kind == "classification" else None for target in targets]

    def _checked(self, x: Any, reset: bool) -> Any:
        """X as it is where it is a DataFrame, else as an array of numbers; what scikit-learn remembers is set."""
        if isinstance(x, pd.DataFrame):
            if min(x.shape) < 1 or (reset and len(x) < 2):
                raise ValueError(f"Found a DataFrame with {len(x)} sample(s) and {x.shape[1]} feature(s); give more")
            validate_data(self, x, reset=reset, skip_check_array=True)
            return x
        return validate_data(
            self, x, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2 if reset else 1
        )

    def _names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return [f"x{place}" for place in range(self.n_features_in_)] if names is None else [str(name) for name in names]

    @property
    def record(self) -> DataRecord:
        """What is known of the columns: how each becomes an input, scales, classes."""
        check_is_fitted(self)
        return DataRecord.read(self._kept["record"], type(self).__name__)

    def _answers(self, x: Any) -> list[np.ndarray]:
        """Decoded predictions of each target, float64 [n, outputs]."""
        check_is_fitted(self)
        x = self._checked(x, reset=False)
        with _as_value_errors(), torch.no_grad():
            record, name = self.record, Path("X")
            known = cast("TableDescription", record.inputs)
            values = described_values(name, cells_of(x, self._names()), known)
            parts: list[list[np.ndarray]] = [[] for _ in record.outputs]
            for start in range(0, len(x), _ROWS_AT_A_TIME):
                some = np.arange(start, min(start + _ROWS_AT_A_TIME, len(x)))
                inputs = input_tensor(name, values, known, some).double()
                raw = self.learner_.predict(Batch(inputs), self.learner_.sweep()[0])
                for part, output, task in zip(parts, record.outputs, self.learner_.tasks, strict=True):
                    part.append(decoded(output, task, raw[task.name]).numpy())
        return [np.concatenate(part) for part in parts]

    def _columns(self, x: Any) -> list[np.ndarray]:
        """The answer to each target, [n]: a class as it was given, or a value."""
        return [
            answer[:, 0] if classes is None else classes[answer.argmax(1)]
            for answer, classes in zip(self._answers(x), self._classes, strict=True)
        ]

    def predict(self, X: Any) -> Any:
        """The likeliest class or the value of each target.

        Args:
            X: As for `fit`, with the same columns.

        Returns:
            In the form that `fit` was given y: [n], [n, T] or a DataFrame.

        Raises:
            ValueError: X does not fit; says which column.
        """
        columns = self._columns(X)
        if self._y == "frame":
            index = X.index if isinstance(X, pd.DataFrame) else None
            return pd.DataFrame(dict(zip(self.targets_, columns, strict=True)), index=index)
        return columns[0] if self._y == "one" else np.stack(columns, 1, dtype=_common(columns), casting="unsafe")

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean over the targets of the accuracy or of R²; missing labels do not count.

        Args:
            X: As for `fit`.
            y: As for `fit`.
            sample_weight: How much each row counts, [n].
        """
        columns = self._columns(X)
        given = targets_of(y, "classification")
        if len(given) != len(columns):
            raise ValueError(f"y has {len(given)} targets, {len(columns)} were learnt")
        scores = []
        for target, answer, classes in zip(given, columns, self._classes, strict=True):
            known = ~target.gaps
            weight = None if sample_weight is None else np.asarray(sample_weight)[known]
            one, other = target.values[known], answer[known]
            if classes is None:
                scores.append(r2_score(one.astype(np.float64), other, sample_weight=weight))
            else:
                scores.append(accuracy_score(one.astype(classes.dtype), other, sample_weight=weight))
        return float(np.mean(scores))

    def save(self, path: str | Path) -> Path:
        """Write the run's folder, which `umbel.load`, `umbel predict` and the others take.

        Args:
            path: A new folder.

        Raises:
            UmbelError: There is something already, or it cannot be written.
        """
        check_is_fitted(self)
        folder = output_folder(path)
        with writing(folder):
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise UmbelError(f"{folder} is there already; give a new folder")
        weights, extra = checkpoints.split_state(self.learner_)
        single = {name: one.float() if one.is_floating_point() else one for name, one in weights.items()}
        settings = json.loads(json.dumps(self._kept))
        with claimed(folder, "run", open_runtime(), resume=False):
            checkpoints.save(folder / "checkpoints", "best", self._step, single, {"learner_extra": extra}, settings)
        return folder


def _common(columns: list[np.ndarray]) -> np.dtype:
    """The type of an array that holds several columns: theirs where they agree in kind, else Python objects."""
    kinds = {column.dtype.kind for column in columns}
    return np.result_type(*columns) if len(kinds) == 1 and kinds != {"O"} else np.dtype(object)


class MultiTaskEstimator(_MultiTask):
    """One network for targets of any kind: some columns of y are classes, others numbers.

    Args:
        descent: How conflicts between the targets are settled; `umbel list` shows the choices.
        encoder_options: Of the fully connected layers, as "width=64,depth=3".
        hidden: Width of a hidden layer in each target's head; None for none.
        steps: Of the training.
        batch_size: Rows in a step.
        learning_rate: At its peak.
        random_state: Of the start, the order and the rows that are held out to choose the best step.
        kinds: Target -> "classification" or "regression". Of the others, decimals and whole numbers with more than 20
            different values are a regression, all else a classification.

    Attributes:
        learner_: The trained network, in double precision.
        targets_: Names of the targets.
        classes_: For each target its classes, None for a regression.
        n_features_in_: Columns of X.
        feature_names_in_: Their names, where X was a DataFrame.
    """

    def __init__(
        self,
        descent: str = "equal",
        *,
        encoder_options: str = "",
        hidden: int | None = None,
        steps: int = 500,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        random_state: int | np.random.RandomState | None = None,
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            descent,
            encoder_options=encoder_options,
            hidden=hidden,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            random_state=random_state,
        )
        self.kinds = kinds

    @property
    def classes_(self) -> list[np.ndarray | None]:
        """For each target its classes; None for a regression."""
        check_is_fitted(self)
        return self._classes

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes: target -> [n, classes] for each classification; an array for a y of one axis.

        Args:
            X: As for `fit`.

        Raises:
            ValueError: No target is a classification.
        """
        answered = self._answers(X)
        answers = zip(self.targets_, answered, self._classes, strict=True)
        probabilities = {name: answer for name, answer, classes in answers if classes is not None}
        if not probabilities:
            raise ValueError("no target is a classification; use predict")
        return probabilities[self.targets_[0]] if self._y == "one" else probabilities


class MultiTaskClassifier(ClassifierMixin, _MultiTask):  # type: ignore[misc]
    """One network for several classifications; see `MultiTaskEstimator` for arguments and attributes.

    With one target `classes_` and `predict_proba` are arrays, with several they are lists of arrays, as
    scikit-learn's own classifiers have it.
    """

    _kinds = "classification"

    @property
    def classes_(self) -> Any:
        """The classes, rising, in the type of y; a list of such arrays for several targets."""
        check_is_fitted(self)
        return self._classes[0] if self._y == "one" else list(self._classes)

    def predict_proba(self, X: Any) -> Any:
        """Probabilities [n, classes] in the order of `classes_`; a list of such arrays for several targets.

        Args:
            X: As for `fit`.
        """
        answers = self._answers(X)
        return answers[0] if self._y == "one" else answers


class MultiTaskRegressor(RegressorMixin, _MultiTask):  # type: ignore[misc]
    """One network for several regressions; see `MultiTaskEstimator` for arguments and attributes."""

    _kinds = "regression"
