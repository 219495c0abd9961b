"""A reranker that lavra trains from MiniLM: its gain, and whether it stays off where it does not help.

Two folds. For each half of the questions of Cranfield, Quati, XQuAD and FaQuAD a cross-encoder is finetuned (`lavra
finetune --task rerank`) on two thirds of the half, of all sets together. The other third decides, set by set, whether
reranking is on and with which weight beside the hybrid search: it is on where the mean gain of nDCG@10 less its
standard error is at least two points, the rule of `lavra index --tune`. Its gain is measured on the other half, which
neither training nor the decision has seen.

`--models FOLDER` keeps rows, models and vectors, so that measuring again does not train again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from labelled_tasks import DataError, encoder_folder
from rerank_rows import halves, parts, training_rows
from result import Result, print_table
from retrieval_sets import SETS, RetrievalSet

import lavra
from lavra.api.model import TextModel
from lavra.base.retrieval import Chunk, SearchRequest
from lavra.metrics.ranking import ndcg_at
from lavra.rag.bm25.postings import Postings
from lavra.rag.bm25.write import write_postings
from lavra.rag.chunk_table import MemoryChunks
from lavra.rag.rerank.predictor import PredictorReranker
from lavra.rag.retrievers.build import build_retriever
from lavra.rag.retrievers.config import Fusion, RetrievalConfig
from lavra.rag.retrievers.dense import DenseRetriever
from lavra.rag.retrievers.reranked import Reranked
from lavra.rag.retrievers.weights import learn_weights
from lavra.rag.retrievers.words import WordRetriever
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.exact import ExactStore
from lavra.rag.tuning.choose import LEAST_RERANK_GAIN
from lavra.rag.tuning.shelf import Deadline, VectorShelf
from lavra.rag.tuning.trial import RERANK_WEIGHTS, RememberingReranker
from lavra.rag.words import Analyzer

NOT_MEASURED = 77
BAR = 0.02
CUTOFF = 10


@dataclass(frozen=True, kw_only=True)
class Size:
    """Sizes of training and measurement.

    Attributes:
        rows: most training rows.
        epochs: epochs of training.
        negatives: negatives for each fitting passage.
        decides: most questions of a set that decide.
        measured: most questions of a set's half that are measured.
        passages: most passages of a set.
        depth: number of passages that the reranker reads.
    """

    rows: int
    epochs: float
    negatives: int
    decides: int
    measured: int
    passages: int
    depth: int


FULL = Size(rows=3000, epochs=2.0, negatives=2, decides=40, measured=60, passages=10_000, depth=10)
_TO_LEARN = 100  # most questions for learning the weight of the hybrid search


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A set that is ready to be searched.

    Attributes:
        judged: the set.
        table: its passages, numbered in their order.
        postings: postings of their words.
        store: store of their vectors.
        embedder: embeds questions.
    """

    judged: RetrievalSet
    table: MemoryChunks
    postings: Postings
    store: ExactStore
    embedder: VectorShelf


@dataclass(frozen=True, kw_only=True)
class HalfResult:
    """Results of one measured half of a set.

    Attributes:
        name: name of the set.
        before: mean nDCG@10 of the hybrid search.
        after: mean nDCG@10 with the reranker, if it is on.
        weight: weight of the reranker.
        decided: mean gain on the questions that decide.
        error: its standard error.
        is_on: whether the reranker was switched on.
        questions: number of measured questions.
    """

    name: str
    before: float
    after: float
    weight: float
    decided: float
    error: float
    is_on: bool
    questions: int


def searched(judged: RetrievalSet, embedder: VectorShelf, folder: Path) -> Searched:
    """Count the words of a set and embed it."""
    names = list(judged.passages)
    chunks = [
        Chunk(id=number, document=name, text=text, start=0, end=len(text), line=1)
        for number, (name, text) in enumerate(judged.passages.items())
    ]
    ids = np.arange(len(names))
    write_postings(folder / "postings", ids, judged.passages.values(), Analyzer((judged.language,)))
    vectors = embedder.embed(list(judged.passages.values()))  # (N, D)
    store = ExactStore(StoreConfig(kind=StoreKind.EXACT), folder / "store", vectors.shape[1])
    store.add(ids, vectors, [{} for _ in names])
    return Searched(
        judged=judged,
        table=MemoryChunks(chunks, dict.fromkeys(names, "")),
        postings=Postings.open(folder / "postings"),
        store=store,
        embedder=embedder,
    )


def train(rows: Sequence[dict[str, Any]], size: Size, folder: Path) -> Path:
    """A reranker trained from MiniLM, or the kept one."""
    made = folder / "model"
    if made.exists():
        return made
    data = folder / "rows.jsonl"
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "lavra",
        "finetune",
        str(encoder_folder()),
        "--task",
        "rerank",
        "--data",
        str(data),
    ]
    command += ["--epochs", str(size.epochs), "--max-tokens", "96", "--learning-rate", "1.5e-4"]
    command += ["--heldout-fraction", "0.05", "--out", str(made), "--workspace", str(folder / "workspace")]
    subprocess.run(command, check=True)
    return made


def measure(
    one: Searched,
    learnt: Sequence[str],
    decides: Sequence[str],
    asked: Sequence[str],
    reranker: RememberingReranker,
    depth: int,
) -> HalfResult:
    """Learn the hybrid search's weight and decide on some questions, and measure on others."""
    config = RetrievalConfig(fusion=Fusion.WEIGHTS, dense_weight=_dense_weight(one, learnt))
    base = build_retriever(one.table, one.postings, one.store, one.embedder, config)
    before = _gains(one, base, decides, depth)
    by_weight = {
        weight: _gains(one, Reranked(base, reranker, depth=depth, weight=weight), decides, depth)
        for weight in RERANK_WEIGHTS
    }
    weight = max(by_weight, key=lambda one: float(by_weight[one].mean()))
    apart = by_weight[weight] - before
    error = float(np.std(apart, ddof=1) / math.sqrt(len(apart))) if len(apart) > 1 else 0.0
    is_on = float(apart.mean()) - error >= LEAST_RERANK_GAIN
    measured = _gains(one, base, asked, depth)
    reranked = _gains(one, Reranked(base, reranker, depth=depth, weight=weight), asked, depth)
    print(
        f"{one.judged.name}: reranked {reranked.mean():.4f}, before {measured.mean():.4f}, weight {weight}", flush=True
    )
    return HalfResult(
        name=one.judged.name,
        before=float(measured.mean()),
        after=float((reranked if is_on else measured).mean()),
        weight=weight,
        decided=float(apart.mean()),
        error=error,
        is_on=is_on,
        questions=len(asked),
    )


def _dense_weight(one: Searched, queries: Sequence[str]) -> float:
    if len(queries) < 2:
        return RetrievalConfig().dense_weight
    numbers = {name: number for number, name in enumerate(one.judged.passages)}
    judgements = {
        query: {numbers[name]: grade for name, grade in one.judged.judgements[query].items() if name in numbers}
        for query in queries
    }
    words = WordRetriever(one.table, one.postings)
    dense = DenseRetriever(one.table, one.store, one.embedder)
    texts = {query: one.judged.queries[query] for query in queries}
    return learn_weights(one.table, words, dense, texts, judgements).dense_weight


def _gains(one: Searched, retriever: Any, queries: Sequence[str], depth: int) -> np.ndarray:
    """(Q,) nDCG@10; only passages that a reranker may read count, so that both are of the same passages."""
    found = []
    for query in queries:
        passages = retriever.search(SearchRequest(query=one.judged.queries[query], k=depth)).passages
        names = [passage.chunk.document for passage in passages]
        found.append(ndcg_at(names, one.judged.judgements[query], CUTOFF))
    return np.array(found)


def smaller(judged: RetrievalSet, size: Size) -> RetrievalSet:
    """The set; for a small run, only the first passages and the questions about them."""
    if len(judged.passages) <= size.passages:
        return judged
    names = list(judged.passages)[: size.passages]
    kept = {
        query: {name: grade for name, grade in grades.items() if name in set(names)}
        for query, grades in judged.judgements.items()
    }
    queries = [query for query, grades in kept.items() if any(grade > 0 for grade in grades.values())]
    return RetrievalSet(
        name=judged.name,
        language=judged.language,
        passages={name: judged.passages[name] for name in names},
        queries={query: judged.queries[query] for query in queries},
        judgements={query: kept[query] for query in queries},
        groups=judged.groups,
        answers=judged.answers,
    )


def outcomes(data: Path, size: Size, folder: Path, folds: Sequence[int]) -> list[HalfResult]:
    """Every set, each half measured once."""
    embedder = VectorShelf(folder / "vectors", CuttingEmbedder(lavra.load(encoder_folder())), Deadline(math.inf))
    sets = [searched(smaller(read(data), size), embedder, folder / f"searched-{name}") for name, read in SETS.items()]
    found = []
    for fold in folds:
        rows = [row for one in sets for row in _rows(one, fold, size)]
        random.Random(fold).shuffle(rows)
        model = lavra.load(train(rows[: size.rows], size, folder / f"fold{fold}"))
        assert model.predictor is not None
        reranker = RememberingReranker(PredictorReranker(model.predictor), Deadline(math.inf))
        for one in sets:
            halved = halves(one.judged)
            _, decides = parts(one.judged, halved[fold])
            decides, asked = _some(decides or halved[fold], size.decides), _some(halved[1 - fold], size.measured)
            if not asked:
                continue  # a small run may leave one half empty
            learnt = _some(halved[fold], _TO_LEARN)
            found.append(measure(one, learnt, decides, asked, reranker, size.depth))
    return found


class CuttingEmbedder:
    """An `Embedder` that cuts texts that are too long.

    Args:
        model: the model that embeds.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model

    def embed(self, texts: Sequence[str]) -> Any:
        """(N, D) vectors."""
        return self._model.embed(list(texts), truncate=True)


def _rows(one: Searched, fold: int, size: Size) -> list[dict[str, Any]]:
    learnt, _ = parts(one.judged, halves(one.judged)[fold])
    return training_rows(one.judged, learnt, one.postings, negatives=size.negatives, seed=fold)


def _some(queries: Sequence[str], number: int) -> list[str]:
    return random.Random(number).sample(list(queries), min(number, len(queries)))


def to_result(found: Sequence[HalfResult]) -> Result:
    """The claim over all sets and halves."""
    gains = [one.after - one.before for one in found if one.is_on]
    least = min(gains, default=BAR)
    return Result(
        claim="A reranker is on only where it adds two points of nDCG@10 on questions that it has not seen",
        ours=float(np.mean([one.after for one in found])),
        peers={"hybrid search alone": float(np.mean([one.before for one in found]))},
        ratio=least,
        bar=BAR,
        holds=least >= BAR,
        packages=("torch",),
        details={"outcomes": [one.__dict__ for one in found]},
    )


def main() -> int:
    """Train, decide, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="measure nothing: training a reranker takes minutes")
    parser.add_argument("--models", type=Path, help="folder that keeps rows, models and vectors")
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1], choices=[0, 1])
    args = parser.parse_args()
    if args.smoke:
        print("retrieval_reranking: there is no small run; a reranker learns for minutes")
        return NOT_MEASURED
    data = os.environ.get("LAVRA_DATA")
    if data is None:
        print("LAVRA_DATA names no folder of data", file=sys.stderr)
        return NOT_MEASURED
    with tempfile.TemporaryDirectory() as scratch:
        try:
            found = outcomes(Path(data), FULL, args.models or Path(scratch), args.folds)
        except DataError as error:
            print(error, file=sys.stderr)
            return NOT_MEASURED
    rows = [["set", "questions", "before", "after", "decided by", "error", "weight", "reranking"]]
    for one in found:
        numbers = [f"{value:.4f}" for value in (one.before, one.after, one.decided, one.error)]
        rows.append([one.name, str(one.questions), *numbers, f"{one.weight:.2f}", "on" if one.is_on else "off"])
    print_table(rows)
    result = to_result(found)
    print(result.line() if args.json else f"{result.claim}: {'yes' if result.holds else 'no'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
