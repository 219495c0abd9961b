"""The chat page at `/`: its files under `/chat/`, and a strict policy on each.

The page runs no inline script, loads no file from elsewhere and, where the browser knows Trusted Types, cannot
write HTML from a text at all: `markdown.js` builds a model's text node by node.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, RedirectResponse, Response

from lavra.server.headers import HEADERS
from lavra.server.server_state import ServerState

HERE: Final = Path(__file__).parent
SCRIPTS: Final = sorted(one.relative_to(HERE) for one in HERE.rglob("*.js"))
CHAT_FILES: Final = {
    "/": HERE / "chat.html",
    "/chat/palette.css": HERE.parent / "palette.css",
    **{f"/chat/{one.name}": one for one in sorted(HERE.glob("*.css"))},
    **{f"/chat/{one.as_posix()}": HERE / one for one in SCRIPTS},
}
CHAT_HEADERS: Final = {
    **HEADERS,
    "Content-Security-Policy": (
        HEADERS["Content-Security-Policy"] + "; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
}


def chat_page_router(state: ServerState) -> APIRouter:
    """The routes of the page; where only indexes are served, `/` leads to the search page."""
    router = APIRouter(include_in_schema=False)
    only_indexes = bool(state.models.indexes) and not any(state.models)
    for path, file in CHAT_FILES.items():
        send = _to_search if only_indexes and path == "/" else _sender(file)
        router.add_api_route(path, send, methods=["GET", "HEAD"], response_model=None)
    return router


def _to_search() -> Response:
    return RedirectResponse("/search")


def _sender(path: Path) -> Callable[[], Response]:
    def send() -> Response:
        return FileResponse(path, headers=dict(CHAT_HEADERS))

    return send
