"""What `import umbel` offers, and that it is typed for those who install it."""

import ast
import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import umbel

FILE = Path(umbel.__path__[0]) / "__init__.py"


def names_for_checkers() -> dict[str, str]:
    """Name -> module, of the imports that only editors and type checkers see."""
    blocks = [node for node in ast.parse(FILE.read_text()).body if isinstance(node, ast.If)]
    (block,) = [node for node in blocks if ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports for alias in node.names}


@pytest.mark.parametrize("name", umbel.__all__)
def test_a_listed_name_is_that_of_its_home(name):
    assert name in dir(umbel)
    home = "umbel.errors" if name == "UmbelError" else names_for_checkers()[name]
    module = importlib.import_module(home)
    assert getattr(umbel, name) is getattr(module, name)
    assert name in getattr(module, "__all__", [name])


def test_checkers_see_what_is_listed_and_nothing_else():
    assert {*names_for_checkers(), "UmbelError"} == set(umbel.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="clasification"):
        umbel.clasification  # noqa: B018
    assert "torch" not in dir(umbel)


def test_the_example_of_the_package_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = umbel.__doc__.split("\n")
    code = textwrap.dedent("\n".join(line for line in lines if line.startswith("    ")))
    quick = "umbel.FitSettings(steps=2, precision='float32', tensorboard=False)"
    exec(code.replace("data.validation)", f"data.validation, {quick})"), {})
    assert "digit" in capsys.readouterr().out


def test_first_use_loads_only_what_it_needs():
    says = "print('torch' in sys.modules)"
    code = f"import sys, umbel; umbel.UmbelError; {says}; umbel.load_data; {says}"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]


def test_the_package_says_that_it_is_typed():
    assert (FILE.parent / "py.typed").exists()
