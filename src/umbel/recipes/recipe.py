"""What a recipe is: typed settings and the study that they run."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umbel.recipes.study import Study
    from umbel.report import Results


@dataclass(frozen=True)
class Recipe:
    """A study that `umbel run NAME` runs.

    Attributes:
        name: On the command line.
        title: One line.
        settings: Frozen dataclass of the settings, with defaults for the full study.
        quick: Settings of the study that takes about three minutes on two cores.
        study: "module:function" or the function itself: (settings, study) -> results.
        about: A paragraph for the help.
    """

    name: str
    title: str
    settings: type
    quick: Any
    study: "str | Callable[[Any, Study], Results]"
    about: str = ""

    def run(self, settings: Any, study: "Study") -> "Results":
        """Run the study."""
        if callable(self.study):
            return self.study(settings, study)
        module, function = self.study.split(":")
        return getattr(import_module(module), function)(settings, study)
