"""The documents of an index for readers who may not see all of them: what a server shows and filters by.

A document that these readers may not read is not there for them.
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
"""Whose documents may be read besides everyone's; `None` reads everything."""


class DocumentTable(Protocol):
    """The part of an index that knows its documents."""

    def documents(self) -> list[str]:
        """Names of all documents, in the order of the alphabet."""
        ...

    def document_text(self, name: str) -> str:
        """The whole text of a document."""
        ...

    def document_facts(self, name: str) -> Mapping[str, MetaValue]:
        """The facts of a document; none where there is no such document."""
        ...

    def document_pages(self, name: str) -> tuple[int, ...]:
        """Where each page of a document begins in its text; none where it has no pages."""
        ...


class TableDocuments:
    """Documents of a table that does not change; open another one over a table that has moved on.

    Lists of names and facts are made once for each set of groups.

    Args:
        table: of the index.
    """

    def __init__(self, table: DocumentTable) -> None:
        self._table = table
        self._names: dict[Groups, list[str]] = {}
        self._facts: dict[Groups, Mapping[str, tuple[MetaValue, ...]]] = {}
        self._lock = threading.Lock()

    def names(self, groups: Groups) -> list[str]:
        """Names of the documents that may be read, in the order of the alphabet."""
        with self._lock:
            return self._seen(groups)

    def document(self, name: str, groups: Groups) -> IndexedDocument:
        """One document.

        Raises:
            UnknownDocumentError: there is none of that name, or it may not be read.
        """
        meta = self._table.document_facts(name)
        if not meta or not meets(meta, readable_by(groups)):
            raise UnknownDocumentError(f"no document is called {name!r}; it may have been deleted after it was indexed")
        text, pages = self._table.document_text(name), self._table.document_pages(name)
        return IndexedDocument(name=name, text=text, page_starts=pages, meta=meta)

    def facts(self, groups: Groups) -> Mapping[str, tuple[MetaValue, ...]]:
        """Facts of the documents that may be read, each with its values, the most frequent first."""
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
