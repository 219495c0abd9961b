"""The vector stores by kind; each store's module is imported when it is opened.

A new store is a class with the methods of `VectorStore`, built from (config, folder, dimension), and a line
here.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final, cast

from lavra.base.ports import VectorStore
from lavra.rag.stores.config import StoreConfig, StoreKind

_TABLE: Final[dict[StoreKind, str]] = {
    StoreKind.EXACT: "lavra.rag.stores.exact:ExactStore",
    StoreKind.FAISS_FLAT: "lavra.rag.stores.faiss_store:FaissStore",
    StoreKind.FAISS_IVF: "lavra.rag.stores.faiss_store:FaissStore",
    StoreKind.FAISS_HNSW: "lavra.rag.stores.faiss_store:FaissStore",
    StoreKind.FAISS_PQ: "lavra.rag.stores.faiss_store:FaissStore",
    StoreKind.MILVUS: "lavra.rag.stores.milvus:MilvusStore",
    StoreKind.PINECONE: "lavra.rag.stores.pinecone:PineconeStore",
}


def open_store(config: StoreConfig, folder: Path, dimension: int) -> VectorStore:
    """Open a store, or make it.

    Args:
        config: settings of the store and its connection.
        folder: path where an embedded store keeps its files; it is made if missing.
        dimension: numbers of a vector.

    Raises:
        InputError: the store holds vectors of another width or metric, or is damaged.
        StoreError: the store cannot be reached.
        MissingDependencyError: the store's package is not installed.
        DiskFullError: there is no room to make it.
    """
    module, _, name = _TABLE[config.kind].partition(":")
    store = getattr(importlib.import_module(module), name)
    return cast(VectorStore, store(config, folder, dimension))
