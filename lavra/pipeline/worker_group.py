"""Several processes for one pipeline: the main process runs every stage, the others help where a stage trains.

`torchrun` starts N equal processes.
Only the main process may write to the workspace, show progress and decide on reuse, so the others *follow*.
A follower waits for a task (a few folders of finished artifacts that define a training run completely), does its part,
and waits for the next task.
Without a launcher, the group is one process, and no process waits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch.distributed as dist

from lavra.base.device import pick_device
from lavra.train.config import Parallel
from lavra.train.parallel import join_processes

WorkerTask = Mapping[str, Any]
"""Plain data that defines a task completely."""


@dataclass
class WorkerGroup:
    """The processes of this command.

    Attributes:
        parallel: the way they share a run.
        rank: number of this process; 0 is the main process.
        size: number of processes.
        busy: whether a task is under way.
    """

    parallel: Parallel = Parallel.NONE
    rank: int = 0
    size: int = 1
    busy: bool = field(default=False, init=False)

    @classmethod
    def assemble(cls, parallel: Parallel) -> WorkerGroup:
        """Join the processes that the launcher started.

        Raises:
            ConfigError: several processes are asked for, and no launcher started this process.
        """
        if parallel is Parallel.NONE:
            return cls()
        rank, size = join_processes(parallel, pick_device())
        return cls(parallel=parallel, rank=rank, size=size)

    @contextmanager
    def leading(self, task: WorkerTask) -> Iterator[None]:
        """In the main process: a block in which all processes work on a task."""
        self._send(json.dumps(task))
        self.busy = True
        yield  # after an error the followers are in the middle of a task: they end with the launcher, not by a message
        self.busy = False

    def dismiss(self) -> None:
        """In the main process: end the wait of the other processes."""
        if not self.busy:
            self._send("")

    def follow(self, do: Callable[[WorkerTask], object]) -> None:
        """In the other processes: take part in every task until the main process ends the group."""
        while task := self._receive():
            do(json.loads(task))

    def _send(self, text: str) -> None:
        if self.size > 1:
            dist.broadcast_object_list([text], src=0)

    def _receive(self) -> str:
        box = [""]
        dist.broadcast_object_list(box, src=0)
        return box[0]
