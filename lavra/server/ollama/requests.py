"""Turn Ollama's requests into the common form."""

from __future__ import annotations

from typing import Any, Final

from lavra.base.errors import InputError, nearest
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
from lavra.server.sampling_fields import given_llama_sampling
from lavra.server.schemas import Body, ChatBody
from lavra.server.served import ModelTable
from lavra.server.server_state import ServerState

TAG: Final = ":latest"  # tag of a model without a tag


def plain_name(models: ModelTable, name: str | None) -> str | None:
    """A model's name without Ollama's tag, unless the tag is a part of it."""
    return name if name is None or name in models else name.removesuffix(TAG)


def chat_of(state: ServerState, body: OllamaChatBody) -> tuple[ChatBody, list[str]]:
    """Turn a conversation into the common form; return it with a warning for each field without effect.

    Raises:
        InputError: the request holds content that this server cannot read.
    """
    given = body.messages or []
    fields, warnings = _writing(state, body)
    fields["messages"] = [_message(number, message) for number, message in enumerate(given)]
    if body.tools:
        fields["tools"] = [tool.model_dump(exclude_none=True) for tool in body.tools]
    if given[-1].role == "assistant" and not given[-1].tool_calls:
        fields |= {"continue_final_message": True, "add_generation_prompt": False}
    if any(message.thinking for message in given):
        warnings.append("thinking of earlier answers was left out: the model does not read it")
    return ChatBody.model_validate(fields), warnings


def prompt_of(state: ServerState, body: OllamaGenerateBody) -> tuple[ChatBody, list[str]]:
    """Turn a prompt into the common form: the system prompt, then a message of the user.

    Raises:
        InputError: the request holds content that this server cannot read.
    """
    _refuse(body)
    fields, warnings = _writing(state, body)
    system = [{"role": "system", "content": body.system}] if body.system else []
    fields["messages"] = [*system, {"role": "user", "content": body.prompt or ""}]
    return ChatBody.model_validate(fields), warnings


def _refuse(body: OllamaGenerateBody) -> None:
    """Raise InputError for fields that change the answer and are not supported."""
    if body.images:
        raise InputError("images: models here read text only; leave them out")
    if body.template:
        raise InputError(
            "template: templates in Go's notation are not read here; leave it out, or write the whole prompt yourself "
            "with raw: true"
        )
    if body.context:
        raise InputError("context: earlier turns are not read from token ids; send them to /api/chat as messages")


def _writing(state: ServerState, body: WritingBody) -> tuple[dict[str, Any], list[str]]:
    """The options of writing in the common form, with warnings."""
    warnings = idle_fields(_without_off(body), strict=state.config.strict, idle=IDLE_FIELDS)
    options = body.options or ModelOptions()
    warnings += idle_options(options, strict=state.config.strict)
    fields: dict[str, Any] = given_llama_sampling(options)
    fields |= {
        "model": plain_name(state.models, body.model),
        "max_tokens": options.num_predict if (options.num_predict or 0) > 0 else None,
        "stop": options.stop,
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
    """The body without fields that ask for the default: thinking is always off."""
    extra = body.model_extra or {}
    if extra.get("think") is False:
        extra.pop("think")
    return body


def idle_options(options: ModelOptions | None, *, strict: bool) -> list[str]:
    """A warning for each option that had no effect.

    Raises:
        InputError: an option is unknown, where that is an error.
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
    """Whether an option without effect here has a value other than its default."""
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
