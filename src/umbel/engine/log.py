"""The log of a run: a CSV that survives a resume, and TensorBoard curves."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from umbel.errors import UmbelError
from umbel.files import reading, write_atomically, writing
from umbel.spreadsheets import plain_cell, safe_cell

_THEN = "go on with --resume"
_REMEDY = "restore it, or move it away: the run goes on without its rows"
_LOGS = ("train.csv", "validation.csv", "conflict.csv")  # the last is written by an observer


class Log:
    """Rows of `train.csv` (losses) and `validation.csv` (metrics); rows after the resumed step are dropped.

    So are those of `conflict.csv`, to which an observer adds with `append_row`.

    Args:
        folder: The run's folder; None logs nowhere.
        step: The step that the run goes on from.
        tensorboard: Write event files to `folder/tensorboard` too.

    Raises:
        UmbelError: A file of that name is there that is no log, which is left as it is; or no log can be written.
    """

    def __init__(self, folder: Path | None, step: int = 0, tensorboard: bool = True) -> None:
        self.folder = folder
        self._writer = None
        if folder is None:
            return
        for name in _LOGS:
            if (folder / name).exists():
                _keep_until(folder / name, step)
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - slow to import

            with writing(folder / "tensorboard", _THEN):
                self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, name: str, step: int, values: dict[str, float]) -> None:
        """Add one row to `name.csv`; its columns are those of the first row."""
        if self.folder is None:
            return
        append_row(self.folder / f"{name}.csv", step, values)
        if self._writer is not None:
            with writing(self.folder / "tensorboard", _THEN):
                for key, value in values.items():
                    self._writer.add_scalar(f"{name}/{key}", value, step)

    def close(self) -> None:
        """Flush and close the files."""
        if self._writer is not None and self.folder is not None:
            with writing(self.folder / "tensorboard", _THEN):
                self._writer.close()


def append_row(path: Path, step: int, values: dict[str, float]) -> None:
    """Add a row to a CSV log; the first row decides the columns.

    Raises:
        UmbelError: The row cannot be written (a full disk, ...).
    """
    with writing(path, _THEN):
        new = not path.exists()
        with open(path, "a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            if new:
                rows.writerow(["step", *map(safe_cell, values)])
            rows.writerow([step, *(f"{v:.9g}" for v in values.values())])


def read(path: Path) -> list[dict[str, float]]:
    """The rows of a log; an absent file has none.

    Raises:
        UmbelError: The file cannot be read, or is damaged.
    """
    with _log_read(path):
        if not path.exists():
            return []
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [["step"]]
        _check_header(path, header)
        for number, row in enumerate(rows, 2):
            if len(row) != len(header):
                raise ValueError(f"row {number} has {len(row)} cells and the header {len(header)}")
        names = list(map(plain_cell, header))
        return [dict(zip(names, map(float, row), strict=True)) for row in rows]


@contextmanager
def _log_read(path: Path) -> Iterator[None]:
    try:
        with reading(path, _REMEDY):
            yield
    except csv.Error as error:
        raise UmbelError(f"{path} is damaged: {error}; {_REMEDY}") from error


def _check_header(path: Path, columns: list[str]) -> None:
    if columns[:1] != ["step"]:
        raise UmbelError(f"{path} is not a log of a run; {_REMEDY}")


def _keep_until(path: Path, step: int) -> None:
    """Drop the rows after a step; half a row, which a killed process wrote, too."""
    with _log_read(path):
        with open(path, newline="", encoding="utf-8") as file:
            lines = file.readlines()
        if lines and lines[0].endswith("\n"):  # half a header is that of a log without rows
            _check_header(path, lines[0].rstrip("\n").split(","))
        kept = [line for line in lines[1:] if line.endswith("\n") and int(line.split(",", 1)[0]) <= step]
    if kept:
        write_atomically(path, "".join(lines[:1] + kept), _THEN)
    else:
        with writing(path, _THEN):
            path.unlink()
