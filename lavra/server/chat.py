"""`POST /v1/chat/completions`, also where its model is an index, and `POST /apply-template`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.errors import InputError
from lavra.base.types import Completion, Usage
from lavra.engine import EngineStream
from lavra.server import answers
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields
from lavra.server.logprobs import chat_logprobs
from lavra.server.reading import read_all, read_pieces
from lavra.server.requests import check_samples, generate_request, plain_messages, remaining
from lavra.server.schemas import ChatBody, TemplateBody
from lavra.server.search.chat import answer_chat
from lavra.server.search.writing import AnswerPlaces
from lavra.server.served import ServedModel
from lavra.server.tool_calls import Tools, find_calls, offered_tools, read_tools, with_index
from lavra.tokens.conversation import rendered_ids


@dataclass(kw_only=True)
class _Asked:
    """A chat request on its way."""

    model: ServedModel
    body: ChatBody
    streams: list[EngineStream]
    warnings: list[str]
    tools: Tools
    identity: str = field(default_factory=lambda: answers.new_id("chatcmpl"))


def chat_router(edge: Edge) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["chat"])
    places = AnswerPlaces(edge)

    @router.post("/v1/chat/completions")
    async def chat(body: ChatBody, request: Request) -> Response:
        index = edge.models.answering_index(body.model)
        if index is not None:
            return await answer_chat(edge, places, index, body, request)
        asked = await run_in_threadpool(_start, edge, body, request.state.tenant)
        if body.stream:
            return answers.streamed(_events(edge, asked), asked.streams)
        completions = await read_all(request, asked.streams)
        edge.metrics.finished(asked.model.name, completions)
        return JSONResponse(_answer(asked, completions))

    @router.post("/apply-template")
    async def apply_template(body: TemplateBody) -> Response:
        model = edge.models.named(body.model)
        warnings = idle_fields(body, strict=edge.config.strict)
        messages = plain_messages(body.messages)
        offered = None if not body.tools else offered_tools(body.tools)
        prompt = await run_in_threadpool(model.chat_prompt, messages, offered, body.chat_template_kwargs)
        tokens = rendered_ids(model.tokenizer, prompt)
        return JSONResponse({"prompt": prompt, "tokens": tokens, "warnings": warnings})

    return router


def _start(edge: Edge, body: ChatBody, tenant: str) -> _Asked:
    warnings = idle_fields(body, strict=edge.config.strict)
    model = edge.model_of(body)
    if body.retrieval is not None:
        warnings.append(f"retrieval has no effect: {model.name} is no index")
    if body.top_logprobs and not body.logprobs:
        raise InputError("top_logprobs needs logprobs: true")
    tools = read_tools(body)
    if tools.demanded and body.response_format is not None and body.response_format.type != "text":
        raise InputError("tool_choice demands a call and response_format another form; leave one of them out")
    text = model.chat_prompt(plain_messages(body.messages), tools.offered, body.chat_template_kwargs)
    prompt = tuple(rendered_ids(model.tokenizer, text))
    most = body.max_completion_tokens or body.max_tokens or remaining(model, prompt)
    n = check_samples("n", body.n, edge.config)
    request = generate_request(
        body,
        prompt,
        usual=model.usual,
        max_tokens=most,
        n=n,
        logprobs=bool(body.logprobs),
        top_logprobs=body.top_logprobs or 0,
    )
    if tools.demanded:
        request = replace(request, constraint=tools.constraint)
    streams = edge.submit(model, request, body, tenant)
    return _Asked(model=model, body=body, streams=streams, warnings=warnings, tools=tools)


def _answer(asked: _Asked, completions: list[Completion]) -> dict[str, Any]:
    choices = [_choice(asked, index, one) for index, one in enumerate(completions)]
    usages = [one.usage for one in completions]
    return {
        **answers.head("chat.completion", asked.identity, asked.model.name),
        "choices": choices,
        "usage": answers.usage_object(usages[:1], usages),
        "warnings": answers.all_warnings(asked.warnings, completions),
    }


def _choice(asked: _Asked, index: int, completion: Completion) -> dict[str, Any]:
    logprobs = None
    if asked.body.logprobs:
        logprobs = chat_logprobs(
            asked.model.tokenizer, completion.tokens, completion.logprobs, completion.top_logprobs, completion.text
        )
    text, calls = find_calls(completion.text, asked.tools)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if calls:
        message.update(content=text or None, tool_calls=calls)
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": "tool_calls" if calls else completion.finish_reason.value,
    }


def _held_back(asked: _Asked, completion: Completion) -> tuple[dict[str, Any], str]:
    """The last delta and the reason: where functions are offered, nothing was told until it is known what it is."""
    if asked.tools.offered is None:
        return {}, completion.finish_reason.value
    text, calls = find_calls(completion.text, asked.tools)
    delta: dict[str, Any] = {"content": text} if text else {}
    if calls:
        delta["tool_calls"] = with_index(calls)
    return delta, "tool_calls" if calls else completion.finish_reason.value


def _text_events(chunk: Callable[..., dict[str, Any]], index: int) -> answers.TextEvents:
    return answers.TextEvents(lambda text: chunk(index, {"content": text}))


async def _events(edge: Edge, asked: _Asked) -> AsyncIterator[str]:
    """The stream: a first chunk with the role, text as it comes, the reason at the end, and usage where asked for."""
    begin = answers.head("chat.completion.chunk", asked.identity, asked.model.name)

    def chunk(index: int, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {**begin, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}]}

    done: dict[int, Completion] = {}
    for index in range(len(asked.streams)):
        yield answers.event(chunk(index, {"role": "assistant", "content": ""}))
    plain = [_text_events(chunk, index) for index in range(len(asked.streams))]
    async for index, piece in read_pieces(asked.streams):
        more: dict[str, Any] = {}
        if asked.body.logprobs and piece.tokens:
            more["logprobs"] = chat_logprobs(
                asked.model.tokenizer, piece.tokens, piece.logprobs, piece.top_logprobs, piece.text
            )
        told = piece.text if asked.tools.offered is None else ""
        if more:
            yield answers.event(chunk(index, {"content": told}, **more))
        elif told:
            yield plain[index].event(told)
        if piece.completion is not None:
            done[index] = piece.completion
            delta, reason = _held_back(asked, piece.completion)
            last = chunk(index, delta, finish_reason=reason)
            yield answers.event({**last, "warnings": answers.all_warnings(asked.warnings, [*done.values()])})
    ended = [done[index] for index in sorted(done)]  # the first sample read the prompt, whichever ended first
    edge.metrics.finished(asked.model.name, ended)
    if asked.body.stream_options is not None and asked.body.stream_options.include_usage:
        usages: list[Usage] = [one.usage for one in ended]
        yield answers.event({**begin, "choices": [], "usage": answers.usage_object(usages[:1], usages)})
    yield answers.DONE
