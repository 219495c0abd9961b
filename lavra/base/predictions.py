"""What a model with a task's head says of a text: plain values, ready to be shown or sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TextOrPair = str | tuple[str, str]
"""One text, or a first and a second one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """What a text is.

    Attributes:
        label: the likeliest label; empty for a regression.
        labels: every label that holds: the likeliest one, or, of several, those over one half.
        scores: probability of each label; of several labels each has its own, and they do not add up to 1.
        value: the number a regression gives.
        truncated: whether only the beginning was read, because the caller allowed it.
    """

    label: str = ""
    labels: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    value: float | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A stretch of a text and what it is.

    Attributes:
        label: its type, such as `PER`.
        text: `given[start:end]`.
        start: first character.
        end: character after the last.
        score: mean probability of its words' tags.
    """

    label: str
    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """The words of a text, their tags, and the entities those make.

    Attributes:
        words: as the text was cut.
        tags: one a word.
        entities: in the order of the text.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanAnswer:
    """The span of a passage that answers a question.

    Attributes:
        text: `context[start:end]`; empty where the passage has no answer.
        start: first character.
        end: character after the last.
        score: its probability among the spans looked at.
    """

    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A text and how well it fits.

    Attributes:
        index: its place among those that were given.
        score: from 0 to 1.
    """

    index: int
    score: float
