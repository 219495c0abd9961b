"""Cite sentences of an answer: the exact stretches of documents that support them.

A model's text is read sentence by sentence.  `[2]` behind a sentence names a passage of the prompt; within it, and
where no passage is named within all passages, the supporting sentences are looked for.  A citation is those
sentences, never the whole passage.  A sentence that nothing supports cites nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lavra.base.retrieval import Citation, CitedSentence
from lavra.ground.check import Support, best_evidence
from lavra.rag.answering.source_sentences import Sources, SourceSentence, merged, text_sentences

NUMBERS: Final = re.compile(r"\s*[\[【]((?:\d{1,3}|\^)(?:\s*[,;]\s*\d{1,3})*)[\]】]")
UNSUPPORTED_MARK: Final = "[?]"
"""The mark behind a sentence that no document supports."""
_SOME_WORD: Final = re.compile(r"\w")
_OPEN_MARK: Final = re.compile(r"\s*[\[【][\d\s,;]*$")

SentenceCheck = Callable[[str, Sequence[str]], Support]
"""A function that checks whether pieces of evidence support a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSentence:
    """A sentence that a model wrote.

    Attributes:
        text: words of the sentence, without citation marks.
        named: numbers of the passages that the sentence names, from 1.
    """

    text: str
    named: tuple[int, ...]


class SentenceReader:
    """A reader that finds the sentences of a text while it is written."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, text: str) -> list[WrittenSentence]:
        """Add more of the text; return the sentences that are complete now."""
        self._text += text
        found = []
        while (border := self._border()) is not None:
            found.append(self._text[:border])
            self._text = self._text[border:]
        return [one for one in map(read_written, found) if one.text]

    def end(self) -> list[WrittenSentence]:
        """The rest of the text, after its end."""
        rest, self._text = self._text, ""
        return [one for one in [read_written(rest)] if one.text]

    def _border(self) -> int | None:
        """The place where the first sentence and its marks end; `None` while it is not known."""
        spans = text_sentences(self._text)
        if len(spans) < 2:
            return None
        place = spans[0].end
        while found := NUMBERS.match(self._text, place):
            place = found.end()
        rest = self._text[place:]
        if not _SOME_WORD.search(rest) or _OPEN_MARK.match(rest):
            return None  # a mark may still come
        return place


def read_written(text: str) -> WrittenSentence:
    """Read a sentence and the passages that it names."""
    named = [int(number) for found in NUMBERS.finditer(text) for number in re.findall(r"\d+", found[1])]
    return WrittenSentence(text=" ".join(NUMBERS.sub("", text).split()), named=tuple(dict.fromkeys(named)))


def shown_text(text: str) -> str:
    """Format a document's sentence for an answer: in one line, and `[12]` as `(12)`, which is not a citation mark."""
    return " ".join(re.sub(r"\[(\d{1,3}|\?)\]", r"(\1)", text).split())


class CitationList:
    """The citations of an answer, each once, in the order of their marks."""

    def __init__(self) -> None:
        self.citations: list[Citation] = []
        self._num_sent = 0

    def add(self, citation: Citation) -> int:
        """Add a citation; return its number, from 0."""
        if citation not in self.citations:
            self.citations.append(citation)
        return self.citations.index(citation)

    def new(self) -> tuple[tuple[int, Citation], ...]:
        """The citations added since the last call, with their numbers."""
        first, self._num_sent = self._num_sent, len(self.citations)
        return tuple(enumerate(self.citations[first:], start=first))


def marked(sentence: CitedSentence) -> str:
    """Write a sentence's marks behind it."""
    marks = "".join(f"[{number + 1}]" for number in sentence.citations)
    if sentence.supported is False:
        marks += UNSUPPORTED_MARK
    return f"{sentence.text} {marks}" if marks else sentence.text


def cite_sentence(
    written: WrittenSentence,
    by_passage: Sequence[Sequence[SourceSentence]],
    sources: Sources,
    citations: CitationList,
    check: SentenceCheck,
    most: int,
) -> CitedSentence:
    """Find the evidence of a sentence and cite it.

    Args:
        written: the sentence, and the passages it names.
        by_passage: the sentences of each passage, in the order of the prompt.
        sources: the texts of their documents.
        citations: those of the answer so far; new citations are added.
        check: function that checks whether evidence supports a sentence.
        most: upper limit of the sentences of evidence.
    """
    named = [one for number in written.named if 0 < number <= len(by_passage) for one in by_passage[number - 1]]
    every = [one for sentences in by_passage for one in sentences]
    support = Support(supported=False, score=0.0, reason="no passage has a word of it")
    for pool in (named, every):
        chosen, found = _evidence(written.text, pool, check, most)
        if found is not None and found.supported:
            stretches = merged(chosen, sources)
            numbers = tuple(citations.add(one.citation()) for one in stretches)
            return CitedSentence(text=written.text, supported=True, citations=numbers)
        support = found or support
    return CitedSentence(text=written.text, supported=False, reason=support.reason)


def _evidence(
    text: str, pool: Sequence[SourceSentence], check: SentenceCheck, most: int
) -> tuple[list[SourceSentence], Support | None]:
    """Find the fewest sentences, each the best of those left, that support a sentence; else the last ones tried."""
    chosen: list[SourceSentence] = []
    support: Support | None = None
    for _ in range(most):
        best = _next(text, pool, chosen)
        if best is None:
            break
        chosen.append(best)
        support = check(text, [one.text for one in chosen])
        if support.supported:
            break
    return chosen, support


def _next(text: str, pool: Sequence[SourceSentence], chosen: Sequence[SourceSentence]) -> SourceSentence | None:
    """The sentence that, with those chosen, covers most of a text."""
    left = [one for one in pool if one not in chosen]
    so_far = " ".join(one.text for one in chosen)
    known = best_evidence(text, [so_far]) if chosen else None
    found = best_evidence(text, [f"{so_far} {one.text}" for one in left])
    if found is None or (known is not None and found[1] <= known[1]):
        return None
    return left[found[0]]
