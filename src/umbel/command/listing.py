"""`umbel list`: what there is, and what is missing."""

import json
from importlib.util import find_spec
from typing import Any

from umbel.command.arguments import console, take_flag
from umbel.data import catalogue, data_folders
from umbel.errors import UmbelError
from umbel.recipes import ELEVEN, RECIPES

_USAGE = """usage: umbel list [--json]

Methods (and whether each is implemented), recipes, descents, data sets (found or missing, and where), extras.
"""
_EXTRAS = {
    "solvers": ("cvxpy", "clarabel"),
    "parquet": ("pyarrow",),
    "comms": ("sionna", "imagecodecs"),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "serve": ("starlette", "uvicorn"),
    "detect": ("faster_coco_eval",),
    "video": ("av",),
    "privacy": ("dp_accounting", "opacus"),
}


def listing(arguments: list[str]) -> int:
    """Print everything that can be named on the command line."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(_USAGE, end="")
        return 0
    as_json = take_flag(arguments, "--json")
    if arguments:
        raise UmbelError(f"umbel list does not know {arguments[0]}; it takes only --json")
    listed = inventory()
    if as_json:
        print(json.dumps(listed, indent=1))
    else:
        _print(listed)
    return 0


def inventory() -> dict[str, list[Any]]:
    """Everything by kind, as plain values."""
    from umbel.descent import DESCENTS  # noqa: PLC0415 - imports torch

    return {
        "methods": [{"key": m.key, "title": m.title, "paper": m.paper, "implemented": m.implemented} for m in ELEVEN],
        "recipes": [{"name": r.name, "title": r.title} for r in RECIPES.values()],
        "descents": [
            {
                "name": name,
                "summary": entry.summary,
                "backward_passes": entry.passes,
                "available": all(find_spec(module) for module in entry.modules),
                "extra": entry.extra,
            }
            for name, entry in DESCENTS.items()
        ],
        "data": [
            {
                "name": entry.name,
                "title": entry.title,
                "tasks": entry.tasks,
                "available": entry.available,
                "where": "embedded" if entry.embedded else str(entry.found() or ""),
                "looked_for": list(entry.layout),
            }
            for entry in catalogue()
        ],
        "data_folders": [str(folder) for folder in data_folders()],
        "extras": [
            {"name": name, "installed": all(find_spec(m) for m in modules), "packages": list(modules)}
            for name, modules in _EXTRAS.items()
        ],
    }


def _print(listed: dict[str, list[Any]]) -> None:
    from rich.table import Table  # noqa: PLC0415

    screen = console()

    def show(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row)
        screen.print(table, "")

    works = {True: "works", False: "planned"}
    show("Methods", ("", "", ""), [(m["key"], works[m["implemented"]], m["title"]) for m in listed["methods"]])
    show("Recipes (umbel run NAME)", ("", ""), [(r["name"], r["title"]) for r in listed["recipes"]])
    lacking = {d["name"]: "" if d["available"] else f" (needs umbel\\[{d['extra']}])" for d in listed["descents"]}
    show(
        "Descents (--descents)",
        ("", "backward passes", ""),
        [(d["name"], d["backward_passes"], d["summary"] + lacking[d["name"]]) for d in listed["descents"]],
    )
    show(
        "Data sets (--data)",
        ("", "", "tasks", "where"),
        [
            (d["name"], "found" if d["available"] else "missing", d["tasks"], d["where"] or ", ".join(d["looked_for"]))
            for d in listed["data"]
        ],
    )
    screen.print(
        f"Data is looked for in: {', '.join(listed['data_folders'])} (set UMBEL_DATA to add a folder)\n", markup=False
    )
    show(
        "Extras",
        ("", "", ""),
        [
            (
                e["name"],
                "installed" if e["installed"] else f'pip install "umbel\\[{e["name"]}]"',
                ", ".join(e["packages"]),
            )
            for e in listed["extras"]
        ],
    )
