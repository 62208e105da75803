"""Umbel: one shared encoder, many task heads.

    import umbel

    data = umbel.load_data("digits")
    learner = umbel.Learner(umbel.build_model(data.input_shape, data.tasks), data.tasks)
    umbel.fit(learner, umbel.make_descent("upgrad"), data.train, data.validation)
    print(umbel.evaluate(learner, data.test, umbel.open_runtime()).main())

What is listed in `__all__`, here and in the packages below, is public; all else may change at any time. The contracts
are in `umbel.core`, kinds of task in `umbel.tasks`, data in `umbel.data`, ways to settle conflicts in `umbel.descent`,
the training loop in `umbel.engine`, studies in `umbel.recipes`. Importing `umbel` itself loads nothing heavy: a name is
imported when it is first used.
"""

from importlib import import_module

from umbel.errors import UmbelError

TYPE_CHECKING = False  # as editors and the type checker know it; importing `typing` would slow `umbel --help`
if TYPE_CHECKING:  # the same names as in `_HOMES`, which a test compares
    from umbel.core import (
        Batch,
        Descent,
        Learner,
        Losses,
        MultiTaskModel,
        OperatingPoint,
        PointModule,
        SingleProcess,
        Sweep,
        Task,
    )
    from umbel.data import MultiTaskData, data_from_datasets, from_table, load_data
    from umbel.descent import make_descent
    from umbel.engine import FitSettings, evaluate, fit, open_runtime
    from umbel.inference import load
    from umbel.nn import build_model
    from umbel.tasks import (
        boundaries,
        classification,
        dense_regression,
        multilabel,
        picture,
        reconstruction,
        regression,
        segmentation,
        surface_normals,
    )

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Descent",
    "FitSettings",
    "Learner",
    "Losses",
    "MultiTaskData",
    "MultiTaskModel",
    "OperatingPoint",
    "PointModule",
    "SingleProcess",
    "Sweep",
    "Task",
    "UmbelError",
    "boundaries",
    "build_model",
    "classification",
    "data_from_datasets",
    "dense_regression",
    "evaluate",
    "fit",
    "from_table",
    "load",
    "load_data",
    "make_descent",
    "multilabel",
    "open_runtime",
    "picture",
    "reconstruction",
    "regression",
    "segmentation",
    "surface_normals",
]

_HOMES = {
    "core": (
        "Batch",
        "Descent",
        "Learner",
        "Losses",
        "MultiTaskModel",
        "OperatingPoint",
        "PointModule",
        "SingleProcess",
        "Sweep",
        "Task",
    ),
    "data": ("MultiTaskData", "data_from_datasets", "from_table", "load_data"),
    "descent": ("make_descent",),
    "engine": ("FitSettings", "evaluate", "fit", "open_runtime"),
    "inference": ("load",),
    "nn": ("build_model",),
    "tasks": (
        "boundaries",
        "classification",
        "dense_regression",
        "multilabel",
        "picture",
        "reconstruction",
        "regression",
        "segmentation",
        "surface_normals",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # a misspelt name is an error for them, too

    def __getattr__(name: str) -> object:
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
