"""`Slimmable`: an encoder or a head that runs at any width of its grid."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from umbel.core import Axes, OneOf, OperatingPoint, PointModule, UmbelError
from umbel.nn.slimming.grid import active_channels, encoder_width, head_width
from umbel.nn.slimming.norms import BATCH_NORMS
from umbel.nn.slimming.setting import Setting, running


class Slimmable(PointModule):
    """A module whose width is an argument of the forward pass; `slimmable` makes it from an ordinary one.

    An encoder runs at the point's `width`. A head runs at its task's entry in the point's `head_widths` and reads
    features of an encoder at `width`. What a point does not say is 1, the full width, and at full width the module
    does exactly what the ordinary one did. Passes at other widths use prefixes of the same weights: nothing is
    allocated to switch, and several threads may run at different points at once.

    Batch normalisations keep statistics for every width (encoder) or pair of widths (head), in the state dict. A
    training pass makes all of them stale, because weights are about to change; `recalibrate` measures them again.

    Attributes:
        module: The converted copy.
        widths: The grid, rising, ending in 1.
        divisor: Active channels are a multiple of it.
        head_of: The task whose head this is; None for an encoder.
        input_shape: Of one sample at full width.
        calibrated: For every configuration but the full one, whether its statistics were measured since the last
            training pass: bool [configurations - 1]. A head's configurations have the encoder's width as slow axis.
        feature_shape: Of one sample's output at full width; only if the ordinary module had it.
    """

    def __init__(
        self, module: nn.Module, input_shape: Sequence[int], widths: Sequence[float], divisor: int, head_of: str | None
    ) -> None:
        super().__init__()
        self.module = module
        self.widths = tuple(widths)
        self.divisor = divisor
        self.head_of = head_of
        self.input_shape = tuple(input_shape)
        rows = len(self.widths) ** (1 if head_of is None else 2) - 1
        self.register_buffer("calibrated", torch.zeros(rows, dtype=torch.bool))
        norms = (part for part in module.modules() if isinstance(part, BATCH_NORMS))
        self.norms = tuple(norm for norm in norms if norm.running_mean is not None)
        for norm in self.norms:
            norm.add_tables(rows)
        if hasattr(module, "feature_shape"):
            self.feature_shape = tuple(module.feature_shape)

    def axes(self) -> Axes:
        """A width of the grid: the encoder's, or this head's entry in `head_widths`. The full one is swept first."""
        widths = OneOf(self.widths[::-1])
        return {"width": widths} if self.head_of is None else {"head_widths": {self.head_of: widths}}

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return "the encoder" if self.head_of is None else f"the head of task {self.head_of!r}"

    @property
    def full_widths(self) -> tuple[float, ...]:
        """The full configuration, as `widths_at` gives it."""
        return (1.0,) if self.head_of is None else (1.0, 1.0)

    def widths_at(self, point: OperatingPoint) -> tuple[float, ...]:
        """The widths that matter at a point: the encoder's, and for a head then its own.

        Raises:
            UmbelError: One is off the grid.
        """
        first = encoder_width(point, self.widths)
        return (first,) if self.head_of is None else (first, head_width(point, self.head_of, self.widths))

    def setting(self, *widths: float) -> Setting:
        """The setting for the widths that `widths_at` gives."""
        row = 0
        for width in widths:
            row = row * len(self.widths) + self.widths.index(width)
        return Setting(widths[-1], row if row < len(self.calibrated) else None)

    def input_channels(self, width: float) -> int:
        """Channels of the input when the encoder has this width: a head's follow it, an encoder's do not."""
        channels = self.input_shape[0]
        return channels if self.head_of is None else active_channels(channels, width, self.divisor)

    def is_calibrated(self, point: OperatingPoint) -> bool:
        """Whether evaluation at a point has the statistics that it needs."""
        row = self.setting(*self.widths_at(point)).row
        return row is None or not self.norms or bool(self.calibrated[row])

    def check_calibrated(self, point: OperatingPoint) -> None:
        """Refuse a point without statistics.

        Raises:
            UmbelError: Says how to measure them.
        """
        if not self.is_calibrated(point):
            places = " and head width ".join(str(width) for width in self.widths_at(point))
            raise UmbelError(
                f"{self.name} has no batch-norm statistics for width {places}; measure them with "
                "recalibrate(model, batches, points) after the last step of training"
            )

    def forward(self, x: Tensor, point: OperatingPoint) -> Tensor:
        """The module's output at the width that the point gives it.

        Args:
            x: [B, ...]; for a head, features of the encoder at the point's `width`.
            point: With `width` and `head_widths`; each counts as 1 where it is missing.

        Raises:
            UmbelError: A width off the grid, features of another width, or (in evaluation) a configuration whose
                batch-norm statistics were not measured.
        """
        widths = self.widths_at(point)
        self._check_input(x, widths[0])
        if any(norm.training for norm in self.norms):
            self.calibrated.zero_()
        if not all(norm.training for norm in self.norms):
            self.check_calibrated(point)
        with running(self.setting(*widths)):
            return self.module(x)

    def _check_input(self, x: Tensor, width: float) -> None:
        expected = (self.input_channels(width), *self.input_shape[1:])
        given = x.shape[-len(expected) :]
        if len(given) < len(expected) or given[0] != expected[0]:
            raise UmbelError(
                f"{self.name} was given inputs of shape {tuple(x.shape)}; at encoder width {width} it reads "
                f"{expected[0]} channels, as in (B, {', '.join(map(str, expected))})"
            )

    def observed(self, x: Tensor, setting: Setting, **observers) -> Tensor:
        """A pass at a setting that notes its calls or its batch statistics (see `Setting`), and checks nothing."""
        with running(replace(setting, **observers)):
            return self.module(x)
