"""Every arm, fusion and stage passes the port's suite."""

import numpy as np
import pytest

from lavra.rag.bm25.postings import Postings
from lavra.rag.bm25.write import write_postings
from lavra.rag.chunk_table import MemoryChunks
from lavra.rag.retrievers.build import build_retriever
from lavra.rag.retrievers.config import Arms, Expansion, Fusion, RetrievalConfig
from lavra.rag.words import Analyzer
from lavra.testing.retriever import TEXTS, RetrieverConformance, chunks
from tests.rag.retrievers.toy import HashEmbedder, NaiveStore, Overlap


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    every = chunks()
    texts = [chunk.text for chunk in every]
    folder = tmp_path_factory.mktemp("p") / "postings"
    write_postings(folder, [chunk.id for chunk in every], texts, Analyzer(("en",)))
    store = NaiveStore()
    store.add(np.array([chunk.id for chunk in every]), HashEmbedder().embed(texts), [chunk.meta for chunk in every])
    return MemoryChunks(every, TEXTS), Postings.open(folder), store, HashEmbedder()


class TestWords(RetrieverConformance):
    config = RetrievalConfig(arms=Arms.WORDS)

    @pytest.fixture(autouse=True)
    def _retriever(self, parts):
        self.retriever = build_retriever(*parts, self.config, Overlap())

    def make_retriever(self):
        return self.retriever


class TestDense(TestWords):
    config = RetrievalConfig(arms=Arms.DENSE)


class TestRanks(TestWords):
    config = RetrievalConfig(fusion=Fusion.RANKS)


class TestWeights(TestWords):
    config = RetrievalConfig(fusion=Fusion.WEIGHTS, dense_weight=0.5)


class TestReranked(TestWords):
    config = RetrievalConfig(rerank_depth=5, rerank_weight=0.5)


class TestDiverse(TestWords):
    config = RetrievalConfig(relevance=0.8)


class TestWithNeighbours(TestWords):
    config = RetrievalConfig(expansion=Expansion.NEIGHBOURS)


class TestWithSection(TestWords):
    config = RetrievalConfig(expansion=Expansion.SECTION)
