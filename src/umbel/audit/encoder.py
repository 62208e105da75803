"""An encoder that was trained elsewhere, as something that an audit can attack."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from umbel.arguments import instance, whole_number
from umbel.core import Batch, Learner, OperatingPoint, Released, Taps, Task, UmbelError, at_point, unknown
from umbel.core.modes import modes_kept

RECEIVER = "encoder"
"""Who gets the features of an encoder that was trained elsewhere."""
NORMALISATIONS = {"none": ((0.0,), (1.0,)), "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}
"""Name -> mean and standard deviation of each colour, which pictures are brought to."""


class PreparedEncoder(nn.Module):
    """Pictures from 0 to 1 as an encoder wants them: so large, in three colours, normalised; other inputs as they are.

    Args:
        encoder: Any module of one tensor; a `PointModule` is given the operating point, too.
        size: Height and width of what it gets; None leaves pictures as large as they are.
        normalise: One of `NORMALISATIONS`.
        colours: Channels of what it gets; grey pictures are repeated.

    Raises:
        UmbelError: No module, or a size or normalisation that is not known.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        size: tuple[int, int] | None = None,
        normalise: str = "none",
        colours: int | None = None,
    ) -> None:
        super().__init__()
        instance(encoder, nn.Module, "the encoder", "an nn.Module")
        if normalise not in NORMALISATIONS:
            raise unknown("normalisation", normalise, NORMALISATIONS)
        self.encoder, self.colours = encoder, colours
        self.size = None if size is None else tuple(whole_number(n, "size of an encoder's input", 1) for n in size)
        mean, deviation = (torch.tensor(values)[:, None, None] for values in NORMALISATIONS[normalise])
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)

    def forward(self, inputs: Tensor, point: OperatingPoint) -> Any:
        """What the encoder gives."""
        return at_point(self.encoder, self.prepared(inputs) if inputs.ndim == 4 else inputs, point)

    def prepared(self, pictures: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D R S"]:
        """Pictures as the encoder gets them."""
        if self.colours == 3 and pictures.shape[1] == 1:
            pictures = pictures.expand(-1, 3, -1, -1)
        if self.size is not None and self.size != tuple(pictures.shape[2:]):
            pictures = interpolate(pictures, self.size, mode="bilinear", antialias=True)
        return (pictures - self.mean) / self.deviation


def first_colours(encoder: nn.Module) -> int | None:
    """Channels that the first convolution of an encoder wants; None where it has none."""
    first = next((module for module in encoder.modules() if isinstance(module, nn.Conv2d)), None)
    return None if first is None else first.in_channels


class EncoderLearner(Learner):
    """A frozen encoder that was trained elsewhere: it releases features to one receiver, and predicts nothing.

    Args:
        encoder: With its weights.
        tasks: What attackers want to know.
        layer: Inner module whose output is released, as `named_modules` calls it; empty: the encoder's own output.
        serves: Tasks that the features are meant for.
        size: As for `PreparedEncoder`.
        normalise: Likewise.

    Raises:
        UmbelError: No such layer, task, size or normalisation.
    """

    def __init__(
        self,
        encoder: nn.Module,
        tasks: Sequence[Task],
        layer: str = "",
        serves: Sequence[str] = (),
        size: tuple[int, int] | None = None,
        normalise: str = "none",
    ) -> None:
        model = PreparedEncoder(encoder, size, normalise, first_colours(encoder))
        self.tapped = f"encoder.{layer}" if layer else "encoder"
        if layer and layer not in dict(encoder.named_modules()):
            raise unknown(f"layer of a {type(encoder).__name__}", layer, filter(None, dict(encoder.named_modules())))
        super().__init__(model, tasks)
        for name in serves:
            if name not in (known := [task.name for task in tasks]):
                raise unknown("task", name, known)
        self.serves, self.released_whole = tuple(serves), not layer

    def predict(self, batch: Batch, point: OperatingPoint) -> dict[str, Tensor]:
        """Nothing: it has no heads.

        Raises:
            UmbelError: Always.
        """
        raise UmbelError("an encoder without heads predicts nothing; it can be audited only")

    def released(self, batch: Batch, point: OperatingPoint) -> dict[str, Released]:
        """What the encoder, or its layer, gives."""
        with Taps(self.model, [self.tapped]) as taps:
            self.model(batch.inputs, point)
        return {RECEIVER: Released(taps[self.tapped], self.serves)}

    def check(self, batch: Batch, where: str) -> None:
        """Refuse inputs that the encoder does not take, and outputs that are no features of samples.

        Args:
            batch: A few samples.
            where: Name of the data, for the message.

        Raises:
            UmbelError: Says what the encoder said.
        """
        inputs = batch.inputs
        if not isinstance(inputs, Tensor):
            raise UmbelError(f"{where} has several inputs by name; an encoder here takes one tensor")
        shape = list(inputs.shape[1:])
        try:
            with torch.no_grad(), modes_kept(self):
                self.eval()
                features = self.released(batch, self.sweep()[0])[RECEIVER].features
        except UmbelError:
            raise
        except Exception as error:  # the user's own module
            text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise UmbelError(
                f"the encoder does not take inputs of shape {shape} as {where} has them ({text}); --resize changes the "
                "size of pictures"
            ) from error
        some = list(features.values()) if isinstance(features, dict) else features
        for part in [some] if isinstance(some, Tensor) else some:
            if not isinstance(part, Tensor) or part.ndim < 2 or len(part) != len(batch):
                raise UmbelError(f"the encoder gives no features [samples, ...] for {where}; name a --layer that does")
