"""`umbel report`: pages from kept results."""

from pathlib import Path

from umbel.errors import UmbelError

_USAGE = """usage: umbel report DIR [DIR ...] [--out DIR]

Writes the page of a study again from its results.json; of several, one page that compares them.

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
    from umbel.report import Results, write_combined, write_page  # noqa: PLC0415 - imports torch

    found = [Results.read(folder) for folder in folders]
    if len(found) == 1:
        folder = folders[0] if folders[0].is_dir() else folders[0].parent
        page = write_page(found[0], folder)
    else:
        page = write_combined(found, Path(out or "."))
    print(page)
    return 0
