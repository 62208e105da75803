"""What is measured on the trained networks of the gradient split study: cost of inference, accuracy on another set."""

from collections.abc import Mapping, Sequence

from umbel.core import Descent, Learner, MultiTaskModel, OperatingPoint, UmbelError, unknown
from umbel.data import MultiTaskData, TensorSource
from umbel.data.catalogue import SETS
from umbel.descent.passes import untouched
from umbel.engine import evaluate, peak_bytes
from umbel.nn import count_macs
from umbel.recipes.build import load_data
from umbel.recipes.gradsplit.arms import JOINT, SPLIT, Bench
from umbel.recipes.gradsplit.settings import GradSplitSettings
from umbel.recipes.settings import DataSettings
from umbel.recipes.study import Study


def inference_cost(learners: Sequence[Learner], input_shape: Sequence[int]) -> dict[str, int]:
    """Multiply-accumulates of one sample and parameters, of all these networks together.

    Args:
        learners: One for all tasks, or one for each.
        input_shape: Of one sample.
    """
    macs = 0
    for learner in learners:
        model = learner.model
        heads = [model.heads[name] for name in model.task_names]
        macs += count_macs(model.encoder, input_shape)
        macs += sum(count_macs(head, model.encoder.feature_shape) for head in heads)
    parameters = sum(p.numel() for learner in learners for p in learner.model.parameters())
    return {"macs": macs, "parameters": parameters}


def step_memory(bench: Bench, learner: Learner, descent: Descent, data: MultiTaskData) -> int:
    """Bytes of activations and gradients at the peak of a training step: forward and backward, without the optimizer.

    Args:
        bench: Its settings say the batch size and the precision.
        learner: A network of the arm, whose weights and statistics stay as they are.
        descent: What teaches it, past any warm-up.
        data: What it learns from.
    """
    fit = bench.fit
    runtime = bench.study.runtime.with_settings(fit.precision, fit.accumulate)
    learner = learner.to(runtime.device).train()
    batches = data.train.train_batches(fit.batch_size, 0, 0, 0, runtime.rank, runtime.world_size)
    batch, point = next(iter(batches)).to(runtime.device), OperatingPoint()
    descent.prepare(learner)
    with untouched(learner, runtime.device):
        descent(learner, batch, point, runtime)  # the first step holds checks
        learner.zero_grad(set_to_none=True)
        found = peak_bytes(lambda: descent(learner, batch, point, runtime), runtime.device)
    learner.zero_grad(set_to_none=True)
    return found


def check_same_cost(costs: Mapping[str, Mapping[str, int]]) -> None:
    """Gradient split changes gradients, never the network: its arms must cost what joint training's network does.

    Raises:
        UmbelError: One does not.
    """
    for arm in SPLIT:
        if arm in costs and dict(costs[arm]) != dict(costs[JOINT]):
            raise UmbelError(f"gradsplit: the network of arm {arm!r} costs {costs[arm]}, that of joint {costs[JOINT]}")


def load_other_set(settings: GradSplitSettings, data: MultiTaskData, study: Study) -> MultiTaskData | None:
    """The set on which a task is tested besides, with that task alone; None where none is wanted or found.

    Raises:
        UmbelError: The set or the task that was asked for does not exist, or does not fit.
    """
    if settings.other_set is None:
        return None
    name, task = settings.other_set
    tasks = [one.name for one in data.tasks]
    if settings.cross_set == "auto":
        if task not in tasks:
            return None
        if not SETS[name].available:
            study.warnings.append(
                f"No accuracy on another set: {name} was not found (`umbel list` says where it goes)."
            )
            return None
    if task not in tasks:
        raise unknown("task in --cross-set", task, tasks)
    if name == settings.data.data:
        raise UmbelError(f"--cross-set {name}:{task}: that is the set that is learnt from; name another")
    other = load_data(DataSettings(data=name, tasks=task, resolution=settings.data.resolution))
    _check_fits(data, other, task)
    return other


def _check_fits(data: MultiTaskData, other: MultiTaskData, task: str) -> None:
    """The same pictures' shape, the same kind of task, and labels that mean the same in the same order."""
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


def _text(value: object) -> str:
    return value if isinstance(value, str) else ", ".join(map(str, value))


def on_other_set(bench: Bench, learner: Learner) -> float:
    """The main metric of the task on the other set's test split, with the weights chosen on this set's validation."""
    task = bench.data.task(bench.other.tasks[0].name)
    alone = Learner(MultiTaskModel(learner.model.encoder, {task.name: learner.model.heads[task.name]}), [task])
    here = bench.study.runtime.with_settings(bench.fit.precision, 1)
    return evaluate(alone, bench.other.test, here).main()[task.name]


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
