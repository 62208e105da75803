"""`umbel report`: pages from kept results."""

from pathlib import Path
from typing import TYPE_CHECKING

from umbel.errors import UmbelError
from umbel.recipes import RECIPES

if TYPE_CHECKING:
    from umbel.report import Results

_USAGE = """usage: umbel report DIR [DIR ...] [--out DIR]

Writes the page, tables.md and table.csv of a study again from its results.json; of several, one page that compares
them. Claims, charts and sentences are computed afresh from the runs in the file; where they come out differently, as
by a newer version of Umbel, results.json is written again with them. Its runs are never changed.

  --out DIR    folder of the page (of several studies); unset: the current folder
"""


def report(arguments: list[str]) -> int:
    """Write the page of one study again, or one page for several."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE, end="")
        return 0
    out, folders = None, []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--out":
            out = next(rest, None)
            if out is None:
                raise UmbelError("--out needs a folder")
        elif argument.startswith("-"):
            raise UmbelError(f"umbel report has no option {argument}; it takes folders and --out")
        else:
            folders.append(Path(argument))
    if out and len(folders) == 1:
        raise UmbelError("--out is for a page of several studies; the page of one stays beside its results.json")
    if not folders:
        raise UmbelError("umbel report needs at least one folder with a results.json")
    from umbel.report import Results, write_combined  # noqa: PLC0415 - imports torch

    if len(folders) > 1:
        print(write_combined([_concluded(Results.read(folder)) for folder in folders], Path(out or ".")))
        return 0
    folder = folders[0] if folders[0].is_dir() else folders[0].parent
    kept = Results.read(folders[0])
    results = _concluded(kept)
    if results.to_json() != kept.to_json():
        results.write(folder)
    write_report(results, folder)
    print(folder / "report.html")
    return 0


def write_report(results: "Results", folder: Path) -> None:
    """Write what people read of a study beside its results.json: tables.md, table.csv and the page."""
    from umbel.files import write_atomically  # noqa: PLC0415
    from umbel.report import csv_table, markdown_report, write_page  # noqa: PLC0415 - imports torch

    write_atomically(folder / "tables.md", markdown_report(results))
    write_atomically(folder / "table.csv", csv_table(results))
    write_page(results, folder)


def _concluded(results: "Results") -> "Results":
    """With claims, charts and sentences computed afresh, where the study is one of ours."""
    recipe = RECIPES.get(results.study)
    return recipe.concluded(results) if recipe else results
