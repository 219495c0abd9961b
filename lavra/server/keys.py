"""The key of a request: `Authorization: Bearer KEY`, or `x-api-key: KEY` as Anthropic's clients send it.

The word `bearer` is read in any case (RFC 9110, section 11.1: names of schemes have no case).  With both
headers, the first counts.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Final

CHALLENGE: Final = 'Bearer realm="lavra"'
"""`WWW-Authenticate` of a refusal (RFC 6750, section 3)."""


def bearer_key(authorization: str) -> str:
    """The key in the value of `Authorization`; empty where it has another scheme."""
    scheme, _, key = authorization.strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def given_key(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The key in a request's headers; empty where there is none. The names of headers are in small letters."""
    found = {name: value.decode("utf-8", "replace") for name, value in headers if name in _NAMES}
    return bearer_key(found.get(b"authorization", "")) or found.get(b"x-api-key", "").strip()


def is_known(key: str, keys: Sequence[str]) -> bool:
    """Whether a key is among the known keys; all are compared in constant time, so the time reveals nothing."""
    given = key.encode()
    return True in [hmac.compare_digest(given, one.encode()) for one in keys]


_NAMES: Final = frozenset({b"authorization", b"x-api-key"})
