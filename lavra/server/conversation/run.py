"""A conversation given to the engine, and its answers read whole or as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

from fastapi import Request

from lavra.base.errors import InputError
from lavra.base.types import Completion, Delta, FinishReason
from lavra.engine.stream import EngineStream
from lavra.server.conversation.call_scanner import CallScanner, FoundCall, FoundText
from lavra.server.conversation.events import (
    CallBegun,
    CallPiece,
    ChatChoice,
    ChatEvent,
    ChoiceEnd,
    TextPiece,
)
from lavra.server.conversation.prompt import chat_prompt
from lavra.server.conversation.requests import check_samples, generate_request, remaining
from lavra.server.conversation.structured import form_field
from lavra.server.conversation.tool_calls import Tools, read_tools
from lavra.server.fields import idle_fields
from lavra.server.reading import read_all, read_pieces
from lavra.server.schemas import ChatBody
from lavra.server.served import ServedModel
from lavra.server.server_state import ServerState


@dataclass(kw_only=True)
class ChatRun:
    """A conversation that the engine continues.

    Attributes:
        model: model that writes.
        body: body of the request.
        streams: streams of the answers, one each.
        warnings: warnings about the request.
        tools: tools that the model may call.
        prompt_tokens: tokens of the conversation in its template, before any cut.
    """

    model: ServedModel
    body: ChatBody
    streams: list[EngineStream]
    warnings: list[str]
    tools: Tools
    prompt_tokens: int


def start_chat(state: ServerState, body: ChatBody, tenant: str) -> ChatRun:
    """Give a conversation to the engine; it blocks while the prompt is made, so call it in a thread.

    Args:
        state: state of the server.
        body: the request, of any protocol.
        tenant: tenant whose cached answers the request may get.

    Raises:
        InputError: the request cannot be served.
        UnknownModelError: no model has this name.
        OverloadedError: the queue is full, or the server is stopping.
    """
    warnings = idle_fields(body, strict=state.config.strict)
    model = state.model_of(body)
    if body.retrieval is not None:
        warnings.append(f"retrieval has no effect: {model.name} is not an index")
    if body.top_logprobs and not body.logprobs:
        raise InputError("top_logprobs needs logprobs: true")
    tools = read_tools(body)
    form = form_field(body)
    if tools.demanded and form is not None:
        raise InputError(f"tool_choice demands a call and {form} another form; leave one of them out")
    warnings += tools.warnings
    prompt = chat_prompt(model, body, tools.offered)
    warnings += prompt.warnings
    request = generate_request(
        body,
        prompt.tokens,
        usual=model.usual,
        max_tokens=body.max_completion_tokens or body.max_tokens or remaining(model, prompt.tokens),
        n=check_samples("n", body.n, state.config),
        logprobs=bool(body.logprobs),
        top_logprobs=body.top_logprobs or 0,
    )
    if tools.demanded:
        request = replace(request, constraint=tools.constraint)
    return ChatRun(
        model=model,
        body=body,
        streams=state.submit(model, prompt.ended(request), body, tenant),
        warnings=warnings,
        tools=tools,
        prompt_tokens=len(prompt.tokens),
    )


async def read_choices(state: ServerState, run: ChatRun, request: Request) -> list[ChatChoice]:
    """Wait for all answers, whole; when the client leaves, the engine stops writing.

    Raises:
        HTTPException: 499, the client left.
    """
    completions = await read_all(request, run.streams)
    state.metrics.finished(run.model.name, completions)
    return [choice_of(run.tools, index, one) for index, one in enumerate(completions)]


async def chat_events(state: ServerState, run: ChatRun) -> AsyncIterator[ChatEvent]:
    """Yield the events of the answers as they happen.

    Each answer ends with its `ChoiceEnd`; an early exit cancels the rest.
    """
    ended: dict[int, Completion] = {}
    scanners = [run.tools.scanner() for _ in run.streams]
    async for index, piece in read_pieces(run.streams):
        for event in _events(run.tools, scanners[index], index, piece):
            yield event
        if piece.completion is not None:
            ended[index] = piece.completion
            yield ChoiceEnd(choice=_choice(run.tools, scanners[index], index, piece.completion))
    # The first sample read the prompt, whichever ended first.
    state.metrics.finished(run.model.name, [ended[index] for index in sorted(ended)])


def choice_of(tools: Tools, index: int, completion: Completion) -> ChatChoice:
    """A completion as an answer: its text and its calls apart."""
    scanner = tools.scanner()
    if tools.offered is not None:
        scanner.feed(completion.text)
        scanner.close()
    return _choice(tools, scanner, index, completion)


def _events(tools: Tools, scanner: CallScanner, index: int, piece: Delta) -> Iterator[ChatEvent]:
    """The events of a piece of an answer; the tokens come with the first event, a text."""
    if tools.offered is None:
        if piece.text or piece.tokens:
            yield TextPiece(index=index, text=piece.text, delta=piece)
        return
    found = scanner.feed(piece.text)
    if piece.completion is not None:
        found += scanner.close()
    first = found[0].text if found and isinstance(found[0], FoundText) else ""
    if first or piece.tokens:
        yield TextPiece(index=index, text=first, delta=piece)
    for one in found[1:] if first else found:
        if isinstance(one, FoundText):
            yield TextPiece(index=index, text=one.text, delta=Delta(text=""))
        elif isinstance(one, FoundCall):
            yield CallBegun(index=index, number=one.number, id=one.id, name=one.name)
        else:
            yield CallPiece(index=index, number=one.number, text=one.text)


def _choice(tools: Tools, scanner: CallScanner, index: int, completion: Completion) -> ChatChoice:
    """The choice of a completion; the scanner gives its text and calls where tools are offered."""
    text, calls = (completion.text, ()) if tools.offered is None else (scanner.text, scanner.calls)
    cut = completion.finish_reason is not FinishReason.STOP and not all(call.whole for call in calls)
    reason = "tool_calls" if calls and not cut else completion.finish_reason.value
    own = replace(completion, warnings=(*completion.warnings, *scanner.warnings))
    return ChatChoice(index=index, text=text, calls=calls, finish_reason=reason, completion=own)
