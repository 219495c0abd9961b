"""Stores that hold something open until they are closed; the port asks for no such thing."""

from __future__ import annotations

from lavra.base.ports import VectorStore


def close_store(store: VectorStore) -> None:
    """Close a store that has a `close`."""
    close = getattr(store, "close", None)
    if callable(close):
        close()
