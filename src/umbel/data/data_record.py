"""What a run keeps of its data set: enough to build its network again and to read new inputs without the set."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from umbel.core import Task
from umbel.data.fingerprint import fingerprint, same_content
from umbel.data.padded_pictures import PaddedPictures
from umbel.data.plain_inputs import PlainInputs
from umbel.data.row_marks import marks_of, marks_text, row_marks
from umbel.data.source import MultiTaskData
from umbel.data.table_description import TableDescription
from umbel.data.task_records import TaskRecord
from umbel.errors import UmbelError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class DataRecord:
    """A data set without its samples.

    Attributes:
        name: Of the set.
        inputs: How a row, a picture or an array becomes an input.
        outputs: Of each task.
        splits: Fingerprint of each split, to tell whether data is still the same.
        learnt: Marks of the training inputs (`row_marks`), to tell new rows that are old ones; empty where unknown.
    """

    name: str
    inputs: TableDescription | PaddedPictures | PlainInputs
    outputs: tuple[TaskRecord, ...]
    splits: Mapping[str, Any]
    learnt: str

    @classmethod
    def of(cls, data: MultiTaskData) -> "DataRecord":
        """The record of a set."""
        splits = {split: fingerprint(getattr(data, split)) for split in SPLITS}
        return cls(data.name, data.inputs, tuple(map(TaskRecord.of, data.tasks)), splits, marks_text(data.train))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one sample, as the network gets it."""
        return self.inputs.input_shape

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks with the heads and predictions of the set's.

        Raises:
            UmbelError: One was made by hand.
        """
        return tuple(output.task() for output in self.outputs)

    def check_split(self, split: str, data: MultiTaskData, where: str) -> None:
        """Refuse data whose split is not the one of the run.

        Args:
            split: "train", "validation" or "test".
            data: What there is now.
            where: The run, for the message.

        Raises:
            UmbelError: Says which split differs, and how.
        """
        if said := changed_split(split, self.splits, {split: fingerprint(getattr(data, split))}):
            raise UmbelError(
                f"{where} learnt from other data: {said}; give the unchanged data, or evaluate this as new rows with "
                "--data"
            )

    def learnt_from(self, inputs: Tensor) -> int | None:
        """How many samples have the inputs of a training sample; None where those of the training are not known.

        Args:
            inputs: As the network gets them, [n, ...].
        """
        return int(np.isin(row_marks(inputs), marks_of(self.learnt)).sum()) if self.learnt else None

    def plain(self) -> dict[str, Any]:
        """Plain values as JSON takes them, and as it gives them back."""
        table = isinstance(self.inputs, TableDescription)
        inputs = json.loads(self.inputs.to_json()) if table else asdict(self.inputs)
        outputs = [asdict(output) for output in self.outputs]
        record = {"name": self.name, "inputs": inputs, "outputs": outputs, "splits": dict(self.splits)}
        record["learnt"] = self.learnt
        return json.loads(json.dumps(record))

    @classmethod
    def read(cls, given: Any, where: str) -> "DataRecord":
        """What `plain` gave, perhaps from a file.

        Raises:
            UmbelError: It is damaged, or of another version.
        """
        try:
            inputs = given["inputs"]
            known: TableDescription | PaddedPictures | PlainInputs
            if "format" in inputs:
                known = TableDescription.from_json(json.dumps(inputs))
            elif "resolution" in inputs:
                resolution = inputs["resolution"]
                shape = tuple(int(size) for size in inputs["shape"])
                known = PaddedPictures(shape, None if resolution is None else int(resolution))
            else:
                known = PlainInputs(tuple(int(size) for size in inputs["shape"]), bool(inputs["pictures"]))
            outputs = tuple(TaskRecord.read(one, where) for one in given["outputs"])
            marks_of(given["learnt"])
            return cls(str(given["name"]), known, outputs, dict(given["splits"]), given["learnt"])
        except (KeyError, TypeError, ValueError) as error:
            raise UmbelError(f"{where}: its record of the data is damaged ({type(error).__name__}: {error})") from None


def changed_table(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which rows of a table say other things than they did, as a clause; empty where none does, or there is no table.

    What the network gets of them may still be the same, as after a shift of a column, whose mean is taken off.

    Args:
        before: A record as `DataRecord.plain` gave it, perhaps from a file.
        now: Likewise.
    """
    old, new = (_rows_of_table(record) for record in (before, now))
    changed = [split for split, digest in new.items() if old.get(split, digest) != digest]
    return f"the {', '.join(changed)} rows of its table (other values)" if changed else ""


def _rows_of_table(record: Mapping[str, Any]) -> dict[str, Any]:
    inputs = record.get("inputs")
    splits = inputs.get("splits") if isinstance(inputs, Mapping) else None
    known = [one for one in splits if isinstance(one, Mapping)] if isinstance(splits, list) else []
    return {str(one.get("split")): one for one in known}


def changed_split(split: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How a split differs from what it was, as a clause; empty where it does not.

    Args:
        split: Its name.
        before: Split -> fingerprint of then.
        now: Split -> fingerprint of now.
    """
    old, new = before.get(split), now[split]
    if old is not None and same_content(old, new):
        return ""
    counts = [one.get("samples") if isinstance(one, Mapping) else None for one in (old, new)]
    how = "other values" if counts[0] == counts[1] else f"{counts[0]} samples then, {counts[1]} now"
    return f"its {split} split ({how})"
