"""A conversation given to the engine, and its answers read whole or as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

from fastapi import Request

from lavra.base.errors import InputError
from lavra.base.types import Completion, Delta, FinishReason
from lavra.engine import EngineStream
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
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields
from lavra.server.reading import read_all, read_pieces
from lavra.server.schemas import ChatBody
from lavra.server.served import ServedModel


@dataclass(kw_only=True)
class ChatRun:
    """A conversation that the engine continues.

    Attributes:
        model: that writes.
        body: what was asked.
        streams: one for each answer.
        warnings: about the request.
        tools: that may be called.
        prompt_tokens: of the conversation as its template wrote it, before anything was cut.
    """

    model: ServedModel
    body: ChatBody
    streams: list[EngineStream]
    warnings: list[str]
    tools: Tools
    prompt_tokens: int


def start_chat(edge: Edge, body: ChatBody, tenant: str) -> ChatRun:
    """Give a conversation to the engine; it blocks while the prompt is made, so call it in a thread.

    Args:
        edge: the server.
        body: the request, whichever protocol it came in.
        tenant: whose answers it may be given.

    Raises:
        InputError: the request cannot be served.
        UnknownModelError: there is no model of its name.
        OverloadedError: the queue is full, or the server is stopping.
    """
    warnings = idle_fields(body, strict=edge.config.strict)
    model = edge.model_of(body)
    if body.retrieval is not None:
        warnings.append(f"retrieval has no effect: {model.name} is no index")
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
        n=check_samples("n", body.n, edge.config),
        logprobs=bool(body.logprobs),
        top_logprobs=body.top_logprobs or 0,
    )
    if tools.demanded:
        request = replace(request, constraint=tools.constraint)
    return ChatRun(
        model=model,
        body=body,
        streams=edge.submit(model, prompt.ended(request), body, tenant),
        warnings=warnings,
        tools=tools,
        prompt_tokens=len(prompt.tokens),
    )


async def read_choices(edge: Edge, run: ChatRun, request: Request) -> list[ChatChoice]:
    """All answers, whole; nothing more is written once the client left.

    Raises:
        HTTPException: 499, the client left.
    """
    completions = await read_all(request, run.streams)
    edge.metrics.finished(run.model.name, completions)
    return [choice_of(run.tools, index, one) for index, one in enumerate(completions)]


async def chat_events(edge: Edge, run: ChatRun) -> AsyncIterator[ChatEvent]:
    """What happens, as it happens; each answer ends with its `ChoiceEnd`, and leaving early cancels the rest."""
    ended: dict[int, Completion] = {}
    scanners = [run.tools.scanner() for _ in run.streams]
    async for index, piece in read_pieces(run.streams):
        for event in _events(run.tools, scanners[index], index, piece):
            yield event
        if piece.completion is not None:
            ended[index] = piece.completion
            yield ChoiceEnd(choice=_choice(run.tools, scanners[index], index, piece.completion))
    # The first sample read the prompt, whichever ended first.
    edge.metrics.finished(run.model.name, [ended[index] for index in sorted(ended)])


def choice_of(tools: Tools, index: int, completion: Completion) -> ChatChoice:
    """A completion as an answer: its text and its calls apart."""
    scanner = tools.scanner()
    if tools.offered is not None:
        scanner.feed(completion.text)
        scanner.close()
    return _choice(tools, scanner, index, completion)


def _events(tools: Tools, scanner: CallScanner, index: int, piece: Delta) -> Iterator[ChatEvent]:
    """What a piece of an answer brought; the tokens come with the first of its events, a text."""
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
    """An answer whose text was scanned, if tools are offered."""
    text, calls = (completion.text, ()) if tools.offered is None else (scanner.text, scanner.calls)
    cut = completion.finish_reason is not FinishReason.STOP and not all(call.whole for call in calls)
    reason = "tool_calls" if calls and not cut else completion.finish_reason.value
    told = replace(completion, warnings=(*completion.warnings, *scanner.warnings))
    return ChatChoice(index=index, text=text, calls=calls, finish_reason=reason, completion=told)
