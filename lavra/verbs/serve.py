"""`lavra.serve`: models and indexes over HTTP, until Ctrl-C or in the background."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from lavra.base.errors import LavraError
from lavra.verbs.keywords import read_keywords, takes
from lavra.verbs.serving import background_server, open_table, serve_table, with_keys
from lavra.verbs.settings.serve import ServeSettings

if TYPE_CHECKING:  # `lavra.verbs.serving` names the package to install where the server's packages are missing
    import socket

    from lavra.server.run import Server

_PATIENCE = 30.0  # seconds to wait for a thread that opens no more models


class RunningServer:
    """A server in a thread of this process; stop it, or use it as a context.

    Attributes:
        url: address of the server; clients of OpenAI's protocol take `f"{url}/v1"`.

    Example:
        >>> server = lavra.serve("tiny", port=0, block=False, cache_tokens=256)
        >>> server.url.startswith("http://127.0.0.1:")
        True
        >>> server.stop()
    """

    def __init__(self, server: Server, listening: socket.socket, url: str) -> None:
        self.url = url
        self._server, self._listening = server, listening
        self._thread = threading.Thread(target=self._run, name="lavra-serve", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"RunningServer({self.url})"

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let running requests end, then stop; a second call has no effect.

        Raises:
            LavraError: the thread does not end.
        """
        self._server.should_exit = True
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            raise LavraError(f"the server at {self.url} still runs after {_PATIENCE:g} s; its process has to end")

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
                runner.run(self._server.serve(sockets=[self._listening]))
        finally:
            self._listening.close()


@overload
def serve(
    *models: str | Path, block: Literal[True] = True, settings: ServeSettings | None = None, **fields: Any
) -> None: ...


@overload
def serve(
    *models: str | Path, block: Literal[False], settings: ServeSettings | None = None, **fields: Any
) -> RunningServer: ...


@takes(ServeSettings, without=("key_groups",))
def serve(
    *models: str | Path, block: bool = True, settings: ServeSettings | None = None, **fields: Any
) -> RunningServer | None:
    """Serve models and indexes over HTTP: OpenAI's protocol and others, a chat page, a search page.

    The server listens on this machine only unless `host` names another address.

    Args:
        *models: each a folder or name of a model, or NAME=MODEL; none where `index` is given.
        block: wait until Ctrl-C; False serves in the background.
        settings: all settings at once; settings given by name win over it.
        **fields: settings by name.

    Returns:
        The running server where `block` is False.

    Raises:
        InputError: a model or an index does not exist, or the address is taken.
        ConfigError: a setting is unknown or out of range.
        MissingDependencyError: the extra `serve` is not installed.

    Example:
        >>> import urllib.request
        >>> with lavra.serve("tiny", port=0, block=False, cache_tokens=256) as server:
        ...     listed = urllib.request.urlopen(f"{server.url}/v1/models").read()
        >>> b'"id":"tiny"' in listed
        True
    """
    chosen = with_keys(read_keywords(ServeSettings, settings, fields))
    table = open_table([str(one) for one in models], chosen)
    if not block:
        return RunningServer(*background_server(table, chosen))
    serve_table(table, chosen, _announce)
    return None


def _announce(url: str) -> None:
    sys.stderr.write(f"serving  {url}; Ctrl-C stops it\n")
