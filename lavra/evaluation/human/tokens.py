"""Secrets in annotators' links: who has one is the annotator.

A token has 256 random bits, so a plain SHA-256 of it is kept and nothing slower: nobody can guess what to hash.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping


def new_token() -> str:
    """A token for a link."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def holder(token: str, hashes: Mapping[int, str]) -> int | None:
    """The annotator whose token it is; `None` where it is nobody's.

    Every hash is compared, in constant time: how long it takes tells nothing.

    Args:
        token: what was presented.
        hashes: of the tokens, by annotator.
    """
    given = token_hash(token)
    matches = [annotator for annotator, kept in hashes.items() if hmac.compare_digest(given, kept)]
    return matches[0] if matches else None
