"""Retrievers over the parts of an index, each stage by itself, pass the suite of retrievers."""

from collections.abc import Sequence

import pytest

from lavra.base.retrieval import ACCESS, Chunk
from lavra.rag.retrievers import Arms, Expansion, Fusion, RetrievalConfig, build_retriever
from lavra.testing.retriever import RetrieverConformance
from tests.rag.retrievers.toy import Overlap, Parts

CONFIGS = {
    "words": RetrievalConfig(arms=Arms.WORDS),
    "meaning": RetrievalConfig(arms=Arms.DENSE),
    "ranks": RetrievalConfig(arms=Arms.HYBRID, fusion=Fusion.RANKS),
    "weights": RetrievalConfig(arms=Arms.HYBRID, fusion=Fusion.WEIGHTS),
    "reranked": RetrievalConfig(rerank_depth=5),
    "diverse": RetrievalConfig(relevance=0.9),
    "expanded": RetrievalConfig(expansion=Expansion.NEIGHBOURS),
}


@pytest.fixture(scope="class", params=CONFIGS)
def config(request, tmp_path_factory):
    request.cls.folder = tmp_path_factory.mktemp("parts")
    request.cls.config = CONFIGS[request.param]
    request.cls.made = {}


@pytest.mark.usefixtures("config")
class TestRetrievers(RetrieverConformance):
    def make_retriever(self, chunks: Sequence[Chunk]):
        if len(chunks) not in self.made:
            meta = {one.document: {key: value for key, value in one.meta.items() if key != ACCESS} for one in chunks}
            groups = {one.document: one.meta[ACCESS] for one in chunks if ACCESS in one.meta}
            texts = {one.document: one.text for one in chunks}
            parts = Parts(self.folder / str(len(chunks)), texts, groups=groups, meta=meta)
            self.made[len(chunks)] = build_retriever(
                parts.table, parts.postings, parts.store, parts.embedder, self.config, Overlap()
            )
        return self.made[len(chunks)]
