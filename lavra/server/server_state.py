"""The state that all endpoints share: the models, the settings, the metrics, and the only way into an engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lavra.base.errors import OverloadedError
from lavra.base.types import GenerateRequest
from lavra.engine.stream import EngineStream, Piece, PieceWatch
from lavra.server import traces
from lavra.server.cache import ResponseCache
from lavra.server.config import ServeConfig
from lavra.server.metrics import Metrics
from lavra.server.schemas import Body, Sampled
from lavra.server.served import ModelTable, ServedModel


@dataclass(kw_only=True)
class ServerState:
    """A server's state.

    Attributes:
        models: the served models and indexes, by name.
        config: settings of the server.
        metrics: metrics of the server.
        answers: cache of earlier answers.
        draining: whether the server is stopping and refuses new requests.
        places: limit of answers that each index makes at once, for all protocols together.
    """

    models: ModelTable
    config: ServeConfig
    metrics: Metrics = field(default_factory=Metrics)
    draining: bool = False
    answers: ResponseCache = field(init=False)
    places: Mapping[str, asyncio.Semaphore] = field(init=False)

    def __post_init__(self) -> None:
        self.places = {index.name: asyncio.Semaphore(index.at_once) for index in self.models.indexes}
        self.answers = ResponseCache(self.config.response_cache)

    def model_of(self, body: Body) -> ServedModel:
        """The model a request is for.

        Raises:
            UnknownModelError: no model has this name.
        """
        model, trace = self.models.named(body.model), traces.current()
        if trace is not None:
            trace.asked(model.name, body)
        return model

    def submit(
        self, model: ServedModel, request: GenerateRequest, body: Sampled, tenant: str = ""
    ) -> list[EngineStream]:
        """Start a request's completions, or find them in the cache.

        Args:
            model: model that writes.
            request: request to the engine.
            body: body of the client's request.
            tenant: tenant whose cached answers the request may get.

        Raises:
            OverloadedError: the queue is full, or the server is stopping.
            InputError: the request cannot be served.
        """
        if self.draining:
            raise OverloadedError("the server is stopping; try another one", retry_after=self.config.drain_seconds)
        deadline = time.monotonic() + self.config.queue_seconds
        request = replace(request, adapter=model.adapter)
        key, trace = self.answers.key(model.name, request, tenant), traces.current()
        tell = None if trace is None else trace.watching()
        found = self.answers.find(key, tell)
        if found is not None:
            return found
        makers = [self.answers.remembering(key, request.n), tell]

        def watch() -> PieceWatch:
            return _together([self.metrics.watch(model.name), *(make() for make in makers if make is not None)])

        streams = model.writer().submit_samples(request, priority=body.priority or 0, deadline=deadline, watch=watch)
        self.metrics.accepted(model.name, len(streams))
        return streams


def _together(watches: Sequence[PieceWatch]) -> PieceWatch:
    if len(watches) == 1:
        return watches[0]

    def watch(piece: Piece) -> None:
        for one in watches:
            one(piece)

    return watch
