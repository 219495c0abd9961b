"""The port's suite for stores in a folder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lavra.rag.chunk_table import meets
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.table import open_store
from lavra.testing.vector_store import VectorStoreConformance


class EmbeddedStore(VectorStoreConformance):
    config = StoreConfig(kind=StoreKind.EXACT)

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    def open_store(self, namespace, dimension):
        return open_store(replace(self.config, namespace=namespace), self.folder, dimension)

    def meets(self, facts, where):
        return meets(facts, where)
