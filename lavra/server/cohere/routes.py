"""`POST /v2/rerank` and `/v2/embed`, in the form of Cohere's client.

By default Cohere reads only the beginning of a text that is too long; so do these endpoints, with a warning in `meta`.
Deliberately absent: images, other types of vectors than `float` and `base64`, and cutting at a text's start.
"""

from __future__ import annotations

import base64
import uuid
from typing import Any, Final

import numpy as np
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.server.answers import Ranking
from lavra.server.cohere.answers import CohereError, CohereVectors
from lavra.server.embedding import TextVectors, embed_texts
from lavra.server.fields import idle_fields
from lavra.server.protocol import Protocol
from lavra.server.rerank import rank_texts, rerank_object
from lavra.server.schemas import CohereEmbedBody, RerankBody
from lavra.server.server_state import ServerState


def _router(state: ServerState) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["cohere"])

    @router.post("/v2/rerank", response_model=Ranking)
    async def rerank(body: RerankBody) -> Response:
        """Rank documents by their relevance to a query, as Cohere."""
        truncate = body.truncate or "truncate" not in body.model_fields_set
        ranked = await run_in_threadpool(rank_texts, state, body, body.documents, truncate=truncate)
        return JSONResponse(rerank_object(body, ranked))

    @router.post("/v2/embed", response_model=CohereVectors)
    async def embed(body: CohereEmbedBody) -> Response:
        """Vectors of texts, as Cohere."""
        return JSONResponse(await run_in_threadpool(_embed, state, body))

    return router


def _error(_: int, error: dict[str, Any]) -> dict[str, Any]:
    """An error as Cohere's client reads it."""
    return {"id": uuid.uuid4().hex, "message": error["error"]["message"]}


def _embed(state: ServerState, body: CohereEmbedBody) -> dict[str, Any]:
    warnings = idle_fields(body, strict=state.config.strict)
    found = embed_texts(
        state.model_of(body),
        body.texts,
        truncate=body.truncate == "END",
        dimensions=body.output_dimension,
        switch='truncate: "END"',
    )
    return {
        "id": uuid.uuid4().hex,
        "response_type": "embeddings_by_type",
        "embeddings": _by_type(body, found),
        "texts": body.texts,
        "meta": {"tokens": {"input_tokens": sum(found.num_tokens)}, "warnings": [*warnings, *found.warnings]},
    }


def _by_type(body: CohereEmbedBody, found: TextVectors) -> dict[str, list[Any]]:
    forms = body.embedding_types or ["float"]
    named: dict[str, list[Any]] = {}
    if "float" in forms:
        named["float"] = found.vectors.tolist()
    if "base64" in forms:
        named["base64"] = [
            base64.b64encode(vector.astype(np.dtype("<f4")).tobytes()).decode() for vector in found.vectors
        ]
    return named


COHERE: Final = Protocol(routers=(_router,), paths=("/v2/",), write_error=_error, error_answer=CohereError)
