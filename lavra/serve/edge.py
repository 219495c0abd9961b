"""What every endpoint is given: the models, the settings, the meters, and the one way into an engine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from lavra.base.errors import OverloadedError
from lavra.base.types import GenerateRequest
from lavra.engine import EngineStream
from lavra.serve.config import ServeConfig
from lavra.serve.metrics import Metrics
from lavra.serve.schemas import Sampled
from lavra.serve.served import ModelTable, ServedModel


@dataclass(kw_only=True)
class Edge:
    """A server's state.

    Attributes:
        models: what it serves.
        config: how.
        metrics: what is measured.
        draining: it is about to stop and takes nothing new.
    """

    models: ModelTable
    config: ServeConfig
    metrics: Metrics = field(default_factory=Metrics)
    draining: bool = False

    def submit(self, model: ServedModel, request: GenerateRequest, body: Sampled) -> list[EngineStream]:
        """Start a request's completions.

        Raises:
            OverloadedError: the queue is full, or the server is stopping.
            InputError: the request cannot be served.
        """
        if self.draining:
            raise OverloadedError("the server is stopping; try another one", retry_after=self.config.drain_seconds)
        deadline = time.monotonic() + self.config.queue_seconds
        return model.writer().submit_samples(
            request, priority=body.priority or 0, deadline=deadline, watch=lambda: self.metrics.watch(model.name)
        )
