"""One network of fixed compute whose task preference is an input: what a network with a compute knob is compared with.

Sources: Navon et al., "Learning the Pareto front with hypernetworks" (PHN), ICLR 2021; Ruchte & Grabocka, "Scalable
Pareto front approximation for deep multi-objective learning" (COSMOS), ICDM 2021; Dosovitskiy & Djolonga, "You only
train once: loss-conditional training of deep networks" (YOTO), ICLR 2020.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from umbel.core import Batch, Learner, Losses, MultiTaskModel, OperatingPoint, Sweep, Task, UmbelError, unknown
from umbel.nn import PreferenceConditioned, build_model, preferences_at, seeded_start

ALIGNMENT = "alignment"
"""Name of the loss that rewards losses for following the preferences."""
_SHORTEST = 1e-12  # product of two lengths below which there is no angle
Follow = Literal["inverse", "ray"]
"""How losses are to follow preferences: the more preferred the smaller ("inverse"), or along the ray r ("ray")."""


def follows(preferences: Tensor, losses: Tensor, labelled: Tensor, follow: Follow = "inverse") -> Tensor:
    """How well losses follow preferences, a cosine: 1 is perfectly.

        inverse:  cos(r L, 1)    1 when r_t L_t is the same for every task: the preferred task has the smallest loss
        ray:      cos(r, L)      1 when L_t / r_t is the same for every task: the preferred task has the largest loss

    "inverse" is what PHN and EPO ask for, and what `umbel.search.uniformity` measures. "ray" is COSMOS as published.

    Args:
        preferences: r, 0 or more [T].
        losses: L, 0 or more [T].
        labelled: Which tasks count, bool [T].
        follow: See above.

    Returns:
        A scalar; 0 when nothing counts.
    """
    one = torch.where(labelled, preferences * losses if follow == "inverse" else losses, 0)
    other = torch.where(labelled, torch.ones_like(one) if follow == "inverse" else preferences, 0)
    lengths = torch.linalg.vector_norm(one) * torch.linalg.vector_norm(other)
    return torch.where(lengths > _SHORTEST, (one * other).sum() / lengths.clamp(min=_SHORTEST), 0)


class PreferenceLearner(Learner):
    """Teaches a model the whole range of preferences at once, by drawing one for each step.

        r ~ Dirichlet(alpha),   J(r) = sum_t T r_t L_t - penalty * cos(r L, 1)

    L are the losses, each divided by its scale; see `follows` for the cosine. The losses that are returned add up to J:
    one for each task, T r_t L_t, and one called "alignment". So at equal preferences and without penalty J is the plain
    sum of the losses. Descents that weigh losses by themselves (uncertainty weights, say) work against the preferences;
    use equal weights.

    A task without a label in the batch has loss 0 without gradient, and is left out of the cosine. The cosine is no
    mean over samples: with `accumulate` > 1, or several processes, it is that of each piece by itself, averaged over
    the pieces by their samples; the other losses are those of the whole batch, as everywhere.

    Evaluate a trained model with batch normalisation as `umbel.nn.fixed_model` makes it for each preference, with
    statistics measured on training batches: running statistics are averages over the preferences that were drawn.

    Differs from the papers: the default cosine lets the preferred task have the *smallest* loss; COSMOS's own
    (`follow="ray"`) pulls against its weighted sum, and past some penalty turns the dial round. The weighted sum is T
    times COSMOS's, so a penalty here is T times its lambda. YOTO draws weights on a logarithmic scale instead of from a
    Dirichlet distribution, and PHN solves for weights instead of adding a cosine. With `groups`, tasks of a group
    always share one preference.

    Args:
        model: With parts that read the point's `preferences`, as `PreferenceConditioned` does.
        tasks: The tasks.
        groups: Names of the tasks of each group, every task in exactly one; None makes a group of each task. A draw
            gives each group a number, and each of its tasks counts that much.
        alpha: Of the Dirichlet distribution, a number or one for each group. 1 draws evenly; less, more often near
            the corners, where one group counts alone.
        penalty: Factor of the cosine; 0 leaves the weighted sum. With too little, the network may ignore its
            preference and serve the average; with too much, it makes losses of the tasks that matter less grow. Choose
            it on validation.
        scales: Task name -> what its loss is divided by, the loss of guessing, say; 1 where nothing is said.
        follow: See `follows`.

    Raises:
        UmbelError: Groups that are no partition of the tasks, a number out of range, an unknown name, or a task that
            is called "alignment".
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tasks: Sequence[Task],
        *,
        groups: Sequence[Sequence[str]] | None = None,
        alpha: float | Sequence[float] = 1.2,
        penalty: float = 1.0,
        scales: Mapping[str, float] | None = None,
        follow: Follow = "inverse",
    ) -> None:
        super().__init__(model, tasks)
        names = [task.name for task in tasks]
        if ALIGNMENT in names:
            raise UmbelError(f"a task is called {ALIGNMENT!r}, as is a loss of this learner; rename the task")
        if follow not in get_args(Follow):
            raise unknown("way to follow preferences", follow, get_args(Follow))
        if not 0 <= penalty < math.inf:
            raise UmbelError(f"penalty is {penalty}; give a finite number, at least 0")
        self.groups = _partition(groups, names)
        self.alpha = _concentration(alpha, len(self.groups))
        self.penalty, self.follow = penalty, follow
        self.register_buffer("scales", _scales(scales or {}, names), persistent=False)

    def at(self, preferences: Sequence[float]) -> OperatingPoint:
        """The point at which each group counts as given; only ratios matter.

        Args:
            preferences: 0 or more, one for each group.

        Raises:
            UmbelError: Another number of them, one out of range, or all of them 0.
        """
        if len(preferences) != len(self.groups):
            raise UmbelError(f"{len(preferences)} preferences for {len(self.groups)} groups; give one for each")
        pairs = zip(self.groups, preferences, strict=True)
        given = {name: float(value) for group, value in pairs for name in group}
        names = [task.name for task in self.tasks]
        shares = preferences_at(OperatingPoint(preferences=given), names)
        return OperatingPoint(preferences=dict(zip(names, shares, strict=True)))

    def draw_point(self, generator: torch.Generator, progress: float) -> OperatingPoint:
        """What the model's parts want, and preferences of the groups from the Dirichlet distribution."""
        point = super().draw_point(generator, progress)
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        return point.with_values(**self.at(np.random.default_rng(seed).dirichlet(self.alpha).tolist()))

    def sweep(self) -> Sweep:
        """Equal preferences alone, wherever the model's parts are evaluated."""
        equal = self.at([1.0] * len(self.groups))
        return Sweep([point.with_values(**equal) for point in super().sweep()])

    def losses(self, batch: Batch, point: OperatingPoint) -> Losses:
        """The terms of J (see the class): T r_t L_t for each task, then the cosine's.

        Raises:
            UmbelError: What `preferences_at` refuses.
        """
        plain = super().losses(batch, point)
        names = list(plain)
        values = plain.stack() / self.scales
        preferences = values.new_tensor(preferences_at(point, names))
        counts = self.counts(batch)
        labelled = torch.stack([counts[name] for name in names]).to(values.device) > 0
        weighted = len(names) * preferences * values
        aligned = -self.penalty * follows(preferences, values, labelled, self.follow)
        return Losses({**dict(zip(names, weighted.unbind(), strict=True)), ALIGNMENT: aligned})


def preference_conditioned(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    groups: Sequence[Sequence[str]] | None = None,
    seed: int = 0,
    hidden: int | None = None,
    alpha: float | Sequence[float] = 1.2,
    penalty: float = 1.0,
    scales: Mapping[str, float] | None = None,
    follow: Follow = "inverse",
    hypernetwork_width: int = 32,
    keep_maps: bool | None = None,
    **options: Any,
) -> PreferenceLearner:
    """The network that `umbel.nn.build_model` makes for the same seed, its preference an input, and what teaches it.

        preferences ─► small network ─► scale and shift of every channel behind every norm
        inputs ─► encoder ──┬─► head a ─► prediction a
                            └─► head b ─► prediction b

    It costs what the ordinary network costs, and the small networks once for each batch; `umbel.nn.fixed_model` takes
    one preference and leaves the ordinary cost alone. At the start it *is* the ordinary network.

    Differs from the papers: PHN's hypernetwork makes all weights, and COSMOS gives the preference as further channels
    of the input; here it makes scales and shifts, as YOTO's. See also `PreferenceLearner` and `PreferenceConditioned`.

    Args:
        input_shape: Of one sample.
        tasks: At least one.
        encoder: One of `umbel.nn.ENCODERS`; None takes the usual one.
        groups: See `PreferenceLearner`.
        seed: Of the random start.
        hidden: Width of the heads' hidden layers; see `umbel.nn.build_head`.
        alpha: See `PreferenceLearner`.
        penalty: Likewise.
        scales: Likewise.
        follow: Likewise.
        hypernetwork_width: Of the small networks' hidden layer; each part has one of its own.
        keep_maps: See `umbel.nn.build_model`.
        **options: For the encoder.

    Raises:
        UmbelError: As `build_model`, `PreferenceConditioned` and `PreferenceLearner`.
    """
    plain = build_model(input_shape, tasks, encoder, seed=seed, hidden=hidden, keep_maps=keep_maps, **options)
    model = conditioned_model(plain, input_shape, seed, hypernetwork_width)
    return PreferenceLearner(model, tasks, groups=groups, alpha=alpha, penalty=penalty, scales=scales, follow=follow)


def conditioned_model(
    model: MultiTaskModel, input_shape: Sequence[int], seed: int = 0, hypernetwork_width: int = 32
) -> MultiTaskModel:
    """An ordinary model whose encoder and heads also read the preference; links stay as they are.

    The small networks start from the seed, the encoder's first and then the heads' in the order of the tasks.

    Args:
        model: With an encoder that says its `feature_shape`. It is not changed: its parts are copied.
        input_shape: Of one sample.
        seed: Of the small networks' random start.
        hypernetwork_width: Of their hidden layers.

    Raises:
        UmbelError: The encoder has no `feature_shape`, or what `PreferenceConditioned` refuses.
    """
    features = getattr(model.encoder, "feature_shape", None)
    if features is None:
        raise UmbelError("the encoder does not say the shape of its features; give it an attribute feature_shape")
    names = model.task_names
    with seeded_start(seed, "preferences"):
        trunk = PreferenceConditioned(model.encoder, names, hypernetwork_width, input_shape)
        heads = {n: PreferenceConditioned(model.heads[n], names, hypernetwork_width, features) for n in names}
    links = {name: model.links[name] for name in names if name in model.links}
    return MultiTaskModel(trunk, heads, links)


def _partition(groups: Sequence[Sequence[str]] | None, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The groups, checked: every task in exactly one."""
    if groups is None:
        return tuple((name,) for name in names)
    members = [name for group in groups for name in group]
    for name in members:
        if name not in names:
            raise unknown("task in groups", name, names)
    odd = [name for name in names if members.count(name) != 1]
    if odd or not all(groups):
        where = f"task {odd[0]!r} is in {members.count(odd[0])} groups" if odd else "a group is empty"
        raise UmbelError(f"groups of tasks: {where}; put every task in exactly one")
    return tuple(tuple(group) for group in groups)


def _concentration(alpha: float | Sequence[float], groups: int) -> tuple[float, ...]:
    values = [alpha] * groups if isinstance(alpha, int | float) else list(alpha)
    if len(values) != groups or not all(0 < value < math.inf for value in values):
        raise UmbelError(f"alpha is {alpha}; give a number above 0, or one for each of the {groups} groups")
    return tuple(float(value) for value in values)


def _scales(scales: Mapping[str, float], names: Sequence[str]) -> Tensor:
    for name, scale in scales.items():
        if name not in names:
            raise unknown("task of a scale", name, names)
        if not 0 < scale < math.inf:
            raise UmbelError(f"the scale of task {name!r} is {scale}; give a finite number above 0")
    return torch.tensor([float(scales.get(name, 1.0)) for name in names])
