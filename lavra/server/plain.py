"""Endpoints without a protocol of OpenAI's: tokens, scores, models, health, metrics, and the page."""

from __future__ import annotations

from importlib import resources
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.types import ScoreRequest
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields
from lavra.server.schemas import DetokenizeBody, ScoreBody, TokenizeBody
from lavra.server.served import ServedModel
from lavra.tasks.table import task_named


def token_router(edge: Edge) -> APIRouter:
    """Text to tokens and back, and the log-probabilities of a text."""
    router = APIRouter(tags=["tokens"])

    @router.post("/tokenize")
    async def tokenize(body: TokenizeBody) -> Response:
        warnings, model = idle_fields(body, strict=edge.config.strict), edge.models.named(body.model)
        tokens = await run_in_threadpool(model.tokenizer.encode, body.text, add_special_tokens=body.add_special_tokens)
        return JSONResponse(
            {
                "tokens": tokens,
                "count": len(tokens),
                "pieces": [model.tokenizer.token(token) for token in tokens],
                "warnings": warnings,
            }
        )

    @router.post("/detokenize")
    async def detokenize(body: DetokenizeBody) -> Response:
        warnings, model = idle_fields(body, strict=edge.config.strict), edge.models.named(body.model)
        text = await run_in_threadpool(
            model.tokenizer.decode, body.tokens, skip_special_tokens=body.skip_special_tokens
        )
        return JSONResponse({"text": text, "warnings": warnings})

    @router.post("/score")
    async def score(body: ScoreBody) -> Response:
        warnings, model = idle_fields(body, strict=edge.config.strict), edge.models.named(body.model)
        text = body.text if isinstance(body.text, str) else tuple(body.text)
        (found,) = await run_in_threadpool(
            model.writer().score, [ScoreRequest(text=text, given=body.given, adapter=model.adapter)]
        )
        return JSONResponse(
            {
                "tokens": list(found.tokens),
                "logprobs": list(found.logprobs),
                "num_bytes": found.num_bytes,
                "kind": found.kind,
                "warnings": [*warnings, *found.warnings],
            }
        )

    return router


def status_router(edge: Edge) -> APIRouter:
    """What is served, whether it is well, and the page."""
    router = APIRouter(tags=["server"])
    page = resources.files("lavra.server").joinpath("chat.html").read_text(encoding="utf-8")

    @router.get("/", response_class=HTMLResponse)
    async def chat_page() -> str:
        return page

    @router.get("/v1/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [_describe(model) for model in edge.models]})

    @router.get("/v1/models/{name:path}")
    async def one_model(name: str) -> Response:
        return JSONResponse(_describe(edge.models.named(name)))

    @router.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get("/ready")
    async def ready() -> Response:
        return JSONResponse({"ready": not edge.draining}, status_code=503 if edge.draining else 200)

    @router.get("/metrics")
    async def metrics() -> Response:
        engines = {
            model.name: model.engine for model in edge.models if model.engine is not None and model.parent is None
        }
        weights = {model.name: model.weights_bytes for model in edge.models if model.weights and model.parent is None}
        return Response(edge.metrics.text(engines, weights), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _describe(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "lavra",
        "parent": model.parent,
        "aliases": list(model.aliases),
        "writes": model.engine is not None,
        "embeds": model.embedder is not None,
        "fills_masks": model.filler is not None,
        "task": None if model.predictor is None else task_named(model.predictor.task).saved_as,
        "labels": [] if model.predictor is None else list(model.predictor.labels),
        "chats": model.engine is not None and model.tokenizer.chat_template is not None,
        "max_model_len": None if model.engine is None else model.room,
    }
