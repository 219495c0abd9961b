"""Choose the sentences of the evidence that cover most of a claim.

A claim may rest on two or three sentences, so they are chosen one after another, each for the words that the earlier
sentences do not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lavra.ground.statement import Statement, read_statement
from lavra.ground.words import Language
from lavra.text.sentences import sentence_spans


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSentence:
    """A sentence of the evidence.

    Attributes:
        piece: number of the piece of evidence that holds the sentence.
        text: the sentence.
        around: the sentence with its neighbours before and behind, since names often stand there.
        statement: the sentence, read into words, numbers and names.
        stems: its words, stemmed.
    """

    piece: int
    text: str
    around: str
    statement: Statement
    stems: frozenset[str]


def read_evidence(evidence: Sequence[str], language: Language) -> list[EvidenceSentence]:
    """Read all sentences of all pieces, in order."""
    return [one for piece, text in enumerate(evidence) for one in _sentences_of(piece, text, language)]


def choose_sentences(
    sentences: Sequence[EvidenceSentence], wanted: Mapping[str, float], most: int
) -> list[EvidenceSentence]:
    """Sentences that together have most of the wanted stems, the best first; each adds something.

    Args:
        sentences: candidates of the choice.
        wanted: stems to cover, each with its weight.
        most: the largest number of sentences to choose.
    """
    chosen: list[EvidenceSentence] = []
    left = dict(wanted)
    while left and sentences and len(chosen) < most:
        gains = [sum(weight for stem, weight in left.items() if stem in one.stems) for one in sentences]
        best = max(range(len(sentences)), key=lambda index: (gains[index], -index))
        if gains[best] <= 0:
            break
        chosen.append(sentences[best])
        left = {stem: weight for stem, weight in left.items() if stem not in sentences[best].stems}
    return chosen


@lru_cache(maxsize=1024)  # the sentences of an answer are checked against the same passages
def _sentences_of(piece: int, text: str, language: Language) -> tuple[EvidenceSentence, ...]:
    spans = sentence_spans(text)
    found = []
    for place, span in enumerate(spans):
        first, last = spans[max(0, place - 1)], spans[min(len(spans) - 1, place + 1)]
        statement = read_statement(text[span.start : span.end], language)
        found.append(
            EvidenceSentence(
                piece=piece,
                text=text[span.start : span.end],
                around=text[first.start : last.end],
                statement=statement,
                stems=frozenset(word.stem for word in statement.words),
            )
        )
    return tuple(found)
