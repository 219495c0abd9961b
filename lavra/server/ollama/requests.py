"""From Ollama's requests to the common form."""

from __future__ import annotations

from typing import Any, Final

from lavra.base.errors import InputError, nearest
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields, named, short
from lavra.server.ollama.schemas import (
    IDLE_FIELDS,
    IDLE_OPTIONS,
    ModelOptions,
    OllamaChatBody,
    OllamaGenerateBody,
    OllamaMessage,
    WritingBody,
)
from lavra.server.schemas import Body, ChatBody
from lavra.server.served import ModelTable

TAG: Final = ":latest"  # of every model that has no other
# Options whose meaning is that of a field of the common form.
_OPTIONS: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "repetition_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "stop": "stop",
}


def plain_name(models: ModelTable, name: str | None) -> str | None:
    """A model's name without Ollama's tag, unless the tag is a part of it."""
    return name if name is None or name in models else name.removesuffix(TAG)


def chat_of(edge: Edge, body: OllamaChatBody) -> tuple[ChatBody, list[str]]:
    """A conversation in the common form, and what had no effect.

    Raises:
        InputError: it holds what cannot be read here.
    """
    given = body.messages or []
    fields, warnings = _writing(edge, body)
    fields["messages"] = [_message(number, message) for number, message in enumerate(given)]
    if body.tools:
        fields["tools"] = [tool.model_dump(exclude_none=True) for tool in body.tools]
    if given[-1].role == "assistant" and not given[-1].tool_calls:
        fields |= {"continue_final_message": True, "add_generation_prompt": False}
    if any(message.thinking for message in given):
        warnings.append("thinking of earlier answers was left out: the model does not read it")
    return ChatBody.model_validate(fields), warnings


def prompt_of(edge: Edge, body: OllamaGenerateBody) -> tuple[ChatBody, list[str]]:
    """A prompt in the common form: a message of the user's, behind the system prompt.

    Raises:
        InputError: it holds what cannot be read here.
    """
    _refuse(body)
    fields, warnings = _writing(edge, body)
    system = [{"role": "system", "content": body.system}] if body.system else []
    fields["messages"] = [*system, {"role": "user", "content": body.prompt or ""}]
    return ChatBody.model_validate(fields), warnings


def _refuse(body: OllamaGenerateBody) -> None:
    """Raises InputError for what the answer would have to obey."""
    if body.images:
        raise InputError("images: models here read text only; leave them out")
    if body.template:
        raise InputError(
            "template: templates in Go's notation are not read here; leave it out, or write the whole prompt yourself "
            "with raw: true"
        )
    if body.context:
        raise InputError("context: earlier turns are not read from token ids; send them to /api/chat as messages")


def _writing(edge: Edge, body: WritingBody) -> tuple[dict[str, Any], list[str]]:
    """Fields of the common form that say how to write."""
    warnings = idle_fields(_without_off(body), strict=edge.config.strict, idle=IDLE_FIELDS)
    options = body.options or ModelOptions()
    warnings += idle_options(options, strict=edge.config.strict)
    fields: dict[str, Any] = {new: getattr(options, old) for old, new in _OPTIONS.items()}
    fields |= {
        "model": plain_name(edge.models, body.model),
        "max_tokens": options.num_predict if (options.num_predict or 0) > 0 else None,
        "seed": None if options.seed == -1 else options.seed,
        "top_k": None if options.top_k is None else max(0, options.top_k),
        "logprobs": body.logprobs or bool(body.top_logprobs),
        "top_logprobs": body.top_logprobs,
        "stream": body.stream,
    }
    if body.format == "json":
        fields["response_format"] = {"type": "json_object"}
    elif isinstance(body.format, dict):
        fields["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": body.format}}
    return fields, warnings


def _without_off(body: Body) -> Body:
    """The body without fields that ask for nothing: no thinking is what everyone gets."""
    extra = body.model_extra or {}
    if extra.get("think") is False:
        extra.pop("think")
    return body


def idle_options(options: ModelOptions | None, *, strict: bool) -> list[str]:
    """A warning for each option that had no effect.

    Raises:
        InputError: an option nobody knows, where that is an error.
    """
    extra = {} if options is None else options.model_extra or {}

    def say(name: str) -> str:
        if name in IDLE_OPTIONS:
            return f"options.{name} has no effect here"
        known = [*ModelOptions.model_fields, *IDLE_OPTIONS]
        sentence = f"unknown option options.{short(name)}{nearest(short(name), known)}"
        if strict:
            raise InputError(sentence)
        return f"{sentence}; it had no effect"

    return named([name for name, value in extra.items() if _counts(name, value)], say)


def _counts(name: str, value: Any) -> bool:
    """Whether an option that does nothing here asks for something."""
    return name not in IDLE_OPTIONS or value != IDLE_OPTIONS[name]


def _message(number: int, message: OllamaMessage) -> dict[str, Any]:
    if message.images:
        raise InputError(f"messages.{number}.images: models here read text only; leave them out")
    found: dict[str, Any] = {"role": message.role, "content": message.content or ""}
    if message.tool_calls:
        found["tool_calls"] = message.tool_calls
    if message.tool_name is not None:
        found["name"] = message.tool_name
    identity = (message.model_extra or {}).get("tool_call_id")
    return found if identity is None else {**found, "tool_call_id": identity}
