"""What a recipe is: typed settings and the study that they run."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umbel.report import Results
    from umbel.study import Findings, Study


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
        findings: Likewise: results -> findings (claims, charts, sentences), from the results file alone, so that they
            can be computed again at any time. Empty: the study puts them into its results itself.
    """

    name: str
    title: str
    settings: type
    quick: Any
    study: "str | Callable[[Any, Study], Results]"
    about: str = ""
    findings: "str | Callable[[Results], Findings]" = ""

    def run(self, settings: Any, study: "Study") -> "Results":
        """Run the study, and say what came of it."""
        return self.concluded(function_of(self.study)(settings, study))

    def concluded(self, results: "Results") -> "Results":
        """The results with claims, charts and sentences computed afresh from their runs."""
        if not self.findings:
            return results
        from umbel.study import concluded  # noqa: PLC0415 - imports torch

        return concluded(results, function_of(self.findings))


def function_of(named: "str | Callable[..., Any]") -> "Callable[..., Any]":
    """The function itself, or the one that "module:function" names."""
    if callable(named):
        return named
    module, function = named.split(":")
    return getattr(import_module(module), function)
