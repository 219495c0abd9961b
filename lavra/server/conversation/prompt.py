"""The prompt of a conversation: the text of the chat template, as tokens, and the end marks of an answer.

A request can continue a last message of the assistant, with vLLM's field (`continue_final_message`) or with that of
DeepSeek and Mistral (`"prefix": true` in the message).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lavra.base.errors import InputError
from lavra.base.types import GenerateRequest
from lavra.server.conversation.requests import plain_messages
from lavra.server.schemas import ConversationBody
from lavra.server.served import ServedModel
from lavra.tokens.conversation_writer import ConversationWriter


@dataclass(frozen=True, kw_only=True)
class ChatPrompt:
    """A conversation as a prompt.

    Attributes:
        text: output of the chat template.
        tokens: tokens of the text.
        conversation_writer: writer of the text.
        warnings: notes that the template is not the model's own, or left a message or the tools out.
    """

    text: str
    tokens: tuple[int, ...]
    conversation_writer: ConversationWriter
    warnings: tuple[str, ...] = ()

    def ended(self, request: GenerateRequest) -> GenerateRequest:
        """Add the end of the assistant's turn to a request, also where the model does not know that end."""
        if not self.conversation_writer.end:
            return request
        if self.conversation_writer.end_id is not None:
            return replace(request, stop_token_ids=(*request.stop_token_ids, self.conversation_writer.end_id))
        return replace(request, stop=(*request.stop, self.conversation_writer.end))


def chat_prompt(
    model: ServedModel, body: ConversationBody, tools: Sequence[Mapping[str, Any]] | None = None
) -> ChatPrompt:
    """Lay out a conversation.

    Args:
        model: model that reads it.
        body: the conversation.
        tools: functions offered, as templates read them.

    Raises:
        InputError: the model writes no text, the template refuses the conversation, or the last message cannot be
            continued.
    """
    conversation_writer = _conversation_writer(model)
    continues = _continues(body)
    messages = [
        {name: value for name, value in one.items() if name != "prefix"} for one in plain_messages(body.messages)
    ]
    written = partial(
        conversation_writer.text,
        messages,
        variables=body.chat_template_kwargs,
        add_generation_prompt=body.add_generation_prompt is not False,
        continue_final=continues,
    )
    text = written(tools=tools)
    warnings = _unread(messages, text)
    if tools and text == _without_tools(written):
        warnings.append(
            f"the chat template of {model.name} shows no tools, so the model does not know of them; describe them in "
            "a system message, or demand a call with tool_choice"
        )
    if conversation_writer.stands_in:
        warnings.insert(0, f"{model.name} has no chat template: ChatML was written, which it may not know")
    return ChatPrompt(
        text=text,
        tokens=conversation_writer.ids(text),
        conversation_writer=conversation_writer,
        warnings=tuple(warnings),
    )


def _without_tools(written: Callable[..., str]) -> str | None:
    """The conversation as the template writes it without tools; `None` where the template refuses."""
    try:
        return written(tools=None)
    except InputError:
        return None


def _unread(messages: Sequence[Mapping[str, Any]], text: str) -> list[str]:
    """A warning for each message that the template left out, as a template without tools does with their answers."""
    return [
        f"the chat template left out message {number} (role {message['role']!r}); the model does not read it"
        for number, message in enumerate(messages, start=1)
        if message["content"].strip()
        and not any(line.strip() in text for line in message["content"].splitlines() if line.strip())
    ]


def _conversation_writer(model: ServedModel) -> ConversationWriter:
    conversation_writer = model.conversation_writer
    if conversation_writer.stands_in and model.writer().encoding.decoder_start is not None:
        raise InputError(
            f"{model.name} has no chat template, and an encoder-decoder reads no conversation without one; "
            "ask /v1/completions"
        )
    return conversation_writer


def _continues(body: ConversationBody) -> bool:
    """Whether the answer continues the last message.

    Raises:
        InputError: the request also asks for a new turn, or a message before the last has a prefix.
    """
    prefixes = [number for number, one in enumerate(body.messages, start=1) if (one.model_extra or {}).get("prefix")]
    if (prefixes and prefixes[-1] != len(body.messages)) or len(prefixes) > 1:
        raise InputError(f"message {prefixes[0]} has prefix: true; only the last message can be continued")
    if body.continue_final_message and body.add_generation_prompt:
        raise InputError(
            "continue_final_message and add_generation_prompt are both true; an answer goes on in the last message, "
            "or begins a new one: leave one out"
        )
    return bool(body.continue_final_message or prefixes)
