"""The log of a run: a CSV that survives a resume, and TensorBoard curves."""

import csv
from pathlib import Path

from umbel.errors import UmbelError
from umbel.spreadsheets import plain_cell, safe_cell

_LOGS = ("train.csv", "validation.csv", "conflict.csv")  # the last is written by an observer


class Log:
    """Rows of `train.csv` (losses) and `validation.csv` (metrics); rows after the resumed step are dropped.

    So are those of `conflict.csv`, to which an observer adds with `append_row`.

    Args:
        folder: The run's folder; None logs nowhere.
        step: The step that the run goes on from.
        tensorboard: Write event files to `folder/tensorboard` too.

    Raises:
        UmbelError: A file of that name is there that is no log; it is left as it is.
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

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, name: str, step: int, values: dict[str, float]) -> None:
        """Add one row to `name.csv`; its columns are those of the first row."""
        if self.folder is None:
            return
        append_row(self.folder / f"{name}.csv", step, values)
        if self._writer is not None:
            for key, value in values.items():
                self._writer.add_scalar(f"{name}/{key}", value, step)

    def close(self) -> None:
        """Flush and close the files."""
        if self._writer is not None:
            self._writer.close()


def append_row(path: Path, step: int, values: dict[str, float]) -> None:
    """Add a row to a CSV log; the first row decides the columns.

    Raises:
        UmbelError: The row cannot be written (a full disk, ...).
    """
    new = not path.exists()
    try:
        with open(path, "a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            if new:
                rows.writerow(["step", *map(safe_cell, values)])
            rows.writerow([step, *(f"{v:.9g}" for v in values.values())])
    except OSError as error:
        raise UmbelError(f"cannot write {path}: {error.strerror}; free some space and go on with --resume") from None


def read(path: Path) -> list[dict[str, float]]:
    """The rows of a log; an absent file has none."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [{plain_cell(k): float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _keep_until(path: Path, step: int) -> None:
    with open(path, newline="", encoding="utf-8") as file:
        lines = file.readlines()
    if lines and not "step,".startswith(lines[0][:5]):
        raise UmbelError(f"{path} is not a log of a run; choose another folder for the run")
    kept = [line for line in lines[1:] if line.endswith("\n") and int(line.split(",", 1)[0]) <= step]
    partial = path.with_suffix(".partial")
    if kept:
        partial.write_text("".join(lines[:1] + kept), encoding="utf-8", newline="")
        partial.replace(path)
    else:
        path.unlink()
