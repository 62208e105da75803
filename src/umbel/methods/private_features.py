"""Features that serve their task and little else: each task's receiver is sent features of its own.

Source: Arefeen, Li, Uddin, Das, "MetaMorphosis: task-oriented privacy cognizant feature generation for multi-task
learning", IoTDI 2023, arXiv 2305.07815.
"""

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from umbel.arguments import one_of, real_number
from umbel.core import (
    Axis,
    Batch,
    Learner,
    Losses,
    MultiTaskModel,
    OneOf,
    OperatingPoint,
    Task,
    UmbelError,
    at_point,
)
from umbel.losses import KINDS, joint_dependence, joint_overlap
from umbel.nn import (
    CrossTaskExcitation,
    CrossTaskGates,
    FeatureRelease,
    FlatProjection,
    GatedEncoder,
    ReleasingLink,
    TaskProjection,
    build_head,
    build_model,
    seeded_start,
)

DECORRELATION = "decorrelation"
"""Name of the loss that keeps tasks' features from saying the same."""
OVERLAP = "overlap"
"""Name of the loss that keeps tasks' gates apart."""
Kind = Literal["covariance", "hsic"]


class PrivateFeaturesLearner(Learner):
    """The tasks' losses, and what tasks' features have in common.

        J = Σ_k L_k(head_k(sent_k), y_k)
            + decorrelation Σ_{j<k} D(clean_j, clean_k) + overlap Σ_{j<k} cos²(gate_j, gate_k)

    D is the mean square of correlations ("covariance"), or HSIC ("hsic"); see `umbel.losses.joint_dependence`. The last
    two terms are losses called "decorrelation" and "overlap", which belong to no task.

    D is taken of what is released *before* its noise, and after clipping. What noise hides at one operating point shows
    at another, and averaging over releases removes it; features that are independent without noise are so at every
    point. Clipping is part of what receivers see, and could make uncorrelated features correlated.

    D is a statistic of the batch, like that of batch normalisation: with 64 samples or fewer it is noisy (independent
    features have 1/(B - 1)), and a batch cut into pieces, or shared by processes, has the mean of the pieces' values.

    It says nothing certain: D may be 0 and an attacker still learn something (covariance sees linear dependence only,
    and each pair's features in the batch at hand), and features that serve a task tell what its label tells. What
    features give away must be measured by an attack.

    Args:
        model: Its links are `ReleasingLink`; its encoder a `GatedEncoder`, where `overlap` is not 0.
        tasks: At least two.
        decorrelation: Weight of D, at least 0; 0 leaves it out.
        kind: Of D.
        overlap: Weight of the gates' overlap, at least 0; 0 leaves it out.

    Raises:
        UmbelError: One task only, one called like a loss, a model of other parts, or a weight out of range.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tasks: Sequence[Task],
        decorrelation: float = 100.0,
        kind: Kind = "hsic",
        overlap: float = 0.0,
    ) -> None:
        super().__init__(model, tasks)
        names = [task.name for task in tasks]
        if len(names) < 2:
            raise UmbelError(f"private features of one task ({names[0]}) have no other task to hide; give two or more")
        for name in names:
            if name in (DECORRELATION, OVERLAP):
                raise UmbelError(f"a task is called {name!r}, as a loss of private features is; rename it")
            if name not in model.links or not isinstance(model.links[name], ReleasingLink):
                raise UmbelError(f"private features: the link of task {name!r} is no ReleasingLink")
        self.kind = one_of(kind, "kind of dependence", KINDS)
        self.decorrelation = _weight(decorrelation, DECORRELATION)
        self.overlap = _weight(overlap, OVERLAP)
        if self.overlap and not isinstance(model.encoder, GatedEncoder):
            raise UmbelError("private features: an overlap of gates needs a GatedEncoder; set overlap to 0")

    def losses(self, batch: Batch, point: OperatingPoint) -> Losses:
        """The tasks' losses, and those called "decorrelation" and "overlap" where they have a weight."""
        model = self.model
        shared = at_point(model.encoder, batch.inputs, point)
        names = [task.name for task in self.tasks]
        clean = {name: model.links[name].clean(shared) for name in names}
        sent = {name: model.links[name].sent(clean[name], point) for name in names}
        predictions = {name: at_point(model.heads[name], sent[name], point) for name in names}
        losses = dict(self.task_losses(predictions, batch))
        if self.decorrelation:
            losses[DECORRELATION] = self.decorrelation * joint_dependence(list(clean.values()), self.kind)
        if self.overlap:
            losses[OVERLAP] = self.overlap * joint_overlap(shared.gates)
        return Losses(losses)


def private_features(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    released: int = 16,
    seed: int = 0,
    clip_norm: float | None = None,
    sigma: Axis | None = None,
    decorrelation: float = 100.0,
    kind: Kind = "hsic",
    overlap: float = 0.0,
    temperature: float = 0.2,
    hidden: int = 64,
    **options: Any,
) -> PrivateFeaturesLearner:
    """A network whose encoder and links run on the device, and whose heads run wherever each task's receiver is.

        inputs ──► encoder ──► gates ──┬──► × gate a ──► projection a ──► (clip, noise) ──► head a ──► prediction a
                                       └──► × gate b ──► projection b ──► (clip, noise) ──► head b ──► prediction b
                  on the device                                        ▲ released          at the receivers

    A task that predicts a vector is sent a vector of `released` numbers, from all positions of the gated map: nothing
    is averaged before. A task that predicts a map is sent a map of `released` channels at the encoder's positions.

    What is released is what leaves the links: `MultiTaskModel.released`.

    Differs from the paper (only its abstract was at hand): the equations of gates (`nn.CrossTaskGates`), losses
    (`PrivateFeaturesLearner`) and sizes are ours. The paper's "de-correlation loss with differential privacy" is taken
    apart: the loss promises nothing, and the noise of `clip_norm` and `sigma` promises what `umbel.privacy` says.

    Args:
        input_shape: Of one sample.
        tasks: At least two.
        encoder: One of `umbel.nn.ENCODERS`; None takes one that suits the inputs.
        released: Numbers sent to a task that predicts a vector; channels of the map sent to one that predicts a map.
        seed: Of the random start.
        clip_norm: To what norm what is released of a sample is clipped; None does not clip, and noise is then no
            privacy.
        sigma: How the point's ``sigma`` (the noise, in clip norms) is drawn in training and swept in evaluation, as in
            ``Uniform(0, 1, sweep=(0.0, 0.5, 1.0))``. None adds no noise; with a clip norm, features are clipped, and
            ``sigma`` is 0 unless a point says otherwise.
        decorrelation: Weight of the dependence between tasks' features.
        kind: "covariance" or "hsic".
        overlap: Weight of the overlap of tasks' gates.
        temperature: Of the gates.
        hidden: Width of the heads' hidden layers.
        **options: For the encoder, and `keep_maps` of `build_model`. `norm` goes to map heads too.

    Raises:
        UmbelError: One task only, or an argument out of its range.
    """
    model = private_model(
        input_shape,
        tasks,
        encoder,
        released=released,
        seed=seed,
        clip_norm=clip_norm,
        sigma=sigma,
        temperature=temperature,
        hidden=hidden,
        **options,
    )
    return PrivateFeaturesLearner(model, tasks, decorrelation, kind, overlap)


def private_model(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    released: int = 16,
    seed: int = 0,
    clip_norm: float | None = None,
    sigma: Axis | None = None,
    gated: bool = True,
    temperature: float = 0.2,
    hidden: int = 64,
    **options: Any,
) -> MultiTaskModel:
    """The network of `private_features`, or the one without gates: plain links of the tasks.

    Encoder, projections and heads of one seed start alike with gates and without.

    Args:
        input_shape: Of one sample.
        tasks: At least one.
        encoder: As in `private_features`, and so are the others.
        released: See there.
        seed: See there.
        clip_norm: See there.
        sigma: See there.
        gated: Whether there are gates.
        temperature: See there.
        hidden: See there.
        **options: See there.

    Raises:
        UmbelError: An argument out of its range.
    """
    trunk = build_model(input_shape, tasks, encoder, seed=seed, **options).encoder
    shape, names = tuple(trunk.feature_shape), [task.name for task in tasks]
    gates = None
    if gated:
        with seeded_start(seed, "gates across tasks"):
            gates = CrossTaskGates(shape[0], names, temperature=temperature)
    links = {}
    for task in tasks:
        projection = projection_of(task, shape, released, seed)
        projected = projection if gates is None else CrossTaskExcitation(gates, task.name, projection)
        links[task.name] = ReleasingLink(projected, release_of(clip_norm, sigma))
    heads = receivers_heads(
        tasks, {name: links[name].feature_shape for name in names}, input_shape, seed, hidden, options
    )
    return MultiTaskModel(trunk if gates is None else GatedEncoder(trunk, gates), heads, links)


def projection_of(task: Task, shape: Sequence[int], released: int, seed: int) -> nn.Module:
    """From shared features of a shape to what a task is sent: a vector, or a map for a task that predicts one."""
    with seeded_start(seed, f"projection of {task.name}"):
        return TaskProjection(shape, released) if task.output != "vector" else FlatProjection(shape, released)


def release_of(clip_norm: float | None, sigma: Axis | None) -> FeatureRelease | None:
    """How a task's features leave the device; None where they leave as they are."""
    if clip_norm is None and sigma is None:
        return None
    return FeatureRelease(clip_norm, OneOf((0.0,)) if sigma is None else sigma)


def receivers_heads(
    tasks: Sequence[Task],
    shapes: dict[str, tuple[int, ...]],
    input_shape: Sequence[int],
    seed: int,
    hidden: int,
    options: dict[str, Any],
) -> dict[str, nn.Module]:
    """A head for each task, on what it is sent."""
    heads = {}
    for task in tasks:
        with seeded_start(seed, task.name):
            heads[task.name] = build_head(task, shapes[task.name], input_shape, hidden, options.get("norm", "batch"))
    return heads


def _weight(value: object, name: str) -> float:
    weight = real_number(value, f"the weight of {name}")
    if weight < 0:
        raise UmbelError(f"the weight of {name} is {weight:g}; give a number, at least 0")
    return weight
