"""How much memory a piece of work needs at its peak, as the allocator sees it."""

import os
from collections.abc import Callable

import torch


def peak_bytes(work: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """Bytes alive at the peak of `work`, above those that were alive before it.

    Counted are torch's tensors and the buffers that its operations take from its allocator, on one device: not Python,
    not what a library allocates by itself. What lived before (weights, the data) does not count, and letting go of it
    makes no room; what `work` frees and takes again counts once.

    Args:
        work: Called once, under torch's profiler on the processor (several times slower; do not time it).
        device: Where the work is done: "cpu" or a CUDA device.
    """
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler writes its own steps to the terminal
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as profiler:
        work()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak
