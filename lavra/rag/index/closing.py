"""Close stores that hold a resource open; the port has no such method."""

from __future__ import annotations

from lavra.base.ports import VectorStore


def close_store(store: VectorStore) -> None:
    """Close a store that has a `close`."""
    close = getattr(store, "close", None)
    if callable(close):
        close()
