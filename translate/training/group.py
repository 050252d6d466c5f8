"""The processes that train together: PyTorch's own engine, started by `torchrun` or `accelerate launch`."""

from __future__ import annotations

import atexit
import inspect
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from translate.devices import pick_device
from translate.training.guard import TrainingStopped

TIMEOUT = timedelta(hours=6)  # of the other processes, while the first validates and writes
LOST_PROCESS_ERRORS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
)  # gloo's errors if another process has ended

EXIT_DELAY_SECONDS = 0.5
"""Between the end of a group and that of its process. gloo's threads free their last tensors under the interpreter's
lock; if the interpreter has ended, the process dies by SIGABRT. PyTorch does not wait for them."""


@dataclass(frozen=True)
class Group:
    """One process among `size`. Only the first writes to the disk. With `size` 1 all methods are trivial."""

    rank: int = 0
    size: int = 1
    local: int = 0  # its number on this machine

    @property
    def first(self) -> bool:
        """Whether this process writes and prints for all."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device called `name`; on a machine with several GPUs each process has one of its own.

        Raises:
            ValueError: there is no such device, or one for several processes.
        """
        device = pick_device(name)
        if self.size == 1 or device.type != "cuda":
            return device
        if device.index is not None and ":" in name:
            raise ValueError(f"--device {name} would be one GPU for {self.size} processes: use --device cuda")
        if self.local >= torch.cuda.device_count():
            raise ValueError(
                f"process {self.local + 1} of this machine has no GPU, there are {torch.cuda.device_count()}: "
                "start as many processes as there are GPUs"
            )
        torch.cuda.set_device(self.local)
        return torch.device("cuda", self.local)

    def wrap(self, module: nn.Module) -> nn.Module:
        """`module` such that a backward pass through its call averages the gradients over all processes."""
        if self.size == 1:
            return module
        # Running averages of batch norm stay each process's own: overwriting them between the generator's pass and the
        # players' losses would spoil the graph. They have no part in training, and the first's are saved.
        named = inspect.signature(DistributedDataParallel).parameters
        switch = (
            "forward_sync_buffers" if "forward_sync_buffers" in named else "broadcast_buffers"
        )  # its name in newer versions of torch
        options: dict[str, Any] = {switch: False}
        return DistributedDataParallel(module, **options)

    def mean(self, statistic: Tensor) -> Tensor:
        """The mean of a tensor over all processes, with gradients; the same on each."""
        return statistic if self.size == 1 else _Sum.apply(statistic) / self.size

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in some process."""
        if self.size == 1:
            return flag
        tensor = torch.tensor(int(flag))
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return bool(tensor.item())

    def told(self, number: int) -> int:
        """The number, 0 or more, that the first process calls this with; the same in each."""
        if self.size == 1:
            return number
        tensor = torch.tensor(number if self.first else 0)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return int(tensor.item())

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in order, in the first one; elsewhere an empty list."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.gather_object(value, values if self.first else None)
        return values if self.first else []

    def wait(self) -> None:
        """Block until all processes have called it."""
        self.any(False)  # not dist.barrier, which would go by the GPUs even for processes on the CPU


class _Sum(torch.autograd.Function):
    """The sum over all processes; each has a loss that depends on it, so their gradients are summed, too."""

    @staticmethod
    def forward(ctx: Any, statistic: Tensor) -> Tensor:
        total = statistic.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


ALONE = Group()


@contextmanager
def joined(environment: Mapping[str, str] | None = None) -> Iterator[Group]:
    """The group that this process was started in; `ALONE` without a launcher.

    It lasts until the process ends: leaving and joining again for a second training is a race, in which a process may
    wait for ever in the store of the first group.

    Raises:
        ValueError: the launcher's variables are incomplete.
    """
    environment = os.environ if environment is None else environment
    if int(environment.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in environment]
    if missing:
        raise ValueError(
            f"WORLD_SIZE is set but {', '.join(missing)} is not: start several processes with torchrun "
            "or accelerate launch, or unset WORLD_SIZE"
        )
    local = int(environment.get("LOCAL_RANK", environment["RANK"]))
    if not dist.is_initialized():
        # gloo beside NCCL: flags and states of the run are on the CPU
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=TIMEOUT)
        atexit.register(_leave)
    group = Group(rank=dist.get_rank(), size=dist.get_world_size(), local=local)
    try:
        yield group
    except RuntimeError as error:
        if not any(sign in str(error) for sign in LOST_PROCESS_ERRORS):
            raise
        raise TrainingStopped("another process of this training has ended: its own message has the reason") from error


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
        time.sleep(EXIT_DELAY_SECONDS)
