"""The search works on plain tables: it knows no method, no network and no loop."""

import ast
import sys
from pathlib import Path

import umbel.search


def test_the_search_imports_the_contracts_and_numbers_only():
    files = sorted(Path(umbel.search.__path__[0]).rglob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    ours = {name for name in modules if name.split(".")[0] == "umbel"}
    below = {"umbel.core", "umbel.arguments", "umbel.errors"}
    assert {name for name in ours if not name.startswith("umbel.search.")} <= below
    assert {name.split(".")[0] for name in modules - ours} <= {"numpy", "scipy", *sys.stdlib_module_names}
