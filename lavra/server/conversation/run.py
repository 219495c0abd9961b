"""A conversation given to the engine, and its answers read whole or as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from fastapi import Request

from lavra.base.errors import InputError
from lavra.base.types import Completion
from lavra.engine import EngineStream
from lavra.server.conversation.events import (
    CallBegun,
    CallPiece,
    ChatChoice,
    ChatEvent,
    ChoiceEnd,
    TextPiece,
)
from lavra.server.conversation.requests import check_samples, generate_request, plain_messages, remaining
from lavra.server.conversation.tool_calls import Tools, find_calls, read_tools
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields
from lavra.server.reading import read_all, read_pieces
from lavra.server.schemas import ChatBody
from lavra.server.served import ServedModel
from lavra.tokens.conversation import rendered_ids


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
    if tools.demanded and body.response_format is not None and body.response_format.type != "text":
        raise InputError("tool_choice demands a call and response_format another form; leave one of them out")
    text = model.chat_prompt(plain_messages(body.messages), tools.offered, body.chat_template_kwargs)
    prompt = tuple(rendered_ids(model.tokenizer, text))
    request = generate_request(
        body,
        prompt,
        usual=model.usual,
        max_tokens=body.max_completion_tokens or body.max_tokens or remaining(model, prompt),
        n=check_samples("n", body.n, edge.config),
        logprobs=bool(body.logprobs),
        top_logprobs=body.top_logprobs or 0,
    )
    if tools.demanded:
        request = replace(request, constraint=tools.constraint)
    streams = edge.submit(model, request, body, tenant)
    return ChatRun(model=model, body=body, streams=streams, warnings=warnings, tools=tools, prompt_tokens=len(prompt))


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
    async for index, piece in read_pieces(run.streams):
        if piece.text or piece.tokens:
            yield TextPiece(index=index, text=piece.text if run.tools.offered is None else "", delta=piece)
        if piece.completion is None:
            continue
        ended[index] = piece.completion
        choice = choice_of(run.tools, index, piece.completion)
        if run.tools.offered is not None and choice.text:
            yield TextPiece(index=index, text=choice.text, delta=replace(piece, tokens=()))
        for number, call in enumerate(choice.calls):
            yield CallBegun(index=index, number=number, id=call.id, name=call.name)
            yield CallPiece(index=index, number=number, text=call.arguments)
        yield ChoiceEnd(choice=choice)
    # The first sample read the prompt, whichever ended first.
    edge.metrics.finished(run.model.name, [ended[index] for index in sorted(ended)])


def choice_of(tools: Tools, index: int, completion: Completion) -> ChatChoice:
    """A completion as an answer: its text and its calls apart."""
    text, calls = find_calls(completion.text, tools)
    reason = "tool_calls" if calls else completion.finish_reason.value
    return ChatChoice(index=index, text=text, calls=tuple(calls), finish_reason=reason, completion=completion)
