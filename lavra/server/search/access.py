"""Whose documents a request may read: its key's groups, narrowed where it asks for that, never widened.

- With keys, a key reads the documents of its groups and everyone's; one whose groups are `*` reads everything.
- Without keys, a server that listens on this machine alone is its owner's, who reads everything.  A page of another
  site that had its own name resolve to this machine would come with that name, so names of other machines are refused.
- Without keys on a network, everyone's documents are read, and no others.
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
    """Groups whose documents a request may read besides everyone's; `None` reads everything.

    Args:
        config: keys, and the address that is listened on.
        request: whose key has passed the gate.
        wanted: the only groups it wants to read for, or `None` for all of its own.

    Raises:
        HTTPException: 403, it wants a group that its key has not, or names another machine than this one.
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
