"""`/v1/responses`: created, read again, streamed again from any place, cancelled and deleted."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.server import streaming
from lavra.server.answers import EVENTS
from lavra.server.errors import FieldError
from lavra.server.responses.answers import DeletedResponse, InputItems, InputTokens, ResponseAnswer
from lavra.server.responses.counting import count_input
from lavra.server.responses.creating import create_response
from lavra.server.responses.schemas import CountBody, Item, ResponseBody
from lavra.server.responses.store import KeptResponse, ResponseStore
from lavra.server.search.writing import AnswerPlaces
from lavra.server.server_state import ServerState

ResponseIdentity = Annotated[str, Path(description="id of the response")]


def responses_router(state: ServerState) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["responses"])
    store, places = ResponseStore(state.config), AnswerPlaces(state)
    state.metrics.gauge("lavra_stored_responses", "responses that are kept", lambda: len(store))
    state.metrics.gauge("lavra_stored_response_bytes", "memory that they take", lambda: store.num_bytes)

    @router.post("/responses", include_in_schema=False)  # llama.cpp's
    @router.post("/v1/responses", response_model=ResponseAnswer, responses=EVENTS)
    async def create(body: ResponseBody, request: Request) -> Response:
        """Answer items, as OpenAI's Responses API."""
        made = await create_response(state, places, store, body, request)
        if not body.stream:
            return _sent(made)
        return streaming.streamed(made.log.read(), [] if made.background else [made], failed=_failed)

    @router.post("/v1/responses/input_tokens", response_model=InputTokens)
    async def input_tokens(body: CountBody, request: Request) -> Response:
        """Count the tokens of a request; nothing is written."""
        return JSONResponse(await run_in_threadpool(count_input, state, store, body, request.state.tenant))

    _add_stored(router, store)
    return router


def _add_stored(router: APIRouter, store: ResponseStore) -> None:
    """Add the endpoints of a stored response."""

    @router.get("/v1/responses/{identity}", response_model=ResponseAnswer, responses=EVENTS)
    async def retrieve(
        identity: ResponseIdentity,
        request: Request,
        stream: Annotated[bool, Query(description="send its events; only of a response in the background")] = False,
        starting_after: Annotated[
            int | None, Query(ge=0, lt=2**31, description="send the events behind this `sequence_number`")
        ] = None,
    ) -> Response:
        """A stored response as far as it is written, or its events."""
        kept = store.get(request.state.tenant, identity)
        if not stream:
            if starting_after is not None:
                raise FieldError("starting_after needs stream=true", "starting_after")
            return _sent(kept)
        return _stream_again(kept, starting_after)

    @router.delete("/v1/responses/{identity}", response_model=DeletedResponse)
    async def delete(identity: ResponseIdentity, request: Request) -> Response:
        """Delete a stored response."""
        store.delete(store.get(request.state.tenant, identity))
        return JSONResponse({"id": identity, "object": "response", "deleted": True})

    @router.post("/v1/responses/{identity}/cancel", response_model=ResponseAnswer)
    async def cancel(identity: ResponseIdentity, request: Request) -> Response:
        """End a response that is written in the background."""
        kept = store.get(request.state.tenant, identity)
        if not kept.background:
            raise FieldError(f"{identity} does not run in the background; close its connection instead", "response_id")
        kept.cancel()
        await kept.log.wait()
        return _sent(kept)

    @router.get("/v1/responses/{identity}/input_items", response_model=InputItems)
    async def input_items(
        identity: ResponseIdentity,
        request: Request,
        after: Annotated[str | None, Query(description="id of the last item of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=100, description="most items of a page")] = 20,
        order: Annotated[Literal["asc", "desc"], Query(description="oldest first, or newest first")] = "desc",
    ) -> Response:
        """The items that a stored response continued, page by page."""
        kept = store.get(request.state.tenant, identity)
        items = [json.loads(text) for text in kept.items]
        return JSONResponse(_page(items if order == "asc" else items[::-1], after, limit))


def _sent(kept: KeptResponse) -> Response:
    return Response(kept.answer, media_type="application/json")


def _page(items: list[Item], after: str | None, limit: int) -> dict[str, Any]:
    """A part of a list, as OpenAI's clients turn its pages."""
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise FieldError(f"after is {after!r}, which is not an item of this response", "after", "invalid_value")
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
    body = error["error"]
    return streaming.event({"type": "error", **body, "sequence_number": 0}, "error")
