"""The log of a run: a CSV that survives a resume, and TensorBoard curves."""

import csv
from pathlib import Path


class Log:
    """Rows of `train.csv` (losses) and `validation.csv` (metrics); rows after the resumed step are dropped.

    Args:
        folder: The run's folder; None logs nowhere.
        step: The step that the run goes on from.
        tensorboard: Write event files to `folder/tensorboard` too.
    """

    def __init__(self, folder: Path | None, step: int = 0, tensorboard: bool = True) -> None:
        self.folder = folder
        self._writer = None
        if folder is None:
            return
        for path in folder.glob("*.csv"):
            _keep_until(path, step)
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
    """Add a row to a CSV log; the first row decides the columns."""
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        if new:
            rows.writerow(["step", *values])
        rows.writerow([step, *(f"{v:.9g}" for v in values.values())])


def read(path: Path) -> list[dict[str, float]]:
    """The rows of a log; an absent file has none."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _keep_until(path: Path, step: int) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines[1:] if line.endswith("\n") and int(line.split(",", 1)[0]) <= step]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(lines[:1] + kept) if kept else "", encoding="utf-8")
    if kept:
        partial.replace(path)
    else:
        partial.unlink()
        path.unlink()
