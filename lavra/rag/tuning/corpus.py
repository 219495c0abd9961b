"""The corpus of tuning: the documents of an index, a sample of them, and the sample cut in one of several ways."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lavra.base.arrays import Int64s
from lavra.base.files import hash_json
from lavra.base.ports import Embedder, LanguageModel, Reranker, VectorStore
from lavra.base.retrieval import Chunk, MetaValue, Where
from lavra.rag.bm25.postings import Postings
from lavra.rag.bm25.write import write_postings
from lavra.rag.chunk_table import ChunkTable, MemoryChunks
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.exact import ExactStore
from lavra.rag.words import STEMMERS, Analyzer
from lavra.text.chunking.chunk import chunk_spans
from lavra.text.chunking.config import ChunkConfig
from lavra.text.chunking.tokens import TokenSpans, word_tokens
from lavra.text.whole import ChunkSpan, Heading, WholeText

_LANGUAGE = "language"


@dataclass(frozen=True, kw_only=True)
class TunedCorpus:
    """An index with the models that search it.

    Attributes:
        table: chunks and documents of the index.
        key: hash that changes with the documents.
        chunking: the way the documents are cut now.
        embedder: embeds documents; `None` where words alone are searched.
        query_embedder: embeds questions, where the encoder has a separate prompt for them.
        encoder: hash of the embedder's identity.
        tokens: function that gives the places of the encoder's tokens.
        longest: most tokens that the encoder reads; `None` where it has no limit.
        reranker: reads questions and passages together; `None` where there is none.
        reranker_key: hash of the reranker's identity.
        generator: writes questions; `None` makes them by rule.
    """

    table: ChunkTable
    key: str
    chunking: ChunkConfig
    embedder: Embedder | None = None
    query_embedder: Embedder | None = None
    encoder: str = ""
    tokens: TokenSpans = word_tokens
    longest: int | None = None
    reranker: Reranker | None = None
    reranker_key: str = ""
    generator: LanguageModel | None = None


class SampledTable:
    """Some documents of a `ChunkTable`.

    Args:
        table: chunks of all documents.
        names: documents in the sample.
    """

    def __init__(self, table: ChunkTable, names: Sequence[str]) -> None:
        self._table, self._names = table, sorted(names)

    def ids(self, where: Where = ()) -> Int64s:
        """See `ChunkTable.ids`."""
        own = [chunk.id for name in self._names for chunk in self._table.document_chunks(name)]
        return np.intersect1d(np.array(own, dtype=np.int64), self._table.ids(where))

    def chunks(self, ids: Sequence[int]) -> list[Chunk]:
        """See `ChunkTable.chunks`."""
        return self._table.chunks(ids)

    def document_text(self, name: str) -> str:
        """See `ChunkTable.document_text`."""
        return self._table.document_text(name)

    def documents(self) -> list[str]:
        """See `ChunkTable.documents`."""
        return list(self._names)

    def document_chunks(self, name: str) -> list[Chunk]:
        """See `ChunkTable.document_chunks`."""
        return self._table.document_chunks(name) if name in self._names else []


def sample_documents(table: ChunkTable, first: Sequence[str], most_characters: int, seed: int) -> list[str]:
    """Sample documents up to a number of characters: the first documents in any case, then others drawn by the seed."""
    sample = list(dict.fromkeys(first))
    taken = sum(len(table.document_text(name)) for name in sample)
    others = set(table.documents()) - set(sample)
    for name in sorted(others, key=lambda name: hash_json([seed, name])):
        if taken >= most_characters:
            break
        sample.append(name)
        taken += len(table.document_text(name))
    return sample


@dataclass(frozen=True, kw_only=True)
class CutSample:
    """A sample cut in one way, ready to be searched.

    Attributes:
        table: chunks of the sample.
        by_document: the chunks by the document's name, in the order of the text.
        postings: words of the chunks.
        store: vectors of the chunks; `None` where there is no embedder.
    """

    table: MemoryChunks
    by_document: Mapping[str, Sequence[Chunk]]
    postings: Postings
    store: VectorStore | None


def cut_sample(
    corpus: TunedCorpus, names: Sequence[str], chunking: ChunkConfig, embedder: Embedder | None, folder: Path
) -> CutSample:
    """Cut documents and make the parts that the arms of a search read.

    Args:
        corpus: holds the documents.
        names: documents to cut.
        chunking: the way to cut them.
        embedder: embeds the chunks.
        folder: path for files that are read while the sample is searched.
    """
    chunks: list[Chunk] = []
    for name in names:
        whole, meta = _whole(corpus.table, name)
        spans = chunk_spans(whole, chunking, corpus.tokens, None if embedder is None else embedder.embed)
        chunks += _chunks(whole, spans, meta, len(chunks))
    by_document: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        by_document.setdefault(chunk.document, []).append(chunk)
    return CutSample(
        table=MemoryChunks(chunks, dict.fromkeys(names, "")),
        by_document=by_document,
        postings=_postings(folder / "postings", chunks),
        store=None if embedder is None else _store(folder / "store", chunks, embedder),
    )


def _whole(table: ChunkTable, name: str) -> tuple[WholeText, Mapping[str, MetaValue]]:
    """Restore a document as one piece; its headings are those above its chunks."""
    text, parts = table.document_text(name), table.document_chunks(name)
    headings: dict[int, Heading] = {}
    path: tuple[str, ...] = ()
    for part in parts:
        for level, title in enumerate(part.headings, start=1):
            if part.headings[:level] != path[:level]:
                begin = max(headings, default=-1) + 1
                at = text.rfind(title, begin, part.start + len(title))
                start = at if at >= 0 else part.start
                headings.setdefault(start, Heading(level=level, start=start, title=title))
        path = part.headings
    ordered = tuple(headings[start] for start in sorted(headings))
    return WholeText(name=name, text=text, headings=ordered), parts[0].meta if parts else {}


def _chunks(whole: WholeText, spans: Sequence[ChunkSpan], meta: Mapping[str, MetaValue], first: int) -> list[Chunk]:
    lines = [0, *(place + 1 for place, letter in enumerate(whole.text) if letter == "\n")]
    return [
        Chunk(
            id=first + number,
            document=whole.name,
            text=whole.text[span.start : span.end],
            start=span.start,
            end=span.end,
            line=bisect_right(lines, span.start),
            headings=whole.heading_path(span.start),
            meta=meta,
        )
        for number, span in enumerate(spans)
    ]


def _postings(folder: Path, chunks: Sequence[Chunk]) -> Postings:
    own_languages = [str(chunk.meta.get(_LANGUAGE, "")) for chunk in chunks]
    known = [name for name, _ in Counter(own_languages).most_common() if name in STEMMERS]
    write_postings(
        folder,
        [chunk.id for chunk in chunks],
        (chunk.text for chunk in chunks),
        Analyzer(known),
        languages=own_languages,
    )
    return Postings.open(folder)


def _store(folder: Path, chunks: Sequence[Chunk], embedder: Embedder) -> VectorStore:
    vectors = embedder.embed([chunk.text for chunk in chunks])  # (N, D)
    store = ExactStore(StoreConfig(kind=StoreKind.EXACT), folder, vectors.shape[1])
    store.add(np.array([chunk.id for chunk in chunks], dtype=np.int64), vectors, [{} for _ in chunks])
    return store
