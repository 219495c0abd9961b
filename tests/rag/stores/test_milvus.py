"""Milvus: the suite of the port on milvus-lite in this process, and on its server over gRPC."""

from __future__ import annotations

import pytest

from lavra.rag.stores.config import StoreConfig, StoreKind
from tests.rag.stores.embedded import EmbeddedStore

pytest.importorskip("pymilvus", reason="pymilvus is not installed; it is of the extra `milvus`")
lite = pytest.importorskip(
    "milvus_lite.server_manager", reason="milvus-lite is not installed; it is of the extra `milvus`"
)


class TestMilvusLite(EmbeddedStore):
    config = StoreConfig(kind=StoreKind.MILVUS)

    def close_store(self, store):
        store.close()
        lite.server_manager_instance.release_server(str(self.folder / "milvus.db"))

    @pytest.fixture(autouse=True)
    def _released(self, _folder):
        yield
        lite.server_manager_instance.release_server(str(self.folder / "milvus.db"))
