"""Where a study ran: what a reader needs to judge its times."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

import umbel


def describe_environment(precision: str = "float32", precision_reason: str = "") -> dict[str, Any]:
    """Versions and hardware, for `Results.environment`. No host name, user name or path.

    Args:
        precision: The number format that training used.
        precision_reason: Why that one was chosen.
    """
    described = {
        "umbel": umbel.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cpu cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "precision": precision,
        "why this precision": precision_reason,
    }
    if torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name()
    return {name: value for name, value in described.items() if value != ""}


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
