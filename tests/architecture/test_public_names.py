"""Every public name is documented and used by a test."""

import ast
import importlib
import inspect
import itertools
import pkgutil
from functools import cache
from pathlib import Path

import pytest

import umbel

TESTS = Path(__file__).parents[1]


def public_names() -> list[tuple[str, str]]:
    """(module, name): what subpackages list in `__all__`, and what modules beside them define."""
    found = []
    for part in pkgutil.iter_modules(umbel.__path__, "umbel."):
        if part.name == "umbel.__main__":
            continue
        module = importlib.import_module(part.name)
        names = getattr(module, "__all__", None)
        if names is None:
            names = [name for name, value in vars(module).items() if defined_in(value, module.__name__)]
        found += [(part.name, name) for name in sorted(names)]
    return found


def defined_in(value: object, module: str) -> bool:
    named = inspect.isfunction(value) or inspect.isclass(value)
    return named and value.__module__ == module and not value.__name__.startswith("_")


@cache
def names_in_tests() -> set[str]:
    """What the tests import from umbel, and what they take from a module of it, as `tasks.regression`."""
    found = set()
    for path in TESTS.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        ours = [n for n in nodes if isinstance(n, ast.ImportFrom) and (n.module or "").split(".")[0] == "umbel"]
        imported = {alias.name: alias.asname or alias.name for node in ours for alias in node.names}
        local = set(imported.values())
        attributes = [n for n in nodes if isinstance(n, ast.Attribute) and ast.unparse(n.value).split(".")[0] in local]
        found |= imported.keys() | {attribute.attr for attribute in attributes}
    return found


@cache
def documented_assignments() -> set[str]:
    """Names of constants and aliases that have a string right below them, as documentation tools read it."""
    found = set()
    for path in Path(umbel.__path__[0]).rglob("*.py"):
        body = ast.parse(path.read_text()).body
        for node, below in itertools.pairwise(body):
            if (
                isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


NAMES = public_names()


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_public_name_exists_and_is_documented(module, name):
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert (value.__doc__ or "").strip(), f"{module}.{name} has no docstring"
        generated = inspect.isclass(value) and value.__doc__.startswith(f"{name}(")
        assert not generated, f"{module}.{name} has only the signature that dataclass writes for it"
    else:
        assert name in documented_assignments(), f"{module}.{name} has no string below it that says what it is"


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_public_name_is_tested(module, name):
    used = name in names_in_tests()  # by name only: the whole set would fill the screen
    assert used, f"{module}.{name} appears in no test"


def test_the_check_looks_at_something():
    assert ("umbel.core", "Task") in NAMES
    assert ("umbel.tasks", "classification") in NAMES
    assert "regression" in names_in_tests()
    assert "no_such_name" not in names_in_tests()
