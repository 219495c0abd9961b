"""Functions a model may call: offered through its chat template, read out of what it writes.

Where a call is demanded (`tool_choice` required, or a function by name) the answer is held to a JSON schema made of the
functions' own, so that it is one whatever the model.  Where it is the model's choice, a call is recognised in the form
most open models were taught, `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, or as such an object alone;
anything else is text.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lavra.base.errors import InputError, nearest
from lavra.base.types import Constraint, ConstraintKind
from lavra.data.labelled.tool_calls import function_schema
from lavra.server.conversation.events import ToolCall
from lavra.server.schemas import ChatBody, Tool

_TAGGED: Final = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What one request offers.

    Attributes:
        offered: the functions as the template reads them; `None` when there are none.
        schemas: of the arguments, by name.
        demanded: names of which one must be called; empty when it is the model's choice.
    """

    offered: list[dict[str, Any]] | None
    schemas: Mapping[str, dict[str, Any]]
    demanded: tuple[str, ...] = ()

    @property
    def constraint(self) -> Constraint | None:
        """What a demanded call must match."""
        if not self.demanded:
            return None
        calls = [
            {
                "type": "object",
                "properties": {"name": {"const": name}, "arguments": self.schemas[name]},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for name in self.demanded
        ]
        return Constraint(ConstraintKind.JSON_SCHEMA, json.dumps({"anyOf": calls}))


def read_tools(body: ChatBody) -> Tools:
    """The functions of a request, and whether one must be called.

    Raises:
        InputError: `tool_choice` names a function that is not offered, or two have one name.
    """
    if not body.tools or body.tool_choice == "none":
        if body.tools is None and body.tool_choice not in (None, "none", "auto"):
            raise InputError("tool_choice asks for a call and there are no tools; give some")
        return Tools(offered=None, schemas={})
    schemas: dict[str, dict[str, Any]] = {}
    for tool in body.tools:
        if tool.function.name in schemas:
            raise InputError(f"two tools are called {tool.function.name!r}; give one of them another name")
        schemas[tool.function.name] = tool.function.parameters or {"type": "object", "properties": {}}
    return Tools(offered=offered_tools(body.tools), schemas=schemas, demanded=_demanded(body, schemas))


def offered_tools(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Functions as templates read them, and as training shows them."""
    return [function_schema(tool.model_dump()) for tool in tools]


def _demanded(body: ChatBody, schemas: Mapping[str, Any]) -> tuple[str, ...]:
    choice = body.tool_choice
    if choice in (None, "auto"):
        return ()
    if choice == "required":
        return tuple(schemas)
    assert isinstance(choice, dict)
    name = (choice.get("function") or {}).get("name") if isinstance(choice.get("function"), dict) else None
    if not isinstance(name, str) or name not in schemas:
        raise InputError(f"tool_choice names {name!r}, which is not offered{nearest(str(name), schemas)}")
    return (name,)


def find_calls(text: str, tools: Tools) -> tuple[str, list[ToolCall]]:
    """The text without its calls, and the calls."""
    if tools.offered is None:
        return text, []
    calls: list[ToolCall] = []

    def taken_out(match: re.Match[str]) -> str:
        call = _call(match[1], tools)
        if call is None:  # of a function nobody offered: it is text, and stays
            return match[0]
        calls.append(call)
        return ""

    rest = _TAGGED.sub(taken_out, text)
    if calls:
        return rest.strip(), calls
    alone = _call(text.strip(), tools)
    return (text, []) if alone is None else ("", [alone])


def _call(text: str, tools: Tools) -> ToolCall | None:
    """A call, if that is what the text is: an object with the name of an offered function and its arguments."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("name") not in tools.schemas:
        return None
    arguments = value.get("arguments", value.get("parameters"))
    if not isinstance(arguments, dict):
        return None
    return ToolCall(
        id=f"call_{uuid.uuid4().hex[:24]}", name=value["name"], arguments=json.dumps(arguments, ensure_ascii=False)
    )
