"""The documents of an index for readers who may not see all of them: what a server shows and filters by.

A document is one to these readers where they may read it, and is not there otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from lavra.base.errors import UnknownDocumentError
from lavra.base.retrieval import ACCESS, IndexedDocument, MetaValue
from lavra.rag.chunk_table import ChunkTable, meets, readable_by

_BATCH = 1000  # chunks looked at in one piece


class TableDocuments:
    """Documents of a `ChunkTable`.

    Facts of documents are read once: open another one over a table that has moved on.

    Args:
        table: of the index.
    """

    def __init__(self, table: ChunkTable) -> None:
        self._table = table
        self._facts: Mapping[str, Mapping[str, MetaValue]] | None = None

    def names(self, groups: frozenset[str] | None) -> list[str]:
        """Names of the documents that may be read, in the order of the alphabet."""
        if groups is None:
            return self._table.documents()
        where = readable_by(groups)
        return sorted(name for name, meta in self._meta().items() if meets(meta, where))

    def document(self, name: str, groups: frozenset[str] | None) -> IndexedDocument:
        """One document.

        Raises:
            UnknownDocumentError: there is none of that name, or it may not be read.
        """
        meta = self._meta().get(name)
        if meta is None or not meets(meta, readable_by(groups)):
            raise UnknownDocumentError(f"no document is called {name!r}; it may have been deleted after it was indexed")
        return IndexedDocument(name=name, text=self._table.document_text(name), meta=meta)

    def facts(self, groups: frozenset[str] | None) -> Mapping[str, tuple[MetaValue, ...]]:
        """Facts of the documents that may be read, each with its values, the most frequent first."""
        where = readable_by(groups)
        counted: dict[str, Counter[MetaValue]] = {}
        for meta in self._meta().values():
            if meets(meta, where):
                for name, value in meta.items():
                    counted.setdefault(name, Counter()).update(value if isinstance(value, tuple) else (value,))
        return {name: _by_frequency(values) for name, values in sorted(counted.items()) if name != ACCESS}

    def _meta(self) -> Mapping[str, Mapping[str, MetaValue]]:
        """Facts by document; those of documents without chunks are not known, and nobody finds them."""
        if self._facts is None:
            found: dict[str, Mapping[str, MetaValue]] = {}
            ids = self._table.ids()
            for first in range(0, len(ids), _BATCH):
                for chunk in self._table.chunks(ids[first : first + _BATCH].tolist()):
                    found.setdefault(chunk.document, chunk.meta)
            self._facts = found
        return self._facts


def _by_frequency(values: Counter[MetaValue]) -> tuple[MetaValue, ...]:
    return tuple(sorted(values, key=lambda value: (-values[value], str(value))))
