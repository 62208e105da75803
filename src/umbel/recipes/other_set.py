"""Another set on which a task is tested that was learnt elsewhere: does a network know the task, or only its set?"""

from umbel.core import Learner, MultiTaskModel, UmbelError, unknown
from umbel.data import MultiTaskData, TensorSource
from umbel.engine import FabricRuntime, evaluate
from umbel.recipes.build import open_data
from umbel.recipes.settings import DataSettings


def load_other_set(name: str, task: str, data: MultiTaskData, settings: DataSettings) -> MultiTaskData:
    """The other set with that task alone.

    Args:
        name: Of the other set.
        task: One that both have.
        data: What is learnt from.
        settings: Of that; the other set has its resolution.

    Raises:
        UmbelError: The set or the task does not exist, or does not fit: pictures of another shape, labels that mean
            something else.
    """
    if task not in (tasks := [one.name for one in data.tasks]):
        raise unknown("task in --cross-set", task, tasks)
    if name == settings.data:
        raise UmbelError(f"--cross-set {name}:{task}: that is the set that is learnt from; name another")
    other = open_data(DataSettings(data=name, tasks=task, resolution=settings.resolution))
    if tuple(data.input_shape) != tuple(other.input_shape):
        raise UmbelError(
            f"--cross-set: {other.name} has inputs of shape {tuple(other.input_shape)}, {data.name} of "
            f"{tuple(data.input_shape)}; say --resolution"
        )
    one, two = data.task(task), other.task(task)
    for what in ("kind", "labels", "unit"):
        mine, theirs = getattr(one, what), getattr(two, what)
        if mine != theirs:
            raise UmbelError(
                f"--cross-set: task {task!r} has {what} {_text(mine)} in {data.name} but {_text(theirs)} in "
                f"{other.name}, so one cannot be tested on the other"
            )
    return other


def _text(value: object) -> str:
    return value if isinstance(value, str) else ", ".join(map(str, value))  # type: ignore[call-overload]


def on_other_set(learner: Learner, other: MultiTaskData, runtime: FabricRuntime) -> float:
    """The main metric of the learner's task on the other set's test split."""
    task = next(task for task in learner.tasks if task.name == other.tasks[0].name)
    model = learner.model
    alone = Learner(MultiTaskModel(model.encoder, {task.name: model.heads[task.name]}), [task])
    return evaluate(alone, other.test, runtime).main()[task.name]


def most_frequent(other: MultiTaskData) -> float | None:
    """The part of the most frequent class in another set's test split; None for a task without classes.

    What a network must beat: accuracy on a skewed set is high for one that has learnt nothing.
    """
    task = other.tasks[0]
    if task.kind != "classification" or not isinstance(other.test, TensorSource):
        return None
    target = task.target_of(other.test.samples)
    counts = target[task.labelled(target)].bincount()
    return float(counts.max() / counts.sum())
