"""Secret tokens in annotators' links: the holder of a token counts as the annotator.

A token has 256 random bits, so its plain SHA-256 is kept and no slower hash is needed: it cannot be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping


def new_token() -> str:
    """Draw a token for a link."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """The hash of a token, for keeping."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def holder(token: str, hashes: Mapping[int, str]) -> int | None:
    """The annotator who holds a token; `None` if no annotator does.

    Every hash is compared, in constant time, so that the duration reveals nothing.

    Args:
        token: the presented token.
        hashes: hashes of the valid tokens, by annotator.
    """
    given = token_hash(token)
    matches = [annotator for annotator, kept in hashes.items() if hmac.compare_digest(given, kept)]
    return matches[0] if matches else None
