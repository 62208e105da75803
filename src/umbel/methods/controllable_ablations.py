"""What a controllable network is compared with: for each configuration an ordinary network, trained by itself."""

from torch import nn

from umbel.core import MultiTaskModel, OperatingPoint
from umbel.nn import Slimmable, dense_copy, seeded_start


def fresh_dense_model(model: MultiTaskModel, point: OperatingPoint, seed: int = 0) -> MultiTaskModel:
    """The ordinary network of one configuration, newly initialised and in training mode.

    The full configuration starts as the slimmable model itself does. In any other one all layers draw their weights
    anew, because the first channels of a wide layer's start are too small for a narrow layer; the encoder's start then
    depends on the seed and its width only, and a head's on the seed, its task's name and both widths.

    Args:
        model: With slimmable parts, as `slimmable_model` makes it, and not trained yet. It is not changed.
        point: The configuration.
        seed: Of the start of any but the full configuration.

    Raises:
        UmbelError: A width off the grid, or `head_widths` names an unknown task.
    """
    fresh = dense_copy(model, point)
    slim = [part for part in (model.encoder, *model.heads.values()) if isinstance(part, Slimmable)]
    if any(width < 1 for part in slim for width in part.widths_at(point)):
        for name, part in {"": fresh.encoder, **{name: fresh.heads[name] for name in fresh.task_names}}.items():
            with seeded_start(seed, name):
                _start_again(part)
    return fresh.train()


def _start_again(part: nn.Module) -> None:
    """Draw all weights of a part anew."""
    for layer in part.modules():
        if callable(reset := getattr(layer, "reset_parameters", None)):
            reset()
