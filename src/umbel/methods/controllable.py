"""One network for every budget and preference: slimmable encoder and heads, trained at many widths at once.

Source: Aich, Schulter, Roy-Chowdhury, Chandraker, Suh, "Efficient controllable multi-task architectures", ICCV 2023,
arXiv 2308.11744.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from umbel import losses as distances
from umbel.core import (
    Axes,
    Batch,
    Learner,
    Losses,
    MultiTaskModel,
    OperatingPoint,
    Sweep,
    Task,
    UmbelError,
    at_point,
    unknown,
)
from umbel.nn import WIDTH_NAMES, WIDTHS, Slimmable, build_model, slimmable

Distillation = Literal["prefix", "relational", "attention", "logits", "none"]
"""What narrow configurations learn from the full one: its features, compared in one of three ways; or its logits."""
DISTILLATION = "distillation"
"""Name of that loss."""
CONFIGURATIONS = "configurations"
"""Name of the value of an operating point that holds the configurations (widths alone) of one training step."""

_FEATURES = {
    "prefix": distances.prefix_distance,
    "relational": distances.relational_distance,
    "attention": distances.attention_distance,
}


def controllable(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    grid: Sequence[float] = WIDTHS,
    divisor: int = 8,
    seed: int = 0,
    hidden: int | None = None,
    keep_maps: bool | None = None,
    distillation: Distillation = "prefix",
    strength: float = 0.1,
    random_widths: int = 2,
    head_draws: int = 1,
    **options: Any,
) -> "ControllableLearner":
    """A learner whose encoder and heads each run at any width of a grid.

                          ┌► head a (width w_a) ─► prediction a
        inputs ─► encoder ┤                                          every width is an argument of the forward pass
                (width w) └► head b (width w_b) ─► prediction b

    Args:
        input_shape: Of one sample.
        tasks: At least one.
        encoder: One of `umbel.nn.ENCODERS`; None takes one that suits the inputs.
        grid: The widths, as parts of the full one; 1 must be among them. (`widths` would be an option of the encoder:
            the channels of its stages.)
        divisor: Active channels are a multiple of it, and at least as many.
        seed: Of the random start; at full width the network starts as `build_model`'s of the same seed does.
        hidden: Width of the heads' hidden layers; see `umbel.nn.build_head`. Heads without one cannot be turned.
        keep_maps: See `umbel.nn.build_model`.
        distillation: See `ControllableLearner`.
        strength: Likewise.
        random_widths: Likewise.
        head_draws: Likewise.
        **options: For the encoder, and `vector_head`; see `umbel.nn.build_model`.

    Raises:
        UmbelError: A part that cannot be slimmed (named, with the reason), and what `build_model` refuses.
    """
    plain = build_model(input_shape, tasks, encoder, seed=seed, hidden=hidden, keep_maps=keep_maps, **options)
    model = slimmable_model(plain, input_shape, grid, divisor)
    return ControllableLearner(model, tasks, distillation, strength, random_widths, head_draws)


def slimmable_model(
    model: MultiTaskModel, input_shape: Sequence[int], widths: Sequence[float] = WIDTHS, divisor: int = 8
) -> MultiTaskModel:
    """An ordinary model with its encoder and every head made slimmable; links stay as they are.

    Args:
        model: With an encoder that says its `feature_shape`. It is not changed.
        input_shape: Of one sample.
        widths: The grid.
        divisor: See `umbel.nn.slimmable`.

    Raises:
        UmbelError: The encoder has no `feature_shape`, or a part cannot be slimmed.
    """
    features = getattr(model.encoder, "feature_shape", None)
    if features is None:
        raise UmbelError("the encoder does not say the shape of its features; give it an attribute feature_shape")
    trunk = slimmable(model.encoder, input_shape, widths, divisor)
    heads = {name: slimmable(model.heads[name], features, widths, divisor, head_of=name) for name in model.task_names}
    links = {name: model.links[name] for name in model.task_names if name in model.links}
    return MultiTaskModel(trunk, heads, links)


def is_controllable(learner: Learner) -> bool:
    """Whether widths of this learner's network can be turned."""
    return isinstance(getattr(learner.model, "encoder", None), Slimmable)


class ControllableLearner(Learner):
    """Trains the full network and narrower configurations of it in every step.

    Each step runs K configurations (w; w_1, ..., w_T): the full one, the smallest one, and random ones; heads of
    several widths share one pass of the encoder. With z_w the encoder's features at width w,

        J = (1/K) sum over configurations of sum_t L_t  +  strength · mean over encoder widths w < 1 of d(z_w, z_1)

    where d compares the features of a narrow encoder with those of the full one, which get no gradient from it:
    "prefix" the full one's first channels, "relational" how samples resemble each other, "attention" where maps are
    active (maps only); see `umbel.losses`. "logits" compares the predictions of every narrow configuration with the
    full one's instead (class probabilities by their divergence, anything else by the task's loss), and "none" nothing.
    The losses of a task are one loss for any descent; the distance is a loss of its own name. With several processes or
    pieces of a batch, "relational" relates the samples of each piece.

    Sources: sandwich of widths and distillation of logits: Yu & Huang, "Universally slimmable networks and improved
    training techniques", ICCV 2019. Configuration-invariant distillation of features: Aich et al., ICCV 2023.
    Differs from the paper (only its abstract and figure captions were at hand): the distances, how many configurations
    a step has, and the grid of widths are ours. Differs from Yu & Huang for "logits": labels teach narrow
    configurations too.

    Args:
        model: With slimmable encoder and heads; see `slimmable_model`.
        tasks: As for any learner.
        distillation: What narrow configurations learn from the full one.
        strength: Weight of the distance.
        random_widths: Encoder widths drawn in each step, from the whole grid.
        head_draws: Random sets of head widths for each of them; they share its pass.

    Raises:
        UmbelError: A model without slimmable encoder, or settings out of range.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tasks: Sequence[Task],
        distillation: Distillation = "prefix",
        strength: float = 0.1,
        random_widths: int = 2,
        head_draws: int = 1,
    ) -> None:
        super().__init__(model, tasks)
        if not is_controllable(self):
            raise UmbelError("a controllable learner needs a model with a slimmable encoder; see slimmable_model")
        for name in (DISTILLATION, "width", "heads", "encoder"):
            if name in model.task_names:
                raise UmbelError(f"a task of a controllable network cannot be called {name!r}; give it another name")
        if distillation not in get_args(Distillation):
            raise unknown("distillation", distillation, get_args(Distillation))
        if not 0 <= strength < math.inf or random_widths < 0 or head_draws < 1:
            raise UmbelError(
                f"strength {strength:g} and random_widths {random_widths} must be 0 or more, head_draws {head_draws} 1 "
                "or more"
            )
        self.distillation = distillation
        self.strength = strength
        self.random_widths = random_widths
        self.head_draws = head_draws

    @property
    def widths(self) -> tuple[float, ...]:
        """The grid of widths, rising."""
        return self.model.encoder.widths

    def point(self, width: float, heads: float | Mapping[str, float] | None = None) -> OperatingPoint:
        """The operating point of an encoder width and head widths (one for all, or by task; None: as the encoder)."""
        heads = width if heads is None else heads
        by_task = dict(heads) if isinstance(heads, Mapping) else dict.fromkeys(self.model.task_names, heads)
        return OperatingPoint(width=width, head_widths=by_task)

    def axes(self) -> Axes:
        """What the model's parts ask for but their widths, which are drawn as configurations."""
        return {name: axis for name, axis in super().axes().items() if name not in WIDTH_NAMES}

    def sweep(self) -> Sweep:
        """The full network first (validation looks at it), then encoder and heads at each smaller width.

        Each of them wherever the other parts are evaluated.
        """
        others = super().sweep()
        return Sweep([rest.with_values(**self.point(width)) for width in reversed(self.widths) for rest in others])

    def draw_point(self, generator: torch.Generator, progress: float) -> OperatingPoint:
        """What the model's other parts want, and the configurations of one step."""
        rest = super().draw_point(generator, progress)
        places = torch.randint(len(self.widths), (self.random_widths,), generator=generator).tolist()
        chosen = [self.point(width) for width in dict.fromkeys([1.0, self.widths[0]])]
        chosen += [self._random_heads(self.widths[i], generator) for i in places for _ in range(self.head_draws)]
        return rest.with_values(**{CONFIGURATIONS: tuple(chosen)})

    def _random_heads(self, width: float, generator: torch.Generator) -> OperatingPoint:
        names = self.model.task_names
        places = torch.randint(len(self.widths), (len(names),), generator=generator).tolist()
        return self.point(width, {name: self.widths[place] for name, place in zip(names, places, strict=True)})

    def losses(self, batch: Batch, point: OperatingPoint) -> Losses:
        """Mean losses over the point's configurations, and the distance; at a point without any, the plain losses.

        Whatever else the point says holds for all of them.
        """
        if CONFIGURATIONS not in point:
            return super().losses(batch, point)
        rest = point.without(CONFIGURATIONS)
        configurations = [rest.with_values(**widths) for widths in point[CONFIGURATIONS]]
        sums: dict[str, Tensor] = {}
        distance: list[Tensor] = []
        full: Tensor | None = None
        targets: dict[str, Tensor] = {}
        for width, members in _by_width(configurations).items():
            features = at_point(self.model.encoder, batch.inputs, members[0])
            full = features.detach() if full is None else full
            if width < 1 and self.distillation in _FEATURES:
                distance.append(_FEATURES[self.distillation](features, full).mean())
            for member in members:
                predictions = self.model.decode(features, member)
                for name, loss in self.task_losses(predictions, batch).items():
                    sums[name] = loss if name not in sums else sums[name] + loss
                if not targets:  # the full configuration comes first
                    targets = {name: raw.detach() for name, raw in predictions.items()}
                elif self.distillation == "logits":
                    distance.append(self._logits(predictions, targets, batch))
        averaged = {name: loss / len(configurations) for name, loss in sums.items()}
        return Losses({**averaged, **self._distillation(distance, full)})

    def _distillation(self, distance: list[Tensor], full: Tensor) -> dict[str, Tensor]:
        if self.distillation == "none" or self.strength == 0:
            return {}
        mean = torch.stack(distance).mean() if distance else full.new_zeros(())
        return {DISTILLATION: self.strength * mean}

    def _logits(self, predictions: Mapping[str, Tensor], full: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Mean distance over tasks: divergence of class probabilities where the target is a class number.

        Otherwise the task's own loss with the full prediction, decoded, as its target.
        """
        each = []
        for task in self.tasks:
            one, other = predictions[task.name], full[task.name]
            if task.outputs > 1 and not task.target_of(batch).is_floating_point():
                each.append(distances.class_divergence(one, other).mean())
            elif task.kind == "liveness":  # its target is a number of a type, its answer one yes/no
                each.append(distances.bernoulli(one, task.decode(other)).mean())
            else:
                each.append(task.loss(one, task.decode(other)).mean())
        return torch.stack(each).mean()


def _by_width(configurations: Sequence[OperatingPoint]) -> dict[float, list[OperatingPoint]]:
    """Configurations by encoder width, the full one first, so that heads share the encoder's pass."""
    groups: dict[float, list[OperatingPoint]] = {}
    for configuration in configurations:
        groups.setdefault(configuration["width"], []).append(configuration)
    return groups
