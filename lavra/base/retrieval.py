"""The values of retrieval: conditions on passages, passages that were found, questions and answers with citations.

Plain frozen values, so that the retriever, the command line and the server speak of the same things.

Every place in a document is given in characters of the document's own text, in the index's form: `text[start:end]` of
that text is exactly the text of a passage or citation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from lavra.base.types import SamplingConfig

MetaValue = str | int | float | bool | tuple[str, ...]
"""The value of a fact about a document; a tuple holds several words, such as the groups that may read it."""

ACCESS: Final = "access"
"""Key of the fact that names the groups that may read a document."""
EVERYONE: Final = "*"
"""The group that includes every user; documents without a group of their own have it."""


class Operator(Enum):
    """The comparison of a document's fact with a value."""

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
    """A condition on a fact of documents; a document without the fact does not meet it.

    Attributes:
        field: name of the fact.
        operator: the comparison.
        value: the value to compare with; a tuple for `IN`, `NOT_IN` and `HAS_ANY`.
    """

    field: str
    operator: Operator
    value: str | int | float | bool | tuple[str | int | float, ...]


Where = tuple[Condition, ...]
"""Conditions that must all hold; an empty tuple lets every document through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of a document that is embedded and found as a unit.

    Attributes:
        id: number of the chunk in the index; never given to another chunk.
        document: name of its document, as indexed (`folder/report.pdf`, `folder/table.csv#12`).
        text: the document's text from `start` to `end`.
        start: place of its first character in the document's text.
        end: place behind its last character.
        line: line of the document's text on which it begins, from 1.
        page: page on which it begins, from 1; `None` where the document has no pages.
        headings: titles above it, from the outermost to the nearest.
        meta: facts about its document, for conditions.
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
        chunk: the chunk.
        score: score of the passage; the passages of one search are ordered by it, the best first.
        scores: score of each arm that saw the passage, by the arm's name (`bm25`, `dense`, `rerank`).

    Example:
        >>> answer = lavra.ask("When was the bridge opened?", "handbook", model="none", progress=False)
        >>> answer.passages[0].chunk.document
        'documents/bridge.txt'
    """

    chunk: Chunk
    score: float
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A search over indexed documents.

    Attributes:
        query: the query, in a person's words.
        k: most passages wanted.
        where: conditions that every passage meets; applied before anything is ranked.
        groups: the groups whose documents may be read, besides the documents for all users; `None` reads every
            document, which only the owner of the index may.
    """

    query: str
    k: int = 10
    where: Where = ()
    groups: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The result of a search.

    Attributes:
        passages: passages, the best first.
        warnings: differences from the request, one sentence each.
    """

    passages: tuple[Passage, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A stretch of a document that supports an answer.

    Attributes:
        document: name of the document, as indexed.
        start: place of its first character in the document's text.
        end: place behind its last character.
        text: exactly that slice.
        line: line on which it begins, from 1.
        page: page on which it begins, from 1; `None` where the document has no pages.

    Example:
        >>> answer = lavra.ask("When was the bridge opened?", "handbook", model="none", progress=False)
        >>> citation = answer.citations[0]
        >>> citation.document, citation.line
        ('documents/bridge.txt', 1)
        >>> citation.text
        'The bridge was opened in 1931 by the mayor.'
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
        supported: whether its citations support it; `None` where it needs no support (a greeting, an abstention).
        citations: places in `Answer.citations`, from 0.
        reason: reason for missing support, in a few words.
    """

    text: str
    supported: bool | None
    citations: tuple[int, ...] = ()
    reason: str = ""


class AnswerMode(Enum):
    """The method that makes an answer."""

    EXTRACTIVE = "extractive"  # sentences of the documents, quoted
    GENERATED = "generated"  # written by a language model from passages


class Unsupported(Enum):
    """The treatment of a sentence that its citations do not support."""

    MARK = "mark"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question and its answer, earlier in a conversation.

    Attributes:
        question: the question.
        answer: the answer.
    """

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question to the indexed documents.

    Attributes:
        text: the question.
        history: earlier turns, the oldest first; they explain a question such as "and when?".
        k: most passages that are looked at.
        where: conditions on the passages.
        groups: as in `SearchRequest`.
        mode: method that makes the answer; `None` is the index's own.
        unsupported: treatment of sentences without support.
        max_tokens: most tokens that a model writes.
        sampling: settings by which the model chooses tokens.
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
        start: place of its first character.
        end: place behind its last character.
        reason: `no room`, `duplicate`, ….
    """

    document: str
    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer and its sources.

    Attributes:
        text: the answer; a mark such as `[1]` behind a sentence counts from 1 in `citations`.
        mode: method that made the answer.
        abstained: whether the answer states that the documents do not have it.
        sentences: sentences of the answer, in order, without their marks.
        citations: citations, in the order of their marks.
        passages: passages that were found, the best first.
        left_out: passages that were found and not used, with reasons.
        warnings: unexpected circumstances, one sentence each.
        prompt_tokens: number of tokens that a model read.
        completion_tokens: number of tokens that it wrote.
        short: the answering words of the first citation, where they stand out; an exact slice like a citation.

    Example:
        >>> answer = lavra.ask("When was the bridge opened?", "handbook", model="none", progress=False)
        >>> answer.abstained, [citation.document for citation in answer.citations]
        (False, ['documents/bridge.txt'])
        >>> print(answer)
        The bridge was opened in 1931 by the mayor. [1]
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

    def __str__(self) -> str:
        """The text."""
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDelta:
    """A piece of an answer in progress.

    Attributes:
        text: new characters, their citation marks included.
        citations: citations that appear first in this piece, with their numbers, from 0.
        answer: the whole answer, on the last piece only.
    """

    text: str
    citations: tuple[tuple[int, Citation], ...] = ()
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedDocument:
    """A document in the index's form.

    Attributes:
        name: name of the document, as indexed.
        text: the whole text.
        page_starts: place in the text at which each page begins, in order; empty for a document without pages.
        meta: facts about the document, for conditions.
    """

    name: str
    text: str
    page_starts: tuple[int, ...] = ()
    meta: Mapping[str, MetaValue] = field(default_factory=dict)
