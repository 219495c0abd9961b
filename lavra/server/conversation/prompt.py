"""What a model reads of a conversation: the text of its chat template, as tokens, and where an answer to it ends.

A last message of the assistant's is continued where the request says so, in vLLM's words (`continue_final_message`) or
in those of DeepSeek and Mistral (`"prefix": true` in the message).
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
from lavra.tokens.talker import Talker


@dataclass(frozen=True, kw_only=True)
class ChatPrompt:
    """A conversation as a model reads it.

    Attributes:
        text: as the chat template wrote it.
        tokens: of the text.
        talker: that wrote it.
        warnings: where the template is not the model's own, or left a message or the tools out.
    """

    text: str
    tokens: tuple[int, ...]
    talker: Talker
    warnings: tuple[str, ...] = ()

    def ended(self, request: GenerateRequest) -> GenerateRequest:
        """A request whose answer ends with the assistant's turn, also where the model does not know that end."""
        if not self.talker.end:
            return request
        if self.talker.end_id is not None:
            return replace(request, stop_token_ids=(*request.stop_token_ids, self.talker.end_id))
        return replace(request, stop=(*request.stop, self.talker.end))


def chat_prompt(
    model: ServedModel, body: ConversationBody, tools: Sequence[Mapping[str, Any]] | None = None
) -> ChatPrompt:
    """Lay out a conversation.

    Args:
        model: that reads it.
        body: the conversation.
        tools: functions offered, as templates read them.

    Raises:
        InputError: the model writes no text, the template refuses the conversation, or the last message cannot be
            continued.
    """
    talker = _talker(model)
    continues = _continues(body)
    messages = [
        {name: value for name, value in one.items() if name != "prefix"} for one in plain_messages(body.messages)
    ]
    written = partial(
        talker.text,
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
    if talker.stands_in:
        warnings.insert(0, f"{model.name} has no chat template: ChatML was written, which it may not know")
    return ChatPrompt(text=text, tokens=talker.ids(text), talker=talker, warnings=tuple(warnings))


def _without_tools(written: Callable[..., str]) -> str | None:
    """The conversation as the template writes it without tools; `None` where it refuses to."""
    try:
        return written(tools=None)
    except InputError:
        return None


def _unread(messages: Sequence[Mapping[str, Any]], text: str) -> list[str]:
    """A warning for each message of which the template wrote no line, as one that knows no tools does with answers."""
    return [
        f"the chat template left out message {number} (role {message['role']!r}); the model does not read it"
        for number, message in enumerate(messages, start=1)
        if message["content"].strip()
        and not any(line.strip() in text for line in message["content"].splitlines() if line.strip())
    ]


def _talker(model: ServedModel) -> Talker:
    talker = model.talker
    if talker.stands_in and model.writer().reading.decoder_start is not None:
        raise InputError(
            f"{model.name} has no chat template, and an encoder-decoder reads no conversation without one; "
            "ask /v1/completions"
        )
    return talker


def _continues(body: ConversationBody) -> bool:
    """Whether the answer goes on within the last message.

    Raises:
        InputError: a new turn is asked for besides, or another message than the last has a prefix.
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
