"""`POST /v1/rerank`: documents by how well they fit a query, in the form Cohere's and Jina's clients know."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.server.answers import Ranking
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields
from lavra.server.heads import usage_of
from lavra.server.schemas import RerankBody
from lavra.tasks.rerank import RERANK
from lavra.tasks.spec import AskOptions


def rerank_router(edge: Edge) -> APIRouter:
    """The endpoint over a server's models."""
    router = APIRouter(tags=["heads"])

    @router.post("/v1/rerank", response_model=Ranking)
    async def rerank(body: RerankBody) -> Response:
        return JSONResponse(await run_in_threadpool(_rerank, edge, body))

    return router


def _rerank(edge: Edge, body: RerankBody) -> dict[str, Any]:
    warnings = idle_fields(body, strict=edge.config.strict)
    model = edge.models.named(body.model)
    assert RERANK.asking is not None
    request = RERANK.asking.read_request(body.model_dump(), AskOptions(truncate=body.truncate))
    (found,) = model.head(RERANK).predict([request])
    results = RERANK.asking.write_answer(found.value)["results"][: body.top_n]
    if body.return_documents:
        results = [{**one, "document": {"text": request.texts[one["index"]]}} for one in results]
    return {
        "object": "list",
        "model": model.name,
        "results": results,
        "usage": usage_of([found]),
        "warnings": [*warnings, *found.warnings],
    }
