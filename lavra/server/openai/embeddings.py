"""`POST /v1/embeddings`."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.errors import InputError
from lavra.server import traces
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields
from lavra.server.openai import objects
from lavra.server.schemas import EmbeddingBody
from lavra.server.served import ServedModel

Vectors = npt.NDArray[np.float32]


def embedding_router(edge: Edge) -> APIRouter:
    """The endpoint over a server's models."""
    router = APIRouter(tags=["embeddings"])

    @router.post("/v1/embeddings")
    async def embeddings(body: EmbeddingBody) -> Response:
        return JSONResponse(await run_in_threadpool(_embed, edge, body))

    return router


def _embed(edge: Edge, body: EmbeddingBody) -> dict[str, Any]:
    warnings = idle_fields(body, strict=edge.config.strict)
    model = edge.model_of(body)
    texts = _texts(model, body)
    vectors = _shortened(model.vectors().embed(texts), body.dimensions)
    tokens = sum(len(model.tokenizer.encode(model.prompt + text, add_special_tokens=True)) for text in texts)
    trace = traces.current()
    if trace is not None:
        trace.read(tokens)
    return {
        "object": "list",
        "model": model.name,
        "data": [
            {"object": "embedding", "index": index, "embedding": _written(vector, body.encoding_format)}
            for index, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "warnings": objects.all_warnings(warnings, []),
    }


def _texts(model: ServedModel, body: EmbeddingBody) -> list[str]:
    """Texts, whatever form they came in; ids are spelled out, for an embedder reads text."""
    if isinstance(body.input, str):
        given: list[str | list[int]] = [body.input]
    elif all(isinstance(one, int) for one in body.input):
        given = [list(body.input)]  # type: ignore[arg-type]
    else:
        given = list(body.input)  # type: ignore[arg-type]
    texts = [one if isinstance(one, str) else model.tokenizer.decode(one, skip_special_tokens=True) for one in given]
    if not all(text.strip() for text in texts):
        raise InputError("an input is empty; there is nothing to embed")
    return texts


def _shortened(vectors: Vectors, dimensions: int | None) -> Vectors:
    """The first dimensions, at length 1 again (Kusupati et al. 2022, "Matryoshka representation learning")."""
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    if dimensions > vectors.shape[1]:
        raise InputError(f"dimensions is {dimensions} and the model's vectors have {vectors.shape[1]}; lower it")
    short = vectors[:, :dimensions]
    out: Vectors = short / np.maximum(np.linalg.norm(short, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return out


def _written(vector: npt.NDArray[np.float32], form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    found: list[float] = vector.tolist()
    return found
