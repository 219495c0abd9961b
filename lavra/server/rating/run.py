"""The rating page running."""

from __future__ import annotations

from collections.abc import Callable

from lavra.evaluation.human.store import StudyStore
from lavra.server.config import ServeConfig
from lavra.server.rating.app import build_rating_app
from lavra.server.run import serve


def serve_study(store: StudyStore, *, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve a study's page until Ctrl-C or SIGTERM.

    Args:
        store: the study.
        host: address to listen on.
        port: port to listen on; 0 takes any free port.
        on_ready: called with the URL before the first request can come.

    Raises:
        InputError: the server cannot listen on the address.
    """
    serve(build_rating_app(store), ServeConfig(host=host, port=port), on_ready=on_ready)
