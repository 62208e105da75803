"""A learner: what a method must say about itself, and nothing about the loop."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from umbel.arguments import real_number
from umbel.core.axes import Axes, drawn_point, sweep_over
from umbel.core.batch import Batch
from umbel.core.losses import Losses
from umbel.core.model import MultiTaskModel, axes_of
from umbel.core.parts import parameters_by_part
from umbel.core.point import OperatingPoint, Sweep
from umbel.core.released import Released
from umbel.core.scores import Score, task_scores
from umbel.core.taps import Taps, named_modules_of
from umbel.core.task import Task
from umbel.errors import UmbelError


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that the optimizer treats otherwise than the settings say; see `Learner.parameter_groups`.

    Attributes:
        parameters: Which; frozen ones among them are passed over.
        rate: Multiple of the settings' learning rate in every step, so that the schedule keeps the ratio.
        decay: Multiple of the settings' weight decay.
        maximise: Ascend the gradient instead of descending it (a critic in a min-max game).
    """

    parameters: Iterable[nn.Parameter]
    rate: float = 1.0
    decay: float = 1.0
    maximise: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))  # `module.parameters()` can be read once only
        for name in ("rate", "decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UmbelError(f"parameter group: {name} is {getattr(self, name)}; give a multiple, at least 0")


class Learner(nn.Module):
    """A model, its tasks, and how a batch becomes losses. Plain multi-task learning as it stands.

    A method overrides what it changes: `axes` (what is turned beside what the model's parts ask for), `losses`
    (auxiliary terms, see `Losses`), `scores` (what may choose the best checkpoint), `parameter_groups` (parts that
    learn at a rate of their own), `after_step` (a teacher that follows), `shared_parameters` (what tasks compete for).
    State that must survive a resume is kept in buffers or parameters, as in any `nn.Module`.

    Args:
        model: Usually a `MultiTaskModel`; any module that maps (inputs, point) to predictions by task name.
        tasks: The tasks, each with a head of its name.
        shared: Inner modules of the model whose parameters the tasks compete for, as `named_modules` calls them
            ("layers.3"); the encoder, unless you say otherwise.

    Raises:
        UmbelError: No task, two of one name, one without a head, or no module as `shared` names it.
    """

    def __init__(self, model: nn.Module, tasks: Sequence[Task], shared: Sequence[str] = ("encoder",)) -> None:
        super().__init__()
        names = [task.name for task in tasks]
        if not names:
            raise UmbelError("a learner needs at least one task")
        if repeated := {name for name in names if names.count(name) > 1}:
            raise UmbelError(f"two tasks are called {min(repeated)!r}; task names are unique")
        if isinstance(model, MultiTaskModel) and (headless := set(names) - set(model.task_names)):
            raise UmbelError(f"task {min(headless)!r} has no head in the model")
        if tuple(shared) != ("encoder",):  # a model without encoder is fine until something asks for it
            named_modules_of(model, shared, "module")
        self.model = model
        self.tasks = tuple(tasks)
        self.shared = tuple(shared)
        self.rates: dict[str, float] = {}

    @property
    def task_names(self) -> tuple[str, ...]:
        """The names of the tasks, in their order."""
        return tuple(task.name for task in self.tasks)

    def is_auxiliary(self, loss: str) -> bool:
        """Whether a loss of this name is no task's, so that descents add its gradient and settle nothing with it.

        Args:
            loss: A name in what `losses` returns.
        """
        return loss not in self.task_names

    def axes(self) -> Axes:
        """What is drawn for a training step and swept in evaluation: by default what the model's parts ask for.

        A method that turns something else adds it here, and so has it drawn and swept at once:

            return {**super().axes(), "temperature": Uniform(0.5, 2.0)}

        Raises:
            UmbelError: Two parts of the model ask for the same value in different ways.
        """
        return axes_of(self.model)

    def draw_point(self, generator: torch.Generator, progress: float) -> OperatingPoint:
        """The operating point of one training step: a value of each axis.

        A method that draws in another way adds to this point with `with_values`, so that parts have what they want.

        Args:
            generator: The only source of randomness; the same on every process.
            progress: How much of the training is done, 0 to 1 (for schedules).
        """
        return drawn_point(self.axes(), generator, progress)

    def sweep(self) -> Sweep:
        """The operating points at which the learner is evaluated: all combinations of the axes' values.

        Validation is measured at the first one.
        """
        return sweep_over(self.axes())

    def predict(self, batch: Batch, point: OperatingPoint) -> dict[str, Tensor]:
        """Raw predictions by task name."""
        return self.model(batch.inputs, point)

    def released(self, batch: Batch, point: OperatingPoint) -> dict[str, Released]:
        """What leaves the shared part for each receiver, by name: what `umbel.audit` attacks.

        As it stands, what the model's own `released(inputs, point)` says (a `MultiTaskModel` has a receiver for each
        task); of any other model, what the last module that `shared` names gives, for all tasks together.
        """
        if callable(own := getattr(self.model, "released", None)):
            return own(batch.inputs, point)
        name = self.shared[-1]
        with Taps(self.model, [name]) as taps:
            self.predict(batch, point)
        return {name: Released(taps[name], tuple(task.name for task in self.tasks))}

    def losses(self, batch: Batch, point: OperatingPoint) -> Losses:
        """The losses of a batch; each a mean over the elements that `counts` gives."""
        return self.task_losses(self.predict(batch, point), batch)

    def task_losses(self, predictions: Mapping[str, Tensor], batch: Batch) -> Losses:
        """The tasks' own losses for given predictions."""
        return Losses({task.name: task.mean_loss(predictions[task.name], task.target_of(batch)) for task in self.tasks})

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How much each task's labels weigh together, as a rule their number: scalars that its mean is divided by.

        Losses that are not named here are means over samples. These numbers let several processes and
        accumulated pieces of a batch add up to exactly the loss of the whole batch, however labels are spread.
        """
        return {task.name: task.weight(task.target_of(batch)) for task in self.tasks}

    def scores(self) -> dict[str, Score]:
        """What may choose the best checkpoint, by the name that `FitSettings.monitor` gives.

        "loss" and "task/metric" as it stands. A method that is to be judged otherwise (by a threshold that a
        development split sets, by agreement on samples without labels) adds a function of its own:

            return {**super().scores(), "agreement": self.agreement}
        """
        return task_scores(self.tasks)

    def shared_modules(self) -> list[nn.Module]:
        """The modules that `shared` names: what `FitSettings.compile` compiles.

        Raises:
            UmbelError: The model has no encoder, and no other modules were named.
        """
        if self.shared == ("encoder",):  # quick, and a model may make it up (an attribute that is no submodule)
            encoder = getattr(self.model, "encoder", None)
            if not isinstance(encoder, nn.Module):
                name = type(self.model).__name__
                raise UmbelError(f"a {name} has no encoder; name what its tasks share: Learner(..., shared=[...])")
            return [encoder]
        return named_modules_of(self.model, self.shared, "module")

    def shared_parameters(self) -> list[nn.Parameter]:
        """The trainable parameters that the tasks compete for: those of the shared modules, each once."""
        modules = self.shared_modules()
        return trained_parameters(modules[0] if len(modules) == 1 else nn.ModuleList(modules))

    def learn_at(self, rates: Mapping[str, float]) -> None:
        """Let parts of the model learn at multiples of the settings' learning rate.

            learner.learn_at({"encoder": 0.1, "heads.depth": 2.0})

        Args:
            rates: Part -> multiple, at least 0; parts are named as `named_part` takes them. A parameter that lies in
                several learns at the rate of the innermost.

        Raises:
            UmbelError: No such part, or no such multiple.
        """
        self.rates = dict(rates)
        self._groups_of_parts()

    def parameter_groups(self) -> list[ParameterGroup]:
        """Parts of the learner that learn at another rate, decay otherwise, or ascend; the rest learns as usual.

        As it stands, those of `learn_at`.
        """
        return self._groups_of_parts()

    def _groups_of_parts(self) -> list[ParameterGroup]:
        groups = []
        for name, parameters in parameters_by_part(self.model, tuple(self.rates)).items():
            try:
                groups.append(ParameterGroup(parameters, real_number(self.rates[name], "the rate")))
            except UmbelError as error:
                raise UmbelError(f"part {name!r}: {error}") from None
        return groups

    def own_parameters(self) -> list[nn.Parameter]:
        """All other trainable parameters (heads, links, ...)."""
        shared = {id(p) for p in self.shared_parameters()}
        return [p for p in trained_parameters(self) if id(p) not in shared]

    def after_step(self) -> None:
        """Called after each step of the optimizer, on every process."""

    def is_done(self) -> bool:
        """Whether training ends now, before its last step: asked after each validation; never, as it stands.

        It must be the same on every process, and follow from state that a resumed run has as well.
        """
        return False


def trained_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that can be trained, each once, in the order of `module.parameters()`.

    Descents ask for them in every step, and torch's own way, which makes up names, takes several times as long.
    """
    parameters: dict[int, nn.Parameter] = {}
    _collect(module, parameters, set())
    return [p for p in parameters.values() if p.requires_grad]


def _collect(module: nn.Module, parameters: dict[int, nn.Parameter], seen: set[int]) -> None:
    if id(module) in seen:
        return
    seen.add(id(module))
    if isinstance(module, torch.jit.ScriptModule) or type(module).parameters is not nn.Module.parameters:
        parameters.update((id(p), p) for p in module.parameters() if id(p) not in parameters)
        return
    for parameter in module._parameters.values():
        if parameter is not None:
            parameters.setdefault(id(parameter), parameter)
    for child in module._modules.values():
        if child is not None:
            _collect(child, parameters, seen)
