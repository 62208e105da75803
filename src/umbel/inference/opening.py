"""Opening a trained run: what answers for it depends on what it predicts."""

from pathlib import Path

from umbel.engine import load_checkpoint, open_runtime, resolve
from umbel.errors import UmbelError
from umbel.inference.box_predictor import BoxPredictor
from umbel.inference.predictor import Predictor
from umbel.recipes.build import Described


def load(run: str | Path) -> Predictor:
    """Open a trained run to predict with it.

    The network is built again from what its checkpoint says; the data set is not needed.

    Args:
        run: The folder of a training (its best checkpoint, or the one that was made ready), or a checkpoint.

    Raises:
        UmbelError: There is no checkpoint, it is damaged, or it does not say how its network was built (it was written
            by a `fit` of your own: build the learner and use `umbel.engine.load_weights`); or it is a detector.
    """
    opened = load_any(run)
    if isinstance(opened, BoxPredictor):
        raise UmbelError(
            f"{opened.path} is a detector, whose answers are lists of boxes; use umbel predict --images, or in Python "
            "umbel.inference.load_detector"
        )
    return opened


def load_detector(run: str | Path) -> BoxPredictor:
    """Open a trained or adapted detector to find boxes with it.

    Args:
        run: As for `load`.

    Raises:
        UmbelError: As `load`; or it is no detector.
    """
    opened = load_any(run)
    if not isinstance(opened, BoxPredictor):
        raise UmbelError(f"{opened.path} finds no boxes: it predicts {_predicted(opened)}; use umbel.load")
    return opened


def load_any(run: str | Path) -> Predictor | BoxPredictor:
    """Open a trained run, whatever it predicts; see `load` and `load_detector`."""
    saved = load_checkpoint(resolve(Path(run)))
    described = Described.read(saved.settings, str(saved.path))
    detector = any(output.output == "boxes" for output in described.record.outputs)
    kind = BoxPredictor if detector else Predictor
    return kind(described.trained(saved), described.record, open_runtime(), saved.path)


def _predicted(opened: Predictor) -> str:
    return ", ".join(task.name for task in opened.tasks)
