"""FAISS' stores: the port's suite for each kind, and FAISS' file beside the rows."""

from __future__ import annotations

import pytest

from lavra.rag.stores import faiss_store
from lavra.rag.stores.config import StoreConfig, StoreKind
from tests.rag.stores.embedded import EmbeddedStore


class TestFlat(EmbeddedStore):
    config = StoreConfig(kind=StoreKind.FAISS_FLAT)


class Approximate(EmbeddedStore):
    """With few vectors everything would be searched exactly; lower bounds make the store use FAISS' file."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch):
        monkeypatch.setattr(faiss_store, "_LEAST_TAIL", 256)
        monkeypatch.setattr(faiss_store, "_CODES", 16)
        monkeypatch.setattr(faiss_store, "_ROWS_A_STEP", 0)

    def test_the_search_is_approximate(self):
        store = self.filled(30, self.many)[0]
        assert store.state().startswith(f"{self.config.kind.value} covers {self.many} rows")


class TestHnsw(Approximate):
    config = StoreConfig(kind=StoreKind.FAISS_HNSW, exact_rows=20, effort=64, links=16)
    recall = 0.97


@pytest.mark.slow
class TestIvf(Approximate):
    config = StoreConfig(kind=StoreKind.FAISS_IVF, exact_rows=20)
    recall = 0.97


@pytest.mark.slow
class TestPq(Approximate):
    config = StoreConfig(kind=StoreKind.FAISS_PQ, exact_rows=20)
    recall = 0.97
