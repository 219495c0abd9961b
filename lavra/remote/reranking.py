"""The `Reranker` port on a URL: Jina's `/v1/rerank`, which `lavra serve` and vLLM also offer, or Cohere's `/v2/rerank`.

The texts of a question go out in requests of a limited size.  Retries, keys and errors are those of
`lavra.remote.connection`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx2

from lavra.base.errors import InputError
from lavra.base.predictions import Ranked
from lavra.remote.config import RemoteConfig
from lavra.remote.connection import Connected, Connection, RemoteError, Sleep

logger = logging.getLogger(__name__)

_MOST_TEXTS: Final = 1000  # texts of a request; Cohere's bound


class RemoteReranker(Connected):
    """A reranker on a server, used by many threads; close it, or use it as a context.

    Args:
        config: settings of the server; the url ends in `/v1` (Jina's protocol) or `/v2` (Cohere's).
        truncate: ask the server to read the beginning of a text that is too long: a field of `lavra serve`, for a
            `/v1` server that takes it; Cohere's protocol reads the beginning without being asked.
        sleep: function that waits between tries.
        transport: another way to the server than the network, for tests.

    Raises:
        InputError: its key cannot be read.
    """

    def __init__(
        self,
        config: RemoteConfig,
        *,
        truncate: bool = True,
        sleep: Sleep = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.config = config
        self._more = {"truncate": True} if truncate and not config.url.rstrip("/").endswith("/v2") else {}
        self._connection = Connection(config, sleep=sleep, transport=transport)

    def rerank(self, query: str, texts: Sequence[str]) -> list[Ranked]:
        """Score every text from 0 to 1, the best first; equal scores in the order of the texts given.

        Raises:
            InputError: the query is blank, or the server refuses the request.
            OverloadedError, RemoteError: the server could not answer, after all tries, or its scores cannot be used.
        """
        if not query.strip():
            raise InputError("the query is blank; give a text to search for")
        ranked: list[Ranked] = []
        for first in range(0, len(texts), _MOST_TEXTS):
            scores = self._ask(query, texts[first : first + _MOST_TEXTS])
            ranked += [Ranked(index=first + index, score=score) for index, score in enumerate(scores)]
        return sorted(ranked, key=lambda one: (-one.score, one.index))

    def _ask(self, query: str, texts: Sequence[str]) -> list[float]:
        named = {"model": self.config.model} if self.config.model else {}
        answer = self._connection.post("/rerank", {**named, "query": query, "documents": list(texts), **self._more})
        for warning in _warnings(answer):
            logger.warning("the reranking server says: %s", warning)
        return self._checked(answer.get("results"), len(texts))

    def _checked(self, results: object, count: int) -> list[float]:
        """Check the server's scores and return them in the order of the texts.

        Raises:
            RemoteError: a text has no score, or a score that is not a number from 0 to 1.
        """
        try:
            scores = {one["index"]: float(one["relevance_score"]) for one in results}  # type: ignore[attr-defined]
        except (TypeError, KeyError, ValueError):
            raise RemoteError(
                f"{self.config.url} answered without results of an index and a relevance_score each; is it a server "
                "of /v1/rerank?"
            ) from None
        if sorted(scores) != list(range(count)) or not all(0 <= one <= 1 for one in scores.values()):
            raise RemoteError(
                f"{self.config.url} answered with scores that cannot be used: each of {count} texts needs one from 0 "
                "to 1"
            )
        return [scores[index] for index in range(count)]


def _warnings(answer: Mapping[str, Any]) -> Sequence[object]:
    """The warnings of a lavra server, or of Cohere's."""
    meta = answer.get("meta")
    warnings = answer.get("warnings") or (meta.get("warnings") if isinstance(meta, Mapping) else None)
    return warnings if isinstance(warnings, list) else ()
