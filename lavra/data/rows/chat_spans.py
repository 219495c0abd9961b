"""The assistant's turns of a conversation, as spans of characters of its text.

A template with `{% generation %}` blocks marks them itself.  With others the conversation is rendered up to each of the
assistant's turns, once as the model meets it before it speaks and once with the turn: the text that the second adds
to the first is the turn.  That holds only if a turn's text does not depend on later turns, which is checked: a template
that strips the reasoning from earlier turns, say, fails, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lavra.base.errors import InputError
from lavra.data.labelled.samples import ChatSample
from lavra.tokens.chat import generation_spans, has_generation_blocks, render_chat
from lavra.tokens.tokenizer import Tokenizer

_REMEDY = (
    "mark what the assistant writes in the template with {% generation %} … {% endgeneration %}, "
    "or use a template without this"
)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A conversation as its model reads it.

    Attributes:
        text: special tokens included.
        spans: characters [start, stop) of each of the assistant's turns to be learnt, in order.
        by_blocks: the template's own blocks give the spans; otherwise a span may go on behind the end of the turn.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    by_blocks: bool


class TemplateError(InputError):
    """The assistant's turns cannot be found in the template's text."""


def conversation(
    sample: ChatSample,
    tokenizer: Tokenizer,
    *,
    only_last: bool = False,
    variables: Mapping[str, Any] | None = None,
) -> Conversation:
    """Render a conversation and find the assistant's turns.

    Args:
        sample: the conversation.
        tokenizer: the tokenizer, with its chat template and special tokens.
        only_last: look at the last of the assistant's turns to be learnt alone.
        variables: further names the template knows (`enable_thinking`).

    Raises:
        TemplateError: the turns cannot be found; the message gives the reason.
        InputError: there is no template, it refuses the conversation, or its blocks are not the assistant's turns,
            some of which are not to be learnt.
    """
    template = _Template(sample, tokenizer, variables)
    turns = [place for place, message in enumerate(sample.messages) if message.get("role") == "assistant"]
    if has_generation_blocks(template.source):
        text, spans = _blocks(template, len(sample.messages))
        spans = _learnt(spans, turns, sample) if sample.not_learnt else spans
        return Conversation(text=text, spans=tuple(spans[-1:] if only_last else spans), by_blocks=True)
    text = template.render(len(sample.messages))
    turns = [place for place in turns if place not in sample.not_learnt]
    spans = [_turn(template, text, place) for place in (turns[-1:] if only_last else turns)]
    return Conversation(text=text, spans=tuple(spans), by_blocks=False)


def _learnt(spans: list[tuple[int, int]], turns: list[int], sample: ChatSample) -> list[tuple[int, int]]:
    """The blocks of the turns that are to be learnt."""
    if len(spans) != len(turns):
        raise InputError(
            f"the template marks {len(spans)} blocks and the assistant has {len(turns)} turns, so the turns of weight "
            "0 are not known"
        )
    return [span for span, turn in zip(spans, turns, strict=True) if turn not in sample.not_learnt]


class _Template:
    """A template with all that one conversation gives it."""

    def __init__(self, sample: ChatSample, tokenizer: Tokenizer, variables: Mapping[str, Any] | None) -> None:
        self.source = tokenizer.template_for(sample.tools)
        self._messages: Sequence[Mapping[str, Any]] = sample.messages
        self._tools = sample.tools
        self._variables = {**tokenizer.special.as_variables(), **(variables or {})}

    def blocks(self) -> tuple[str, list[tuple[int, int]]]:
        return generation_spans(self.source, self._messages, tools=self._tools, variables=self._variables)

    def render(self, stop: int, *, to_speak: bool = False) -> str:
        return render_chat(
            self.source,
            self._messages[:stop],
            tools=self._tools,
            add_generation_prompt=to_speak,
            variables=self._variables,
        )


def _blocks(template: _Template, num_messages: int) -> tuple[str, list[tuple[int, int]]]:
    try:
        return template.blocks()
    except InputError as error:
        template.render(num_messages)  # raises where it is the conversation that the template refuses
        raise TemplateError(str(error)) from error


def _turn(template: _Template, text: str, place: int) -> tuple[int, int]:
    try:
        before, after = template.render(place, to_speak=True), template.render(place + 1)
    except InputError as error:
        raise TemplateError(
            f"the assistant's turn at message {place + 1} cannot be separated from its context: the template does not "
            f"render the conversation up to there ({error}); {_REMEDY}"
        ) from error
    if not text.startswith(after):
        raise TemplateError(
            f"the template writes the conversation up to message {place + 1} differently once another message follows, "
            f"{_difference(text, after)}: the model would learn turns it never writes; learn the last turn only, or "
            f"{_REMEDY}"
        )
    if not after.startswith(before):
        raise TemplateError(
            f"the template begins the assistant's turn at message {place + 1} differently when the model is to "
            f"speak, {_difference(after, before)}: the model would read a beginning that it has not learnt; {_REMEDY}"
        )
    return len(before), len(after)


def _difference(text: str, other: str) -> str:
    """Describe the first difference of two texts."""
    pairs = enumerate(zip(text, other, strict=False))
    place = next((place for place, (ours, theirs) in pairs if ours != theirs), min(len(text), len(other)))
    return f"{other[place : place + 30]!r} becoming {text[place : place + 30]!r} at character {place}"
