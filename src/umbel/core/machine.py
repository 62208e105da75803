"""What the machine has."""

import os
from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/memory.max")  # what a container may take, in bytes, or "max"


def machine_bytes() -> int:
    """Memory of this machine, or what its container may take of it, in bytes."""
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63
    with suppress(OSError, ValueError):
        most = min(most, int(_CGROUP.read_text()))
    return most
