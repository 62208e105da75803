"""`Dial`: a live slimmable model, turned by budget and preferences while it serves."""

from collections.abc import Mapping

from torch import Tensor

from umbel.core import MultiTaskModel, OperatingPoint
from umbel.search import Budget, Choice, ConfigurationTable


class Dial:
    """A slimmable model that answers requests at the point that its dial shows, or at the request's own."""

    def __init__(
        self,
        model: MultiTaskModel,
        table: ConfigurationTable,
        *,
        preferences: Mapping[str, float] | str | None = None,
        budget: Budget | str | None = None,
        point: OperatingPoint | None = None,
        machine: str | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def point(self) -> OperatingPoint:
        """Where requests run that do not say otherwise."""
        raise NotImplementedError

    @property
    def choice(self) -> Choice | None:
        """What the search said about the current point; None when the point was given."""
        raise NotImplementedError

    def turn(self, budget: Budget | str | None = None, prefer: Mapping[str, float] | str | None = None) -> Choice:
        """Change the point for later requests; what is not given stays as it was."""
        raise NotImplementedError

    def __call__(
        self,
        inputs: Tensor,
        budget: Budget | str | None = None,
        prefer: Mapping[str, float] | str | None = None,
    ) -> dict[str, Tensor]:
        """Raw predictions of all tasks, at the current point or at this request's own."""
        raise NotImplementedError
