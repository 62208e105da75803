"""Run every benchmark (or the named ones), print their tables and keep them under benchmarks/results/.

python -m benchmarks [step] [data] [startup] [communications] [search] [controllable] [gradsplit]
"""

import json
import platform
import sys
import time
from pathlib import Path

import torch

from benchmarks import communications, controllable, data_path, gradsplit, search_time, startup, training_step
from benchmarks.measure import Row, table
from umbel.report import describe_environment

ALL = {
    "step": training_step.measure,
    "data": data_path.measure,
    "startup": startup.measure,
    "communications": communications.measure,
    "search": search_time.measure,
    "controllable": controllable.measure,
    "gradsplit": gradsplit.measure,
}
RESULTS = Path(__file__).parent / "results"


def main(names: list[str]) -> None:
    unknown = [name for name in names if name not in ALL]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; there are {', '.join(ALL)}")
    for name in names or ALL:
        began = time.perf_counter()
        rows: list[Row] = ALL[name]()
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
