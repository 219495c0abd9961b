"""A trial: questions are asked of a sample that is cut and searched in one way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float64s
from lavra.base.ports import Embedder, Reranker, Retriever
from lavra.base.predictions import Ranked
from lavra.base.retrieval import Passage, SearchRequest
from lavra.rag.questions.given import JudgedQuestion
from lavra.rag.retrievers.build import build_retriever
from lavra.rag.retrievers.config import Arms, Fusion, RetrievalConfig
from lavra.rag.retrievers.dense import DenseRetriever
from lavra.rag.retrievers.reranked import Reranked
from lavra.rag.retrievers.weights import learn_weights
from lavra.rag.retrievers.words import WordRetriever
from lavra.rag.tuning.config import Search, Setup
from lavra.rag.tuning.corpus import CutSample
from lavra.rag.tuning.hits import DEPTH, Hit, covers, first_hit, gain_by_rank, gain_by_text
from lavra.rag.tuning.shelf import Deadline

RERANK_WEIGHTS = (0.25, 0.5, 0.75, 1.0)
"""The weights of a reranker's score against the order before it; one of them is learned."""
_FOLDS = 2  # folds of learning a weight
LEAST_TO_LEARN = 8
"""The least number of questions for learning a weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The result of one setup.

    Attributes:
        setup: the way the sample was cut and searched.
        hits: hit of each question.
        milliseconds: mean time of a search.
        chunks: number of chunks in the sample.
        dense_weight: weight learned on all questions; each question was searched with the weight of the other half.
        rerank_weight: weight of the reranker, learned likewise.
    """

    setup: Setup
    hits: tuple[Hit | None, ...]
    milliseconds: float
    chunks: int
    dense_weight: float | None = None
    rerank_weight: float | None = None

    def gains(self) -> Float64s:
        """(Q,) gain by text."""
        return np.array([gain_by_text(hit) for hit in self.hits], dtype=np.float64)

    def rank_gains(self) -> Float64s:
        """(Q,) nDCG@10, for setups with the same way of cutting."""
        return np.array([gain_by_rank(hit) for hit in self.hits], dtype=np.float64)

    def retrieval(self, rerank_depth: int) -> RetrievalConfig:
        """The settings with which an index is searched in this way."""
        weight = self.dense_weight
        return replace(
            _plain(self.setup.search) if weight is None else _weighted(weight),
            rerank_depth=rerank_depth if self.setup.reranked else 0,
            rerank_weight=1.0 if self.rerank_weight is None else self.rerank_weight,
        )


class RememberingReranker:
    """A `Reranker` that reads no pair twice.

    Args:
        reranker: reads new pairs.
        deadline: end of the run; it is checked before each question.
    """

    def __init__(self, reranker: Reranker, deadline: Deadline) -> None:
        self._reranker, self._deadline = reranker, deadline
        self._known: dict[tuple[str, str], float] = {}

    def rerank(self, query: str, texts: Sequence[str]) -> list[Ranked]:
        """See `Reranker.rerank`.

        Raises:
            OutOfTimeError: the time is over.
        """
        missing = list(dict.fromkeys(text for text in texts if (query, text) not in self._known))
        if missing:
            self._deadline.check()
            for one in self._reranker.rerank(query, missing):
                self._known[query, missing[one.index]] = one.score
        scored = [Ranked(index=index, score=self._known[query, text]) for index, text in enumerate(texts)]
        return sorted(scored, key=lambda one: (-one.score, one.index))


class TrialRunner:
    """A bench of questions and a cut sample; it makes the trials of every search.

    Args:
        cut: the sample.
        questions: judged questions to ask.
        embedder: embeds questions.
        reranker: reads passages, where there is a reranker.
        rerank_depth: number of passages that it reads.
        seed: decides the halves that weights are learned on.
    """

    def __init__(
        self,
        cut: CutSample,
        questions: Sequence[JudgedQuestion],
        embedder: Embedder | None,
        reranker: RememberingReranker | None,
        *,
        rerank_depth: int,
        seed: int,
    ) -> None:
        self._cut, self._questions, self._embedder = cut, questions, embedder
        self._reranker, self._depth = reranker, rerank_depth
        self._half: npt.NDArray[np.bool_] = np.random.default_rng(seed).permutation(len(questions)) % 2 == 0

    def measure(self, setup: Setup) -> Trial:
        """Ask all questions.

        Raises:
            OutOfTimeError: the time of the run is over.
        """
        start = time.perf_counter()
        retrievers, weight = self._retrievers(setup.search)
        found = [
            self._search(retriever, question) for retriever, question in zip(retrievers, self._questions, strict=True)
        ]
        hits = self._hits(found)
        rerank_weight = None
        if setup.reranked:
            hits, rerank_weight = self._reranked(retrievers, hits)
        return Trial(
            setup=setup,
            hits=tuple(hits),
            milliseconds=1000 * (time.perf_counter() - start) / len(self._questions),
            chunks=len(self._cut.table.ids()),
            dense_weight=weight,
            rerank_weight=rerank_weight,
        )

    def _search(self, retriever: Retriever, question: JudgedQuestion, k: int = DEPTH) -> tuple[Passage, ...]:
        return retriever.search(SearchRequest(query=question.question, k=k)).passages

    def _hits(self, found: Sequence[Sequence[Passage]]) -> list[Hit | None]:
        return [first_hit(passages, question) for passages, question in zip(found, self._questions, strict=True)]

    def _retrievers(self, search: Search) -> tuple[list[Retriever], float | None]:
        """Make a retriever for each question; and the weight learned on all questions, where there is one."""
        if search is not Search.WEIGHTED:
            return [self._built(_plain(search))] * len(self._questions), None
        everyone = np.ones(len(self._questions), dtype=np.bool_)
        first, second, whole = (self._learned(chosen) for chosen in (self._half, ~self._half, everyone))
        halves = [self._built(_weighted(weight)) for weight in (second, first)]  # the other half's weights
        return [halves[0 if inside else 1] for inside in self._half], whole

    def _built(self, config: RetrievalConfig) -> Retriever:
        return build_retriever(self._cut.table, self._cut.postings, self._cut.store, self._embedder, config)

    def _learned(self, chosen: npt.NDArray[np.bool_]) -> float:
        assert self._cut.store is not None
        assert self._embedder is not None
        queries = {str(place): self._questions[place].question for place in np.flatnonzero(chosen).tolist()}
        words = WordRetriever(self._cut.table, self._cut.postings)
        dense = DenseRetriever(self._cut.table, self._cut.store, self._embedder)
        judgements = {name: self._grades(self._questions[int(name)]) for name in queries}
        if sum(map(bool, judgements.values())) < 2 * _FOLDS:
            return RetrievalConfig().dense_weight  # sentences longer than two chunks: nothing to learn from
        return learn_weights(self._cut.table, words, dense, queries, judgements).dense_weight

    def _grades(self, question: JudgedQuestion) -> dict[int, float]:
        return {
            chunk.id: 1.0
            for place in question.places
            for chunk in self._cut.by_document.get(place.document, ())
            if covers(chunk, place)
        }

    def _reranked(
        self, retrievers: Sequence[Retriever], before: Sequence[Hit | None]
    ) -> tuple[list[Hit | None], float]:
        """Find hits behind a reranker: each half with the best weight of the other, and the best weight on all."""
        assert self._reranker is not None
        by_weight = []
        for weight in RERANK_WEIGHTS:
            found = [
                self._search(Reranked(one, self._reranker, depth=self._depth, weight=weight), question, self._depth)
                for one, question in zip(retrievers, self._questions, strict=True)
            ]
            # Passages that a reranker does not read keep their place behind those it reads.
            hits = [new or old for new, old in zip(self._hits(found), before, strict=True)]
            by_weight.append(hits)
        scores = np.array([[gain_by_rank(hit) for hit in hits] for hits in by_weight])  # (W, Q)
        best = [int(scores[:, chosen].mean(axis=1).argmax()) for chosen in (~self._half, self._half)]
        own = [by_weight[best[0 if inside else 1]][place] for place, inside in enumerate(self._half)]
        return own, RERANK_WEIGHTS[int(scores.mean(axis=1).argmax())]


def _plain(search: Search) -> RetrievalConfig:
    """The settings of a search without learned weights."""
    return RetrievalConfig(arms={Search.WORDS: Arms.WORDS, Search.DENSE: Arms.DENSE}.get(search, Arms.HYBRID))


def _weighted(weight: float) -> RetrievalConfig:
    return RetrievalConfig(arms=Arms.HYBRID, fusion=Fusion.WEIGHTS, dense_weight=weight)
