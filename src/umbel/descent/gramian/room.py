"""How much memory a device has."""

import contextlib
import os
from functools import cache
from pathlib import Path

import torch

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def memory_of(device: torch.device) -> int:
    """Bytes of memory that a device has, whoever uses them; 0 where that is not known.

    What is free at this moment is not asked: then the bits of an update would depend on what else runs on the machine,
    and a run that is resumed would not end as one that was never stopped.

    Args:
        device: A CUDA device, or the processor, where the limit of a container counts.
    """
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return _memory_of_the_machine() if device.type == "cpu" else 0


def _memory_of_the_machine() -> int:
    known = [limit for limit in map(_limit, _LIMITS) if limit > 0]
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not every system says it in this way
        known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(known, default=0)


def _limit(path: str) -> int:
    """The bytes that a container may take; 0 where nothing, or no number, is said."""
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return 0
