"""Tool calls and the schemas of tools, as chat templates read them: OpenAI's form, arguments as objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lavra.data.labelled.tables import UnusableError, shown

WRITE_CALL = 'write a call as {"name": ..., "arguments": {...}}'
WRITE_TOOLS = 'write tools as [{"type": "function", "function": {"name": ..., "parameters": {...}}}, ...]'


def tool_call(value: Any, number: int) -> dict[str, Any]:
    """A call as `{"type": "function", "function": {"name", "arguments"}}`, with its `id` where it has one.

    Raises:
        UnusableError: it is not JSON, names no function, or its arguments are no object.
    """
    call = _parsed(value, f"the tool call of message {number}", WRITE_CALL)
    outer = call if isinstance(call, Mapping) else {}
    inner = outer.get("function", outer)
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(name, str) or not name:
        raise UnusableError(f"the tool call of message {number}, {shown(value)}, names no function", WRITE_CALL)
    arguments = inner.get("arguments", inner.get("parameters", {}))
    arguments = _parsed(arguments, f"the arguments of {name} in message {number}", WRITE_CALL) if arguments else {}
    if not isinstance(arguments, Mapping):
        raise UnusableError(
            f"the arguments of {name} in message {number} are {shown(arguments)}, not an object", WRITE_CALL
        )
    named = {"id": outer["id"]} if isinstance(outer.get("id"), str) else {}
    return {**named, "type": "function", "function": {"name": name, "arguments": dict(arguments)}}


def tools_of(value: Any) -> tuple[Mapping[str, Any], ...] | None:
    """The schemas of a field, a list or the JSON of one; `None` where there are none.

    Raises:
        UnusableError: it is not a list of objects with names.
    """
    if value is None or value == "":
        return None
    tools = _parsed(value, "the tools", WRITE_TOOLS)
    if not isinstance(tools, list):
        raise UnusableError(f"the tools are {shown(tools)}, not a list", WRITE_TOOLS)
    return tuple(function_schema(tool) for tool in tools) or None


def function_schema(tool: Any) -> dict[str, Any]:
    """A function's schema, its keys in the same order in training and serving: a template may dump it as it is.

    Raises:
        UnusableError: it has no name.
    """
    outer = tool if isinstance(tool, Mapping) and "function" in tool else {"function": tool}
    inner = outer["function"]
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise UnusableError(f"the tool {shown(tool)} has no name", WRITE_TOOLS)
    function = _ordered(inner, ("name", "description", "parameters"))
    return _ordered({"type": "function", **outer, "function": function}, ("type", "function"))


def _ordered(fields: Mapping[str, Any], first: Sequence[str]) -> dict[str, Any]:
    """The fields that are not empty, some of them in front."""
    names = [*(name for name in first if name in fields), *(name for name in fields if name not in first)]
    return {name: fields[name] for name in names if fields[name] is not None}


def _parsed(value: Any, name: str, remedy: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise UnusableError(f"{name}, {shown(value)}, is not JSON: {error}", remedy) from error
