"""`POST /embed`, as text-embeddings-inference has it: texts in, a bare list of vectors out.

Reference: https://huggingface.github.io/text-embeddings-inference.  Its `/rerank` is in `rerank`.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.server.embedding import embed_texts
from lavra.server.fields import idle_fields
from lavra.server.schemas import InferenceEmbedBody
from lavra.server.server_state import ServerState


def inference_router(state: ServerState) -> APIRouter:
    """The endpoint over a server's models."""
    router = APIRouter(tags=["embeddings"])

    @router.post("/embed", response_model=list[list[float]])
    async def embed(body: InferenceEmbedBody) -> Response:
        """Vectors of texts, as text-embeddings-inference."""
        idle_fields(
            body, strict=state.config.strict
        )  # a bare list has no place for warnings, but strict servers refuse
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        model = state.model_of(body)
        found = await run_in_threadpool(embed_texts, model, texts, truncate=body.truncate, dimensions=body.dimensions)
        return JSONResponse(found.vectors.tolist())

    return router
