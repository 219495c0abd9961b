"""An index that a server offers: its retriever, its answerer, and the texts of its documents.

The server knows only ports; its caller (the command line) opens the index and gives the implementations.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lavra.base.errors import UnknownDocumentError
from lavra.base.ports import Answerer, Retriever
from lavra.base.retrieval import IndexedDocument, MetaValue


class DocumentTexts(Protocol):
    """The documents of an index, for readers with limited access.

    `groups` are the groups whose documents may be read besides the public ones; `None` reads all documents.
    """

    def names(self, groups: frozenset[str] | None) -> list[str]:
        """Names of the documents, in the order of the alphabet."""
        ...

    def document(self, name: str, groups: frozenset[str] | None) -> IndexedDocument:
        """The document of a name.

        Raises UnknownDocumentError where no document has that name, or the groups may not read it.
        """
        ...

    def facts(self, groups: frozenset[str] | None) -> Mapping[str, tuple[MetaValue, ...]]:
        """The facts that conditions may ask for, each with values that it has, the most frequent first."""
        ...


@dataclass(frozen=True, kw_only=True)
class ServedIndex:
    """A served index.

    Attributes:
        name: name that requests give in place of a model's.
        retriever: finds passages.
        answerer: answers questions.
        texts: texts of its documents.
        at_once: largest number of answers at the same time; later questions wait.
        close: releases the open resources; called once, when the server stops.
        created: time of creation, in Unix seconds.
    """

    name: str
    retriever: Retriever
    answerer: Answerer
    texts: DocumentTexts
    at_once: int = 4
    close: Callable[[], None] = lambda: None
    created: int = field(default_factory=lambda: int(time.time()))
    _names: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def document_id(self, name: str) -> str:
        """The id of a document in addresses: 24 hex digits that do not reveal the path of its file."""
        return hashlib.blake2b(f"{self.name}\0{name}".encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()

    def document(self, identity: str, groups: frozenset[str] | None) -> IndexedDocument:
        """The document of an id.

        Raises:
            UnknownDocumentError: no document has this id, or these groups may not read it; the error does not reveal
                which.
        """
        if identity not in self._names:
            self._names.update({self.document_id(name): name for name in self.texts.names(None)})
        gone = UnknownDocumentError(
            f"{self.name} has no document {identity!r} for you: it may have been deleted after it was indexed, or your "
            "key does not read it; search again"
        )
        if identity not in self._names:
            raise gone
        try:
            return self.texts.document(self._names[identity], groups)
        except UnknownDocumentError:
            raise gone from None
