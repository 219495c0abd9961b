"""The forms of answers to Cohere's clients, for the description at `/openapi.json` alone."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class CohereError(BaseModel):
    """Cohere's error."""

    id: str
    message: str


class CohereVectors(BaseModel):
    """The answer of `/v2/embed`: vectors by type, `float` or `base64`."""

    id: str
    response_type: str
    embeddings: dict[str, list[Any]]
    texts: list[str]
    meta: dict[str, Any]
