"""Choose the sentences that an answer quotes, and the few words in them that answer.

The best sentence is quoted, and others that are nearly as good.  A sentence that leans on the one before it ("It was
…") is quoted with that sentence.  Where a head finds short answers, the sentence of its span comes first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lavra.base.ports import Predictor
from lavra.base.retrieval import Citation, Passage
from lavra.rag.answering.config import DocumentAnswerConfig
from lavra.rag.answering.ranking import RankedSentence, passage_shares
from lavra.rag.answering.rarity import Rarity, asked_words
from lavra.rag.answering.short_answers import short_span, span_by_head
from lavra.rag.answering.source_sentences import Sources, SourceSentence
from lavra.rag.words import Analyzer

_LEANS: Final = re.compile(
    r"(?:It|He|She|They|This|That|These|Those|His|Her|Its|Their|Such|Ele|Ela|Eles|Elas|Isso|Isto|Este|Esta|Estes|Estas|"
    r"Esse|Essa|Seu|Sua|Seus|Suas|Tal|Tais)\b"
)
_SURE: Final = 0.2  # probability from which a head's span is believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotation:
    """A quoted stretch of a document.

    Attributes:
        sentence: a sentence, or two sentences of which the second leans on the first.
        short: the few words in it that answer, if they stand out.
    """

    sentence: SourceSentence
    short: Citation | None = None


def quote(
    question: str,
    passages: Sequence[Passage],
    ranked: Sequence[RankedSentence],
    *,
    sources: Sources,
    analyzer: Analyzer,
    rarity: Rarity,
    head: Predictor | None,
    config: DocumentAnswerConfig,
) -> list[Quotation]:
    """Choose the quotations, the best first; at least one where there are sentences.

    Args:
        question: text of the question, understandable by itself.
        passages: results of the search.
        ranked: their sentences, the best first.
        sources: the texts of their documents.
        analyzer: turns texts into terms.
        rarity: the weights of words.
        head: a head that finds short answers, if there is any.
        config: settings: the number of quotations.
    """
    if not ranked:
        return []
    asked = asked_words(question, analyzer)
    ranked = _without_repeats(ranked)
    chosen = [one.sentence for one in ranked[: config.sentences] if one.score >= config.near * ranked[0].score]
    found = None if head is None else _by_head(head, question, passages, ranked)
    if found is not None:
        chosen = [found[0], *(one for one in chosen if one != found[0])][: config.sentences]
    else:
        span = short_span(question, chosen[0].text, asked, analyzer=analyzer, rarity=rarity)
        found = None if span is None else (chosen[0], chosen[0].start + span[0], chosen[0].start + span[1])
    short = None if found is None else _slice(found[0], found[1], found[2])
    return _quotations(chosen, short, [one.sentence for one in ranked], sources)


def _without_repeats(ranked: Sequence[RankedSentence]) -> list[RankedSentence]:
    """Leave out repeated sentences: with copies of a document an answer would be one sentence, several times."""
    best: dict[str, RankedSentence] = {}
    for one in ranked:
        best.setdefault(" ".join(one.sentence.text.casefold().split()), one)
    return list(best.values())


def _by_head(
    head: Predictor, question: str, passages: Sequence[Passage], ranked: Sequence[RankedSentence]
) -> tuple[SourceSentence, int, int] | None:
    """Find the sentence with a head's span, and the span's place in the document."""
    found = span_by_head(head, question, passages, passage_shares(passages).tolist())
    if found is None or found[1].score < _SURE:
        return None
    chunk, span = passages[found[0]].chunk, found[1]
    start, end = chunk.start + span.start, chunk.start + span.end
    for one in ranked:
        if one.sentence.document == chunk.document and one.sentence.start <= start and end <= one.sentence.end:
            return one.sentence, start, end
    return None


def _quotations(
    chosen: Sequence[SourceSentence],
    short: Citation | None,
    sentences: Sequence[SourceSentence],
    sources: Sources,
) -> list[Quotation]:
    found: list[Quotation] = []
    for place, one in enumerate(chosen):
        if any(one.document == known.sentence.document and one.start < known.sentence.end and known.sentence.start <
        one.end
               for known in found):  # fmt: skip
            continue
        found.append(Quotation(sentence=_with_leaned_on(one, sentences, sources), short=short if place == 0 else None))
    return found


def _with_leaned_on(one: SourceSentence, sentences: Sequence[SourceSentence], sources: Sources) -> SourceSentence:
    """Join a sentence to the sentence before it where it begins with a word that points back."""
    if not _LEANS.match(one.text):
        return one
    text = sources.text(one.document)
    before = [
        other
        for other in sentences
        if other.document == one.document and other.end <= one.start and not text[other.end : one.start].strip()
    ]
    return sources.stretch(before[0], one) if before else one


def _slice(sentence: SourceSentence, start: int, end: int) -> Citation:
    whole = sentence.citation()
    text = whole.text[start - whole.start : end - whole.start]
    line = whole.line + whole.text.count("\n", 0, start - whole.start)
    return Citation(document=whole.document, start=start, end=end, text=text, line=line, page=whole.page)
