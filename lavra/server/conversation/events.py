"""The events of a model's answer to a conversation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lavra.base.types import Completion, Delta


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A call of a function that a model wrote.

    Attributes:
        id: unique id of the call.
        name: name of the function.
        arguments: an object as JSON text; a part of it where the text ended early; the raw text where it is not JSON.
        whole: whether the arguments are a whole object.
    """

    id: str
    name: str
    arguments: str
    whole: bool = True

    @property
    def given(self) -> dict[str, Any]:
        """The arguments as an object; an empty one where they are not whole."""
        return dict(json.loads(self.arguments)) if self.whole else {}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatChoice:
    """A whole answer.

    Attributes:
        index: index of the answer among those of its request.
        text: text of the answer without the calls.
        calls: calls of functions, in the order of the text.
        finish_reason: `stop`, `length`, `cancelled`, or `tool_calls` where there are calls.
        completion: completion of the engine.
    """

    index: int
    text: str
    calls: tuple[ToolCall, ...]
    finish_reason: str
    completion: Completion


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPiece:
    """A new piece of text.

    Attributes:
        index: index of the answer.
        text: new text; empty where only tokens came.
        delta: delta of the engine, with the tokens and their log-probabilities.
    """

    index: int
    text: str
    delta: Delta


@dataclass(frozen=True, kw_only=True, slots=True)
class CallBegun:
    """The beginning of a call; its arguments come in `CallPiece`s.

    Attributes:
        index: index of the answer.
        number: number of the call in its answer, from 0.
        id: id of the call.
        name: name of the function.
    """

    index: int
    number: int
    id: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CallPiece:
    """A part of a call's arguments; all parts together are JSON.

    Attributes:
        index: index of the answer.
        number: number of the call in its answer.
        text: new text of the arguments.
    """

    index: int
    number: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceEnd:
    """The end of an answer.

    Attributes:
        choice: the whole answer.
    """

    choice: ChatChoice


ChatEvent = TextPiece | CallBegun | CallPiece | ChoiceEnd
