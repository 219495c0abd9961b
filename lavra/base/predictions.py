"""What a model with a task's head is asked and says: plain values, ready to be shown or sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyRequest:
    """Ask what a text is, or a pair.

    Attributes:
        text: one text, or a first and a second one.
        truncate: read only the beginning of what is too long, and say so; an error otherwise.
    """

    text: TextOrPair
    truncate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRequest:
    """Ask what each word of a text is.

    Attributes:
        text: a text, or its words.
    """

    text: str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRequest:
    """Ask where in a passage the answer is.

    Attributes:
        question: what is asked.
        context: the passage.
        allow_none: whether it may have no answer.
    """

    question: str
    context: str
    allow_none: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseRequest:
    """Ask which ending fits.

    Attributes:
        text: the beginning.
        choices: at least two endings.
        truncate: as in `ClassifyRequest`.
    """

    text: str
    choices: tuple[str, ...]
    truncate: bool = False

    @property
    def num_texts(self) -> int:
        """Texts that are computed for it."""
        return len(self.choices)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRequest:
    """Ask how well each text fits.

    Attributes:
        query: what is looked for.
        texts: what may fit.
        truncate: as in `ClassifyRequest`.
    """

    query: str
    texts: tuple[str, ...]
    truncate: bool = False

    @property
    def num_texts(self) -> int:
        """Texts that are computed for it."""
        return max(1, len(self.texts))


Value = TypeVar("Value", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction(Generic[Value]):
    """The answer to one request.

    Attributes:
        value: a `Classification` (of a choice: its labels are the choices' numbers), a `Tagging`, a `SpanAnswer`, or a
            tuple of `Ranked`, best first.
        num_tokens: read for it, special ones included; what windows over a long text show twice is read twice.
        warnings: what was not read, or not read as it was given.
    """

    value: Value
    num_tokens: int
    warnings: tuple[str, ...] = ()
