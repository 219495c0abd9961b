"""`POST /v1/responses/input_tokens`: the number of tokens that a request would read, without an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lavra.base.errors import InputError
from lavra.server.conversation.prompt import chat_prompt
from lavra.server.conversation.tool_calls import read_tools
from lavra.server.responses.asking import chat_body, check_fields, own_error, raw_text
from lavra.server.responses.creating import conversation_before
from lavra.server.responses.items import read_items
from lavra.server.responses.schemas import CountBody, Item, ResponseBody
from lavra.server.responses.store import ResponseStore
from lavra.server.served import ServedModel
from lavra.server.server_state import ServerState


def count_input(state: ServerState, store: ResponseStore, body: CountBody, tenant: str) -> dict[str, Any]:
    """OpenAI's object with the tokens of a request's conversation.

    Raises:
        InputError: the request could not be served.
        UnknownModelError: no model has this name.
    """
    warnings = check_fields(body, strict=state.config.strict)
    items, unread = read_items(body.input, lambda: store.items(tenant))
    model = state.models.named(body.model)
    conversation = [*conversation_before(store, tenant, body), *items]
    if not conversation and not body.instructions:  # a template cannot write an empty conversation
        return {"object": "response.input_tokens", "input_tokens": 0, "warnings": [*warnings, *unread]}
    try:
        count, notes = _counted(model, body, conversation)
    except InputError as error:
        raise own_error(error) from error
    return {"object": "response.input_tokens", "input_tokens": count, "warnings": [*warnings, *unread, *notes]}


def _counted(model: ServedModel, body: ResponseBody, conversation: Sequence[Item]) -> tuple[int, tuple[str, ...]]:
    """Tokens of a conversation, or of a text that is continued as it stands, and warnings."""
    if body.raw:
        return len(model.writer().encoding.prompt_ids(raw_text(body, conversation))), ()
    chat = chat_body(body, conversation)
    prompt = chat_prompt(model, chat, read_tools(chat).offered)
    return len(prompt.tokens), prompt.warnings
