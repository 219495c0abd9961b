"""`POST /v1/chat/completions`, also where its model is an index, and `POST /apply-template`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.types import Delta
from lavra.server import streaming
from lavra.server.answers import EVENTS, RenderedPrompt
from lavra.server.conversation.events import CallBegun, CallPiece, ChatChoice, TextPiece, ToolCall
from lavra.server.conversation.prompt import chat_prompt
from lavra.server.conversation.run import ChatRun, chat_events, read_choices, start_chat
from lavra.server.conversation.tool_calls import offered_tools
from lavra.server.fields import idle_fields
from lavra.server.openai import objects
from lavra.server.openai.answers import ChatAnswer
from lavra.server.openai.logprobs import chat_logprobs
from lavra.server.schemas import ChatBody, TemplateBody
from lavra.server.search.chat import answer_chat
from lavra.server.search.writing import AnswerPlaces
from lavra.server.server_state import ServerState


@dataclass(kw_only=True)
class _Answering:
    """A chat request on its way."""

    run: ChatRun
    identity: str = field(default_factory=lambda: objects.new_id("chatcmpl"))


def chat_router(state: ServerState) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["chat"])
    places = AnswerPlaces(state)

    @router.post("/chat/completions", include_in_schema=False)  # llama.cpp's
    @router.post("/v1/chat/completions", response_model=ChatAnswer, responses=EVENTS)
    async def chat(body: ChatBody, request: Request) -> Response:
        """Answer a conversation, as OpenAI's chat completions; a model's name may be an index's."""
        index = state.models.answering_index(body.model)
        if index is not None:
            return await answer_chat(state, places, index, body, request)
        answering = _Answering(run=await run_in_threadpool(start_chat, state, body, request.state.tenant))
        if body.stream:
            return streaming.streamed(_events(state, answering), answering.run.streams, failed=objects.failed)
        return JSONResponse(_answer(answering, await read_choices(state, answering.run, request)))

    @router.post("/apply-template", response_model=RenderedPrompt)
    async def apply_template(body: TemplateBody) -> Response:
        """The text and tokens of a conversation, as the model reads it."""
        model = state.models.named(body.model)
        warnings = idle_fields(body, strict=state.config.strict)
        offered = None if not body.tools else offered_tools(body.tools)
        prompt = await run_in_threadpool(chat_prompt, model, body, offered)
        warnings = [*warnings, *prompt.warnings]
        return JSONResponse({"prompt": prompt.text, "tokens": list(prompt.tokens), "warnings": warnings})

    return router


def _answer(answering: _Answering, choices: Sequence[ChatChoice]) -> dict[str, Any]:
    run, completions = answering.run, [choice.completion for choice in choices]
    usages = [one.usage for one in completions]
    return {
        **objects.head("chat.completion", answering.identity, run.model.name, run.model.fingerprint),
        "choices": [_choice(run, choice) for choice in choices],
        "usage": objects.usage_object(usages[:1], usages),
        "warnings": objects.all_warnings(run.warnings, completions),
    }


def _choice(run: ChatRun, choice: ChatChoice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.calls:
        message.update(content=choice.text or None, **_calls(run, choice.calls))
    done = choice.completion
    whole = Delta(
        text=done.text, tokens=done.tokens, logprobs=done.logprobs, top_logprobs=done.top_logprobs, completion=done
    )
    return {
        "index": choice.index,
        "message": message,
        "logprobs": _logprobs(run, whole) if run.body.logprobs else None,
        "finish_reason": _reason(run, choice),
    }


def _calls(run: ChatRun, calls: Sequence[ToolCall]) -> dict[str, Any]:
    """The calls of a message; in the older form, its only call."""
    if _is_older(run):
        return {"function_call": _call(calls[0])["function"]}
    return {"tool_calls": [_call(call) for call in calls]}


def _is_older(run: ChatRun) -> bool:
    """Whether the client uses `functions`, the older form of tools."""
    return run.body.functions is not None


def _reason(run: ChatRun, choice: ChatChoice) -> str:
    called = choice.finish_reason == "tool_calls"
    return "function_call" if called and _is_older(run) else choice.finish_reason


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _logprobs(run: ChatRun, piece: Delta) -> dict[str, Any]:
    return chat_logprobs(run.model.tokenizer, piece.tokens, piece.logprobs, piece.top_logprobs, piece.text)


def _call_delta(run: ChatRun, event: CallBegun | CallPiece) -> dict[str, Any]:
    """A part of a call as the delta of a chunk."""
    if isinstance(event, CallBegun):
        named, function = {"id": event.id, "type": "function"}, {"name": event.name, "arguments": ""}
    else:
        named, function = {}, {"arguments": event.text}
    if _is_older(run):
        return {"function_call": function}
    return {"tool_calls": [{"index": event.number, **named, "function": function}]}


def _text_events(chunk: Callable[..., dict[str, Any]], index: int) -> streaming.TextEvents:
    return streaming.TextEvents(lambda text: chunk(index, {"content": text}))


async def _events(state: ServerState, answering: _Answering) -> AsyncIterator[str]:
    """The stream: a first chunk with the role, chunks of text and calls, the finish reason, and usage if requested."""
    run = answering.run
    begin = objects.head("chat.completion.chunk", answering.identity, run.model.name, run.model.fingerprint)
    running = objects.RunningUsage(run.body.stream_options, run.prompt_tokens)

    def chunk(index: int, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return {**begin, "choices": [choice], **running.fields()}

    for index in range(len(run.streams)):
        yield streaming.event(chunk(index, {"role": "assistant", "content": ""}))
    plain = [_text_events(chunk, index) for index in range(len(run.streams))]
    ended: dict[int, ChatChoice] = {}
    async for event in chat_events(state, run):
        if isinstance(event, TextPiece):
            running.add(len(event.delta.tokens))
            if run.body.logprobs and event.delta.tokens:
                more = {"logprobs": _logprobs(run, event.delta)}
                yield streaming.event(chunk(event.index, {"content": event.text}, **more))
            elif event.text and running.wanted:
                yield streaming.event(chunk(event.index, {"content": event.text}))
            elif event.text:
                yield plain[event.index].event(event.text)
        elif isinstance(event, CallBegun | CallPiece):
            yield streaming.event(chunk(event.index, _call_delta(run, event)))
        else:
            ended[event.choice.index] = event.choice
            last = chunk(event.choice.index, {}, finish_reason=_reason(run, event.choice))
            done = [choice.completion for choice in ended.values()]
            yield streaming.event({**last, "warnings": objects.all_warnings(run.warnings, done)})
    if run.body.stream_options is not None and run.body.stream_options.include_usage:
        usages = [ended[index].completion.usage for index in sorted(ended)]  # the first sample read the prompt
        yield streaming.event({**begin, "choices": [], "usage": objects.usage_object(usages[:1], usages)})
    yield objects.DONE
