"""`POST /v1/messages` and `POST /v1/messages/count_tokens`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.types import Usage
from lavra.server import streaming
from lavra.server.answers import EVENTS
from lavra.server.anthropic import objects
from lavra.server.anthropic.answers import MessageAnswer, TokenCount
from lavra.server.anthropic.requests import chat_body
from lavra.server.anthropic.schemas import CountTokensBody, MessagesBody
from lavra.server.conversation.events import CallBegun, CallPiece, ChatChoice, ChatEvent, ChoiceEnd, TextPiece
from lavra.server.conversation.prompt import chat_prompt
from lavra.server.conversation.run import ChatRun, chat_events, read_choices, start_chat
from lavra.server.conversation.tool_calls import read_tools
from lavra.server.openai.objects import all_warnings
from lavra.server.server_state import ServerState


@dataclass(kw_only=True)
class _Answering:
    """A message on its way."""

    run: ChatRun
    identity: str = field(default_factory=objects.new_message_id)


def messages_router(state: ServerState) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["messages"])

    @router.post("/v1/messages", response_model=MessageAnswer, responses=EVENTS)
    async def messages(body: MessagesBody, request: Request) -> Response:
        """Answer a conversation, as Anthropic's Messages API."""
        answering = await run_in_threadpool(_start, state, body, request.state.tenant)
        run = answering.run
        if body.stream:
            return streaming.streamed(_events(state, answering), run.streams, failed=objects.failed)
        (choice,) = await read_choices(state, run, request)
        return JSONResponse(_whole(answering, choice), headers={"request-id": request.state.id})

    @router.post("/v1/messages/count_tokens", response_model=TokenCount)
    async def count_tokens(body: CountTokensBody) -> Response:
        """Count the tokens of a request; nothing is written."""
        return JSONResponse(await run_in_threadpool(_count, state, body))

    return router


def _start(state: ServerState, body: MessagesBody, tenant: str) -> _Answering:
    chat, warnings = chat_body(body, strict=state.config.strict)
    run = start_chat(state, chat, tenant)
    run.warnings[:0] = warnings
    return _Answering(run=run)


def _count(state: ServerState, body: CountTokensBody) -> dict[str, Any]:
    chat, warnings = chat_body(body, strict=state.config.strict)
    model = state.models.named(body.model)
    prompt = chat_prompt(model, chat, read_tools(chat).offered)
    return {"input_tokens": len(prompt.tokens), "warnings": [*warnings, *prompt.warnings]}


def _whole(answering: _Answering, choice: ChatChoice) -> dict[str, Any]:
    run, done = answering.run, choice.completion
    message = objects.message_object(
        answering.identity,
        run.model.name,
        objects.content_of(choice),
        objects.usage_of(done.usage),
        all_warnings(run.warnings, [done]),
    )
    return message | objects.ending_of(run, choice)


async def _events(state: ServerState, answering: _Answering) -> AsyncIterator[str]:
    """The stream: the message's head, its blocks in order, and its end."""
    run = answering.run
    begun = objects.usage_of(Usage(prompt_tokens=run.prompt_tokens))
    message = objects.message_object(answering.identity, run.model.name, [], begun, run.warnings)
    yield _event("message_start", message=message)
    yield _event("ping")
    blocks = _Blocks()
    async for one in chat_events(state, run):
        for text in blocks.take(one):
            yield text
        if isinstance(one, ChoiceEnd):
            done = one.choice.completion
            yield _event(
                "message_delta",
                delta=objects.ending_of(run, one.choice),
                usage=objects.usage_of(done.usage),
                warnings=all_warnings(run.warnings, [done]),
            )
    yield _event("message_stop")


class _Blocks:
    """The writer of a message's blocks: each begins, grows and ends before the next block begins."""

    def __init__(self) -> None:
        self._index = -1  # number of the latest block
        self._open: str | None = None  # its type, while it may grow

    def take(self, event: ChatEvent) -> list[str]:
        """The protocol's events for an event of the conversation."""
        if isinstance(event, TextPiece):
            begun = self._begin(objects.text_block("")) if event.text and self._open != "text" else []
            return [*begun, self._delta("text_delta", text=event.text)] if event.text else []
        if isinstance(event, CallBegun):
            return self._begin(objects.call_block(event.id, event.name))
        if isinstance(event, CallPiece):
            return [self._delta("input_json_delta", partial_json=event.text)]
        begun = self._begin(objects.text_block("")) if self._index < 0 else []
        return [*begun, *self._end()]

    def _begin(self, block: dict[str, Any]) -> list[str]:
        ended = self._end()
        self._index, self._open = self._index + 1, block["type"]
        return [*ended, _event("content_block_start", index=self._index, content_block=block)]

    def _delta(self, kind: str, **grown: str) -> str:
        return _event("content_block_delta", index=self._index, delta={"type": kind, **grown})

    def _end(self) -> list[str]:
        if self._open is None:
            return []
        self._open = None
        return [_event("content_block_stop", index=self._index)]


def _event(kind: str, **data: Any) -> str:
    return streaming.event({"type": kind, **data}, kind)
