"""`POST /v1/search`, the list of the indexes, and the texts of their documents.

Requests name documents by an id from the answers, never by a path: no route opens a file that a request names.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from lavra.base.retrieval import ACCESS, IndexedDocument, MetaValue, SearchRequest
from lavra.server import traces
from lavra.server.answers import DocumentNames, DocumentText, IndexList, SearchHits
from lavra.server.fields import idle_fields
from lavra.server.schemas import SearchBody
from lavra.server.search.access import readable_groups
from lavra.server.search.objects import passage_object
from lavra.server.search.served_index import ServedIndex
from lavra.server.search.where import read_where
from lavra.server.server_state import ServerState

MOST_CHARACTERS: Final = 200_000
"""Most characters of a document's text in one answer."""
MOST_NAMES: Final = 200
"""Documents listed in one answer."""
_MOST_VALUES: Final = 50  # values of a fact that the page gets for its filters
_KEEP_NOTHING: Final = {"Cache-Control": "no-store"}

IndexName = Annotated[str | None, Query(description="name of an index; the first one by default")]
DocumentIdentity = Annotated[str, Path(description="id of the document")]
TextStart = Annotated[int, Query(ge=0, le=2**53, description="first character")]
TextEnd = Annotated[int | None, Query(ge=0, le=2**53, description="character behind the last one")]


def search_router(state: ServerState) -> APIRouter:
    """The endpoints over a server's indexes."""
    router = APIRouter(tags=["search"])

    @router.post("/v1/search", response_model=SearchHits)
    async def search(body: SearchBody, request: Request) -> Response:
        """Passages of an index."""
        groups = readable_groups(state.config, request, body.groups)
        return await _answer_in_thread(_search, state, body, groups)

    @router.get("/v1/search", response_model=IndexList)
    async def indexes(request: Request) -> Response:
        """The served indexes."""
        groups = readable_groups(state.config, request, None)
        return await _answer_in_thread(_describe_all, state, groups)

    @router.get("/v1/search/documents", response_model=DocumentNames)
    async def documents(
        request: Request,
        model: IndexName = None,
        contains: Annotated[str, Query(max_length=1000, description="a part of the name")] = "",
        limit: Annotated[int, Query(ge=1, le=MOST_NAMES, description="most names")] = 50,
    ) -> Response:
        """Names of an index's documents."""
        groups = readable_groups(state.config, request, None)
        return await _answer_in_thread(_names, state.models.index_named(model), contains, limit, groups)

    @router.get("/v1/search/documents/{identity}", response_model=DocumentText)
    async def document(
        identity: DocumentIdentity,
        request: Request,
        model: IndexName = None,
        start: TextStart = 0,
        end: TextEnd = None,
    ) -> Response:
        """A part of a document's text."""
        groups = readable_groups(state.config, request, None)
        return await _answer_in_thread(_window, state.models.index_named(model), identity, groups, start, end)

    return router


async def _answer_in_thread(work: Any, *args: Any) -> Response:
    return JSONResponse(await run_in_threadpool(work, *args), headers=_KEEP_NOTHING)


def _search(state: ServerState, body: SearchBody, groups: frozenset[str] | None) -> dict[str, Any]:
    warnings = idle_fields(body, strict=state.config.strict)
    index = state.models.index_named(body.model)
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


def _describe_all(state: ServerState, groups: frozenset[str] | None) -> dict[str, Any]:
    return {"object": "list", "data": [_describe(index, groups) for index in state.models.indexes]}


def _describe(index: ServedIndex, groups: frozenset[str] | None) -> dict[str, Any]:
    facts = index.texts.facts(groups)
    return {
        "model": index.name,
        "documents": len(index.texts.names(groups)),
        "fields": {name: _some(values) for name, values in facts.items() if name != ACCESS},
    }


def _some(values: tuple[MetaValue, ...]) -> dict[str, Any]:
    """The first values of a fact, and the number of the others."""
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
    """A stretch of a document's text, cut at the document's ends; `start` and `end` give its real bounds."""
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
    """The pages that begin in a stretch, and the page in which the stretch begins."""
    starts = document.page_starts
    return [
        {"page": number, "start": max(start, first)}
        for number, start in enumerate(starts, start=1)
        if start < last and (start >= first or number == len(starts) or starts[number] > first)
    ]
