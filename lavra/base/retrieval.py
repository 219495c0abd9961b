"""The values of retrieval: conditions on passages, passages that were found, questions and answers with citations.

Plain frozen values, so that the retriever, the command line and the server speak of the same things.

Every place in a document is given in characters of the document's own text, as the index keeps it: `text[start:end]` of
that text is what a passage or citation shows, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from lavra.base.types import SamplingConfig

MetaValue = str | int | float | bool | tuple[str, ...]
"""What a fact about a document may be; a tuple holds several words, such as the groups that may read it."""

ACCESS: Final = "access"
"""Key of the fact that names the groups that may read a document."""
EVERYONE: Final = "*"
"""The group that everybody belongs to; documents without a group of their own have it."""


class Operator(Enum):
    """How a fact of a document is compared with a value."""

    EQUAL = "eq"
    NOT_EQUAL = "ne"
    IN = "in"  # the fact is one of several values
    NOT_IN = "nin"
    AT_LEAST = "gte"
    AT_MOST = "lte"
    OVER = "gt"
    UNDER = "lt"
    HAS_ANY = "any"  # the fact is several words, and one of them is among the values


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One demand on the facts of a document; a document without the fact does not meet it.

    Attributes:
        field: name of the fact.
        operator: how it is compared.
        value: with what; a tuple for `IN`, `NOT_IN` and `HAS_ANY`.
    """

    field: str
    operator: Operator
    value: str | int | float | bool | tuple[str | int | float, ...]


Where = tuple[Condition, ...]
"""Conditions that all hold; an empty one lets everything through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of a document that is embedded and found as one.

    Attributes:
        id: its number in the index; never given to another chunk.
        document: name of its document, as indexed (`folder/report.pdf`, `folder/table.csv#12`).
        text: the document's text from `start` to `end`.
        start: of its first character in the document's text.
        end: behind its last.
        line: of the document's text on which it begins, from 1.
        page: on which it begins, from 1; `None` where the document has no pages.
        headings: titles above it, from the outermost to the nearest.
        meta: facts about its document that conditions may ask for.
    """

    id: int
    document: str
    text: str
    start: int
    end: int
    line: int
    page: int | None = None
    headings: tuple[str, ...] = ()
    meta: Mapping[str, MetaValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A chunk that was found.

    Attributes:
        chunk: what was found.
        score: by which the passages of one search are ordered, the best first.
        scores: of each arm that looked at it, by the arm's name (`bm25`, `dense`, `rerank`).
    """

    chunk: Chunk
    score: float
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What is looked for.

    Attributes:
        query: in a person's words.
        k: most passages wanted.
        where: conditions that every passage meets; applied before anything is ranked.
        groups: whose documents may be read besides everyone's; `None` reads everything, which only the owner of the
            index may.
    """

    query: str
    k: int = 10
    where: Where = ()
    groups: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found.

    Attributes:
        passages: the best first.
        warnings: what was not done as asked, one sentence each.
    """

    passages: tuple[Passage, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A stretch of a document that an answer rests on.

    Attributes:
        document: its name, as indexed.
        start: of its first character in the document's text.
        end: behind its last.
        text: exactly that slice.
        line: on which it begins, from 1.
        page: on which it begins, from 1; `None` where the document has no pages.
    """

    document: str
    start: int
    end: int
    text: str
    line: int
    page: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedSentence:
    """A sentence of an answer.

    Attributes:
        text: the sentence.
        supported: whether its citations say so; `None` where nothing was to be checked (a greeting, an abstention).
        citations: places in `Answer.citations`, from 0.
        reason: why it is not supported, in a few words.
    """

    text: str
    supported: bool | None
    citations: tuple[int, ...] = ()
    reason: str = ""


class AnswerMode(Enum):
    """How an answer is made."""

    EXTRACTIVE = "extractive"  # sentences of the documents, quoted
    GENERATED = "generated"  # written by a language model from passages


class Unsupported(Enum):
    """What happens to a sentence that its citations do not support."""

    MARK = "mark"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One question and its answer, earlier in a conversation.

    Attributes:
        question: what was asked.
        answer: what was answered.
    """

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of documents.

    Attributes:
        text: the question.
        history: earlier turns, the oldest first; a question such as "and when?" is understood by them.
        k: most passages that are looked at.
        where: conditions on the passages.
        groups: as in `SearchRequest`.
        mode: how the answer is made; `None` leaves it to the index.
        unsupported: what happens to sentences without support.
        max_tokens: most tokens that a model writes.
        sampling: how it chooses them.
    """

    text: str
    history: tuple[Turn, ...] = ()
    k: int = 8
    where: Where = ()
    groups: frozenset[str] | None = None
    mode: AnswerMode | None = None
    unsupported: Unsupported = Unsupported.MARK
    max_tokens: int = 256
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A passage that was found and not used.

    Attributes:
        document: its document's name.
        start: of its first character.
        end: behind its last.
        reason: `no room`, `duplicate`, ….
    """

    document: str
    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer and what it rests on.

    Attributes:
        text: the answer; where sentences cite, `[1]` stands behind them and counts from 1 in `citations`.
        mode: how it was made.
        abstained: whether it says that the documents do not have the answer.
        sentences: of the answer, in order, without their marks.
        citations: in the order of their marks.
        passages: that were found, the best first.
        left_out: passages that were found and not used, and why.
        warnings: what the caller might not expect, one sentence each.
        prompt_tokens: that a model read.
        completion_tokens: that it wrote.
        short: the few words of the first citation that answer, where they stand out; an exact slice like a citation.
    """

    text: str
    mode: AnswerMode
    abstained: bool = False
    sentences: tuple[CitedSentence, ...] = ()
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    short: Citation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDelta:
    """A piece of an answer being written.

    Attributes:
        text: new characters, their citation marks included.
        citations: that the new characters refer to and no earlier piece did, with their numbers, from 0.
        answer: the whole, on the last piece only.
    """

    text: str
    citations: tuple[tuple[int, Citation], ...] = ()
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedDocument:
    """A document as the index keeps it.

    Attributes:
        name: as indexed.
        text: all of it.
        page_starts: where each page begins in the text, in order; none where there are no pages.
        meta: facts about it that conditions may ask for.
    """

    name: str
    text: str
    page_starts: tuple[int, ...] = ()
    meta: Mapping[str, MetaValue] = field(default_factory=dict)
