"""One shared encoder, a link for each task, a head for each task."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from umbel.core.axes import Axes, Axis
from umbel.core.batch import Inputs
from umbel.core.point import OperatingPoint
from umbel.core.released import Released
from umbel.errors import UmbelError, unknown


class PointModule(nn.Module, ABC):
    """A module whose forward pass depends on the operating point (a channel, a slimmable layer, ...)."""

    @abstractmethod
    def forward(self, x: Any, point: OperatingPoint) -> Any:
        """The output for `x` at `point`."""

    def axes(self) -> Axes:
        """The values of the point that this module wants drawn in training and swept in evaluation; by default none.

        A learner merges what the parts of its model ask for. A module whose value has no range of its own, or is drawn
        by the learner, asks for nothing.
        """
        return {}


def axes_of(model: nn.Module) -> dict[str, Axis | dict[str, Axis]]:
    """What all parts of a model want drawn and swept, in the order of `model.modules()`.

    Parts that ask for the same value in the same way share it. Mappings are merged entry by entry, so that each part
    can have an entry of its own.

    Raises:
        UmbelError: Two parts ask for the same value in different ways, or a part gives something else than axes.
    """
    asked: dict[tuple[str, ...], tuple[Axis, PointModule]] = {}
    for part in _point_modules(model):
        for path, axis in _asked_by(part):
            known, owner = asked.setdefault(path, (axis, part))
            if not isinstance(axis, Axis):
                where = _named(model, part)
                raise UmbelError(f"{where} gives {axis!r} as an axis of {path[0]}; give a Uniform or another Axis")
            if known != axis:
                raise UmbelError(
                    f"{_named(model, owner)} wants {' for '.join(path)} drawn as {known}, {_named(model, part)} as "
                    f"{axis}; let both ask for the same, or each for an entry of its own in a mapping"
                )
    merged: dict[str, Axis | dict[str, Axis]] = {}
    entries: dict[str, dict[str, Axis]] = {}
    for (name, *key), (axis, part) in asked.items():
        if not key:
            merged[name] = axis
        elif (name,) in asked:
            both = _named(model, asked[name,][1]), _named(model, part)
            raise UmbelError(f"{both[0]} wants one {name} for all, {both[1]} one for {key[0]}; make both alike")
        else:
            merged[name] = entries.setdefault(name, {})
            entries[name][key[0]] = axis
    return merged


def _point_modules(model: nn.Module) -> list[PointModule]:
    """Those that depend on the point, each once, in the order of `model.modules()`.

    Learners ask in every step, and torch's own walk, which makes up names, takes several times as long.
    """
    parts: list[PointModule] = []
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        if isinstance(module, PointModule):
            parts.append(module)
        waiting += [child for child in reversed(module._modules.values()) if child is not None]
    return parts


def _named(model: nn.Module, part: nn.Module) -> str:
    """A part's place in the model, for messages."""
    return next((name for name, module in model.named_modules() if module is part), "") or type(part).__name__


def _asked_by(part: PointModule) -> Iterator[tuple[tuple[str, ...], Axis]]:
    """The axes of a part by their paths: a name, or a name and the key of an entry."""
    for name, axis in part.axes().items():
        if isinstance(axis, Mapping):
            yield from (((name, key), entry) for key, entry in axis.items())
        else:
            yield (name,), axis


def at_point(module: nn.Module, x: Any, point: OperatingPoint) -> Any:
    """`module(x, point)` for a `PointModule`, `module(x)` for any other."""
    return module(x, point) if isinstance(module, PointModule) else module(x)


class PointSequential(PointModule):
    """Modules one after the other; those that depend on the point are given it."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleList(modules)

    def forward(self, x: Any, point: OperatingPoint) -> Any:
        """The output of the last stage."""
        for stage in self.stages:
            x = at_point(stage, x, point)
        return x


class ByTask(nn.ModuleDict):
    """Modules by task name. Task names may be anything (a column called "pm2.5", "values"), module names may not."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__({self._key(name): module for name, module in modules.items()})

    @staticmethod
    def _key(name: str) -> str:
        return "task_" + name.replace("%", "%25").replace(".", "%2e")

    def __contains__(self, name: str) -> bool:
        return super().__contains__(self._key(name))

    def __getitem__(self, name: str) -> nn.Module:
        return super().__getitem__(self._key(name))


class MultiTaskModel(nn.Module):
    """encoder -> link -> head, for every task.

        inputs ──► encoder ──┬──► link a ──► head a ──► prediction a
                             └──► link b ──► head b ──► prediction b

    Args:
        encoder: The shared part: inputs -> features. An ordinary module or a `PointModule`.
        heads: Task name -> module: features -> prediction.
        links: Task name -> what lies between encoder and head (a noisy channel, a privacy mechanism, ...).
            Tasks that are not named have none. Two tasks may share one module.

    Raises:
        UmbelError: A link names a task without a head.
    """

    def __init__(
        self,
        encoder: nn.Module,
        heads: Mapping[str, nn.Module],
        links: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if not heads:
            raise UmbelError("a multi-task model needs at least one head")
        for name in links or {}:
            if name not in heads:
                raise unknown("task of a link", name, heads)
        self.task_names = tuple(heads)
        self.encoder = encoder
        self.links = ByTask(links or {})
        self.heads = ByTask(heads)

    def forward(self, inputs: Inputs, point: OperatingPoint, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Raw predictions of all tasks, or of the named ones."""
        return self.decode(at_point(self.encoder, inputs, point), point, tasks)

    def decode(self, features: Any, point: OperatingPoint, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Raw predictions from the encoder's features: the links and heads alone."""
        predictions = {}
        for name in self.task_names if tasks is None else tasks:
            if name not in self.heads:
                raise unknown("task", name, self.task_names)
            predictions[name] = at_point(self.heads[name], self._received(name, features, point), point)
        return predictions

    def released(self, inputs: Inputs, point: OperatingPoint) -> dict[str, Released]:
        """What each task's head reads: the encoder's features behind its link.

        Those of tasks without a link are one and the same object.
        """
        features = at_point(self.encoder, inputs, point)
        return {name: Released(self._received(name, features, point), (name,)) for name in self.task_names}

    def _received(self, name: str, features: Any, point: OperatingPoint) -> Any:
        return at_point(self.links[name], features, point) if name in self.links else features
