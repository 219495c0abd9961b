"""The documents that a request may read: those of its key's groups; it may ask for fewer groups, never for more.

- With keys, a key reads the documents of its groups and the public ones; a key with the group `*` reads all documents.
- Without keys, a server that listens on this machine alone belongs to its owner, who reads all documents.
  A page of another site could have its own name resolve to this machine.
  Its requests would carry that name, so requests with names of other machines are refused.
- Without keys on a network, a request reads the public documents only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException

from lavra.base.retrieval import EVERYONE
from lavra.server.config import ServeConfig
from lavra.server.keys import given_key

_LOCAL_NAMES: Final = ("localhost", "")


def readable_groups(config: ServeConfig, request: Request, wanted: Sequence[str] | None) -> frozenset[str] | None:
    """The groups whose documents a request may read besides the public ones; `None` reads all documents.

    Args:
        config: keys, and the address of the server.
        request: request whose key has passed the gate.
        wanted: the only groups that it asks for, or `None` for all of its own.

    Raises:
        HTTPException: 403, the request asks for a group that its key lacks, or names another machine.
    """
    own = _own_groups(config, request)
    if wanted is None:
        return own
    if own is None:
        return frozenset(wanted)
    foreign = sorted(set(wanted) - own - {EVERYONE})
    if foreign:
        has = ", ".join(sorted(own)) or "none"
        raise HTTPException(403, f"your key does not belong to {', '.join(foreign)}; its groups are: {has}")
    return frozenset(wanted)


def _own_groups(config: ServeConfig, request: Request) -> frozenset[str] | None:
    if config.api_keys:
        groups = frozenset(config.key_groups.get(given_key(request.scope["headers"]), ()))
        return None if EVERYONE in groups else groups
    if not is_local(config.host):
        return frozenset()
    named = request.url.hostname or ""
    if not is_local(named):
        raise HTTPException(
            403,
            f"this server is asked as {named!r}, and without keys it answers this machine alone; give it a key file",
        )
    return None


def is_local(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in _LOCAL_NAMES or host.lower().endswith(".localhost")
