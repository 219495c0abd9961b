"""Write the conversations of one model: by its chat template, or by a template that stands in for it.

A template that is not the model's own may end a turn otherwise than the model ends a text.  `ConversationWriter.end`
is its text behind an assistant's words, so that an answer can end there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.tokens.chat import render_chat
from lavra.tokens.conversation import rendered_ids
from lavra.tokens.named_templates import DEFAULT_NAME, fitted_template, named_template
from lavra.tokens.roles import in_known_roles
from lavra.tokens.tokenizer import Tokenizer

# Stands behind the words that are continued; a Unicode noncharacter, so no text has it.
_MARK: Final = "\ufdd2"
_SPACED: Final = _MARK + " "  # the space is missing afterwards where a template trims its text


@dataclass(frozen=True, kw_only=True)
class ConversationWriter:
    """Writes the conversations of one model.

    Attributes:
        tokenizer: the tokenizer, with the template.
        stands_in: the model has no template, and none was chosen for it.
        end: the end of an assistant's turn, where the template is not the model's own; empty elsewhere.
    """

    tokenizer: Tokenizer
    stands_in: bool = False
    end: str = ""

    @property
    def end_id(self) -> int | None:
        """`end` as one token; `None` where it is none, or several."""
        return self.tokenizer.id(self.end) if self.end else None

    def text(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
        add_generation_prompt: bool = True,
        continue_final: bool = False,
    ) -> str:
        """The text of a conversation.

        Args:
            messages: in JSON types.
            tools: JSON schemas of functions the model may call.
            variables: further names the template knows.
            add_generation_prompt: end where the assistant is to speak.
            continue_final: end within the last message, which the model is to continue; no new turn is begun.

        Raises:
            InputError: the template refuses the conversation, or changes the last message that is to be continued.
        """
        known = in_known_roles(messages, self.tokenizer.template_for(tools))
        if continue_final:
            return self._continued(known, tools, variables)
        return self.tokenizer.apply_chat_template(
            known, tools=tools, variables=variables, add_generation_prompt=add_generation_prompt
        )

    def _continued(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        variables: Mapping[str, Any] | None,
    ) -> str:
        last = messages[-1]
        if last["role"] != "assistant" or last.get("tool_calls"):
            what = "calls functions" if last.get("tool_calls") else f"is of the role {last['role']!r}"
            raise InputError(f"the last message {what}; only an assistant's text can be continued")
        marked = [*messages[:-1], {**last, "content": last["content"] + _SPACED}]
        text = self.tokenizer.apply_chat_template(marked, tools=tools, variables=variables, add_generation_prompt=False)
        before, mark, behind = text.rpartition(_MARK)
        if not behind.startswith(" "):
            before = before.rstrip()
        if not mark or not before.rstrip().endswith(last["content"].strip()):
            raise InputError("the chat template changes the last message, so it cannot be continued; begin a new one")
        return before

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of a text it wrote."""
        return tuple(rendered_ids(self.tokenizer, text))


def open_conversation_writer(tokenizer: Tokenizer, template: str | None = None) -> ConversationWriter:
    """The writer of conversations for a tokenizer's model.

    Args:
        tokenizer: the model's own.
        template: Jinja source chosen for it; its own, or the default one, unless given.

    Raises:
        InputError: the template is malformed.
    """
    stands_in = template is None and tokenizer.chat_template is None
    if template is None and not stands_in:
        return ConversationWriter(tokenizer=tokenizer)
    source = fitted_template(named_template(DEFAULT_NAME) if template is None else template, tokenizer)
    return ConversationWriter(
        tokenizer=tokenizer.with_chat_template(source), stands_in=stands_in, end=_turn_end(source, tokenizer)
    )


def _turn_end(template: str, tokenizer: Tokenizer) -> str:
    """The text of a template behind an assistant's words, without white space; empty where there is none."""
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _MARK}]
    try:
        text = render_chat(template, messages, add_generation_prompt=False, variables=tokenizer.special.as_variables())
    except InputError:  # a template that needs more than two plain messages fails at its first conversation
        return ""
    return text.rpartition(_MARK)[2].strip()
