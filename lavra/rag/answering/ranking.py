"""Rank the sentences of the passages by how well they answer a question.

Each sentence has a few features from 0 to 1 (words it shares with the question, by rarity, in it and around it; the
score of its passage divided by the best passage's; nearness of meaning; whether it has a thing of the wanted kind),
and a weighted sum of them orders the sentences, as in the extractive systems of TREC's question-answering tracks
(Voorhees 2001).

The weights were fitted by a softmax over the sentences of eight passages, on half of the questions of XQuAD and FaQuAD,
and tested on the other half: the best sentence has the answer for 0.78 and 0.74 of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np

from lavra.base.arrays import Float64s
from lavra.base.ports import Embedder
from lavra.base.retrieval import Passage
from lavra.rag.answering.asked import has_wanted, wanted
from lavra.rag.answering.rarity import Rarity, asked_words
from lavra.rag.answering.source_sentences import SourceSentence
from lavra.rag.answering.untrusted import speaks_to_a_model
from lavra.rag.words import Analyzer

_INSTRUCTION: Final = 0.5  # factor on the score of a sentence that addresses a model
_EMBEDDED: Final = 16  # number of sentences, the best by words, that are embedded
_KEPT: Final = 4096  # number of sentences whose vectors are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceWeights:
    """The weight of each feature of a sentence.

    Attributes:
        words: weight of the question's words in the sentence, by rarity.
        around: weight of the words in the sentence, its neighbours, the titles above it and its document's name.
        passage: weight of its passage's score, divided by the best passage's.
        meaning: weight of the cosine with the question, where there is an embedder.
        kind: weight of having a thing of the wanted kind.
    """

    words: float = 1.0
    around: float = 1.1
    passage: float = 0.8
    meaning: float = 0.8
    kind: float = 0.18


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedSentence:
    """A sentence with its score as an answer.

    Attributes:
        sentence: text with its place.
        score: the weighted sum.
        coverage: share of the question's words in it and around it, by rarity.
        meaning: its cosine with the question; 0 without an embedder.
    """

    sentence: SourceSentence
    score: float
    coverage: float
    meaning: float = 0.0


_WEIGHTS: Final = SentenceWeights()


class SentenceVectors:
    """Vectors of sentences, of unit length; the last few thousand are kept, since questions meet the same sentences.

    Used by many threads.

    Args:
        embedder: computes the vectors.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._kept: OrderedDict[str, Float64s] = OrderedDict()
        self._lock = Lock()

    def of(self, texts: Sequence[str]) -> Float64s:
        """(N, D) a row for each text."""
        with self._lock:
            known = {text: self._kept[text] for text in texts if text in self._kept}
        fresh = [text for text in dict.fromkeys(texts) if text not in known]
        if fresh:
            rows = self._embedder.embed(fresh).astype(np.float64)
            rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
            known.update(zip(fresh, rows, strict=True))
            self._keep(fresh, rows)
        return np.stack([known[text] for text in texts])

    def _keep(self, texts: Sequence[str], rows: Float64s) -> None:
        with self._lock:
            self._kept.update(zip(texts, rows, strict=True))
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


def rank_sentences(
    question: str,
    passages: Sequence[Passage],
    sentences: Sequence[SourceSentence],
    *,
    analyzer: Analyzer,
    rarity: Rarity,
    vectors: SentenceVectors | None = None,
    weights: SentenceWeights = _WEIGHTS,
) -> list[RankedSentence]:
    """Rank sentences, the best first; equal sentences in the order of their passages.

    Args:
        question: text of the question, understandable by itself.
        passages: results of the search, the best first.
        sentences: candidates, from these passages.
        analyzer: turns texts into terms.
        rarity: the weights of words.
        vectors: embeddings that compare meanings, if there is an embedder.
        weights: factors of the features.
    """
    if not sentences:
        return []
    asked, kind = asked_words(question, analyzer), wanted(question)
    words = [set(analyzer.words(one.text, _language(passages[one.passage]))) for one in sentences]
    heads = [
        set(analyzer.words(" ".join((*one.chunk.headings, one.chunk.document)), _language(one))) for one in passages
    ]
    around = np.array(
        [
            rarity.coverage(asked, _near(place, sentences, words) | heads[one.passage])
            for place, one in enumerate(sentences)
        ]
    )
    score = weights.around * around + weights.words * np.array([rarity.coverage(asked, found) for found in words])
    score += weights.passage * passage_shares(passages)[[one.passage for one in sentences]]
    score += weights.kind * np.array([float(has_wanted(one.text, kind, question)) for one in sentences])
    meaning = np.zeros(len(sentences)) if vectors is None else _cosines(question, sentences, score, vectors)
    score += weights.meaning * meaning
    score *= np.array([_INSTRUCTION if speaks_to_a_model(one.text) else 1.0 for one in sentences])
    return [
        RankedSentence(
            sentence=sentences[place],
            score=float(score[place]),
            coverage=float(around[place]),
            meaning=float(meaning[place]),
        )
        for place in np.argsort(-score, kind="stable")
    ]


def _language(passage: Passage) -> str:
    return str(passage.chunk.meta.get("language", ""))


def _near(place: int, sentences: Sequence[SourceSentence], words: Sequence[set[str]]) -> set[str]:
    """The words of a sentence and of its neighbours in its passage."""
    beside = range(max(0, place - 1), min(len(sentences), place + 2))
    return set().union(*(words[one] for one in beside if sentences[one].passage == sentences[place].passage))


def passage_shares(passages: Sequence[Passage]) -> Float64s:
    """(P,) each passage's score divided by the best passage's.

    BM25's scores are used where there are any: sums of words' weights can be compared, fused ranks hardly differ.
    """
    scores = np.array([one.scores.get("bm25", 0.0) for one in passages])
    if not scores.max(initial=0.0) > 0:
        scores = np.array([one.score for one in passages])
    if not scores.max(initial=0.0) > 0:
        return 1 / (1 + np.arange(len(passages), dtype=np.float64))
    shares: Float64s = np.clip(scores / scores.max(), 0.0, 1.0)
    return shares


def _cosines(question: str, sentences: Sequence[SourceSentence], score: Float64s, vectors: SentenceVectors) -> Float64s:
    """(N,) cosines of the sentences that are best so far; the other sentences get the least of these."""
    taken = np.argsort(-score, kind="stable")[:_EMBEDDED]
    rows = vectors.of([question, *(sentences[place].text for place in taken)])
    near = rows[1:] @ rows[0]
    found = np.full(len(sentences), float(near.min()))
    found[taken] = near
    cosines: Float64s = np.clip(found, 0.0, 1.0)
    return cosines
