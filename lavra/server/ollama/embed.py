"""`POST /api/embed`, and `POST /api/embeddings`, which it replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.server.conversation.timing import Stopwatch
from lavra.server.embedding import embed_texts
from lavra.server.fields import idle_fields
from lavra.server.ollama.answers import EmbeddedList, EmbeddedPrompt
from lavra.server.ollama.requests import idle_options, plain_name
from lavra.server.ollama.schemas import IDLE_FIELDS, OllamaEmbedBody, OllamaEmbeddingsBody
from lavra.server.server_state import ServerState


def ollama_embedding_router(state: ServerState) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["ollama"])

    @router.post("/api/embed", response_model=EmbeddedList)
    async def embed(body: OllamaEmbedBody) -> Response:
        """Vectors of texts, as Ollama."""
        texts = [body.input] if isinstance(body.input, str) else body.input
        return JSONResponse(await run_in_threadpool(_embed, state, body, texts, body.dimensions))

    @router.post("/api/embeddings", response_model=EmbeddedPrompt)
    async def embeddings(body: OllamaEmbeddingsBody) -> Response:
        """The vector of a text, in Ollama's older form."""
        found = await run_in_threadpool(_embed, state, body, [body.prompt], None)
        return JSONResponse({"embedding": found["embeddings"][0], "warnings": found["warnings"]})

    return router


def _embed(
    state: ServerState,
    body: OllamaEmbedBody | OllamaEmbeddingsBody,
    texts: Sequence[str],
    dimensions: int | None,
) -> dict[str, Any]:
    watch, strict = Stopwatch(), state.config.strict
    warnings = [*idle_fields(body, strict=strict, idle=IDLE_FIELDS), *idle_options(body.options, strict=strict)]
    model = state.model_of(body.model_copy(update={"model": plain_name(state.models, body.model)}))
    found = embed_texts(model, texts, truncate=body.truncate, dimensions=dimensions)
    return {
        "model": body.model or model.name,
        "embeddings": [vector.tolist() for vector in found.vectors],
        "total_duration": watch.parts()[0],
        "load_duration": 0,
        "prompt_eval_count": sum(found.num_tokens),
        "warnings": [*warnings, *found.warnings],
    }
