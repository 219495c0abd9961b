"""`/v1/responses`: created, read again, streamed again from any place, cancelled and deleted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.errors import InputError
from lavra.server import streaming
from lavra.server.conversation.requests import sampling_of
from lavra.server.conversation.run import ChatRun, chat_events, read_choices, start_chat
from lavra.server.edge import Edge
from lavra.server.errors import FieldError
from lavra.server.responses.asking import chat_body, check_fields, in_own_words, wants_logprobs
from lavra.server.responses.items import read_items
from lavra.server.responses.objects import ResponseHead, new_response_id
from lavra.server.responses.running import RunningResponse, RunningTasks
from lavra.server.responses.schemas import Item, ResponseBody
from lavra.server.responses.store import KeptResponse, ResponseStore, as_json
from lavra.server.responses.writing import Event, ResponseWriter


def responses_router(edge: Edge) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["responses"])
    store, tasks = ResponseStore(edge.config), RunningTasks()

    @router.post("/v1/responses")
    async def create(body: ResponseBody, request: Request) -> Response:
        return await _create(edge, store, tasks, body, request)

    @router.get("/v1/responses/{identity}")
    async def retrieve(
        identity: str,
        request: Request,
        stream: bool = False,
        starting_after: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
    ) -> Response:
        kept = store.get(request.state.tenant, identity)
        if not stream:
            if starting_after is not None:
                raise FieldError("starting_after needs stream=true", "starting_after")
            return _sent(kept)
        return _stream_again(kept, starting_after)

    @router.delete("/v1/responses/{identity}")
    async def delete(identity: str, request: Request) -> Response:
        store.delete(store.get(request.state.tenant, identity))
        return JSONResponse({"id": identity, "object": "response", "deleted": True})

    @router.post("/v1/responses/{identity}/cancel")
    async def cancel(identity: str, request: Request) -> Response:
        kept = store.get(request.state.tenant, identity)
        if not kept.background:
            raise FieldError(f"{identity} does not run in the background; close its connection instead", "response_id")
        kept.cancel()
        await kept.log.wait()
        return _sent(kept)

    @router.get("/v1/responses/{identity}/input_items")
    async def input_items(
        identity: str,
        request: Request,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> Response:
        kept = store.get(request.state.tenant, identity)
        items = [json.loads(text) for text in kept.items]
        return JSONResponse(_page(items if order == "asc" else items[::-1], after, limit))

    return router


def _sent(kept: KeptResponse) -> Response:
    return Response(kept.answer, media_type="application/json")


def _page(items: list[Item], after: str | None, limit: int) -> dict[str, Any]:
    """A part of a list, as OpenAI's clients turn its pages."""
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise FieldError(f"after is {after!r}, which is no item of this response", "after", "invalid_value")
    begin = 0 if after is None else ids.index(after) + 1
    shown = items[begin : begin + limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": begin + limit < len(items),
    }


def _stream_again(kept: KeptResponse, starting_after: int | None) -> Response:
    if not kept.background:
        raise FieldError(
            f"{kept.id} was not created with background: true, and its events are not kept; leave stream out", "stream"
        )
    after = -1 if starting_after is None else starting_after
    if after >= len(kept.log):
        raise FieldError(
            f"starting_after is {after}, and the last event so far is {len(kept.log) - 1}", "starting_after"
        )
    return streaming.streamed(kept.log.read(after), [], failed=_failed)


def _failed(_: int, error: dict[str, Any]) -> str:
    """The end of a stream that cannot be sent any further."""
    told = error["error"]
    return streaming.event({"type": "error", **told, "sequence_number": 0}, "error")


async def _create(
    edge: Edge, store: ResponseStore, tasks: RunningTasks, body: ResponseBody, request: Request
) -> Response:
    tenant, warnings = request.state.tenant, check_fields(body, strict=edge.config.strict)
    keeps = store.keeps and body.store is not False
    if body.background and not keeps:
        raise FieldError(
            "background: the response must be kept; leave store out, or serve with room for it", "background"
        )
    if body.store and not keeps:
        warnings.append("store has no effect: this server keeps no responses")
    items, unread = read_items(body.input, lambda: store.items(tenant))
    conversation = [*_before(store, tenant, body), *items]
    try:
        run = await run_in_threadpool(lambda: start_chat(edge, chat_body(body, conversation), tenant))
    except InputError as error:
        raise in_own_words(error) from error
    head = _head(body, run, conversation, kept=keeps, warnings=[*warnings, *unread])
    record = KeptResponse(
        id=head.id,
        tenant=tenant,
        background=bool(body.background),
        items=tuple(as_json(item) for item in conversation),
        streams=run.streams,
    )
    writer = ResponseWriter(head, run.model.tokenizer)
    running = RunningResponse(writer, record, store if keeps else None)
    if not body.background and not body.stream:
        (choice,) = await read_choices(edge, run, request)
        running.whole(choice, logprobs=wants_logprobs(body))
        return _sent(record)
    try:
        running.begin()
    except BaseException:
        record.cancel()
        raise
    tasks.start(running, _events(edge, run, writer))
    if not body.stream:
        return _sent(record)
    return streaming.streamed(record.log.read(), [] if body.background else run.streams, failed=_failed)


async def _events(edge: Edge, run: ChatRun, writer: ResponseWriter) -> AsyncIterator[Event]:
    async for happened in chat_events(edge, run):
        for one in writer.take(happened):
            yield one


def _before(store: ResponseStore, tenant: str, body: ResponseBody) -> Iterator[Item]:
    """The conversation that a response continues."""
    identity = body.previous_response_id
    if identity is None:
        return
    found = store.find(tenant, identity)
    if found is None:
        raise FieldError(store.missing(identity), "previous_response_id", "previous_response_not_found")
    if not found.log.ended:
        raise FieldError(
            f"previous_response_id: {identity} is still being written; wait for its end, or cancel it",
            "previous_response_id",
            "previous_response_not_finished",
        )
    yield from found.conversation()


def _head(
    body: ResponseBody, run: ChatRun, conversation: list[Item], *, kept: bool, warnings: list[str]
) -> ResponseHead:
    sampling = sampling_of(body, run.model.usual)
    return ResponseHead(
        id=new_response_id(),
        body=body,
        items=tuple(conversation),
        model=run.model.name,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        kept=kept,
        warnings=(*warnings, *run.warnings),
    )
