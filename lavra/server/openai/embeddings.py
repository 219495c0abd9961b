"""`POST /v1/embeddings`."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.server.embedding import embed_texts
from lavra.server.fields import idle_fields
from lavra.server.openai.answers import EmbeddingAnswer
from lavra.server.schemas import EmbeddingBody
from lavra.server.served import ServedModel
from lavra.server.server_state import ServerState


def embedding_router(state: ServerState) -> APIRouter:
    """The endpoint over a server's models."""
    router = APIRouter(tags=["embeddings"])

    @router.post("/v1/embeddings", response_model=EmbeddingAnswer)
    async def embeddings(body: EmbeddingBody) -> Response:
        """Vectors of texts, as OpenAI's embeddings."""
        return JSONResponse(await run_in_threadpool(_embed, state, body))

    return router


def _embed(state: ServerState, body: EmbeddingBody) -> dict[str, Any]:
    warnings = idle_fields(body, strict=state.config.strict)
    model = state.model_of(body)
    found = embed_texts(model, _texts(model, body), truncate=body.truncate, dimensions=body.dimensions)
    return {
        "object": "list",
        "model": model.name,
        "data": [
            {"object": "embedding", "index": index, "embedding": _written(vector, body.encoding_format)}
            for index, vector in enumerate(found.vectors)
        ],
        "usage": {"prompt_tokens": sum(found.num_tokens), "total_tokens": sum(found.num_tokens)},
        "warnings": [*warnings, *found.warnings],
    }


def _texts(model: ServedModel, body: EmbeddingBody) -> list[str]:
    """Texts, whatever form they came in; ids are spelled out, for an embedder reads text."""
    if isinstance(body.input, str):
        given: list[str | list[int]] = [body.input]
    elif all(isinstance(one, int) for one in body.input):
        given = [list(body.input)]  # type: ignore[arg-type]
    else:
        given = list(body.input)  # type: ignore[arg-type]
    return [one if isinstance(one, str) else model.tokenizer.decode(one, skip_special_tokens=True) for one in given]


def _written(vector: npt.NDArray[np.float32], form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    found: list[float] = vector.tolist()
    return found
