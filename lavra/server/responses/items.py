"""Items of a conversation: read as clients write them, kept in one form, and turned into a chat's messages."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from lavra.server.errors import FieldError
from lavra.server.responses.schemas import Item

_SPOKEN: Final = ("user", "system", "developer")
_TEXT_PARTS: Final = ("input_text", "output_text", "text")
_KNOWN: Final = ("message", "function_call", "function_call_output", "item_reference")


def new_item_id(prefix: str) -> str:
    """Unique, with the prefix that OpenAI's items of a kind have."""
    return f"{prefix}_{uuid.uuid4().hex}"


def read_items(given: str | Sequence[Item], kept: Callable[[], Mapping[str, str]]) -> tuple[list[Item], list[str]]:
    """Turn a request's `input` into whole items with ids; return them with warnings.

    Args:
        given: a text, or items as the client wrote them.
        kept: returns the kept items that the request may refer to, as JSON by their ids.

    Raises:
        FieldError: an item is of no known kind, or lacks a field that its kind needs.
    """
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    items, warnings = [], []
    for number, item in enumerate(given):
        place = f"input[{number}]"
        kind = item.get("type", "message" if "role" in item else None)
        if kind == "reasoning":
            warnings.append(f"{place} has no effect: reasoning is not read here")
        elif kind == "message":
            items.append(_message(item, place))
        elif kind == "function_call":
            items.append(_function_call(item, place))
        elif kind == "function_call_output":
            items.append(_function_call_output(item, place))
        elif kind == "item_reference" or (kind is None and set(item) == {"id"}):
            items.append(_referred(item, place, kept()))
        else:
            known = ", ".join(_KNOWN)
            raise FieldError(f"{place} is of type {kind!r}; items here are {known}", f"{place}.type", "invalid_value")
    return items, warnings


def _message(item: Item, place: str) -> Item:
    role = item.get("role")
    if role != "assistant" and role not in _SPOKEN:
        raise FieldError(
            f"{place}.role is {role!r}; give user, assistant, system or developer", f"{place}.role", "invalid_value"
        )
    text = _text(item.get("content"), f"{place}.content")
    if role == "assistant":
        return {**message_item(_own_id(item, "msg", place), text), "status": "completed"}
    content = [{"type": "input_text", "text": text}]
    return {
        "id": _own_id(item, "msg", place), "type": "message", "status": "completed", "role": role, "content": content,
    }  # fmt: skip


def message_item(identity: str, text: str) -> Item:
    """A message of the model's, whole."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": identity, "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def _function_call(item: Item, place: str) -> Item:
    return {
        "id": _own_id(item, "fc", place),
        "type": "function_call",
        "status": "completed",
        "call_id": _string(item, "call_id", place),
        "name": _string(item, "name", place),
        "arguments": _string(item, "arguments", place),
    }


def _function_call_output(item: Item, place: str) -> Item:
    return {
        "id": _own_id(item, "fco", place),
        "type": "function_call_output",
        "status": "completed",
        "call_id": _string(item, "call_id", place),
        "output": _text(item.get("output"), f"{place}.output"),
    }


def _referred(item: Item, place: str, kept: Mapping[str, str]) -> Item:
    identity = _string(item, "id", place)
    if identity not in kept:
        raise FieldError(
            f"{place}.id is {identity!r}, and no item of that id is kept here for your key; send the item itself",
            f"{place}.id",
            "item_not_found",
        )
    return dict(json.loads(kept[identity]))


def _own_id(item: Item, prefix: str, place: str) -> str:
    return new_item_id(prefix) if item.get("id") is None else _string(item, "id", place)


def _string(item: Item, name: str, place: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise FieldError(f"{place}.{name} is {value!r}; give a text", f"{place}.{name}", "invalid_type")
    return value


def _text(content: object, place: str) -> str:
    """Content as one text.

    Raises:
        FieldError: a part is not text: this server does not read images, sounds and files.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise FieldError(f"{place} is {content!r}; give a text, or a list of parts", place, "invalid_type")
    return "\n".join(_part(part, f"{place}[{number}]") for number, part in enumerate(content))


def _part(part: object, place: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "refusal":
        kind, name = "input_text", "refusal"
    else:
        name = "text"
    if not isinstance(part, dict) or kind not in _TEXT_PARTS:
        raise FieldError(f"{place} is of type {kind!r}; only text is understood here", f"{place}.type", "invalid_value")
    value = part.get(name)
    if not isinstance(value, str):
        raise FieldError(f"{place}.{name} is {value!r}; give a text", f"{place}.{name}", "invalid_type")
    return value


def messages_of(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Items as the messages of a chat.

    Calls belong to the message of the assistant before them, as templates want it.
    """
    messages: list[dict[str, Any]] = []
    for item in items:
        if item["type"] == "function_call":
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": ""})
            messages[-1].setdefault("tool_calls", []).append(_call(item))
        elif item["type"] == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
        else:
            messages.append({"role": item["role"], "content": item_text(item)})
    return messages


def item_text(item: Mapping[str, Any]) -> str:
    """The text of a message."""
    return "".join(part["text"] for part in item["content"])


def _call(item: Item) -> dict[str, Any]:
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"id": item["call_id"], "type": "function", "function": function}
