"""`POST /completion`, `POST /infill`, `GET /props`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
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
from lavra.server.fields import idle_fields
from lavra.server.llama_cpp import objects
from lavra.server.llama_cpp.answers import ChosenFields, LlamaCppError, NativeAnswer, ServerProperties
from lavra.server.llama_cpp.prompts import bias_by_token, ids_of, is_several, prompts_of
from lavra.server.llama_cpp.schemas import IDLE_FIELDS, InfillBody, NativeBody, NativeCompletionBody
from lavra.server.openai.objects import all_warnings
from lavra.server.protocol import Protocol
from lavra.server.reading import while_connected
from lavra.server.sampling_fields import given_llama_sampling
from lavra.server.schemas import ChatBody
from lavra.server.served import ServedModel
from lavra.server.server_state import ServerState

_SAME: Final = (
    "model", "stop", "stream", "ignore_eos", "grammar", "json_schema", "truncate_prompt",
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


def llama_cpp_router(state: ServerState) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["llama.cpp"])

    @router.post("/completion", response_model=_Answered | list[_Answered], responses=EVENTS)
    async def completion(body: NativeCompletionBody, request: Request) -> Response:
        """Go on with a text, as llama.cpp."""
        watch = Stopwatch()
        asked = await run_in_threadpool(_start_all, state, body, request.state.tenant, watch)
        return await _answer(state, asked, request, several=is_several(body))

    @router.post("/infill", response_model=_Answered, responses=EVENTS)
    async def infill(body: InfillBody, request: Request) -> Response:
        """Fill the gap between two texts, as llama.cpp."""
        watch = Stopwatch()
        asked = await run_in_threadpool(_start_infill, state, body, request.state.tenant, watch)
        return await _answer(state, [asked], request, several=False)

    @router.get("/props", response_model=ServerProperties)
    async def props(model: Annotated[str | None, Query(description="name of a model")] = None) -> Response:
        """Settings of the server and of a model, as llama.cpp."""
        return JSONResponse(_properties(state.models.named(model)))

    return router


def _start_all(state: ServerState, body: NativeCompletionBody, tenant: str, watch: Stopwatch) -> list[_Answering]:
    """Start every prompt of a request, or none: answers before a refused prompt would have no reader."""
    model = state.models.named(body.model)
    started: list[_Answering] = []
    try:
        for index, prompt in enumerate(prompts_of(body)):
            started.append(_start(state, body, ids_of(model, prompt), tenant, replace(watch), index))
    except Exception:
        for one in started:
            _cancel(one)
        raise
    return started


def _cancel(answering: _Answering) -> None:
    for stream in answering.run.streams:
        stream.cancel()


def _start_infill(state: ServerState, body: InfillBody, tenant: str, watch: Stopwatch) -> _Answering:
    """A gap to be filled; texts from elsewhere stand in front of the prefix, as llama.cpp marks them."""
    model = state.models.named(body.model)
    extra = "".join(f"\n\n--- snippet ---\n\n{one.text}" for one in body.input_extra or ())
    gap = around_gap(model, extra + body.input_prefix, body.input_suffix)
    return _start(state, body, (*gap, *model.tokenizer.encode(body.prompt or "")), tenant, watch)


def _start(
    state: ServerState, body: NativeBody, prompt: tuple[int, ...], tenant: str, watch: Stopwatch, index: int = 0
) -> _Answering:
    warnings = idle_fields(body, strict=state.config.strict, idle=IDLE_FIELDS)
    if body.n_predict == 0:
        warnings.append("n_predict was raised from 0 to 1: a prompt is read by writing behind it")
    run = start_text(state, _common_form(body, state.models.named(body.model)), prompt, tenant)
    run.warnings[:0] = warnings
    return _Answering(run=run, body=body, prompt=prompt, watch=watch, index=index)


def _common_form(body: NativeBody, model: ServedModel) -> ChatBody:
    fields: dict[str, Any] = {name: getattr(body, name) for name in _SAME}
    fields |= given_llama_sampling(body) | {
        "messages": [{"role": "user", "content": ""}],  # the prompt is given as tokens
        "max_tokens": None if body.n_predict < 0 else max(1, body.n_predict),
        "logit_bias": bias_by_token(model, body),
        "logprobs": body.n_probs > 0,
        "top_logprobs": body.n_probs or None,
    }
    return ChatBody.model_validate(fields)


async def _answer(state: ServerState, asked: Sequence[_Answering], request: Request, *, several: bool) -> Response:
    streams = [stream for one in asked for stream in one.run.streams]
    if asked[0].body.stream:
        return streaming.streamed(_events(state, asked), streams, failed=objects.failed)
    done = await while_connected(request, _wholes(state, asked), streams)
    return JSONResponse(done if several else done[0])


async def _wholes(state: ServerState, asked: Sequence[_Answering]) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(_whole(state, one) for one in asked)))


async def _whole(state: ServerState, answering: _Answering) -> dict[str, Any]:
    """The whole answer; the time of its first token is noted on the way."""
    done: Completion | None = None
    async for one in chat_events(state, answering.run):
        answering.watch.written()
        if isinstance(one, ChoiceEnd):
            done = one.choice.completion
    assert done is not None, "a text ended without its last event"
    told = Delta(text=done.text, tokens=done.tokens, logprobs=done.logprobs, top_logprobs=done.top_logprobs)
    piece = _piece(answering, told, stop=True)
    if not answering.body.return_tokens:
        piece["tokens"] = []
    return objects.only({**_last(answering, done), **piece}, answering.body.response_fields)


async def _events(state: ServerState, asked: Sequence[_Answering]) -> AsyncIterator[str]:
    """The stream: pieces, and the end of each text; several texts are written at once and come in order."""
    for answering in asked:
        async for one in chat_events(state, answering.run):
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
        "default_generation_settings": {"n_ctx": model.max_length, "params": dict(model.usual)},
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
