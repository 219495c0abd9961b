"""Functions that a model may call: offered through its chat template, read from its output.

Where the request demands a call (`tool_choice` required, or a function by name), a JSON schema made from the functions'
schemas constrains the answer, so every model writes a call.
Where the model chooses, `call_scanner` finds calls in its text; the rest is text.

Source: https://platform.openai.com/docs/api-reference/chat/create (`tools`, `tool_choice`, `functions`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lavra.base.errors import InputError, nearest
from lavra.base.types import Constraint, ConstraintKind
from lavra.data.labelled.tool_calls import function_schema
from lavra.server.conversation.argument_schemas import call_schema, closed, parameters_of
from lavra.server.conversation.call_scanner import CallScanner
from lavra.server.schemas import ChatBody, Tool

_WRITE_CHOICE: Final = (
    'write "none", "auto", "required", {"type": "function", "function": {"name": …}} or {"type": "allowed_tools", '
    '"allowed_tools": {"mode": "auto", "tools": […]}}'
)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The tools of a request.

    Attributes:
        offered: functions as the template reads them; `None` when there are none.
        schemas: schemas of the arguments, by name of the function.
        demanded: names of functions, one of which must be called; empty where the model chooses.
        single: whether at most one call is allowed.
        warnings: warnings about the request.
    """

    offered: list[dict[str, Any]] | None
    schemas: Mapping[str, dict[str, Any]]
    demanded: tuple[str, ...] = ()
    single: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def constraint(self) -> Constraint | None:
        """The constraint of a demanded call; None where no call is demanded."""
        if not self.demanded:
            return None
        wanted = call_schema({name: self.schemas[name] for name in self.demanded})
        return Constraint(ConstraintKind.JSON_SCHEMA, json.dumps(wanted))

    def scanner(self) -> CallScanner:
        """The scanner of an answer's calls."""
        return CallScanner(self.schemas, single=self.single)


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """The choice of functions, and whether a call is demanded."""

    names: tuple[str, ...]
    demanded: bool


def read_tools(body: ChatBody) -> Tools:
    """The functions of a request, and whether one must be called.

    Raises:
        InputError: `tool_choice` names a function that is not offered, or two have one name.
    """
    tools, field, wanted = _given(body)
    by_name: dict[str, Tool] = {}
    for tool in tools:
        if tool.function.name in by_name:
            raise InputError(f"two tools are called {tool.function.name!r}; give one of them another name")
        by_name[tool.function.name] = tool
    if not by_name:
        if wanted not in (None, "none", "auto"):
            raise InputError(f"{field} asks for a call and there are no tools; give some")
        return Tools(offered=None, schemas={})
    if wanted == "none":
        return Tools(offered=None, schemas={})
    choice = _choice(field, wanted, tuple(by_name))
    usable = [by_name[name] for name in choice.names]
    schemas, warnings = _schemas(usable, demanded=choice.demanded)
    return Tools(
        offered=offered_tools(usable),
        schemas=schemas,
        demanded=choice.names if choice.demanded else (),
        single=body.functions is not None or body.parallel_tool_calls is False,
        warnings=tuple(warnings),
    )


def offered_tools(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Functions as templates read them, and as training shows them."""
    return [function_schema(tool.model_dump()) for tool in tools]


def _given(body: ChatBody) -> tuple[list[Tool], str, Any]:
    """The tools, the name of the field that chooses among them, and its value; reads the older `functions` too."""
    if body.functions is None and body.function_call is None:
        return body.tools or [], "tool_choice", body.tool_choice
    if body.tools or body.tool_choice is not None:
        raise InputError("functions and function_call are the older form of tools and tool_choice; give one form only")
    tools = [Tool(type="function", function=one) for one in body.functions or ()]
    wanted = body.function_call
    return tools, "function_call", wanted if wanted is None or isinstance(wanted, str) else {"function": wanted}


def _choice(field: str, wanted: Any, offered: tuple[str, ...]) -> _Choice:
    if wanted in (None, "auto"):
        return _Choice(names=offered, demanded=False)
    if wanted == "required":
        return _Choice(names=offered, demanded=True)
    if isinstance(wanted, Mapping) and wanted.get("type") == "allowed_tools":
        return _allowed(wanted, offered)
    return _Choice(names=(_checked_name(field, wanted, offered),), demanded=True)


def _allowed(wanted: Mapping[str, Any], offered: tuple[str, ...]) -> _Choice:
    """Some of the functions; the others are neither shown nor called."""
    inner = wanted.get("allowed_tools", wanted)
    mode, tools = (inner.get("mode"), inner.get("tools")) if isinstance(inner, Mapping) else (None, None)
    if mode not in ("auto", "required") or not isinstance(tools, list) or not tools:
        raise InputError(f"tool_choice of type allowed_tools is malformed; {_WRITE_CHOICE}")
    names = [_checked_name("tool_choice", tool, offered) for tool in tools]
    return _Choice(names=tuple(dict.fromkeys(names)), demanded=mode == "required")


def _checked_name(field: str, wanted: Any, offered: Iterable[str]) -> str:
    """The function that a choice names."""
    inner = wanted.get("function", wanted) if isinstance(wanted, Mapping) else None
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(name, str):
        raise InputError(f"{field} names no function; {_WRITE_CHOICE}")
    if name not in offered:
        raise InputError(f"{field} names {name!r}, which is not offered{nearest(name, offered)}")
    return name


def _schemas(tools: Sequence[Tool], *, demanded: bool) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The enforced schemas of arguments by name, and warnings about changes to them."""
    schemas, changed, warnings = {}, [], []
    for tool in tools:
        schema = parameters_of(tool.function.parameters)
        shut = closed(schema) if demanded else schema
        if shut != schema and tool.function.parameters:
            changed.append(tool.function.name)
        schemas[tool.function.name] = shut
    if changed:
        warnings.append(
            f"objects in the parameters of {', '.join(changed)} take no properties but those they list; write "
            "additionalProperties where others may follow"
        )
    loose = [tool.function.name for tool in tools if tool.function.strict and not demanded]
    if loose:
        warnings.append(
            f"strict has no effect on {', '.join(loose)} where calling is the model's choice; tool_choice can demand it"
        )
    return schemas, warnings
