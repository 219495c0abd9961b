"""The documents of an index for readers with limited access: a server shows them and filters by their facts.

For these readers, a document that they may not read does not exist.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from lavra.base.errors import UnknownDocumentError
from lavra.base.retrieval import ACCESS, IndexedDocument, MetaValue
from lavra.rag.chunk_table import meets, readable_by

Groups = frozenset[str] | None
"""The groups whose documents may be read, besides public documents; `None` reads everything."""


class DocumentTable(Protocol):
    """The methods of an index that give its documents."""

    def documents(self) -> list[str]:
        """The names of all documents, in the order of the alphabet."""
        ...

    def document_text(self, name: str) -> str:
        """The whole text of a document."""
        ...

    def document_facts(self, name: str) -> Mapping[str, MetaValue]:
        """The facts of a document; none where it does not exist."""
        ...

    def document_pages(self, name: str) -> tuple[int, ...]:
        """The place where each page of a document begins in its text; none where it has no pages."""
        ...


class TableDocuments:
    """Documents of a table that does not change; open a new object over a table that has changed.

    Lists of names and facts are made once for each set of groups.

    Args:
        table: chunks and documents of the index.
    """

    def __init__(self, table: DocumentTable) -> None:
        self._table = table
        self._names: dict[Groups, list[str]] = {}
        self._facts: dict[Groups, Mapping[str, tuple[MetaValue, ...]]] = {}
        self._lock = threading.Lock()

    def names(self, groups: Groups) -> list[str]:
        """The names of the documents that may be read, in the order of the alphabet."""
        with self._lock:
            return self._seen(groups)

    def document(self, name: str, groups: Groups) -> IndexedDocument:
        """Return a document.

        Raises:
            UnknownDocumentError: no document has that name, or it may not be read.
        """
        meta = self._table.document_facts(name)
        if not meta or not meets(meta, readable_by(groups)):
            raise UnknownDocumentError(f"no document is called {name!r}; it may have been deleted after it was indexed")
        text, pages = self._table.document_text(name), self._table.document_pages(name)
        return IndexedDocument(name=name, text=text, page_starts=pages, meta=meta)

    def facts(self, groups: Groups) -> Mapping[str, tuple[MetaValue, ...]]:
        """The facts of the documents that may be read, each with its values, the most frequent first."""
        with self._lock:
            if groups not in self._facts:
                self._facts[groups] = self._counted(groups)
            return self._facts[groups]

    def _seen(self, groups: Groups) -> list[str]:
        if groups not in self._names:
            where = readable_by(groups)
            self._names[groups] = [
                name for name in self._table.documents() if not where or meets(self._table.document_facts(name), where)
            ]
        return self._names[groups]

    def _counted(self, groups: Groups) -> Mapping[str, tuple[MetaValue, ...]]:
        counted: dict[str, Counter[MetaValue]] = {}
        for name in self._seen(groups):
            for fact, value in self._table.document_facts(name).items():
                counted.setdefault(fact, Counter()).update(value if isinstance(value, tuple) else (value,))
        return {fact: _by_frequency(values) for fact, values in sorted(counted.items()) if fact != ACCESS}


def _by_frequency(values: Counter[MetaValue]) -> tuple[MetaValue, ...]:
    return tuple(sorted(values, key=lambda value: (-values[value], str(value))))
