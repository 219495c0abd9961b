"""`POST /v2/rerank` and `/v2/embed`, as Cohere's client asks.

Cohere reads the beginning of what is too long unless told otherwise; so do these endpoints, with a warning in `meta`.
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

from lavra.server.edge import Edge
from lavra.server.embedding import TextVectors, embed_texts
from lavra.server.fields import idle_fields
from lavra.server.protocol import Protocol
from lavra.server.rerank import rank_texts, rerank_object
from lavra.server.schemas import CohereEmbedBody, RerankBody


def _router(edge: Edge) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["cohere"])

    @router.post("/v2/rerank")
    async def rerank(body: RerankBody) -> Response:
        truncate = body.truncate or "truncate" not in body.model_fields_set
        ranked = await run_in_threadpool(rank_texts, edge, body, body.documents, truncate=truncate)
        return JSONResponse(rerank_object(body, ranked))

    @router.post("/v2/embed")
    async def embed(body: CohereEmbedBody) -> Response:
        return JSONResponse(await run_in_threadpool(_embed, edge, body))

    return router


def _error(_: int, error: dict[str, Any]) -> dict[str, Any]:
    """An error as Cohere's client reads it."""
    return {"id": uuid.uuid4().hex, "message": error["error"]["message"]}


def _embed(edge: Edge, body: CohereEmbedBody) -> dict[str, Any]:
    warnings = idle_fields(body, strict=edge.config.strict)
    found = embed_texts(
        edge.model_of(body),
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


COHERE: Final = Protocol(routers=(_router,), paths=("/v2/",), write_error=_error)
