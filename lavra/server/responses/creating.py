"""`POST /v1/responses`: a request becomes a conversation, a model or an index answers it, the store keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from lavra.base.errors import InputError
from lavra.server.conversation.plain_text import start_text
from lavra.server.conversation.run import start_chat
from lavra.server.errors import FieldError
from lavra.server.responses.answering import AnswerSource, IndexAnswering, ModelAnswering
from lavra.server.responses.asking import chat_body, check_fields, own_error, raw_text
from lavra.server.responses.items import read_items
from lavra.server.responses.objects import ResponseHead, new_response_id
from lavra.server.responses.running import RunningResponse
from lavra.server.responses.schemas import Item, ResponseBody
from lavra.server.responses.store import KeptResponse, ResponseStore, as_json
from lavra.server.responses.truncating import without_oldest
from lavra.server.responses.writing import ResponseWriter
from lavra.server.search.chat import ask_index
from lavra.server.search.writing import AnswerPlaces
from lavra.server.server_state import ServerState


async def create_response(
    state: ServerState, places: AnswerPlaces, store: ResponseStore, body: ResponseBody, request: Request
) -> KeptResponse:
    """Create a response: it is whole where the request neither streams nor runs in the background, else it has begun.

    Raises:
        InputError: the request cannot be served.
        UnknownModelError: no model has this name.
        OverloadedError: the queue or the store is full, or the server is stopping.
        HTTPException: 499, the client left before the answer was whole.
    """
    tenant, warnings = request.state.tenant, check_fields(body, strict=state.config.strict)
    keeps = store.keeps and body.store is not False
    if body.background and not keeps:
        raise FieldError(
            "background: such a response is kept until it is asked for; leave store out, and serve with "
            "stored_responses over 0",
            "background",
        )
    if body.store and not keeps:
        warnings.append("store has no effect: this server keeps no responses")
    items, unread = read_items(body.input, lambda: store.items(tenant))
    conversation = [*conversation_before(store, tenant, body), *items]
    answering = await _answering(state, places, body, conversation, request)
    head = ResponseHead(
        id=new_response_id(),
        body=body,
        model=answering.model,
        temperature=answering.temperature,
        top_p=answering.top_p,
        kept=keeps,
        warnings=(*warnings, *unread, *answering.warnings),
    )
    record = KeptResponse(
        id=head.id,
        tenant=tenant,
        background=bool(body.background),
        items=tuple(as_json(item) for item in conversation),
    )
    writer = ResponseWriter(head, answering.tokenizer)
    waits = not body.background and not body.stream
    running = RunningResponse(answering, writer, record, store if keeps else None, silent=waits)
    running.start()
    if waits:
        await running.wait(request)
    return record


async def _answering(
    state: ServerState, places: AnswerPlaces, body: ResponseBody, conversation: Sequence[Item], request: Request
) -> AnswerSource:
    """Begin the answer; return its source."""
    index = state.models.answering_index(body.model)
    try:
        if index is not None:
            if body.raw:
                raise FieldError(f"raw: {index.name} is an index, which continues no text; leave raw out", "raw")
            return IndexAnswering(state, await ask_index(state, places, index, chat_body(body, conversation), request))
        return await run_in_threadpool(_model_answering, state, body, conversation, request.state.tenant)
    except InputError as error:
        raise own_error(error) from error


def _model_answering(state: ServerState, body: ResponseBody, conversation: Sequence[Item], tenant: str) -> AnswerSource:
    if body.raw:
        text = raw_text(body, conversation)
        return ModelAnswering(state, start_text(state, chat_body(body, conversation), text, tenant))
    if body.truncation != "auto":
        return ModelAnswering(state, start_chat(state, chat_body(body, conversation), tenant))
    model = state.models.named(body.model)
    chat, warnings = without_oldest(model, conversation, lambda items: chat_body(body, items))
    return ModelAnswering(state, start_chat(state, chat, tenant), warnings)


def conversation_before(store: ResponseStore, tenant: str, body: ResponseBody) -> Iterator[Item]:
    """The conversation that a response continues.

    Raises:
        FieldError: there is no such response, or it is still being written.
    """
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
