"""What every configuration of widths costs and how well it does, as plain tables."""

import json
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from umbel.arguments import instance, names, text, whole_number
from umbel.errors import UmbelError, unknown

COST_KINDS = ("latency_ms", "macs", "parameters", "bytes")
"""Kinds of cost: milliseconds of one forward pass of the batch, multiply-accumulates, parameters, bytes of weights."""

FORMAT = 1
GRID = {"latency_ms": 2**30, "macs": 1, "parameters": 1, "bytes": 1}
LARGEST = 2**53
_FIELDS = ("encoder_widths", "head_widths", "tasks", "metrics", "quality", "encoder_costs", "head_costs")


@dataclass(frozen=True)
class TaskMetric:
    """What a task's quality was measured with.

    Attributes:
        name: Of the metric, as in "accuracy".
        higher_is_better: Its direction.
    """

    name: str
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        text(self.name, "the name of a metric")
        instance(self.higher_is_better, bool, f"higher_is_better of {self.name!r}", "True or False")


def _array(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Finite numbers of the right shape, read-only."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UmbelError(f"configuration table: {name} is not a table of numbers of shape {list(shape)}") from error
    if array.shape != shape:
        raise UmbelError(f"configuration table: {name} has shape {list(array.shape)}; it must be {list(shape)}")
    if not np.isfinite(array).all():
        first = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
        raise UmbelError(f"configuration table: {name} holds NaN or infinity at {first}; measure it again")
    array.setflags(write=False)
    return array


def _costs(name: str, kind: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Costs on the grid of their kind, so that sums of them are exact in any order."""
    array = _array(f"{name} {kind!r}", value, shape)
    if (array < 0).any():
        first = [int(i) for i in np.argwhere(array < 0)[0]]
        raise UmbelError(f"configuration table: {name} {kind!r} is negative at {first}; a cost is 0 or more")
    if array.max(initial=0) * GRID[kind] >= LARGEST:
        raise UmbelError(f"configuration table: {name} {kind!r} holds {array.max():.3g}, which is too large")
    if GRID[kind] == 1 and (array != np.rint(array)).any():
        raise UmbelError(f"configuration table: {name} {kind!r} holds fractions; it counts, so give whole numbers")
    snapped = np.rint(array * GRID[kind]) / GRID[kind]
    snapped.setflags(write=False)
    return snapped


def _widths(name: str, value: Any) -> tuple[float, ...]:
    instance(value, Sized, f"configuration table: {name}", "a list of widths")
    widths = tuple(float(w) for w in _array(name, value, (len(value),)))
    if not widths or min(widths) <= 0 or list(widths) != sorted(set(widths)):
        raise UmbelError(f"configuration table: {name} is {list(widths)}; give positive widths that increase")
    return widths


@dataclass(frozen=True, eq=False)
class ConfigurationTable:
    """Quality and cost of every pair of an encoder width and a head width, for every task.

    Heads do not see each other, so for a given encoder width qualities and costs of tasks are separate, and
    this table tells everything about all We * Wd^T configurations. Neither has to grow with the width. The full
    configuration is that of the largest widths.

    Costs are kept exactly: latency to the nearest 2^-30 ms (a picosecond), the others as whole numbers. Sums of
    them are then exact in any order, and "within the budget" needs no tolerance.

    Attributes:
        encoder_widths: We widths that increase.
        head_widths: Wd widths that increase, the same for every task.
        tasks: T names.
        metrics: What each task's quality was measured with, and which way is better.
        quality: The metric as measured [T, We, Wd].
        encoder_costs: Kind of cost -> [We].
        head_costs: Kind of cost -> [T, We, Wd]; the same kinds.
        machine: Where the latency was measured; needed when there is latency.
        batch_size: With how many samples in a batch it was measured.

    Raises:
        UmbelError: Wrong shapes, NaN, negative costs, counts that are not whole, unknown kinds of cost, repeated
            tasks or latency without its machine.
    """

    encoder_widths: tuple[float, ...]
    head_widths: tuple[float, ...]
    tasks: tuple[str, ...]
    metrics: Mapping[str, TaskMetric]
    quality: np.ndarray
    encoder_costs: Mapping[str, np.ndarray]
    head_costs: Mapping[str, np.ndarray]
    machine: str = ""
    batch_size: int = 1
    _relative: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "encoder_widths", _widths("encoder_widths", self.encoder_widths))
        put(self, "head_widths", _widths("head_widths", self.head_widths))
        put(self, "tasks", names(self.tasks, "configuration table: tasks"))
        self._check_tasks()
        pairs = (len(self.tasks), len(self.encoder_widths), len(self.head_widths))
        put(self, "metrics", {task: self.metrics[task] for task in self.tasks})
        put(self, "quality", _array("quality", self.quality, pairs))
        self._check_kinds()
        kinds = [kind for kind in COST_KINDS if kind in self.encoder_costs]
        encoder = {k: _costs("encoder_costs", k, self.encoder_costs[k], pairs[1:2]) for k in kinds}
        put(self, "encoder_costs", encoder)
        put(self, "head_costs", {k: _costs("head_costs", k, self.head_costs[k], pairs) for k in kinds})
        put(self, "_relative", self._relative_quality())

    def _check_tasks(self) -> None:
        for name in ("metrics", "encoder_costs", "head_costs"):
            instance(getattr(self, name), Mapping, f"configuration table: {name}", "a mapping")
        instance(self.machine, str, "configuration table: machine", "its name")
        if not self.tasks:
            raise UmbelError("configuration table: no task")
        if repeated := {task for task in self.tasks if self.tasks.count(task) > 1}:
            raise UmbelError(f"configuration table: task {min(repeated)!r} appears twice")
        if missing := [task for task in self.tasks if task not in self.metrics]:
            raise UmbelError(f"configuration table: no metric for task {missing[0]!r}")

    def _check_kinds(self) -> None:
        kinds = set(self.encoder_costs)
        if not kinds or kinds != set(self.head_costs):
            raise UmbelError(
                f"configuration table: encoder_costs has {sorted(kinds)}, head_costs {sorted(self.head_costs)}; "
                f"give both the same kinds of {', '.join(COST_KINDS)}"
            )
        if strange := sorted(kinds - set(COST_KINDS)):
            raise unknown("kind of cost", strange[0], COST_KINDS)
        if "latency_ms" in kinds and not self.machine:
            raise UmbelError("configuration table: latency without the machine that it was measured on; name it")
        whole_number(self.batch_size, "configuration table: batch_size", least=1)

    def _relative_quality(self) -> np.ndarray:
        full = self.quality[:, -1:, -1:]
        largest = np.abs(self.quality).max((1, 2), keepdims=True)
        scale = np.where(np.abs(full) > 1e-9 * largest, np.abs(full), largest)
        signs = np.array([1.0 if self.metrics[task].higher_is_better else -1.0 for task in self.tasks])
        relative = signs[:, None, None] * (self.quality - full) / np.where(scale > 0, scale, 1.0)
        relative.setflags(write=False)
        return relative

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConfigurationTable) and self._plain() == other._plain()

    def __hash__(self) -> int:
        return hash((self.tasks, self.encoder_widths, self.head_widths, self.quality.tobytes()))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of cost that were measured."""
        return tuple(self.encoder_costs)

    @property
    def relative_quality(self) -> np.ndarray:
        """Change against the full configuration, higher is better, [T, We, Wd].

        sign * (M - M_full) / |M_full|, the sign -1 where lower is better, as in Delta_M: -0.03 is 3 % worse than full.
        Tasks with different scales and directions can then be added. Where M_full is 0 the largest |M| of the task
        divides instead.
        """
        return self._relative

    def require(self, kind: str) -> None:
        """Stop when a kind of cost was not measured.

        Raises:
            UmbelError: Names the kinds that were.
        """
        if kind not in COST_KINDS:
            raise unknown("kind of cost", kind, COST_KINDS)
        if kind not in self.encoder_costs:
            raise UmbelError(f"the configuration table has no {kind!r}; it has {', '.join(self.kinds)}")

    def check_machine(self, machine: str) -> None:
        """Stop when the latency was measured elsewhere.

        Raises:
            UmbelError: Names both machines.
        """
        if "latency_ms" in self.kinds and machine != self.machine:
            raise UmbelError(
                f"latency was measured on {self.machine!r}, this is {machine!r}; calibrate here, or give the budget "
                "in FLOPs, parameters or bytes"
            )

    def quality_at(self, point: Mapping[str, Any]) -> dict[str, float]:
        """Task -> quality at the widths of an operating point, `width` and `head_widths`."""
        row = self.encoder_widths.index(point["width"])
        columns = [self.head_widths.index(point["head_widths"][task]) for task in self.tasks]
        return dict(zip(self.tasks, self.quality[range(len(columns)), row, columns].tolist(), strict=True))

    def cost(self, kind: str, encoder: int, heads: Sequence[int]) -> float:
        """Exact cost of one configuration, given as places on the grids of widths; heads in the order of tasks."""
        self.require(kind)
        places = [int(head) for head in heads]
        return float(
            self.encoder_costs[kind][encoder] + self.head_costs[kind][range(len(self.tasks)), encoder, places].sum()
        )

    def full_cost(self, kind: str) -> float:
        """Cost of the full configuration."""
        return self.cost(kind, -1, [-1] * len(self.tasks))

    def on_grid(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Costs as whole numbers of steps of the kind's grid: encoder [We] and heads [T, We, Wd], int64."""
        self.require(kind)
        tables = (self.encoder_costs[kind], self.head_costs[kind])
        return tuple(np.rint(table * GRID[kind]).astype(np.int64) for table in tables)

    def _plain(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "encoder_widths": list(self.encoder_widths),
            "head_widths": list(self.head_widths),
            "tasks": list(self.tasks),
            "metrics": {t: {"name": m.name, "higher_is_better": m.higher_is_better} for t, m in self.metrics.items()},
            "quality": self.quality.tolist(),
            "encoder_costs": {kind: table.tolist() for kind, table in self.encoder_costs.items()},
            "head_costs": {kind: table.tolist() for kind, table in self.head_costs.items()},
            "machine": self.machine,
            "batch_size": self.batch_size,
        }

    def to_json(self) -> str:
        """The table as JSON; `from_json` gives the same table back, to the last bit."""
        return json.dumps(self._plain(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str, where: str = "configuration table") -> "ConfigurationTable":
        """A table from what `to_json` wrote.

        Args:
            text: The JSON.
            where: Name of the file, for errors.

        Raises:
            UmbelError: Not JSON, not such a table, of another format, or any mistake that the constructor finds.
        """
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise UmbelError(f"{where}: not JSON (line {error.lineno}: {error.msg})") from error
        except (TypeError, ValueError, RecursionError) as error:
            raise UmbelError(f"{where}: not a configuration table ({error}); calibrate again") from error
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise UmbelError(f"{where}: not a configuration table of format {FORMAT}; calibrate again")
        if missing := [name for name in _FIELDS if name not in record]:
            raise UmbelError(f"{where}: {missing[0]!r} is missing; calibrate again")
        for name in _FIELDS:
            wanted = dict if name in ("metrics", "encoder_costs", "head_costs") else list
            if not isinstance(record[name], wanted):
                raise UmbelError(f"{where}: {name!r} is not a {'mapping' if wanted is dict else 'list'}")
        try:
            metrics = {t: TaskMetric(str(m["name"]), bool(m["higher_is_better"])) for t, m in record["metrics"].items()}
        except (TypeError, KeyError) as error:
            raise UmbelError(f"{where}: a metric lacks its name or its direction; calibrate again") from error
        values = {name: record[name] for name in _FIELDS} | {"metrics": metrics}
        try:
            return cls(**values, machine=str(record.get("machine", "")), batch_size=record.get("batch_size", 1))
        except UmbelError as error:
            raise UmbelError(f"{where}: {error}") from error
