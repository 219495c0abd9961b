"""A study's page on a free port, for the length of a block."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from lavra.server.config import ServeConfig
from lavra.server.rating.app import build_rating_app
from lavra.server.run import Server, address, open_socket


@contextmanager
def serving(store, port=0):
    """The URL of a study's page; the study's file is closed at the end."""
    config = ServeConfig(port=port, drain_seconds=1)
    listening = open_socket(config)
    server = Server(build_rating_app(store), config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield address(listening)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
