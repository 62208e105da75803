"""Rules of the house, checked: imports, sizes, what no file may do."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "umbel"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in FILES}
LONGEST_FUNCTION, LONGEST_FILE = 50, 350
RUNS_CODE = {"eval", "exec", "pickle.load", "pickle.loads", "pickle.Unpickler", "torch.hub.load"}
GLOBAL_RANDOMNESS = {"torch.manual_seed", "torch.seed", "random.seed", "np.random.seed", "numpy.random.seed"}
MAY_SEED = {
    "data/stream.py",  # a user's transforms know no other generator; the old state comes back after each item
    "engine/loop.py",  # nor does dropout: every step starts from (seed, step, process), so a resumed run is the same
}


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


def imports(tree: ast.AST) -> Iterator[str]:
    """The full names of the imported modules; `from a import b` gives a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_imports_point_down():
    linted = python("from importlinter.cli import lint_imports; raise SystemExit(lint_imports(cache_dir=None))")
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_every_part_has_its_place_among_the_layers():
    # import-linter does not look at a part that the contract does not name.
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    placed = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    parts = {
        f"umbel.{path.stem}" for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert parts - {"umbel.__init__", "umbel.__main__"} == {name.strip("() ") for name in placed}


def test_importing_umbel_loads_nothing_heavy():
    loaded = python(
        "import sys, umbel; print([m for m in ('torch', 'numpy', 'matplotlib', 'rich') if m in sys.modules])"
    )
    assert loaded.stdout.strip() == "[]", loaded.stdout + loaded.stderr


def test_the_contracts_import_torch_and_nothing_else():
    allowed = {"torch", "umbel", *sys.stdlib_module_names}
    for name, tree in TREES.items():
        if name.startswith("core/"):
            assert {module.split(".")[0] for module in imports(tree)} <= allowed, name


def test_only_the_runtime_opens_fabric():
    users = {name for name, tree in TREES.items() if any(m.startswith("lightning") for m in imports(tree))}
    assert users <= {"engine/runtime.py"}


@pytest.mark.parametrize("name", TREES)
def test_files_and_functions_are_short(name):
    lines = len((SOURCE / name).read_text().splitlines())
    assert lines <= LONGEST_FILE, f"{name} has {lines} lines"
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = body_lines(node)
            assert length <= LONGEST_FUNCTION, f"{name}: {node.name} has {length} lines without its docstring"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, signature included, docstring not."""
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = first.end_lineno - first.lineno + 1 if is_docstring else 0
    return function.end_lineno - function.lineno + 1 - docstring


@pytest.mark.parametrize("name", TREES)
def test_no_error_is_swallowed_unseen(name):
    for node in ast.walk(TREES[name]):
        if not isinstance(node, ast.ExceptHandler):
            continue
        where = f"{name}:{node.lineno}"
        assert node.type is not None, f"{where}: `except:` catches everything; name the errors"
        caught = {ast.unparse(t) for t in (node.type.elts if isinstance(node.type, ast.Tuple) else [node.type])}
        passed_on = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
        assert passed_on or not caught & {"Exception", "BaseException"}, (
            f"{where}: {caught} caught and not raised again"
        )


@pytest.mark.parametrize("name", TREES)
def test_no_file_runs_what_it_reads_or_touches_global_randomness(name):
    assert not {"dill", "marshal", "shelve"} & {m.split(".")[0] for m in imports(TREES[name])}
    forbidden = RUNS_CODE | (set() if name in MAY_SEED else GLOBAL_RANDOMNESS)
    for function, call in calls(TREES[name]):
        where = f"{name}:{call.lineno}"
        assert function not in forbidden, f"{where} calls {function}"
        if function == "torch.load":
            safe = {k.arg: ast.unparse(k.value) for k in call.keywords}.get("weights_only") == "True"
            assert safe, f"{where}: torch.load without weights_only=True runs code from the file"


def test_the_oldest_torch_is_the_one_that_is_tested():
    floors = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"][:2]
    tested = (ROOT / "Makefile").read_text()
    for floor in floors:
        assert floor.startswith("torch") and f"'{floor.replace('>=', '==')}.*'" in tested


def test_no_utils_and_no_star_imports():
    assert not [name for name in TREES if {"utils", "util", "helpers", "misc"} & set(Path(name).with_suffix("").parts)]
    assert not [name for name, tree in TREES.items() if any(module.endswith(".*") for module in imports(tree))]


def test_test_files_have_names_of_their_own():
    # Pytest imports test files by their base name: two of the same name in two folders collide.
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name not in ("__init__.py", "conftest.py")]
    assert not {name for name in names if names.count(name) > 1}
