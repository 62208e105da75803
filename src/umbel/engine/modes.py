"""Training and evaluation mode: what the user set on a frozen part is kept."""

from torch import nn

from umbel.core.modes import restore_modes


def start_training(learner: nn.Module) -> None:
    """Put a learner in training mode, except for the frozen parts that were put in evaluation mode.

    A part is kept when nothing in it is trained and either it has (frozen) parameters or the module around it is in
    training mode, so that somebody must have called `eval()` on this very part. With it everything inside keeps its
    mode. A part that is trained is put in training mode: encoders are often loaded in evaluation mode.
    """
    kept: dict[nn.Module, bool] = {}
    if learner.training:
        _collect_kept(learner, kept)
    learner.train()
    restore_modes(kept)


def _collect_kept(module: nn.Module, kept: dict[nn.Module, bool]) -> None:
    for child in module.children():
        parameters = list(child.parameters())
        frozen = not any(p.requires_grad for p in parameters)
        if frozen and not child.training and (parameters or module.training):
            kept.update((part, part.training) for part in child.modules())
        else:
            _collect_kept(child, kept)
