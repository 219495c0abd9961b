"""`POST /completion`, `POST /infill`, `GET /props`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
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
from lavra.server.llama_cpp.answers import ChosenFields, LlamaCppError, NativeAnswer, ServerProperties
from lavra.server.llama_cpp.prompts import bias_by_token, ids_of, is_several, prompts_of
from lavra.server.llama_cpp.schemas import IDLE_FIELDS, InfillBody, NativeBody, NativeCompletionBody
from lavra.server.openai.objects import all_warnings
from lavra.server.protocol import Protocol
from lavra.server.reading import while_connected
from lavra.server.schemas import ChatBody
from lavra.server.served import ServedModel

_SAME: Final = (
    "model", "temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "stop", "stream",
    "ignore_eos", "grammar", "json_schema", "truncate_prompt",
)  # fmt: skip
_Answered = NativeAnswer | ChosenFields


@dataclass(frozen=True, kw_only=True)
class _Answering:
    """A prompt on its way."""

    run: ChatRun
    body: NativeBody
    prompt: tuple[int, ...]
    watch: Stopwatch
    index: int = 0


def llama_cpp_router(edge: Edge) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["llama.cpp"])

    @router.post("/completion", response_model=_Answered | list[_Answered], responses=EVENTS)
    async def completion(body: NativeCompletionBody, request: Request) -> Response:
        watch = Stopwatch()
        asked = await run_in_threadpool(_start_all, edge, body, request.state.tenant, watch)
        return await _answer(edge, asked, request, several=is_several(body))

    @router.post("/infill", response_model=_Answered, responses=EVENTS)
    async def infill(body: InfillBody, request: Request) -> Response:
        watch = Stopwatch()
        asked = await run_in_threadpool(_start_infill, edge, body, request.state.tenant, watch)
        return await _answer(edge, [asked], request, several=False)

    @router.get("/props", response_model=ServerProperties)
    async def props(model: str | None = None) -> Response:
        return JSONResponse(_properties(edge.models.named(model)))

    return router


def _start_all(edge: Edge, body: NativeCompletionBody, tenant: str, watch: Stopwatch) -> list[_Answering]:
    """Every prompt of a request, or none: nobody would read those before a refused one."""
    model = edge.models.named(body.model)
    started: list[_Answering] = []
    try:
        for index, prompt in enumerate(prompts_of(body)):
            started.append(_start(edge, body, ids_of(model, prompt), tenant, replace(watch), index))
    except Exception:
        for one in started:
            _cancel(one)
        raise
    return started


def _cancel(answering: _Answering) -> None:
    for stream in answering.run.streams:
        stream.cancel()


def _start_infill(edge: Edge, body: InfillBody, tenant: str, watch: Stopwatch) -> _Answering:
    """A gap to be filled; texts from elsewhere stand in front of the prefix, as llama.cpp marks them."""
    model = edge.models.named(body.model)
    extra = "".join(f"\n\n--- snippet ---\n\n{one.text}" for one in body.input_extra or ())
    gap = around_gap(model, extra + body.input_prefix, body.input_suffix)
    return _start(edge, body, (*gap, *model.tokenizer.encode(body.prompt or "")), tenant, watch)


def _start(
    edge: Edge, body: NativeBody, prompt: tuple[int, ...], tenant: str, watch: Stopwatch, index: int = 0
) -> _Answering:
    warnings = idle_fields(body, strict=edge.config.strict, idle=IDLE_FIELDS)
    if body.n_predict == 0:
        warnings.append("n_predict was raised from 0 to 1: a prompt is read by writing behind it")
    run = start_text(edge, _common_form(body, edge.models.named(body.model)), prompt, tenant)
    run.warnings[:0] = warnings
    return _Answering(run=run, body=body, prompt=prompt, watch=watch, index=index)


def _common_form(body: NativeBody, model: ServedModel) -> ChatBody:
    fields: dict[str, Any] = {name: getattr(body, name) for name in _SAME}
    fields |= {
        "messages": [{"role": "user", "content": ""}],  # what is read is given as tokens
        "max_tokens": None if body.n_predict < 0 else max(1, body.n_predict),
        "repetition_penalty": body.repeat_penalty,
        "top_k": None if body.top_k is None else max(0, body.top_k),
        "seed": None if body.seed == -1 else body.seed,
        "logit_bias": bias_by_token(model, body),
        "logprobs": body.n_probs > 0,
        "top_logprobs": body.n_probs or None,
    }
    return ChatBody.model_validate(fields)


async def _answer(edge: Edge, asked: Sequence[_Answering], request: Request, *, several: bool) -> Response:
    streams = [stream for one in asked for stream in one.run.streams]
    if asked[0].body.stream:
        return streaming.streamed(_events(edge, asked), streams, failed=objects.failed)
    done = await while_connected(request, _wholes(edge, asked), streams)
    return JSONResponse(done if several else done[0])


async def _wholes(edge: Edge, asked: Sequence[_Answering]) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(_whole(edge, one) for one in asked)))


async def _whole(edge: Edge, answering: _Answering) -> dict[str, Any]:
    """The whole answer; the time of its first token is noted on the way."""
    done: Completion | None = None
    async for one in chat_events(edge, answering.run):
        answering.watch.written()
        if isinstance(one, ChoiceEnd):
            done = one.choice.completion
    assert done is not None, "a text ended without its last event"
    told = Delta(text=done.text, tokens=done.tokens, logprobs=done.logprobs, top_logprobs=done.top_logprobs)
    piece = _piece(answering, told, stop=True)
    if not answering.body.return_tokens:
        piece["tokens"] = []
    return objects.only({**_last(answering, done), **piece}, answering.body.response_fields)


async def _events(edge: Edge, asked: Sequence[_Answering]) -> AsyncIterator[str]:
    """The stream: pieces, and how each text ended; several texts are written at once and come one after another."""
    for answering in asked:
        async for one in chat_events(edge, answering.run):
            answering.watch.written()
            if isinstance(one, TextPiece):
                yield streaming.event(_piece(answering, one.delta, stop=False))
            elif isinstance(one, ChoiceEnd):
                ended = _last(answering, one.choice.completion)
                ended |= {"index": answering.index, "content": "", "tokens": [], "stop": True}
                yield streaming.event(objects.only(ended, answering.body.response_fields))


def _piece(answering: _Answering, piece: Delta, *, stop: bool) -> dict[str, Any]:
    told = objects.probabilities(answering.run, piece)
    return {"index": answering.index, "content": piece.text, "tokens": list(piece.tokens), "stop": stop, **told}


def _last(answering: _Answering, done: Completion) -> dict[str, Any]:
    run = answering.run
    return {
        "model": run.model.name,
        "prompt": run.model.tokenizer.decode(answering.prompt),
        "generation_settings": objects.settings(run, answering.body),
        "has_new_line": "\n" in done.text,
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
