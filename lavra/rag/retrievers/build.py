"""Build a retriever of an index's parts, by its settings."""

from __future__ import annotations

from lavra.base.errors import ConfigError
from lavra.base.ports import Embedder, Reranker, Retriever, VectorStore
from lavra.rag.bm25.postings import Postings
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.retrievers.config import Arms, Expansion, RetrievalConfig
from lavra.rag.retrievers.dense import DenseRetriever
from lavra.rag.retrievers.diverse import Diverse, word_likeness
from lavra.rag.retrievers.expanded import Expanded
from lavra.rag.retrievers.hybrid import HybridRetriever
from lavra.rag.retrievers.reranked import Reranked
from lavra.rag.retrievers.words import WordRetriever


def build_retriever(
    table: ChunkTable,
    postings: Postings,
    store: VectorStore | None,
    embedder: Embedder | None,
    config: RetrievalConfig | None = None,
    reranker: Reranker | None = None,
) -> Retriever:
    """Build the arms, then their fusion, a reranker, the choice of different passages, and the widening of passages.

    Args:
        table: the chunks.
        postings: the words of the chunks.
        store: vectors of the chunks; `None` where the index has none.
        embedder: embeds questions; `None` where there is no embedder.
        config: settings of the arms and stages.
        reranker: reads the first passages, where `config.rerank_depth` is above 0.

    Raises:
        ConfigError: the settings ask for meaning or a reranker, and it is missing.
    """
    config = config or RetrievalConfig()
    found = _first(table, postings, store, embedder, config)
    if config.rerank_depth:
        if reranker is None:
            raise ConfigError(f"rerank_depth is {config.rerank_depth} and there is no reranker; give one, or 0")
        found = Reranked(found, reranker, depth=config.rerank_depth, weight=config.rerank_weight)
    if config.relevance < 1:
        found = Diverse(found, word_likeness(postings.analyzer), relevance=config.relevance)
    if config.expansion is not Expansion.NONE:
        found = Expanded(
            found,
            table,
            expansion=config.expansion,
            neighbours=config.neighbours,
            most_characters=config.most_characters,
        )
    return found


def _first(
    table: ChunkTable,
    postings: Postings,
    store: VectorStore | None,
    embedder: Embedder | None,
    config: RetrievalConfig,
) -> Retriever:
    words = WordRetriever(table, postings)
    if store is None or embedder is None:
        if config.arms in (Arms.DENSE, Arms.HYBRID):
            lacks = "vectors" if store is None else "encoder to read questions with"
            raise ConfigError(f"arms are {config.arms.value!r} and the index has no {lacks}; index with an encoder")
        return words
    if config.arms is Arms.WORDS:
        return words
    dense = DenseRetriever(table, store, embedder)
    return dense if config.arms is Arms.DENSE else HybridRetriever(table, words, dense, config)
