"""Train in one process or in many: the only file of the loop that knows the difference.

PyTorch's own engines do the work: DistributedDataParallel, and FSDP2's `fully_shard`.  Both *average* gradients over
processes, so a step's summed loss is scaled by world size over the targets of all processes, which makes it the
gradient of the mean over every target with any raggedness.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lavra.base.errors import ConfigError
from lavra.model.block import Block
from lavra.train.config import Parallel

# The longest wait of one process for another: the main one may be reading a large corpus meanwhile.
_PATIENCE = timedelta(days=7)
# The time that a finished process gives gloo's threads to put away the tensors of the last exchange.
_FAREWELL = 0.3


def join_processes(parallel: Parallel, device: torch.device) -> tuple[int, int]:
    """Join the processes a launcher started, once; this process's number, and the number of processes.

    Raises:
        ConfigError: no launcher started this process.
    """
    if "RANK" not in os.environ:
        raise ConfigError(
            f"parallel is {parallel.value!r}, but no launcher started this process; "
            "run it as: torchrun --nproc-per-node N -m lavra pretrain --parallel ddp ..."
        )
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
        atexit.register(_leave_processes)
    return dist.get_rank(), dist.get_world_size()


def _leave_processes() -> None:
    """Part from the other processes before the interpreter ends.

    A thread of gloo that still holds a tensor when the interpreter is being finalized aborts the process
    (pytorch/pytorch#190489), and nothing of the public interface waits for it; asleep, this thread lets it finish.
    """
    dist.destroy_process_group()
    time.sleep(_FAREWELL)


def _sharded(module: nn.Module) -> Any:
    """The module as `fully_shard` left it, with methods of its own."""
    return module


class ProcessGroup:
    """The processes of this run."""

    def __init__(self, parallel: Parallel, device: torch.device) -> None:
        self.parallel = parallel
        self.device = device
        self.rank, self.size = (0, 1) if parallel is Parallel.NONE else join_processes(parallel, device)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module as the engine wants it; FSDP shards its parameters in place."""
        if self.parallel is Parallel.DDP:
            return DistributedDataParallel(module)
        if self.parallel is Parallel.FSDP:
            # Imported here: 46 MB that a run in one process has no use for.
            from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415
            from torch.distributed.fsdp import fully_shard  # noqa: PLC0415

            for tensor in module.state_dict().values():  # shards of one model, although each process drew its own
                dist.broadcast(tensor, 0)
            mesh = init_device_mesh(self.device.type, (self.size,))
            for block in [part for part in module.modules() if isinstance(part, Block)]:
                fully_shard(block, mesh=mesh)
            fully_shard(module, mesh=mesh)
        return module

    @contextmanager
    def gathered(self, module: nn.Module) -> Iterator[None]:
        """A block in which the parameters outside blocks are whole, so that parts of the model can be called."""
        if self.parallel is Parallel.FSDP:
            _sharded(module).unshard()
        try:
            yield
        finally:
            if self.parallel is Parallel.FSDP:
                _sharded(module).reshard()

    def accumulating(self, module: nn.Module, last: bool) -> AbstractContextManager[None]:
        """A block in which gradients stay in this process unless this is the step's last micro-batch."""
        if isinstance(module, DistributedDataParallel) and not last:
            return module.no_sync()
        if self.parallel is Parallel.FSDP:
            _sharded(module).set_requires_gradient_sync(last)
        return nullcontext()

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a scalar over all processes."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def from_main(self, value: float) -> float:
        """The main process's value, in every process: for a decision that all must take alike."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float32 if self.device.type == "mps" else torch.float64)
        tensor = tensor.to(self.device)
        dist.broadcast(tensor, 0)
        return float(tensor)

    def any(self, value: bool) -> bool:
        """Whether it is true in some process."""
        return bool(self.sum(torch.tensor(int(value), device=self.device)))

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()
