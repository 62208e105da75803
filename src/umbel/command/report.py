"""`umbel report`: pages from kept results."""

from pathlib import Path
from typing import TYPE_CHECKING

from umbel.command.arguments import refuse_empty_folder
from umbel.errors import UmbelError
from umbel.files import reading
from umbel.recipes import CONCLUDED

if TYPE_CHECKING:
    from umbel.report import Results

_USAGE = """usage: umbel report DIR [DIR ...] [--out DIR]

Writes the page, tables.md and table.csv of a study again from its results.json; of several, one page that compares
them. Claims, charts and sentences are computed afresh from the runs in the file; where they come out differently, as
by a newer version of Umbel, results.json is written again with them. Its runs are never changed.

  --out DIR    folder of the page (of several studies); unset: the current folder
"""
_FILES = ("report.html", "tables.md", "table.csv")


def report(arguments: list[str]) -> int:
    """Write the page of one study again, or one page for several."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE, end="")
        return 0
    refuse_empty_folder(arguments)
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
    from umbel.engine.folder import alone_in  # noqa: PLC0415 - imports torch
    from umbel.report import Results, write_combined  # noqa: PLC0415
    from umbel.report.combine import combined_path  # noqa: PLC0415

    if len(folders) > 1:
        page = combined_path(out or ".")
        refuse_foreign(page)
        print(write_combined([_concluded(Results.read(folder)) for folder in folders], page))
        return 0
    kept = Results.read(folders[0])
    folder = folders[0] if folders[0].is_dir() else folders[0].parent
    refuse_foreign(*(folder / name for name in _FILES))
    with alone_in(folder):
        results = _concluded(kept)
        if results.to_json() != kept.to_json():
            results.write(folder)
        write_report(results, folder)
    print(folder / "report.html")
    return 0


_BEGINNINGS = {
    ".html": '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
    ".md": "# ",
    ".csv": "method,point,",
}
"""What the files that Umbel writes begin with."""


def refuse_foreign(*paths: Path) -> None:
    """Refuse to write over files that Umbel did not write.

    Raises:
        UmbelError: Names the file.
    """
    for path in paths:
        if not path.exists():
            continue
        start = _BEGINNINGS[path.suffix]
        with reading(path, "choose another folder"):
            content = path.read_bytes()[: len(start)]
        if content and content != start.encode():
            raise UmbelError(f"{path} was not written by Umbel and would be overwritten; move it away")


def write_report(results: "Results", folder: Path) -> None:
    """Write what people read of a study beside its results.json: tables.md, table.csv and the page."""
    from umbel.files import write_atomically  # noqa: PLC0415
    from umbel.report import csv_table, markdown_report, write_page  # noqa: PLC0415 - imports torch

    write_atomically(folder / "tables.md", markdown_report(results))
    write_atomically(folder / "table.csv", csv_table(results))
    write_page(results, folder)


def _concluded(results: "Results") -> "Results":
    """With claims, charts and sentences computed afresh, where the study is one of ours."""
    recipe = CONCLUDED.get(results.study)
    return recipe.concluded(results) if recipe else results
