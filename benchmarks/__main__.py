"""Run every benchmark (or the named ones), print their tables and keep them under benchmarks/results/.

python -m benchmarks [step] [data] [startup] [communications] [search] [controllable] [gradsplit] [private]
                     [power-flow] [detection] [proxies] [descents] [traffic]

`descents` stands for its parts: descents-conv, -resnet, -transformer, -rows, -compiled, -memory, -weighted, -sketch.
"""

import json
import platform
import sys
import time
from pathlib import Path

import torch

from benchmarks import (
    communications,
    controllable,
    data_path,
    descent_compiled,
    descent_memory,
    descent_sketch,
    descent_weighted,
    descents,
    detection,
    gradsplit,
    power_flow,
    private_features,
    proxies,
    search_time,
    startup,
    traffic,
    training_step,
)
from benchmarks.measure import Note, Row, table
from umbel.report import describe_environment

ALL = {
    "step": training_step.measure,
    "data": data_path.measure,
    "startup": startup.measure,
    "communications": communications.measure,
    "search": search_time.measure,
    "controllable": controllable.measure,
    "gradsplit": gradsplit.measure,
    "private": private_features.measure,
    "power-flow": power_flow.measure,
    "detection": detection.measure,
    "proxies": proxies.measure,
    "descents-conv": descents.conv,
    "descents-resnet": descents.residual,
    "descents-transformer": descents.transformers,
    "descents-rows": descents.kept_rows,
    "descents-compiled": descent_compiled.measure,
    "descents-memory": descent_memory.measure,
    "descents-weighted": descent_weighted.measure,
    "descents-sketch": descent_sketch.measure,
    "traffic": traffic.measure,
}
GROUPS = {"descents": [name for name in ALL if name.startswith("descents-")]}
RESULTS = Path(__file__).parent / "results"


def main(names: list[str]) -> None:
    names = [part for name in names for part in GROUPS.get(name, [name])]
    unknown = [name for name in names if name not in ALL]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; there are {', '.join([*ALL, *GROUPS])}")
    for name in names or ALL:
        began = time.perf_counter()
        rows: list[Row | Note] = ALL[name]()
        text = table(rows)
        print(f"\n{name}\n{text}")
        environment = describe_environment("as named in the rows", "") | {"machine": platform.machine()}
        kept = {
            "command": f"python -m benchmarks {name}",
            "environment": environment,
            "torch threads": torch.get_num_threads(),
            "seconds": round(time.perf_counter() - began, 1),
            "rows": [row.__dict__ for row in rows],
        }
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
        (RESULTS / f"{name}.md").write_text(f"`python -m benchmarks {name}`\n\n{text}\n")


main(sys.argv[1:])
