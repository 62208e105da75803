"""Processes, device and precision. The only file that opens Fabric, and the model is never wrapped by it."""

import atexit
import hashlib
import logging
import os
import time
import warnings
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from umbel.core import SingleProcess
from umbel.core.collectives import join_columns, sum_columns
from umbel.engine.settings import Precision
from umbel.errors import UmbelError

_T = TypeVar("_T")


class FabricRuntime:
    """A `Runtime` over Fabric: launch, device, autocast and collectives.

    Made by `open_runtime`.
    """

    def __init__(self, fabric: Fabric, accumulate: int = 1, bf16: bool = False) -> None:
        self.fabric = fabric
        self.accumulate = accumulate
        self.bf16 = bf16

    @property
    def rank(self) -> int:
        """This process, from 0."""
        return self.fabric.global_rank

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return self.fabric.world_size

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.fabric.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.fabric.global_rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where chosen, else nothing."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.world_size == 1:
            return tensor
        summed: Any = self.fabric.all_reduce(tensor, reduce_op="sum")
        return cast("Tensor", summed)

    def sum_scattered(self, rows: Tensor) -> Tensor:
        """This process's columns of the sum over all processes, [T, P] -> [T, p]; see `Runtime`."""
        return rows if self.world_size == 1 else sum_columns(rows)

    def gather(self, piece: Tensor, total: int) -> Tensor:
        """The pieces of all processes joined, [p] -> [P]; see `Runtime`.

        Raises:
            UmbelError: The piece has another length than the columns of this process.
        """
        return SingleProcess().gather(piece, total) if self.world_size == 1 else join_columns(piece, total)

    def broadcast(self, value: _T) -> _T:
        """The main process's value, on every process."""
        return value if self.world_size == 1 else self.fabric.broadcast(value)

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.world_size > 1:
            self.fabric.barrier()

    def with_settings(self, precision: Precision, accumulate: int) -> "FabricRuntime":
        """The same processes with another precision and number of pieces."""
        return FabricRuntime(self.fabric, accumulate, bf16=precision == "bf16")

    def check_replicas(self, module: nn.Module, when: str) -> None:
        """Compare a digest of all parameters and buffers over the processes.

        Raises:
            UmbelError: They differ, so the processes no longer train the same network.
        """
        if self.world_size == 1:
            return
        digest = hashlib.sha256()
        for tensor in module.state_dict().values():
            if isinstance(tensor, Tensor):
                digest.update(tensor.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        number = torch.tensor(int.from_bytes(digest.digest()[:6], "big"), dtype=torch.float64, device=self.device)
        if (self.sum(number.clone()) - self.world_size * number).item() != 0:
            raise UmbelError(f"the processes hold different weights {when}; a loss or link must have used its own seed")


def open_runtime(devices: int = 1) -> FabricRuntime:
    """The processes of this run, started: this script is run again for each further one.

    Under torchrun the processes it has made are used. On a machine with an accelerator a process has one device,
    otherwise a share of the processor's cores.

    Raises:
        UmbelError: The machine cannot run that many processes.
    """
    under_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if under_torchrun:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
    _check_devices(devices)
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    many = devices > 1 or under_torchrun
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # else each process announces itself
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabric = Fabric(accelerator=accelerator, devices=devices, strategy="ddp" if many else "auto")
        fabric.launch()
    if many:
        atexit.register(_leave)
    if many and accelerator == "cpu":
        torch.set_num_threads(max(1, cores // devices))
    return FabricRuntime(fabric)


def _leave() -> None:
    """Let go of the other processes while their threads can still be joined; else gloo's may abort the process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _check_devices(devices: int) -> None:
    if devices < 1:
        raise UmbelError(f"--devices is {devices}; it must be at least 1")
    if devices == 1:
        return
    if not torch.distributed.is_available():
        raise UmbelError(f"--devices {devices}: this build of torch cannot talk between processes; use --devices 1")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most, unit = (torch.cuda.device_count(), "GPU") if torch.cuda.is_available() else (cores, "core")
    if devices > most:
        have = f"this machine has {most} {unit}{'' if most == 1 else 's'}, one for each process"
        raise UmbelError(f"--devices {devices}: {have}; use --devices {most}")


def fastest_precision(device: torch.device, repeats: int = 7) -> tuple[str, float]:
    """Measure a convolution's training step in float32 and in bf16 autocast with channels_last.

    Returns:
        ("bf16" or "float32", time of float32 / time of bf16). bf16 is chosen from 1.3 times faster on.
    """
    if device.type == "cuda":
        return ("bf16", float("nan")) if torch.cuda.is_bf16_supported() else ("float32", float("nan"))
    conv = nn.Conv2d(32, 32, 3, padding=1).to(device)
    x = torch.randn(32, 32, 32, 32, generator=torch.Generator().manual_seed(0)).to(device)
    fast = x.to(memory_format=torch.channels_last)
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(repeats):
        for bf16, inputs in ((False, x), (True, fast)):
            start = time.perf_counter()
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                loss = conv(inputs).square().mean()
            torch.autograd.grad(loss, list(conv.parameters()))
            times[bf16].append(time.perf_counter() - start)
    ratio = sorted(times[False])[repeats // 2] / sorted(times[True])[repeats // 2]
    return ("bf16" if ratio > 1.3 else "float32"), ratio
