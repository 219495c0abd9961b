"""Fill a prompt in: the result is text, or the turns of a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lavra.base.errors import InputError
from lavra.prompts.example import Example
from lavra.prompts.prompt import MessageTemplate, Prompt
from lavra.prompts.template import render_template
from lavra.prompts.variables import EXPECTED, SHOTS


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedTurn:
    """A rendered turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A prompt filled in.

    Attributes:
        text: content of a prompt that is not a conversation.
        turns: messages of a prompt that is a conversation; then there is no text.
    """

    text: str = ""
    turns: tuple[RenderedTurn, ...] = ()

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turns as chat templates and servers take them."""
        return [{"role": turn.role, "content": turn.content} for turn in self.turns]

    def __str__(self) -> str:
        return "\n".join(f"[{turn.role}]\n{turn.content}" for turn in self.turns) if self.turns else self.text


def render(prompt: Prompt, given: Mapping[str, Any], shots: Sequence[Example] = ()) -> Rendered:
    """Fill a prompt in.

    Args:
        prompt: template to fill in.
        given: values of its variables; the defaults stand in for the rest.
        shots: examples shown before the question, in the order of the prompt.

    Raises:
        InputError: a value is missing or does not fit, the prompt takes no shots, or an example cannot be a shot.
    """
    if shots and not prompt.takes_shots:
        raise InputError(f"{prompt} says nowhere how a shot is written; add example_template, or ask for no shots")
    values = prompt.values(given)
    written = "" if prompt.example_template is None else "".join(_written(prompt, shot) for shot in shots)
    seen = {**values, SHOTS: written}
    if prompt.template is not None:
        return Rendered(text=render_template(prompt.template, seen, "template"))
    turns = _turns(prompt.messages, seen, "messages")
    if prompt.example_messages:
        turns[-1:-1] = [turn for shot in shots for turn in _shot_turns(prompt, shot)]
    return Rendered(turns=tuple(turns))


def _turns(messages: Sequence[MessageTemplate], seen: Mapping[str, Any], path: str) -> list[RenderedTurn]:
    return [
        RenderedTurn(role=message.role, content=render_template(message.template, seen, f"{path}[{index}].template"))
        for index, message in enumerate(messages)
    ]


def _written(prompt: Prompt, shot: Example) -> str:
    assert prompt.example_template is not None
    return render_template(prompt.example_template, _shown(prompt, shot), "example_template") + prompt.shot_separator


def _shot_turns(prompt: Prompt, shot: Example) -> list[RenderedTurn]:
    return _turns(prompt.example_messages, _shown(prompt, shot), "example_messages")


def _shown(prompt: Prompt, shot: Example) -> dict[str, Any]:
    """The values that the template of a shot sees."""
    if shot.shown is None:
        raise InputError(
            f"an example that expects {shot.expect.value} {shot.expected!r} has no answer to show; give it `answer`"
        )
    return {**prompt.values(shot.input), EXPECTED: shot.shown}
