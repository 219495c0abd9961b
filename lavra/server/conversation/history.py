"""Calls of functions in the messages of a conversation, as chat templates read them: arguments are objects.

A model may write calls whose arguments are not an object: their arguments stay text, and the answer of the function
names the fault.
`function_call` and the role `function` are the older forms of `tool_calls` and the role `tool`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lavra.base.errors import InputError
from lavra.data.labelled.tables import UnusableError
from lavra.data.labelled.tool_calls import WRITE_CALL, tool_call
from lavra.server.conversation.json_text import MOST_DEPTH


def with_calls(message: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Convert the calls of a message to the form that templates know.

    Args:
        message: fields of the message; no value is `None`.
        number: number of the message, from 1.

    Raises:
        InputError: a call is malformed.
    """
    older = message.get("function_call")
    fields = {name: value for name, value in message.items() if name != "function_call"}
    if fields.get("role") == "function":
        fields["role"] = "tool"
    calls = fields.get("tool_calls") or ([] if older is None else [older])
    if not isinstance(calls, list):
        raise InputError(f"tool_calls of message {number} is not a list; {WRITE_CALL}")
    return {**fields, "tool_calls": [_call(call, number) for call in calls]} if calls else fields


def _call(call: Any, number: int) -> dict[str, Any]:
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    text = inner.get("arguments") if isinstance(inner, Mapping) else None
    broken = isinstance(text, str) and bool(text.strip()) and not _is_object(text)
    try:
        if not broken:
            return tool_call(call, number)
        assert isinstance(inner, Mapping)
        empty = {**inner, "arguments": {}}
        found = tool_call({**call, "function": empty} if "function" in call else empty, number)
    except UnusableError as error:
        raise InputError(f"{error.what}; {error.remedy}") from error
    return {**found, "function": {**found["function"], "arguments": text}}


def _is_object(text: str) -> bool:
    """Whether a text is an object of a depth that templates write."""
    try:
        return isinstance(found := json.loads(text), dict) and _depth(found) <= MOST_DEPTH
    except (ValueError, RecursionError):
        return False


def _depth(value: Any) -> int:
    """The nesting depth of lists and objects; it counts level by level, because recursion would overflow the stack."""
    level, depth = [value], 0
    while level := [one for one in level if isinstance(one, list | dict)]:
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
        depth += 1
    return depth
