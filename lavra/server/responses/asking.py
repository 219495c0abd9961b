"""Turn the body of a request for a response into a chat request, with a warning for every field without effect."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from lavra.base.errors import ContextLengthError, InputError
from lavra.server.errors import FieldError
from lavra.server.fields import idle_fields, named, short
from lavra.server.responses.items import messages_of
from lavra.server.responses.schemas import FunctionTool, Item, ResponseBody, TextFormat
from lavra.server.schemas import ChatBody, Function, Message, ResponseFormat, Sampled, Tool

LOGPROBS: Final = "message.output_text.logprobs"
# OpenAI's fields without meaning here; without them the meaning of an answer is the same.
_IDLE: Final = frozenset(
    {
        "background_options", "context_management", "max_tool_calls", "moderation", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "user",
    }
)  # fmt: skip
# OpenAI's fields that an answer would have to obey.
_REFUSED: Final = {
    "conversation": "conversations are not kept here; send previous_response_id, or the items themselves",
    "prompt": "stored prompts are not kept here; send instructions and input",
}
# Sampling fields of chat completions that have another form here.
_ELSEWHERE: Final = {
    "n": "a response has one answer; ask several times",
    "response_format": 'write it as text: {"format": {…}}',
}
_AS_THEY_ARE: Final = (
    "chat_template_kwargs", "add_generation_prompt", "continue_final_message", "retrieval", "parallel_tool_calls",
)  # fmt: skip
# Fields of the layout of a conversation; a request with `raw` may not give them.
_OF_CONVERSATIONS: Final = (
    "instructions", "tools", "tool_choice", "previous_response_id", "chat_template_kwargs", "add_generation_prompt",
    "continue_final_message",
)  # fmt: skip
# Fields of a chat request by the names that this protocol has for them.
_NAMES: Final = {
    "response_format": "text.format",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "truncate_prompt": "truncation",
}


def check_fields(body: ResponseBody, *, strict: bool) -> list[str]:
    """A warning for each field that had no effect.

    Raises:
        FieldError: a field changes the answer and is not supported, or is unknown where that is an error.
    """
    for name, remedy in _ELSEWHERE.items():
        if getattr(body, name) not in (None, 1):
            raise FieldError(f"{name}: {remedy}", name, "unsupported_parameter")
    for name, remedy in _REFUSED.items():
        if getattr(body, name, None) is not None:
            raise FieldError(f"{name}: {remedy}", name, "unsupported_parameter")
    return [*idle_fields(body, strict=strict, idle=_IDLE), *_idle_inside(body)]


def _idle_inside(body: ResponseBody) -> list[str]:
    """Parts of known fields that have no effect."""
    texts = list((body.text and body.text.model_extra) or {})
    warnings = named(texts, lambda name: f"text.{short(name)} has no effect here")
    padded = [name for name in ("include_usage", "include_obfuscation") if getattr(body.stream_options, name, False)]
    warnings += [
        f"stream_options.{name} has no effect: the last event has the usage, none is padded" for name in padded
    ]
    odd = [name for name in body.include or () if name != LOGPROBS]
    warnings += [f"include: {name!r} has no effect here; what may be included is {LOGPROBS!r}" for name in odd]
    if body.top_logprobs and not wants_logprobs(body):
        warnings.append(f'top_logprobs has no effect without include: ["{LOGPROBS}"]')
    return warnings


def wants_logprobs(body: ResponseBody) -> bool:
    """Whether the answer has the log-probabilities of its tokens."""
    return LOGPROBS in (body.include or ())


def chat_body(body: ResponseBody, items: Sequence[Item]) -> ChatBody:
    """The chat request that continues a conversation.

    Args:
        body: the request.
        items: items of the whole conversation, with this request's input.

    Raises:
        FieldError: a field cannot be served.
    """
    messages = messages_of(items)
    if body.instructions:
        messages.insert(0, {"role": "system", "content": body.instructions})
    named = {name: getattr(body, name) for name in Sampled.model_fields if getattr(body, name) is not None}
    return ChatBody(
        **{
            **named,
            "messages": [Message(**message) for message in messages],
            "max_completion_tokens": body.max_output_tokens,
            "response_format": _response_format(None if body.text is None else body.text.format),
            "tools": None if not body.tools else [_tool(tool) for tool in body.tools],
            "tool_choice": _tool_choice(body.tool_choice),
            "logprobs": wants_logprobs(body) or None,
            "top_logprobs": body.top_logprobs if wants_logprobs(body) else None,
            "truncate_prompt": True if body.truncation == "auto" else body.truncate_prompt,
            **{name: getattr(body, name) for name in _AS_THEY_ARE},
            "stream_options": None,
        }
    )


def raw_text(body: ResponseBody, items: Sequence[Item]) -> str:
    """The text that a request with `raw` has continued.

    Raises:
        FieldError: the request is for a conversation.
    """
    for name in _OF_CONVERSATIONS:
        if getattr(body, name) not in (None, "", [], {}):
            raise FieldError(f"{name} is for conversations, and raw continues a text; leave one of them out", name)
    messages = messages_of(items)
    if len(messages) != 1 or messages[0]["role"] != "user":
        raise FieldError(f"input has {len(messages)} messages, and raw continues a text; give that as input", "input")
    return str(messages[0]["content"])


def _response_format(wanted: TextFormat | None) -> ResponseFormat | None:
    if wanted is None:
        return None
    if wanted.type == "json_schema" and wanted.json_schema is None:
        raise FieldError(
            'text.format needs a "schema", as in {"type": "json_schema", "name": "x", "schema": {…}}',
            "text.format.schema",
            "missing_required_parameter",
        )
    schema = {"name": wanted.name, "schema": wanted.json_schema, "strict": wanted.strict}
    return ResponseFormat(
        type=wanted.type,
        json_schema=schema if wanted.type == "json_schema" else None,
        regex=wanted.regex,
        grammar=wanted.grammar,
    )


def _tool(tool: FunctionTool) -> Tool:
    given = tool.model_dump(include={"name", "description", "parameters", "strict"}, exclude_none=True)
    return Tool(type="function", function=Function(**given))


def _tool_choice(choice: str | dict[str, Any] | None) -> Any:
    """A choice in the form of chat completions."""
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    if choice.get("type") == "allowed_tools":
        tools = choice.get("tools")
        allowed = [_tool_choice(tool) for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode", "auto"), "tools": allowed}}
    raise FieldError(
        f"tool_choice is of type {choice.get('type')!r}; only functions are called here",
        "tool_choice.type",
        "invalid_value",
    )


def own_words(message: str) -> str:
    """A sentence about a chat request, with its first word, the name of a field, in this protocol's form."""
    for name, own in _NAMES.items():
        if re.match(rf"{name}\b", message):
            return own + message.removeprefix(name)
    return message


def own_error(error: InputError) -> InputError:
    """An error about a chat request, in this protocol's words."""
    message = str(error)
    if isinstance(error, ContextLengthError):
        return ContextLengthError(re.sub(r"truncate_prompt\S*", 'truncation: "auto"', message))
    own = own_words(message)
    return error if own == message else FieldError(own, own.partition(" ")[0].rstrip(":"))
