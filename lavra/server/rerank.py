"""`POST /v1/rerank`: documents by how well they fit a query, in the form Cohere's and Jina's clients know."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.predictions import Ranked, RankRequest
from lavra.base.tasks import Task
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields
from lavra.server.heads import usage_of
from lavra.server.schemas import RerankBody


def rerank_router(edge: Edge) -> APIRouter:
    """The endpoint over a server's models."""
    router = APIRouter(tags=["heads"])

    @router.post("/v1/rerank")
    async def rerank(body: RerankBody) -> Response:
        return JSONResponse(await run_in_threadpool(_rerank, edge, body))

    return router


def _rerank(edge: Edge, body: RerankBody) -> dict[str, Any]:
    warnings = idle_fields(body, strict=edge.config.strict)
    model = edge.models.named(body.model)
    texts = tuple(one if isinstance(one, str) else one.text for one in body.documents)
    (found,) = model.head(Task.RERANK).predict([RankRequest(query=body.query, texts=texts, truncate=body.truncate)])

    def told(ranked: Ranked) -> dict[str, Any]:
        result = {"index": ranked.index, "relevance_score": ranked.score}
        return {**result, "document": {"text": texts[ranked.index]}} if body.return_documents else result

    return {
        "object": "list",
        "model": model.name,
        "results": [told(ranked) for ranked in found.value[: body.top_n]],
        "usage": usage_of([found]),
        "warnings": [*warnings, *found.warnings],
    }
