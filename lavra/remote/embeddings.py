"""The `Embedder` port on a URL: OpenAI's `/v1/embeddings`, which `lavra serve` also offers, or Cohere's `/v2/embed`.

Texts go out in requests of a limited size, a few at a time, and their vectors come back in the order of the texts.
Retries, keys and errors are those of `lavra.remote.connection`.

Deliberately absent: quantised vectors and images, which Cohere also gives.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import httpx2
import numpy as np

from lavra.base.arrays import Float32s
from lavra.base.errors import ConfigError
from lavra.remote.config import RemoteConfig
from lavra.remote.connection import Connected, Connection, RemoteError, Sleep

logger = logging.getLogger(__name__)

_COHERES_MOST: Final = 96  # most texts in one request
_OPENAIS_MOST: Final = 2048
_PROBE: Final = "word"


class EmbeddingApi(Enum):
    """The protocol of an embedding server."""

    OPENAI = "openai"
    COHERE = "cohere"


class EmbeddingPurpose(Enum):
    """The role of a text; Cohere's models embed questions and documents differently."""

    DOCUMENT = "search_document"
    QUERY = "search_query"


@dataclass(frozen=True, kw_only=True)
class RemoteEmbeddingConfig:
    """Embeddings behind a URL.

    Attributes:
        server: settings of the server: URL, model, key and retries; the url ends in `/v1` (OpenAI) or `/v2` (Cohere).
        api: the protocol of the server.
        purpose: role of the texts; only Cohere's protocol has this field.
        dimensions: numbers of each vector, for models that can shorten vectors; `None` leaves it to the model.
        truncate: let the server cut texts that are too long, without a report of which; only Cohere's does.
            Otherwise a text that is too long is an error.
        batch_size: most texts in one request.
        batch_characters: most characters in one request, except for a single longer text.
    """

    server: RemoteConfig
    api: EmbeddingApi = EmbeddingApi.OPENAI
    purpose: EmbeddingPurpose = EmbeddingPurpose.DOCUMENT
    dimensions: int | None = None
    truncate: bool = False
    batch_size: int = 64
    batch_characters: int = 400_000

    def __post_init__(self) -> None:
        most = _COHERES_MOST if self.api is EmbeddingApi.COHERE else _OPENAIS_MOST
        if not 1 <= self.batch_size <= most:
            raise ConfigError(f"batch_size is {self.batch_size}; {self.api.value} takes 1 to {most} texts a request")
        if self.batch_characters < 1:
            raise ConfigError(f"batch_characters is {self.batch_characters}; it must be at least 1")
        if self.dimensions is not None and self.dimensions < 1:
            raise ConfigError(f"dimensions is {self.dimensions}; it must be at least 1")
        if self.truncate and self.api is EmbeddingApi.OPENAI:
            raise ConfigError("truncate is given and api is openai, whose protocol cuts nothing; cut the texts first")
        if not self.server.model:
            raise ConfigError("server.model is empty; name the embedding model")


class RemoteEmbedder(Connected):
    """An embedder on a server, used by many threads; close it, or use it as a context.

    Args:
        config: settings: the server, the protocol and the size of requests.
        sleep: function that waits between tries.
        transport: another way to the server than the network, for tests.

    Raises:
        InputError: its key cannot be read.
    """

    def __init__(
        self,
        config: RemoteEmbeddingConfig,
        *,
        sleep: Sleep = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.config = config
        self._connection = Connection(config.server, sleep=sleep, transport=transport)
        self._width: int | None = config.dimensions

    def embed(self, texts: Sequence[str]) -> Float32s:
        """Embed texts: (N, D) float32, one row for each text; for no text, a single word is sent once to learn D.

        Raises:
            InputError: the server refuses the texts: one is empty or too long, the key or the model is wrong.
            OverloadedError, RemoteError: the server could not answer, after all tries, or its vectors cannot be used.
        """
        batches = list(self._batches(texts))
        if not batches:
            if self._width is None:
                self._ask([_PROBE])
            return np.zeros((0, self._width or 0), dtype=np.float32)
        if len(batches) == 1:
            return self._ask(batches[0])
        with ThreadPoolExecutor(min(self.config.server.concurrency, len(batches))) as pool:
            try:
                return np.concatenate(list(pool.map(self._ask, batches)))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # requests that have not begun are dropped
                raise

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        characters = 0
        for text in texts:
            full = len(batch) == self.config.batch_size or characters + len(text) > self.config.batch_characters
            if batch and full:
                yield batch
                batch, characters = [], 0
            batch.append(text)
            characters += len(text)
        if batch:
            yield batch

    def _ask(self, texts: list[str]) -> Float32s:
        if self.config.api is EmbeddingApi.COHERE:
            rows = _cohere_rows(self._connection.post("/embed", self._cohere_body(texts)))
        else:
            answer = self._connection.post("/embeddings", self._openai_body(texts))
            _pass_on(answer.get("warnings"))
            rows = _openai_rows(answer)
        return self._checked(rows, len(texts))

    def _openai_body(self, texts: list[str]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.config.server.model, "input": texts, "encoding_format": "float"}
        return body if self.config.dimensions is None else {**body, "dimensions": self.config.dimensions}

    def _cohere_body(self, texts: list[str]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.config.server.model,
            "texts": texts,
            "input_type": self.config.purpose.value,
            "embedding_types": ["float"],
            "truncate": "END" if self.config.truncate else "NONE",
        }
        return body if self.config.dimensions is None else {**body, "output_dimension": self.config.dimensions}

    def _checked(self, rows: Sequence[Any], count: int) -> Float32s:
        """Check the server's vectors and return them, (N, D).

        Raises:
            RemoteError: the vectors are too few or too many, of several widths, or not numbers.
        """
        where = f"{self.config.server.url} answered with vectors that cannot be used"
        if len(rows) != count:
            raise RemoteError(f"{where}: {len(rows)} for {count} texts")
        try:
            vectors = np.array(rows, dtype=np.float32)
        except (TypeError, ValueError):
            raise RemoteError(f"{where}: they are not lists of numbers, all of one length") from None
        if vectors.ndim != 2 or not vectors.shape[1] or not np.isfinite(vectors).all():
            raise RemoteError(f"{where}: they are not lists of finite numbers, all of one length")
        if self._width is not None and vectors.shape[1] != self._width:
            raise RemoteError(f"{where}: they have {vectors.shape[1]} numbers, not {self._width}")
        self._width = vectors.shape[1]
        return vectors


def _openai_rows(answer: Mapping[str, Any]) -> list[Any]:
    """Put the vectors, which a server may send in any order, at their places."""
    data = answer.get("data")
    try:
        return [one["embedding"] for one in sorted(data or (), key=lambda one: one["index"])]
    except (TypeError, KeyError):
        raise RemoteError("the server's data have no index and embedding each; is it OpenAI-compatible?") from None


def _cohere_rows(answer: Mapping[str, Any]) -> list[Any]:
    found = answer.get("embeddings")
    _pass_on((answer.get("meta") or {}).get("warnings"))
    if not isinstance(found, Mapping) or not isinstance(found.get("float"), list):
        raise RemoteError("the server's answer has no embeddings.float; does it speak Cohere's version 2?")
    rows: list[Any] = found["float"]
    return rows


def _pass_on(warnings: object) -> None:
    """Log the warnings of a server."""
    for warning in warnings if isinstance(warnings, list) else []:
        logger.warning("the embedding server says: %s", warning)
