"""`POST /completion`, `POST /infill`, `GET /props`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.types import Completion, Delta
from lavra.base.version import VERSION
from lavra.server import streaming
from lavra.server.answers import EVENTS
from lavra.server.conversation.events import ChoiceEnd, TextPiece
from lavra.server.conversation.plain_text import start_text
from lavra.server.conversation.requests import around_gap
from lavra.server.conversation.run import ChatRun, chat_events
from lavra.server.conversation.timing import Stopwatch
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields
from lavra.server.llama_cpp import objects
from lavra.server.llama_cpp.answers import LlamaCppError, NativeAnswer, ServerProperties
from lavra.server.llama_cpp.schemas import IDLE_FIELDS, InfillBody, NativeBody, NativeCompletionBody
from lavra.server.openai.objects import all_warnings
from lavra.server.protocol import Protocol
from lavra.server.reading import while_connected
from lavra.server.schemas import ChatBody
from lavra.server.served import ServedModel

_SAME: Final = (
    "model", "temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "stop", "stream",
    "ignore_eos", "grammar", "json_schema",
)  # fmt: skip


@dataclass(kw_only=True)
class _Answering:
    """A request on its way."""

    run: ChatRun
    watch: Stopwatch = field(default_factory=Stopwatch)


def llama_cpp_router(edge: Edge) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["llama.cpp"])

    @router.post("/completion", response_model=NativeAnswer, responses=EVENTS)
    async def completion(body: NativeCompletionBody, request: Request) -> Response:
        watch = Stopwatch()
        prompt = body.prompt if isinstance(body.prompt, str) else tuple(body.prompt)
        run = await run_in_threadpool(_start, edge, body, prompt, request.state.tenant)
        return await _answer(edge, _Answering(run=run, watch=watch), request)

    @router.post("/infill", response_model=NativeAnswer, responses=EVENTS)
    async def infill(body: InfillBody, request: Request) -> Response:
        watch = Stopwatch()
        run = await run_in_threadpool(_start_infill, edge, body, request.state.tenant)
        return await _answer(edge, _Answering(run=run, watch=watch), request)

    @router.get("/props", response_model=ServerProperties)
    async def props(model: str | None = None) -> Response:
        return JSONResponse(_properties(edge.models.named(model)))

    return router


def _start_infill(edge: Edge, body: InfillBody, tenant: str) -> ChatRun:
    """A gap to be filled; texts from elsewhere stand in front of the prefix, as llama.cpp marks them."""
    model = edge.models.named(body.model)
    extra = "".join(f"\n\n--- snippet ---\n\n{one.text}" for one in body.input_extra or ())
    gap = around_gap(model, extra + body.input_prefix, body.input_suffix)
    return _start(edge, body, (*gap, *model.tokenizer.encode(body.prompt or "")), tenant)


def _start(edge: Edge, body: NativeBody, prompt: str | tuple[int, ...], tenant: str) -> ChatRun:
    warnings = idle_fields(body, strict=edge.config.strict, idle=IDLE_FIELDS)
    if body.n_predict == 0:
        warnings.append("n_predict was raised from 0 to 1: a prompt is read by writing behind it")
    run = start_text(edge, _common_form(body), prompt, tenant)
    run.warnings[:0] = warnings
    return run


def _common_form(body: NativeBody) -> ChatBody:
    fields: dict[str, Any] = {name: getattr(body, name) for name in _SAME}
    fields |= {
        "messages": [{"role": "user", "content": ""}],  # what is read is given as tokens
        "max_tokens": None if body.n_predict < 0 else max(1, body.n_predict),
        "repetition_penalty": body.repeat_penalty,
        "top_k": None if body.top_k is None else max(0, body.top_k),
        "seed": None if body.seed == -1 else body.seed,
        "logprobs": body.n_probs > 0,
        "top_logprobs": body.n_probs or None,
    }
    return ChatBody.model_validate(fields)


async def _answer(edge: Edge, answering: _Answering, request: Request) -> Response:
    run = answering.run
    if run.body.stream:
        return streaming.streamed(_events(edge, answering), run.streams, failed=objects.failed)
    done = await while_connected(request, _completion(edge, answering), run.streams)
    told = Delta(text=done.text, tokens=done.tokens, logprobs=done.logprobs, top_logprobs=done.top_logprobs)
    return JSONResponse({**_last(answering, done), **_piece(run, told, stop=True)})


async def _completion(edge: Edge, answering: _Answering) -> Completion:
    """The whole text; the time of its first token is noted on the way."""
    done: Completion | None = None
    async for one in chat_events(edge, answering.run):
        answering.watch.written()
        if isinstance(one, ChoiceEnd):
            done = one.choice.completion
    assert done is not None, "a text ended without its last event"
    return done


async def _events(edge: Edge, answering: _Answering) -> AsyncIterator[str]:
    """The stream: pieces, and how the text ended."""
    async for one in chat_events(edge, answering.run):
        answering.watch.written()
        if isinstance(one, TextPiece):
            yield streaming.event(_piece(answering.run, one.delta, stop=False))
        elif isinstance(one, ChoiceEnd):
            ended = _last(answering, one.choice.completion)
            yield streaming.event({**ended, "index": 0, "content": "", "tokens": [], "stop": True})


def _piece(run: ChatRun, piece: Delta, *, stop: bool) -> dict[str, Any]:
    told = objects.probabilities(run, piece)
    return {"index": 0, "content": piece.text, "tokens": list(piece.tokens), "stop": stop, **told}


def _last(answering: _Answering, done: Completion) -> dict[str, Any]:
    run = answering.run
    return {
        "model": run.model.name,
        **objects.ending(run, done),
        "timings": objects.timings(answering.watch, done),
        "warnings": all_warnings(run.warnings, [done]),
    }


def _properties(model: ServedModel) -> dict[str, Any]:
    special = model.tokenizer.special.as_variables()
    return {
        "default_generation_settings": {"n_ctx": model.room, "params": dict(model.usual)},
        "model_alias": model.name,
        "model_path": model.name,
        "chat_template": model.tokenizer.chat_template or "",
        "bos_token": special.get("bos_token") or "",
        "eos_token": special.get("eos_token") or "",
        "build_info": f"lavra {VERSION}",
        "modalities": {"vision": False, "audio": False},
    }


LLAMA_CPP: Final = Protocol(
    routers=(llama_cpp_router,),
    paths=("/completion", "/infill", "/props"),
    any_type=True,  # llama.cpp reads any body as JSON
    write_error=objects.write_error,
    error_answer=LlamaCppError,
)
