"""Endpoints without a protocol of OpenAI's: tokens, scores, models, health, metrics."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.errors import InputError
from lavra.base.types import ScoreRequest
from lavra.server.answers import Health, ModelEntries, PlainText, Readiness, ScoreAnswer, ServedModelEntry, TokenList
from lavra.server.fields import idle_fields
from lavra.server.schemas import DetokenizeBody, ScoreBody, TokenizeBody
from lavra.server.search.served_index import ServedIndex
from lavra.server.served import ServedModel
from lavra.server.server_state import ServerState
from lavra.tasks.table import task_named
from lavra.tokens.tokenizer import Tokenizer


def token_router(state: ServerState) -> APIRouter:
    """Text to tokens and back, and the log-probabilities of a text."""
    router = APIRouter(tags=["tokens"])

    @router.post("/tokenize", response_model=TokenList)
    async def tokenize(body: TokenizeBody) -> Response:
        """Tokens of a text."""
        warnings, model = idle_fields(body, strict=state.config.strict), state.models.named(body.model)
        special = body.add_special_tokens or body.add_special
        tokens = await run_in_threadpool(model.tokenizer.encode, _text(body), add_special_tokens=special)
        return JSONResponse(
            {
                "tokens": [_piece(model.tokenizer, one) for one in tokens] if body.with_pieces else tokens,
                "count": len(tokens),
                "pieces": [model.tokenizer.token(token) for token in tokens],
                "warnings": warnings,
            }
        )

    @router.post("/detokenize", response_model=PlainText)
    async def detokenize(body: DetokenizeBody) -> Response:
        """The text of tokens."""
        warnings, model = idle_fields(body, strict=state.config.strict), state.models.named(body.model)
        text = await run_in_threadpool(
            model.tokenizer.decode, body.tokens, skip_special_tokens=body.skip_special_tokens
        )
        return JSONResponse({"text": text, "content": text, "warnings": warnings})

    @router.post("/score", response_model=ScoreAnswer)
    async def score(body: ScoreBody) -> Response:
        """The log-probability of each token of a text."""
        warnings, model = idle_fields(body, strict=state.config.strict), state.models.named(body.model)
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


def _text(body: TokenizeBody) -> str:
    given = [one for one in (body.text, body.content) if one is not None]
    if len(given) != 1:
        raise InputError("give text, or content as llama.cpp calls it, and not both")
    return given[0]


def _piece(tokenizer: Tokenizer, token: int) -> dict[str, Any]:
    """A token as llama.cpp writes it."""
    spelled = tokenizer.token_bytes(token)
    try:
        return {"id": token, "piece": spelled.decode()}
    except UnicodeDecodeError:
        return {"id": token, "piece": list(spelled)}


def status_router(state: ServerState) -> APIRouter:
    """The routes of the served models and of the server's health."""
    router = APIRouter(tags=["server"])
    state.metrics.gauge("lavra_event_loop_tasks", "tasks of the event loop", lambda: len(asyncio.all_tasks()))

    @router.get("/models", include_in_schema=False)  # llama.cpp's
    @router.get("/v1/models", response_model=ModelEntries)
    async def models() -> Response:
        """The served models and indexes."""
        return JSONResponse(
            {"object": "list", "data": [_describe(one) for one in (*state.models, *state.models.indexes)]}
        )

    @router.get("/v1/models/{name:path}", response_model=ServedModelEntry)
    async def one_model(name: Annotated[str, Path(description="name of a model or an index")]) -> Response:
        """A served model, or an index."""
        return JSONResponse(_describe(state.models.answering_index(name) or state.models.named(name)))

    @router.get("/health", response_model=Health)
    async def health() -> Response:
        """Whether the server runs."""
        return JSONResponse({"status": "ok"})

    @router.get("/ready", response_model=Readiness, responses={503: {"model": Readiness}})
    async def ready() -> Response:
        """Whether the server takes requests."""
        return JSONResponse({"ready": not state.draining}, status_code=503 if state.draining else 200)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counters and times, in Prometheus' format."""
        engines = {
            model.name: model.engine for model in state.models if model.engine is not None and model.parent is None
        }
        weights = {model.name: model.weights_bytes for model in state.models if model.weights and model.parent is None}
        return Response(state.metrics.text(engines, weights), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _describe(served: ServedModel | ServedIndex) -> dict[str, Any]:
    if isinstance(served, ServedIndex):
        return {**_described(served.name, served.created), "retrieves": True, "chats": True}
    head = served.predictor
    return {
        **_described(served.name, served.created),
        "parent": served.parent,
        "aliases": list(served.aliases),
        "writes": served.engine is not None,
        "embeds": served.embedder is not None,
        "fills_masks": served.filler is not None,
        "task": None if head is None else task_named(head.task).saved_as,
        "labels": [] if head is None else list(head.labels),
        "chats": served.engine is not None and (served.template or served.tokenizer.chat_template) is not None,
        "max_model_len": served.reads,
        "runner": served.runner or None,
        "default_sampling_params": dict(served.usual),
        "good_for": served.introduction.good_for,
        "beginnings": list(served.introduction.beginnings),
    }


def _described(name: str, created: int) -> dict[str, Any]:
    """The fields of every entry; the abilities are all off by default."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "lavra",
        "parent": None,
        "aliases": [],
        "writes": False,
        "embeds": False,
        "fills_masks": False,
        "retrieves": False,
        "task": None,
        "labels": [],
        "chats": False,
        "max_model_len": None,
        "runner": None,
        "default_sampling_params": {},
        "good_for": "",
        "beginnings": [],
    }
