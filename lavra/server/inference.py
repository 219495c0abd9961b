"""`POST /embed`, as text-embeddings-inference has it: texts in, a bare list of vectors out.

Reference: https://huggingface.github.io/text-embeddings-inference.  Its `/rerank` is in `rerank`.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.server.edge import Edge
from lavra.server.embedding import embed_texts
from lavra.server.fields import idle_fields
from lavra.server.schemas import InferenceEmbedBody


def inference_router(edge: Edge) -> APIRouter:
    """The endpoint over a server's models."""
    router = APIRouter(tags=["embeddings"])

    @router.post("/embed", response_model=list[list[float]])
    async def embed(body: InferenceEmbedBody) -> Response:
        idle_fields(body, strict=edge.config.strict)  # there is no place for what it says, but strict servers refuse
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        model = edge.model_of(body)
        found = await run_in_threadpool(embed_texts, model, texts, truncate=body.truncate, dimensions=body.dimensions)
        return JSONResponse(found.vectors.tolist())

    return router
