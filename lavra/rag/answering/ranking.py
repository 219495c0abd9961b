"""Which sentences of the passages answer a question best.

Each sentence has a few features from 0 to 1 (words it shares with the question, by rarity, in it and around it; the rank of
its passage; nearness of meaning; whether it has a thing of the kind that is asked for), and a weighted sum of them orders
the sentences, as in the extractive systems of TREC's question-answering tracks (Voorhees 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lavra.base.ports import Embedder
from lavra.base.retrieval import Passage
from lavra.rag.answering.asked import Wanted, has_wanted, wanted
from lavra.rag.answering.rarity import Analyze, Rarity, asked_words
from lavra.rag.answering.source_sentences import SourceSentence
from lavra.rag.answering.untrusted import speaks_to_a_model

_INSTRUCTION: Final = 0.5  # a sentence that speaks to a model counts this much of its score
_EMBEDDED: Final = 24  # sentences, the best by words, that are embedded


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceWeights:
    """What each feature of a sentence counts.

    Attributes:
        words: the question's words in the sentence, by rarity.
        around: in the sentence and its neighbours.
        passage: the rank of its passage.
        meaning: cosine with the question, where there is an embedder.
        kind: has a thing of the kind that is asked for.
    """

    words: float = 1.0
    around: float = 0.5
    passage: float = 0.5
    meaning: float = 1.0
    kind: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedSentence:
    """A sentence and how well it answers.

    Attributes:
        sentence: where it is.
        score: the weighted sum.
        coverage: share of the question's words in it and its neighbours, by rarity.
    """

    sentence: SourceSentence
    score: float
    coverage: float


def rank_sentences(
    question: str,
    passages: Sequence[Passage],
    sentences: Sequence[SourceSentence],
    *,
    analyze: Analyze,
    rarity: Rarity,
    embedder: Embedder | None = None,
    weights: SentenceWeights = SentenceWeights(),
) -> list[RankedSentence]:
    """Sentences, the best first; equal ones in the order of their passages.

    Args:
        question: what is asked, understandable by itself.
        passages: the best first.
        sentences: of these passages.
        analyze: turns texts into words.
        rarity: weights of words.
        embedder: compares meanings, if there is one.
        weights: of the features.
    """
    if not sentences:
        return []
    asked, kind = asked_words(question, analyze), wanted(question)
    words = [set(analyze(one.text)) for one in sentences]
    heads = [set(analyze(" ".join((*one.chunk.headings, one.chunk.document)))) for one in passages]
    inside = np.array([rarity.coverage(asked, found) for found in words])
    around = np.array(
        [rarity.coverage(asked, _near(place, sentences, words) | heads[sentences[place].passage])
         for place in range(len(sentences))]
    )  # fmt: skip
    score = weights.words * inside + weights.around * around
    score += weights.passage * np.array([1 / (1 + one.passage) for one in sentences])
    score += weights.kind * np.array([_fits(one.text, kind, question) for one in sentences])
    if embedder is not None:
        score += weights.meaning * _cosines(question, sentences, score, embedder)
    score *= np.array([_INSTRUCTION if speaks_to_a_model(one.text) else 1.0 for one in sentences])
    order = np.argsort(-score, kind="stable")
    return [
        RankedSentence(sentence=sentences[place], score=float(score[place]), coverage=float(around[place]))
        for place in order
    ]


def _near(place: int, sentences: Sequence[SourceSentence], words: Sequence[set[str]]) -> set[str]:
    """Words of a sentence and of those before and behind it in its passage."""
    beside = range(max(0, place - 1), min(len(sentences), place + 2))
    return set().union(*(words[one] for one in beside if sentences[one].passage == sentences[place].passage))


def _fits(text: str, kind: Wanted, question: str) -> float:
    return float(has_wanted(text, kind, question))


def _cosines(question: str, sentences: Sequence[SourceSentence], score: np.ndarray, embedder: Embedder) -> np.ndarray:
    """(N,) cosines of the sentences that are best so far; the others have the least of these."""
    taken = np.argsort(-score, kind="stable")[:_EMBEDDED]
    vectors = embedder.embed([question, *(sentences[place].text for place in taken)])
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    near = vectors[1:] @ vectors[0]
    found = np.full(len(sentences), float(near.min()))
    found[taken] = near
    return np.clip(found, 0.0, 1.0)
