"""`POST /v1/search`, what the indexes are, and the texts of their documents.

Documents are asked for by an id that the answers give, never by a path: nothing here opens a file that a request names.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.retrieval import ACCESS, IndexedDocument, MetaValue, SearchRequest
from lavra.server import traces
from lavra.server.answers import DocumentNames, DocumentText, IndexList, SearchHits
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields
from lavra.server.schemas import SearchBody
from lavra.server.search.access import readable_groups
from lavra.server.search.objects import passage_object
from lavra.server.search.served_index import ServedIndex
from lavra.server.search.where import read_where

MOST_CHARACTERS: Final = 200_000
"""Most characters of a document's text in one answer."""
MOST_NAMES: Final = 200
"""Documents listed in one answer."""
_MOST_VALUES: Final = 50  # of a fact, told to the page for its filters
_KEEP_NOTHING: Final = {"Cache-Control": "no-store"}

Characters = Annotated[int, Query(ge=0, le=2**53)]


def search_router(edge: Edge) -> APIRouter:
    """The endpoints over a server's indexes."""
    router = APIRouter(tags=["search"])

    @router.post("/v1/search", response_model=SearchHits)
    async def search(body: SearchBody, request: Request) -> Response:
        groups = readable_groups(edge.config, request, body.groups)
        return await _told(_search, edge, body, groups)

    @router.get("/v1/search", response_model=IndexList)
    async def indexes(request: Request) -> Response:
        groups = readable_groups(edge.config, request, None)
        return await _told(_describe_all, edge, groups)

    @router.get("/v1/search/documents", response_model=DocumentNames)
    async def documents(
        request: Request,
        model: str | None = None,
        contains: Annotated[str, Query(max_length=1000)] = "",
        limit: Annotated[int, Query(ge=1, le=MOST_NAMES)] = 50,
    ) -> Response:
        groups = readable_groups(edge.config, request, None)
        return await _told(_names, edge.models.index_named(model), contains, limit, groups)

    @router.get("/v1/search/documents/{identity}", response_model=DocumentText)
    async def document(
        identity: str, request: Request, model: str | None = None, start: Characters = 0, end: Characters | None = None
    ) -> Response:
        groups = readable_groups(edge.config, request, None)
        return await _told(_window, edge.models.index_named(model), identity, groups, start, end)

    return router


async def _told(work: Any, *args: Any) -> Response:
    return JSONResponse(await run_in_threadpool(work, *args), headers=_KEEP_NOTHING)


def _search(edge: Edge, body: SearchBody, groups: frozenset[str] | None) -> dict[str, Any]:
    warnings = idle_fields(body, strict=edge.config.strict)
    index = edge.models.index_named(body.model)
    trace = traces.current()
    if trace is not None:
        trace.asked(index.name, body)
    wanted = SearchRequest(query=body.query, k=body.k, where=read_where(body.where), groups=groups)
    found = index.retriever.search(wanted)
    return {
        "object": "list",
        "model": index.name,
        "data": [passage_object(index, passage) for passage in found.passages],
        "warnings": [*warnings, *found.warnings],
    }


def _describe_all(edge: Edge, groups: frozenset[str] | None) -> dict[str, Any]:
    return {"object": "list", "data": [_describe(index, groups) for index in edge.models.indexes]}


def _describe(index: ServedIndex, groups: frozenset[str] | None) -> dict[str, Any]:
    facts = index.texts.facts(groups)
    return {
        "model": index.name,
        "documents": len(index.texts.names(groups)),
        "fields": {name: _some(values) for name, values in facts.items() if name != ACCESS},
    }


def _some(values: tuple[MetaValue, ...]) -> dict[str, Any]:
    """A fact's values, as far as a list of them is of use."""
    return {"values": list(values[:_MOST_VALUES]), "more": max(0, len(values) - _MOST_VALUES)}


def _names(index: ServedIndex, contains: str, limit: int, groups: frozenset[str] | None) -> dict[str, Any]:
    sought = contains.casefold()
    names = [name for name in index.texts.names(groups) if sought in name.casefold()]
    return {
        "object": "list",
        "model": index.name,
        "data": [{"document": name, "id": index.document_id(name)} for name in names[:limit]],
        "total": len(names),
    }


def _window(
    index: ServedIndex, identity: str, groups: frozenset[str] | None, start: int, end: int | None
) -> dict[str, Any]:
    """A stretch of a document's text; what is asked beyond its ends is not there, and `start` and `end` say so."""
    document = index.document(identity, groups)
    total = len(document.text)
    first = min(start, total)
    last = min(total if end is None else max(end, first), total, first + MOST_CHARACTERS)
    return {
        "object": "document",
        "model": index.name,
        "id": identity,
        "document": document.name,
        "start": first,
        "end": last,
        "total": total,
        "text": document.text[first:last],
        "line": document.text.count("\n", 0, first) + 1,
        "pages": _pages(document, first, last),
        "meta": {name: value for name, value in document.meta.items() if name != ACCESS},
    }


def _pages(document: IndexedDocument, first: int, last: int) -> list[dict[str, int]]:
    """Pages that begin in a stretch, and the one in which it begins."""
    starts = document.page_starts
    return [
        {"page": number, "start": max(start, first)}
        for number, start in enumerate(starts, start=1)
        if start < last and (start >= first or number == len(starts) or starts[number] > first)
    ]
