"""The exact store passes the suite of the port."""

from __future__ import annotations

from tests.rag.stores.embedded import EmbeddedStore


class TestExact(EmbeddedStore):
    pass
