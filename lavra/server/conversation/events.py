"""What happens while a model answers a conversation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lavra.base.types import Completion, Delta


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A call of a function that a model wrote.

    Attributes:
        id: unique.
        name: of the function.
        arguments: an object, as JSON text; a part of one where the text ended before, as written where it is no JSON.
        whole: the arguments are an object.
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
    """One answer, whole.

    Attributes:
        index: of the answer among those of its request.
        text: without the calls.
        calls: of functions, in the order they were written.
        finish_reason: `stop`, `length`, `cancelled`, or `tool_calls` where there are calls.
        completion: of the engine.
    """

    index: int
    text: str
    calls: tuple[ToolCall, ...]
    finish_reason: str
    completion: Completion


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPiece:
    """Text came.

    Attributes:
        index: of the answer.
        text: that came; empty where only tokens did.
        delta: of the engine, with the tokens and their log-probabilities.
    """

    index: int
    text: str
    delta: Delta


@dataclass(frozen=True, kw_only=True, slots=True)
class CallBegun:
    """A call began; its arguments come in `CallPiece`s.

    Attributes:
        index: of the answer.
        number: of the call in its answer, from 0.
        id: of the call.
        name: of the function.
    """

    index: int
    number: int
    id: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CallPiece:
    """A part of a call's arguments came; all parts together are JSON.

    Attributes:
        index: of the answer.
        number: of the call in its answer.
        text: that came.
    """

    index: int
    number: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceEnd:
    """An answer ended.

    Attributes:
        choice: the whole of it.
    """

    choice: ChatChoice


ChatEvent = TextPiece | CallBegun | CallPiece | ChoiceEnd
