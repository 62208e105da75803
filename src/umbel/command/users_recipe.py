"""Recipes of the user's own, file.py:attribute: the one place where a command runs code that the user names.

Whatever goes wrong in that code is one line with file and line number; --debug shows the traceback.
"""

import dataclasses
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from umbel.errors import UmbelError, unknown
from umbel.recipes import Recipe
from umbel.recipes.recipe import function_of

if TYPE_CHECKING:
    from umbel.report import Results


def users_recipe(name: str) -> Recipe:
    """The recipe at file.py:attribute, whose study and findings tell in one line what goes wrong in them.

    Raises:
        UmbelError: No such file or attribute, something other than a recipe, or code that fails.
    """
    path, attribute = name.rsplit(":", 1)
    file = Path(path)
    if not file.is_file():
        raise UmbelError(f"recipe {name}: there is no file {path}")
    module = _imported(name, file)
    if not hasattr(module, attribute):
        raise unknown(f"attribute of {path}", attribute, [n for n in vars(module) if not n.startswith("_")])
    recipe = getattr(module, attribute)
    if not isinstance(recipe, Recipe):
        raise UmbelError(f"{name} is a {type(recipe).__name__}; make it a umbel.recipes.Recipe")
    for what, value in (("settings", recipe.settings), ("quick", type(recipe.quick))):
        if not (isinstance(value, type) and dataclasses.is_dataclass(value)):
            raise UmbelError(f"recipe {name}: its {what} must be a dataclass, with `settings` the class itself")
    return _guarded(name, file, recipe)


def _imported(name: str, file: Path) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location  # noqa: PLC0415

    spec = spec_from_file_location(f"umbel_user_{file.stem}", file)  # a file may be called as a package is
    if spec is None or spec.loader is None:
        raise UmbelError(f"recipe {name}: {file} is not a file of Python; its name ends in .py")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    with _told(f"recipe {name}", file):
        spec.loader.exec_module(module)
    return module


def _guarded(name: str, file: Path, recipe: Recipe) -> Recipe:
    """The recipe with functions that tell in one line what goes wrong in them."""

    def study(settings: Any, study: Any) -> "Results":
        from umbel.report import Results  # noqa: PLC0415 - imports torch

        with _told(f"study {name}", file):
            results = function_of(recipe.study)(settings, study)
        if not isinstance(results, Results):
            raise UmbelError(f"study {name} gave {_kind(results)}; it must return umbel.report.Results")
        return results

    def findings(results: "Results") -> Any:
        from umbel.study import Findings  # noqa: PLC0415 - imports torch

        with _told(f"findings of {name}", file):
            concluded = function_of(recipe.findings)(results)
        if not isinstance(concluded, Findings):
            raise UmbelError(f"findings of {name} gave {_kind(concluded)}; they must return umbel.study.Findings")
        return concluded

    return dataclasses.replace(recipe, study=study, findings=findings if recipe.findings else "")


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


@contextmanager
def _told(what: str, file: Path) -> Iterator[None]:
    """Whatever the user's code raises, as one line; what Umbel itself refuses passes, and so does Ctrl-C."""
    try:
        yield
    except (UmbelError, KeyboardInterrupt):
        raise
    except SyntaxError as error:
        place = f"{error.filename or file}, line {error.lineno}"
        raise UmbelError(f"{what}: {place}: {type(error).__name__}: {error.msg}; mend it") from error
    except SystemExit as error:
        raise UmbelError(
            f"{what}: {_place(error, file)}: it called sys.exit({error.code!r}); leave that out"
        ) from error
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise UmbelError(f"{what}: {_place(error, file)}: {text}; --debug shows the traceback") from error


def _place(error: BaseException, file: Path) -> str:
    """The last line of the user's file that led to an error."""
    own = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename).resolve() == file.resolve()]
    return f"{file}, line {own[-1].lineno}" if own else str(file)
