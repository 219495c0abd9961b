"""The application: every group of endpoints over one `ServerState`, behind one gate."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from lavra.base.errors import MissingDependencyError
from lavra.base.version import VERSION
from lavra.server.anthropic.protocol import ANTHROPIC
from lavra.server.chat_page.page import chat_page_router
from lavra.server.cohere.routes import COHERE
from lavra.server.config import ServeConfig
from lavra.server.description import DescribedApp
from lavra.server.errors import install_handlers
from lavra.server.fill_mask import fill_mask_router
from lavra.server.gate import Gate
from lavra.server.heads import head_router
from lavra.server.inference import inference_router
from lavra.server.llama_cpp.routes import LLAMA_CPP
from lavra.server.ollama.protocol import OLLAMA
from lavra.server.openai.chat import chat_router
from lavra.server.openai.completions import completion_router
from lavra.server.openai.embeddings import embedding_router
from lavra.server.paths import KnownPaths
from lavra.server.plain import status_router, token_router
from lavra.server.protocol import Protocol, error_shape
from lavra.server.rerank import rerank_router
from lavra.server.responses.routes import responses_router
from lavra.server.search.page import page_router
from lavra.server.search.routes import search_router
from lavra.server.served import ModelTable
from lavra.server.server_state import ServerState

OPENAI: Final = Protocol(routers=(chat_router, completion_router, embedding_router))
OWN: Final = Protocol(
    routers=(
        fill_mask_router,
        head_router,
        inference_router,
        rerank_router,
        search_router,
        page_router,
        chat_page_router,
        token_router,
        status_router,
    )
)
RESPONSES: Final = Protocol(routers=(responses_router,))
PROTOCOLS: Final = (OPENAI, RESPONSES, ANTHROPIC, OLLAMA, LLAMA_CPP, COHERE, OWN)


def build_app(models: ModelTable, config: ServeConfig | None = None) -> FastAPI:
    """Build the ASGI application over models and indexes; it closes them when it stops.

    Args:
        models: the served models and indexes, by name.
        config: settings of the server.

    Raises:
        MissingDependencyError: traces are wanted and OpenTelemetry is not installed.
    """
    config = config or ServeConfig()
    state = ServerState(models=models, config=config)
    spans = spans_module() if config.traces is not None else None
    provider = None if spans is None else spans.open_provider(config.traces)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        models.close()
        if provider is not None:
            provider.shutdown()  # sends the waiting spans

    app = DescribedApp(title="lavra", version=VERSION, lifespan=lifespan, openapi_url=None)
    app.protocols, app.keyed = PROTOCOLS, bool(config.api_keys)
    app.state.server_state = state
    routers = [make(state) for protocol in PROTOCOLS for make in protocol.routers]
    for router in routers:
        app.include_router(router)
    app.add_api_route("/openapi.json", app.send_description, include_in_schema=False)
    shape = error_shape(PROTOCOLS)
    install_handlers(app, shape, KnownPaths(routers))
    if spans is not None:
        app.add_middleware(spans.Spans, provider=provider)
    any_type = tuple(path for protocol in PROTOCOLS if protocol.any_type for path in protocol.paths)
    app.add_middleware(Gate, config=config, metrics=state.metrics, shape=shape, any_type=any_type)
    if config.cors_origins:  # the last middleware is the outermost: refusals of the gate have its headers too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(config.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            allow_private_network=True,  # a page on the network may ask a server on its reader's machine
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    return app


def spans_module() -> ModuleType:
    """Import `lavra.server.spans`, which sends traces; only a server with traces needs it.

    Raises:
        MissingDependencyError: OpenTelemetry is not installed.
    """
    try:
        return importlib.import_module("lavra.server.spans")
    except ImportError as missing:
        raise MissingDependencyError(missing.name or "opentelemetry", "sending traces", "otel") from missing
