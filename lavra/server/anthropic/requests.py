"""Turn Anthropic's requests into the common form: blocks become messages, tools become functions.

A `tool_result` becomes a message of role `tool`; a result with `is_error` begins with "Error: ", because chat
templates have no other place for it.  Neighbouring messages of a user are one turn, as they are for Anthropic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lavra.base.errors import InputError, nearest
from lavra.server.anthropic.schemas import (
    IDLE_FIELDS,
    CountTokensBody,
    CustomTool,
    MessageInput,
    MessagesBody,
    ToolChoice,
)
from lavra.server.fields import idle_fields, named, short
from lavra.server.sampling_fields import given_sampling
from lavra.server.schemas import ChatBody

_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})
# Fields of one name and meaning in both forms.
_SAME: Final = ("stream", "max_tokens", "truncate_prompt", "priority")
# Keys of blocks that are read; others are named in warnings.
_BLOCK_KEYS: Final = {
    "text": {"type", "text"},
    "tool_use": {"type", "id", "name", "input"},
    "tool_result": {"type", "tool_use_id", "content", "is_error"},
}
# Keys of blocks that clients send of their own accord, having got them in an answer.
_SILENT_KEYS: Final = frozenset({"citations", "caller", "toolset_name", "parsed_output"})


class _Turns:
    """Messages of the common form, gathered block by block."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.idle: dict[str, None] = {}  # keys of blocks that have no effect, in order
        self.thoughts = False
        self._calls: dict[str, str] = {}  # names of called functions by the id of the call

    def say(self, role: str, text: str, *, anew: bool = False) -> None:
        """Add a text of a role; it joins the turn before where the role is the same, unless `anew`."""
        part = {"type": "text", "text": text}
        last = self.messages[-1] if self.messages else None
        if last is None or anew or last["role"] != role or "tool_calls" in last:
            self.messages.append({"role": role, "content": [part]})
        else:
            last["content"].append(part)

    def call(self, identity: str, name: str, arguments: Mapping[str, Any]) -> None:
        """A function the assistant called."""
        last = self.messages[-1] if self.messages else None
        if last is None or last["role"] != "assistant":
            self.messages.append(last := {"role": "assistant", "content": []})
        function = {"name": name, "arguments": arguments}
        last.setdefault("tool_calls", []).append({"id": identity, "type": "function", "function": function})
        self._calls[identity] = name

    def result(self, place: str, identity: str, text: str) -> None:
        """Add the result of a called function.

        Raises:
            InputError: no call has this id.
        """
        if identity not in self._calls:
            raise InputError(
                f"{place}.tool_use_id is {identity!r}, which no tool_use block before it has"
                f"{nearest(identity, self._calls)}; send the assistant's message with its call too"
            )
        named = {"tool_call_id": identity, "name": self._calls[identity]}
        self.messages.append({"role": "tool", "content": text, **named})


def chat_body(body: MessagesBody | CountTokensBody, *, strict: bool) -> tuple[ChatBody, list[str]]:
    """Turn a request into the common form; return it with a warning for each field without effect.

    Args:
        body: request as the client sent it.
        strict: whether an unknown field is an error.

    Raises:
        InputError: the request holds content that this server cannot read.
    """
    warnings = idle_fields(body, strict=strict, idle=IDLE_FIELDS)
    turns = _turns(body)
    fields: dict[str, Any] = {"model": body.model, "messages": turns.messages, **_tools(body), **_format(body)}
    fields["chat_template_kwargs"] = body.chat_template_kwargs
    if isinstance(body, MessagesBody):
        fields |= {name: getattr(body, name) for name in _SAME} | given_sampling(body)
        fields["stop"] = body.stop_sequences or None
    if turns.messages[-1]["role"] == "assistant":
        fields |= {"continue_final_message": True, "add_generation_prompt": False}
    warnings += _idle_parts(body, turns)
    return ChatBody.model_validate(fields), warnings


def _idle_parts(body: CountTokensBody, turns: _Turns) -> Iterator[str]:
    """Parts of fields that had no effect."""
    if body.thinking is not None and body.thinking.get("type") != "disabled":
        yield "thinking has no effect here: what the model writes is its answer"
    if body.output_config is not None and body.output_config.effort is not None:
        yield "output_config.effort has no effect here"
    if turns.thoughts:
        yield "thinking blocks of earlier answers were left out: the model does not read them"
    tool_keys = {name for tool in body.tools or () for name in tool.model_extra or {}}
    keys = dict.fromkeys([*turns.idle, *sorted(tool_keys)])
    yield from named([key for key in keys if key not in (body.model_extra or {})], _idle_key)


def _idle_key(name: str) -> str:
    reason = ": what prompts have in common is reused without it" if name == "cache_control" else ""
    return f"{short(name)} has no effect here{reason}"


def _turns(body: CountTokensBody) -> _Turns:
    turns = _Turns()
    if body.system:
        for place, block in _blocks("system", body.system):
            turns.say("system", _text(turns, place, block))
    for number, message in enumerate(body.messages):
        _read_message(turns, f"messages.{number}.content", message)
    if not turns.messages or all(message["role"] == "system" for message in turns.messages):
        raise InputError("messages hold nothing that the model can read; write at least one text block")
    return turns


def _read_message(turns: _Turns, where: str, message: MessageInput) -> None:
    before = len(turns.messages)
    for place, block in _blocks(where, message.content):
        kind = block.get("type")
        if not isinstance(kind, str):
            raise InputError(f'{place}.type is {kind!r}; give a text such as "text"')
        if kind == "tool_use" and message.role == "assistant":
            _read_call(turns, place, block)
        elif kind == "tool_result" and message.role == "user":
            _read_result(turns, place, block)
        elif kind in _THOUGHTS and message.role == "assistant":
            turns.thoughts = True
        else:
            # An assistant's turn is never joined to another one: the last may be one to be continued.
            anew = message.role == "assistant" and len(turns.messages) == before
            turns.say(message.role, _text(turns, place, block), anew=anew)


def _blocks(where: str, content: str | Sequence[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Blocks of a content, each with its place."""
    if isinstance(content, str):
        yield where, {"type": "text", "text": content}
        return
    for number, block in enumerate(content):
        yield f"{where}.{number}", block


def _text(turns: _Turns, place: str, block: Mapping[str, Any]) -> str:
    if block.get("type") != "text":
        raise InputError(
            f"{place} is a block of type {block.get('type')!r}; models here read text, tool_use (of an assistant) and "
            "tool_result (of a user) blocks only"
        )
    _note_idle(turns, block)
    return str(_part(place, block, "text", str))


def _read_call(turns: _Turns, place: str, block: Mapping[str, Any]) -> None:
    _note_idle(turns, block)
    identity, name = _part(place, block, "id", str), _part(place, block, "name", str)
    turns.call(identity, name, _part(place, block, "input", dict))


def _read_result(turns: _Turns, place: str, block: Mapping[str, Any]) -> None:
    _note_idle(turns, block)
    content = block.get("content", "")
    if not isinstance(content, str | list) or not all(isinstance(one, dict | str) for one in content):
        raise InputError(f"{place}.content must be a text or a list of text blocks")
    text = "\n".join(_text(turns, *one) for one in _blocks(f"{place}.content", content))
    identity = _part(place, block, "tool_use_id", str)
    turns.result(place, identity, f"Error: {text}" if block.get("is_error") else text)


def _part(place: str, block: Mapping[str, Any], name: str, kind: type) -> Any:
    value = block.get(name)
    if not isinstance(value, kind):
        wanted = "an object" if kind is dict else "a text"
        raise InputError(f"{place}.{name} must be {wanted}; it is {type(value).__name__}")
    return value


def _note_idle(turns: _Turns, block: Mapping[str, Any]) -> None:
    known = _BLOCK_KEYS[block["type"]] | _SILENT_KEYS
    turns.idle.update(dict.fromkeys(str(name) for name in block if name not in known))


def _tools(body: CountTokensBody) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if body.tools:
        found["tools"] = [_function(number, tool) for number, tool in enumerate(body.tools)]
    if body.tool_choice is not None:
        found["tool_choice"] = _choice(body.tool_choice)
        if body.tool_choice.disable_parallel_tool_use:
            found["parallel_tool_calls"] = False
    return found


def _function(number: int, tool: CustomTool) -> dict[str, Any]:
    if tool.type not in (None, "custom"):
        raise InputError(
            f"tools.{number} is of type {tool.type!r}, which Anthropic's servers run; only tools of type custom are "
            "known here"
        )
    if tool.input_schema is None:
        raise InputError(f'tools.{number}.input_schema is missing; without arguments it is {{"type": "object"}}')
    function: dict[str, Any] = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice) -> Any:
    if choice.type == "tool":
        if choice.name is None:
            raise InputError("tool_choice.name is missing; name the tool that must be called")
        return {"type": "function", "function": {"name": choice.name}}
    return "required" if choice.type == "any" else choice.type


def _format(body: CountTokensBody) -> dict[str, Any]:
    if body.output_config is None or body.output_config.format is None:
        return {}
    schema = body.output_config.format.json_schema
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}
