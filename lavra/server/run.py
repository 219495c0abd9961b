"""Run a server: uvicorn in this process; after Ctrl-C or SIGTERM, running requests may end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from lavra.base.errors import InputError
from lavra.server.config import ServeConfig
from lavra.server.connections import connections
from lavra.server.server_state import ServerState


class Server(uvicorn.Server):
    """A uvicorn server that refuses new requests from the moment it must stop."""

    def __init__(self, app: FastAPI, config: ServeConfig) -> None:
        settings = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            http=connections(config),
            server_header=False,
            timeout_keep_alive=config.keep_alive_seconds,
            timeout_graceful_shutdown=round(config.drain_seconds),
            ws="none",
        )
        super().__init__(settings)
        self._state: ServerState | None = getattr(
            app.state, "server_state", None
        )  # an application without models has none

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse new requests, then wait for the running ones."""
        if self._state is not None:
            self._state.draining = True
        await super().shutdown(sockets)


def open_socket(config: ServeConfig) -> socket.socket:
    """Open the socket of a server, so that its address is known before it starts.

    Raises:
        InputError: the address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((config.host, config.port))
        made.listen(2048)  # from here on a connection waits instead of being refused
    except OSError as error:
        made.close()
        raise InputError(
            f"{config.host}:{config.port} cannot be listened on ({error.strerror}); name another `port`, or 0 for any"
        ) from None
    return made


def free_port(host: str, wanted: int) -> int:
    """The port wanted, or 0 (any) when it is taken."""
    try:
        open_socket(ServeConfig(host=host, port=wanted)).close()
    except InputError:
        return 0
    return wanted


def address(listening: socket.socket) -> str:
    """The URL of a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, config: ServeConfig, *, on_ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM, which end a server without an error.

    Args:
        app: application from `build_app`.
        config: address and time limits.
        on_ready: called with the URL before the first request can come.

    Raises:
        InputError: the server cannot listen on the address.
    """
    listening = open_socket(config)
    on_ready(address(listening))
    try:
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn hands it on when everything is done
            server = Server(app, config)
            with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
                runner.run(server.serve(sockets=[listening]))
    finally:
        listening.close()
