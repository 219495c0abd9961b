"""The settings of an index's vector store, and of the connection to it.

No secret is in them: settings go onto the card of an index.  A key is read from an environment variable, or from
a file, when a store is opened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from lavra.base.errors import ConfigError

_NAME: Final = (
    re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}"),
    "1 to 64 letters, digits and underscores, a letter first",
)
_PINECONE_NAME: Final = (
    re.compile(r"[a-z0-9](?:[a-z0-9-]{0,43}[a-z0-9])?"),
    "1 to 45 small letters, digits and hyphens, as Pinecone names its indexes",
)


class StoreKind(Enum):
    """The kinds of stores."""

    EXACT = "exact"  # NumPy reads every vector
    FAISS_FLAT = "faiss-flat"  # FAISS reads every vector
    FAISS_IVF = "faiss-ivf"  # FAISS reads the lists nearest to the query
    FAISS_HNSW = "faiss-hnsw"  # FAISS walks a graph of neighbours
    FAISS_PQ = "faiss-pq"  # FAISS reads the lists nearest to the query, in codes of D/8 bytes a vector
    MILVUS = "milvus"  # Milvus in one process, or a server
    PINECONE = "pinecone"  # the service Pinecone


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Settings of a vector store.

    Attributes:
        kind: kind of store.
        namespace: group whose vectors are never found from another; letters, digits and underscores.
        uri: address of a Milvus server (`http://127.0.0.1:19530`; without it, Milvus runs in this process), or of a
            Pinecone index (its host).
        collection: name of the Milvus collection or of the Pinecone index.
        key_variable: environment variable that holds the server's key; `MILVUS_TOKEN` or `PINECONE_API_KEY` unless
            named.
        key_file: file that holds the key, instead of the variable.
        links: number of neighbours of a vector in the graph of `faiss-hnsw` and of Milvus' HNSW.
        effort: number of vectors that a search in the graph keeps in sight; the more, the better the recall and the
            slower.
        probes: number of lists that `faiss-ivf` and `faiss-pq` read; 0 is an eighth of them, at least 64.
        exact_rows: number of allowed vectors up to which a search reads them all.
    """

    kind: StoreKind = StoreKind.FAISS_FLAT
    namespace: str = "default"
    uri: str = ""
    collection: str = "lavra"
    key_variable: str = ""
    key_file: Path | None = None
    links: int = 32
    effort: int = 256
    probes: int = 0
    exact_rows: int = 50_000

    def __post_init__(self) -> None:
        of_collection = _PINECONE_NAME if self.kind is StoreKind.PINECONE else _NAME
        for name, value, (pattern, form) in (
            ("namespace", self.namespace, _NAME),
            ("collection", self.collection, of_collection),
        ):
            if not pattern.fullmatch(value):
                raise ConfigError(f"{name}={value!r} must be {form}")
        for name, number, least in (
            ("links", self.links, 4),
            ("effort", self.effort, 1),
            ("probes", self.probes, 0),
            ("exact_rows", self.exact_rows, 0),
        ):
            if number < least:
                raise ConfigError(f"{name}={number} must be at least {least}")
