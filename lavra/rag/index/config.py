"""The settings of an index: everything that decides its search results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lavra.base.errors import ConfigError
from lavra.base.retrieval import ACCESS
from lavra.rag.index.access import AccessRule
from lavra.rag.index.encoder import EncoderIdentity
from lavra.rag.stores.config import StoreConfig
from lavra.text.chunking.config import ChunkConfig
from lavra.text.wholes.config import WholeConfig


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """Settings that turn documents into an index.

    Attributes:
        read: settings of reading files into documents.
        chunking: settings of cutting documents into chunks.
        encoder: model that makes the vectors; without it, only words are searched.
        store: settings of the vector store.
        languages: ISO 639-1 codes of the languages whose words are stemmed; empty takes those of the documents.
        access: rules of the groups that may read files; the last rule that fits a file holds.
        meta: facts that every document has.
    """

    read: WholeConfig = field(default_factory=WholeConfig)
    chunking: ChunkConfig = field(default_factory=ChunkConfig)
    encoder: EncoderIdentity | None = None
    store: StoreConfig = field(default_factory=StoreConfig)
    languages: tuple[str, ...] = ()
    access: tuple[AccessRule, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.meta:
            if name in (ACCESS, DOCUMENT) or not name.isidentifier():
                raise ConfigError(
                    f"meta has a fact called {name!r}; a name has letters, digits and _, and is neither {ACCESS!r}, "
                    f"which access rules give, nor {DOCUMENT!r}, the document's own name"
                )


DOCUMENT = "document"
"""The name of the fact that every document has: its name."""
