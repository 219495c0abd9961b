"""Several processes, one pipeline: the main one runs every stage, the others help where a stage trains.

`torchrun` starts N equal processes.  Only one of them may write to the workspace, show progress and decide what is
reused, so the others *follow*: they wait for a task, a few folders of finished artifacts that name a training run
completely, take their part in it, and wait for the next one.  Without a launcher the crew is one process and
nothing waits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch.distributed as dist

from lavra.base.device import pick_device
from lavra.train import Parallel
from lavra.train.parallel import join_processes

CrewTask = Mapping[str, Any]
"""Plain data that says completely what to do."""


@dataclass
class Crew:
    """The processes of this command.

    Attributes:
        parallel: how they share a run.
        rank: number of this process; 0 is the main one.
        size: how many there are.
        busy: whether a task is under way.
    """

    parallel: Parallel = Parallel.NONE
    rank: int = 0
    size: int = 1
    busy: bool = field(default=False, init=False)

    @classmethod
    def assemble(cls, parallel: Parallel) -> Crew:
        """Join the processes the launcher started.

        Raises:
            ConfigError: several processes are asked for, and no launcher started this one.
        """
        if parallel is Parallel.NONE:
            return cls()
        rank, size = join_processes(parallel, pick_device())
        return cls(parallel=parallel, rank=rank, size=size)

    @contextmanager
    def leading(self, task: CrewTask) -> Iterator[None]:
        """In the main process: a block in which everyone works on a task."""
        self._send(json.dumps(task))
        self.busy = True
        yield  # after an error the followers are in the middle of something: they end with the launcher, not by a word
        self.busy = False

    def dismiss(self) -> None:
        """In the main process: nothing more will come."""
        if not self.busy:
            self._send("")

    def follow(self, do: Callable[[CrewTask], object]) -> None:
        """In the other processes: take part in every task until dismissed."""
        while task := self._receive():
            do(json.loads(task))

    def _send(self, text: str) -> None:
        if self.size > 1:
            dist.broadcast_object_list([text], src=0)

    def _receive(self) -> str:
        box = [""]
        dist.broadcast_object_list(box, src=0)
        return box[0]
