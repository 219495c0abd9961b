"""The search page: four files, and a strict policy on each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response

from lavra.server.errors import error_body
from lavra.server.headers import HEADERS
from lavra.server.served import NO_INDEX
from lavra.server.server_state import ServerState

HERE: Final = Path(__file__).parent
PAGE_FILES: Final = {
    "/search": HERE / "search.html",
    "/search/palette.css": HERE.parent / "palette.css",
    "/search/search.css": HERE / "search.css",
    "/search/search.js": HERE / "search.js",
}


def page_router(state: ServerState) -> APIRouter:
    """The routes of the page; without a served index the page explains how to make one."""
    router = APIRouter(include_in_schema=False)
    for path, file in PAGE_FILES.items():
        send = _sender(file) if state.models.indexes else _missing
        router.add_api_route(path, send, methods=["GET", "HEAD"], response_model=None)
    return router


def _sender(path: Path) -> Callable[[], Response]:
    def send() -> Response:
        return FileResponse(path, headers=dict(HEADERS))

    return send


def _missing() -> Response:
    return JSONResponse(error_body(NO_INDEX), status_code=404)
