"""Requests to a model with a task's head, and its answers: plain values, ready to be shown or sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

TextOrPair = str | tuple[str, str]
"""One text, or a pair of texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """The classification of a text.

    Attributes:
        label: the likeliest label; empty for a regression.
        labels: every label that holds: the likeliest label, or, with several labels a text, all over one half.
        scores: probability of each label; with several labels a text, they do not add up to 1.
        value: the number a regression gives.
        truncated: whether only the beginning was read, because the caller allowed it.

    Example:
        >>> found = lavra.predict("tiny-classifier", "a lovely film")
        >>> sorted(found.scores)
        ['bad', 'good']
        >>> found.label == max(found.scores, key=found.scores.get)
        True
    """

    label: str = ""
    labels: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    value: float | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A stretch of a text and its type.

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
    """The words of a text, their tags, and the entities in the tags.

    Attributes:
        words: words, as the text was cut.
        tags: tags, one a word.
        entities: entities, in the order of the text.

    Example:
        >>> found = lavra.predict("tiny-tagger", "ana saw lisbon")
        >>> found.words
        ('ana', 'saw', 'lisbon')
        >>> len(found.tags)
        3
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
        score: probability of this span among the spans that were compared.

    Example:
        >>> passage = "the film was seen by ana"
        >>> found = lavra.predict("tiny-reader", ("who is it", passage))
        >>> passage[found.start : found.end] == found.text
        True
    """

    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A text and its score for a query.

    Attributes:
        index: place of the text in the request.
        score: from 0 to 1.

    Example:
        >>> best = lavra.predict("tiny-reranker", ("a film", "the day", "the film"))[0]
        >>> best.index in (0, 1)
        True
    """

    index: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyRequest:
    """A request to classify a text, or a pair of texts.

    Attributes:
        text: one text, or a pair of texts.
        truncate: read only the beginning of a text that is too long, and report it; otherwise it is an error.
    """

    text: TextOrPair
    truncate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRequest:
    """A request to tag each word of a text.

    Attributes:
        text: a text, or its words.
    """

    text: str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRequest:
    """A request to find the answer's place in a passage.

    Attributes:
        question: the question.
        context: the passage.
        allow_none: whether the passage may have no answer.
    """

    question: str
    context: str
    allow_none: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseRequest:
    """A request to choose the ending that fits.

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
        """The number of texts that the model computes for the request."""
        return len(self.choices)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRequest:
    """A request to score how well each text fits a query.

    Attributes:
        query: the query.
        texts: the texts to score.
        truncate: as in `ClassifyRequest`.
    """

    query: str
    texts: tuple[str, ...]
    truncate: bool = False

    @property
    def num_texts(self) -> int:
        """The number of texts that the model computes for the request."""
        return max(1, len(self.texts))


Value = TypeVar("Value", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction(Generic[Value]):
    """The answer to one request.

    Attributes:
        value: a `Classification` (of a choice: its labels are the choices' numbers), a `Tagging`, a `SpanAnswer`, or a
            tuple of `Ranked`, best first.
        num_tokens: tokens read, special tokens included; tokens in two windows over a long text count twice.
        warnings: parts of the input that were not read, or were changed before reading.
    """

    value: Value
    num_tokens: int
    warnings: tuple[str, ...] = ()
