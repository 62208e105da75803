"""A detector as a learner: the boxes are one task, what else reads the features are others."""

from collections.abc import Callable, Sequence

from torch import Tensor

from umbel.core import Batch, Learner, Losses, OperatingPoint, Task, UmbelError, sizes_of
from umbel.nn.detection.detector import PICTURE, Detector, Seen

View = Callable[[Tensor, Sequence[tuple[int, int]]], Tensor]
"""Pictures [B, 3, H, W] and the (height, width) of each -> the same pictures, changed, everything where it was."""


class DetectionLearner(Learner):
    """Boxes beside other tasks on the same features, which are computed once for each picture.

    The detector's own losses are added up to the loss of the boxes: one row for a descent, which so settles detection
    as a whole against the other tasks. All losses are means over labelled pictures, so pieces and processes add up.

    Args:
        model: The detector, with a head for each further task.
        tasks: One whose answers are boxes (`tasks.boxes`), and those of the detector's further heads.
        view: Changes the pictures that it learns from (`data.views.strong_view`); None leaves them.

    Raises:
        UmbelError: Not exactly one task of boxes, other classes than the detector's, or a task without a head.
    """

    model: Detector

    def __init__(self, model: Detector, tasks: Sequence[Task], view: View | None = None) -> None:
        super().__init__(model, tasks)
        self.view = view
        of_boxes = [task for task in tasks if task.output == "boxes"]
        if len(of_boxes) != 1:
            raise UmbelError(f"a detector learns one task of boxes, and {len(of_boxes)} were given; see tasks.boxes")
        self.boxes = of_boxes[0]
        if self.boxes.labels != model.labels:
            raise UmbelError(
                f"task {self.boxes.name!r} has the classes {', '.join(self.boxes.labels)}, the detector "
                f"{', '.join(model.labels)}; build it with the task's labels"
            )
        for task in tasks:
            if task is not self.boxes and task.name not in model.head_names:
                raise UmbelError(f"task {task.name!r} has no head in the detector; build it with heads=[...]")

    def predict(self, batch: Batch, point: OperatingPoint) -> dict[str, Tensor]:
        """Raw predictions by task name."""
        predictions = self.model(batch.inputs, point)
        return {self.boxes.name: predictions.pop("boxes"), **predictions}

    def losses(self, batch: Batch, point: OperatingPoint) -> Losses:
        """The losses of a batch: of the boxes the sum of the detector's own, of other tasks their own."""
        inputs = batch.inputs
        if self.training and self.view is not None:
            sizes = [(int(high), int(wide)) for high, wide in sizes_of(inputs, PICTURE)[:, -2:].tolist()]
            inputs = {**inputs, PICTURE: self.view(inputs[PICTURE], sizes)}
        return self.losses_of(self.model.features(inputs), batch)

    def losses_of(self, seen: Seen, batch: Batch) -> Losses:
        """The tasks' losses from features that are there already.

        Args:
            seen: Of the batch's pictures.
            batch: Its targets.
        """
        own = self.model.detection_losses(seen, self.boxes.target_of(batch))
        further = self.model.further(seen)
        return Losses(
            {
                task.name: sum(own.values())
                if task is self.boxes
                else task.mean_loss(further[task.name], task.target_of(batch))
                for task in self.tasks
            }
        )
