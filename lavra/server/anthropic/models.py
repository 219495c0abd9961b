"""`GET /v1/models` and `/v1/models/NAME` as Anthropic's clients read them.

OpenAI's paths are the same; the header `anthropic-version` identifies a client of Anthropic's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from lavra.base.errors import InputError
from lavra.server.search.served_index import ServedIndex
from lavra.server.served import ServedModel
from lavra.server.server_state import ServerState


class VersionedRoute(APIRoute):
    """A route for requests with the header `anthropic-version`; other requests match the next route of its path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request matches the route."""
        if scope["type"] != "http" or not any(name == b"anthropic-version" for name, _ in scope["headers"]):
            return Match.NONE, {}
        return super().matches(scope)


def listing_router(state: ServerState) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["messages"], route_class=VersionedRoute, include_in_schema=False)

    @router.get("/v1/models")
    async def models(
        limit: Annotated[int, Query(ge=1, le=1000)] = 20, after_id: str | None = None, before_id: str | None = None
    ) -> Response:
        found = [_described(one) for one in (*state.models, *state.models.indexes)]
        page, more = _page(found, limit, after_id, before_id)
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        return JSONResponse({"data": page, "has_more": more, **ends})

    @router.get("/v1/models/{name:path}")
    async def one_model(name: str) -> Response:
        return JSONResponse(_described(state.models.answering_index(name) or state.models.named(name)))

    return router


def _described(served: ServedModel | ServedIndex) -> dict[str, Any]:
    max_length = served.max_length if isinstance(served, ServedModel) and served.engine is not None else None
    return {
        "id": served.name,
        "type": "model",
        "display_name": served.name,
        "created_at": datetime.fromtimestamp(served.created, UTC).isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": max_length,
        "max_tokens": max_length,
    }


def _page(
    found: list[dict[str, Any]], limit: int, after: str | None, before: str | None
) -> tuple[list[dict[str, Any]], bool]:
    """The entries after or before a given entry, and whether more follow in that direction."""
    names = [one["id"] for one in found]
    for field, name in (("after_id", after), ("before_id", before)):
        if name is not None and name not in names:
            raise InputError(f"{field} is {name!r}, which is not a model here; the models are {', '.join(names)}")
    start = 0 if after is None else names.index(after) + 1
    end = len(names) if before is None else names.index(before)
    if before is not None:
        return found[max(start, end - limit) : end], end - limit > start
    return found[start : start + limit], start + limit < end
