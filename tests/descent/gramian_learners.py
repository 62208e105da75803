"""Learners of every kind that an engine must carry, and hooks that users register."""

from collections.abc import Callable

import torch
from gramian_cases import make_learner
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from umbel.core import Learner, Losses, MultiTaskModel
from umbel.nn import ConvEncoder, ResNetEncoder


class Penalised(Learner):
    """Adds auxiliary losses: on weights directly, and on the learner's own numbers."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.scales = nn.Parameter(torch.zeros(3))
        self.one, self.other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))

    def losses(self, batch, point):
        own = super().losses(batch, point)
        parameters = list(self.model.encoder.parameters())
        penalty = 0.3 * parameters[-1].square().sum() + 0.1 * parameters[0].square().sum()
        return Losses({**own, "penalty": penalty, "scales": self.scales.sum() + (self.one + self.other).exp().sum()})


class EarlyExit(Learner):
    """One task reads the stem, one both, one the end; one loss is a multiple of another, and one is the very same."""

    def losses(self, batch, point):
        stem, stages = self.model.encoder.stem, self.model.encoder.stages
        early = stem(self.model.encoder.standardise(batch.inputs))
        late = stages(early)
        values = [early.mean((2, 3)).sin().sum(), late.square().mean() + early.square().mean(), late.cos().mean()]
        values += [0.5 * values[1], values[2]]
        return Losses({task.name: value for task, value in zip(self.tasks, values, strict=True)})


class TwoViews(Learner):
    """The encoder runs twice in one step."""

    def losses(self, batch, point):
        one, other = self.model(batch.inputs, point), self.model(batch.inputs.flip(-1), point)
        return self.task_losses({name: one[name] + other[name].tanh() for name in one}, batch)


class Detached(Learner):
    """The second task does not teach the encoder, and the third teaches nothing."""

    def losses(self, batch, point):
        features = self.model.encoder(batch.inputs)
        first = self.model.decode(features, point, ["t0"])
        second = self.model.decode(features.detach(), point, ["t1"])
        third = {"t2": self.model.decode(features, point, ["t2"])["t2"].detach()}
        return self.task_losses({**first, **second, **third}, batch)


class Stored(Learner):
    """The whole encoder is a checkpoint."""

    def losses(self, batch, point):
        features = checkpoint(self.model.encoder, batch.inputs, use_reentrant=False)
        return self.task_losses(self.model.decode(features, point), batch)


class Nothing(Learner):
    """No loss depends on the encoder."""

    def losses(self, batch, point):
        return self.task_losses(self.model.decode(self.model.encoder(batch.inputs).detach(), point), batch)


class Fewer(Learner):
    """The tasks compete for the last layers of the encoder only; whatever lies below is taught by the plain sum."""

    def shared_parameters(self):
        return [p for p in self.model.encoder.stages[-1].parameters() if p.requires_grad]


class WithHeads(Learner):
    """The tasks compete for the first task's head, too."""

    def shared_parameters(self):
        return [*self.model.encoder.parameters(), *self.model.heads["t0"].parameters()]


class Scalar(Learner):
    """A task's loss that is a parameter, and an auxiliary one."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.model.encoder.register_parameter("level", nn.Parameter(torch.tensor(0.3)))
        self.model.encoder.register_parameter("floor", nn.Parameter(torch.tensor(0.1)))

    def losses(self, batch, point):
        level = self.model.encoder.level
        own = {name: value * level.exp() for name, value in super().losses(batch, point).items()}
        return Losses({**own, self.tasks[-1].name: level, "floor": self.model.encoder.floor})


class Penalty(Learner):
    """A gradient in the loss."""

    def losses(self, batch, point):
        inputs = batch.inputs.clone().requires_grad_()
        own = self.task_losses(self.model(inputs, point), batch)
        (slope,) = torch.autograd.grad(sum(own.values()), inputs, create_graph=True)
        return Losses({**own, "slope": slope.square().sum()})


def conv() -> nn.Module:
    return ConvEncoder((2, 6, 6), (4, 5, 6), downsample=2)


def residual() -> nn.Module:
    return ResNetEncoder((2, 6, 6), 4, (1, 1), "group", downsample=2)


def linked() -> Learner:
    """What lies between encoder and head: a layer for each of two tasks, the same for two others."""
    learner = make_learner(conv, tasks=4)
    torch.manual_seed(5)
    both = nn.Conv2d(6, 6, 1)
    links = {"t0": nn.Conv2d(6, 6, 3, padding=1), "t1": nn.Sequential(both, nn.Dropout(0.2)), "t3": both}
    model = MultiTaskModel(learner.model.encoder, {n: learner.model.heads[n] for n in learner.model.task_names}, links)
    return Learner(model, learner.tasks).double().train()


class Shut(nn.Module):
    """A head that does not look at the features."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.full((2,), 0.4))

    def forward(self, x):
        return self.answer.expand(len(x), 2)


LEARNERS: dict[str, Callable[[], Learner]] = {
    "one task": lambda: make_learner(conv, 1),
    "seven tasks": lambda: make_learner(residual, 7),
    "losses added": lambda: make_learner(conv, kind=Penalised),
    "early exits": lambda: make_learner(residual, 5, kind=EarlyExit),
    "two views": lambda: make_learner(residual, kind=TwoViews),
    "two views, batch norm": lambda: make_learner(conv, kind=TwoViews),
    "stored": lambda: make_learner(residual, kind=Stored),
    "detached": lambda: make_learner(conv, kind=Detached),
    "fewer shared": lambda: make_learner(conv, kind=Fewer),
    "heads shared": lambda: make_learner(conv, kind=WithHeads),
    "a loss that is a parameter": lambda: make_learner(conv, 4, kind=Scalar),
    "a gradient in the loss": lambda: make_learner(lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh()), kind=Penalty),
    "linked": linked,
    "a head that is shut": lambda: make_learner(residual, t1=Shut()),
    "evaluated": lambda: make_learner(conv).eval(),
}


def halve(gradient: Tensor) -> Tensor:
    return gradient * 0.5


def scale_outputs(learner: Learner) -> None:
    """What comes back to the output of every layer is halved (as authors do at the features)."""

    def hook(_module, _inputs, output):
        if output.requires_grad:
            output.register_hook(halve)

    for module in learner.model.encoder.modules():
        if not list(module.children()):
            module.register_forward_hook(hook)


def scale_features(learner: Learner) -> None:
    learner.model.encoder.register_forward_hook(lambda _m, _i, output: output.register_hook(halve) and None)


def scale_weights(learner: Learner) -> None:
    """A part of each weight is not to be trained, and the rest slowly."""
    for parameter in learner.model.encoder.parameters():
        mask = torch.full_like(parameter, 0.25)
        mask.flatten()[::2] = 0
        parameter.register_hook(lambda gradient, mask=mask: gradient * mask)


def scale_inside_modules(learner: Learner) -> None:
    """Hooks of modules, on whole parts and on layers, that change what goes through them."""
    for module in learner.model.encoder.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        module.register_full_backward_hook(lambda _m, inputs, _o: tuple(None if g is None else g * 0.7 for g in inputs))
        module.register_full_backward_pre_hook(lambda _m, outputs: tuple(g * 1.5 for g in outputs))


def scale_losses(learner: Learner) -> None:
    plain = learner.task_losses

    def task_losses(predictions, batch):
        losses = plain(predictions, batch)
        for loss in losses.values():
            loss.register_hook(halve)
        return losses

    learner.task_losses = task_losses


HOOKS = {
    "of outputs": scale_outputs,
    "of the features": scale_features,
    "of weights": scale_weights,
    "of modules": scale_inside_modules,
    "of losses": scale_losses,
}
