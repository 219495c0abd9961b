"""The Pinecone store: an index of the service, through its client (version 10, API 2026-07).

Facts are metadata under typed keys (`typed_facts`); a namespace is Pinecone's.  Requests stay within its limits: 1,000
records and 2 MB an upsert, 1,000 ids a deletion, 10,000 results a query, 40 kB of facts a vector.  The client
repeats requests that failed for a moment.  The service shows a write only after a while: a search waits until the
log position of this store's last write is indexed.

Tests use a local double that speaks the wire format, not the service.

Deliberately absent: creating an index, since that chooses a cloud and costs money; and the order of texts, which
Pinecone does not have.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from lavra.base.arrays import Float32s, Int64s
from lavra.base.errors import InputError, MissingDependencyError
from lavra.base.retrieval import MetaValue, Where
from lavra.rag.stores.checks import check_entries, check_search, no_results
from lavra.rag.stores.config import StoreConfig
from lavra.rag.stores.errors import StoreError, read_key
from lavra.rag.stores.typed_facts import KeyComparison, Relation, comparisons, typed

_MOST_RESULTS: Final = 10_000
_MOST_RECORDS: Final = 1_000
_MOST_BYTES: Final = 2_000_000  # bytes of an upsert; the envelope takes some of the 2 MB
_MOST_IDS: Final = 1_000
_MOST_FACTS: Final = 40_960  # most bytes of facts for each vector
_PAGE: Final = 1_000
_FRESH_SECONDS: Final = 60.0
_ORDER: Final = {Relation.AT_LEAST: "$gte", Relation.AT_MOST: "$lte", Relation.OVER: "$gt", Relation.UNDER: "$lt"}


class PineconeStore:
    """A `VectorStore` of Pinecone.

    Args:
        config: settings; `uri` is the index's host, and without it the host of the index `collection` is looked up.
        folder: not used; the store keeps no local files.
        dimension: numbers of a vector.

    Raises:
        MissingDependencyError: the client is not installed.
        ConfigError: there is no key.
        StoreError: the service cannot be reached, or has no such index.
        InputError: the index has vectors of another width, or another metric.
    """

    def __init__(self, config: StoreConfig, folder: Path, dimension: int) -> None:
        del folder
        self._config, self._dimension = config, dimension
        self._written: int | None = None  # log position of the last write
        key = read_key(config, "PINECONE_API_KEY", needed=True)
        with self._readable_errors():
            self._index = self._connect(key)
            self._check(self._index.describe_index_stats())

    def add(self, ids: Int64s, vectors: Float32s, metadata: Sequence[Mapping[str, MetaValue]]) -> None:
        """See `VectorStore.add`.

        Raises:
            StoreError: the service failed; entries that it had taken are kept, and adding again replaces them.
        """
        check_entries(ids, vectors, metadata, self._dimension)
        records = [
            {"id": str(id), "values": _numbers(vector), "metadata": _facts(id, facts)}
            for id, vector, facts in zip(ids.tolist(), vectors, metadata, strict=True)
        ]
        with self._readable_errors():
            for batch in _batches(records):
                self._note(self._index.upsert(vectors=batch, namespace=self._config.namespace))

    def search(self, queries: Float32s, k: int, where: Where = ()) -> tuple[Int64s, Float32s]:
        """See `VectorStore.search`.

        Raises:
            InputError: more results are wanted than Pinecone gives at once, or texts are compared by order.
            StoreError: the service failed, or does not show the last write.
        """
        check_search(queries, k, self._dimension)
        if k > _MOST_RESULTS:
            raise InputError(f"k={k}: Pinecone gives at most {_MOST_RESULTS} vectors a query; ask for fewer")
        ids, products = no_results(len(queries), k)
        compared = comparisons(where)
        if compared is None:
            return ids, products
        conditions = _filter(compared)
        with self._readable_errors():
            for number, query in enumerate(queries):
                matches = self._query(_numbers(query), k, conditions)
                ids[number, : len(matches)] = [int(match.id) for match in matches]
                products[number, : len(matches)] = [match.score for match in matches]
        return ids, products

    def delete(self, ids: Int64s) -> None:
        """See `VectorStore.delete`."""
        with self._readable_errors():
            for start in range(0, len(ids), _MOST_IDS):
                part = [str(id) for id in ids[start : start + _MOST_IDS].tolist()]
                self._note(self._index.delete(ids=part, namespace=self._config.namespace))

    def count(self, where: Where = ()) -> int:
        """See `VectorStore.count`; with a condition, every page of the matches is fetched, which is slow for many."""
        compared = comparisons(where)
        if compared is None:
            return 0
        conditions = _filter(compared)
        with self._readable_errors():
            self._wait()
            if conditions is None:
                spaces = self._index.describe_index_stats().namespaces
                return spaces[self._config.namespace].vector_count if self._config.namespace in spaces else 0
            return sum(1 for _ in self._meeting(conditions))

    def close(self) -> None:
        """End the connection."""
        self._index.close()

    # ------------------------------------------------------------------ requests

    def _connect(self, key: str) -> Any:
        try:
            from pinecone import Pinecone  # noqa: PLC0415
        except ImportError as missing:
            raise MissingDependencyError("pinecone", "the store `pinecone`", "pinecone") from missing
        client = Pinecone(api_key=key)
        if self._config.uri:
            return client.index(host=self._config.uri)
        return client.index(self._config.collection)

    def _check(self, stats: Any) -> None:
        """Refuse an index of other vectors."""
        name = self._config.uri or self._config.collection
        remedy = f"create one of dimension {self._dimension} and metric dotproduct, and name it"
        if stats.dimension is not None and stats.dimension != self._dimension:
            raise InputError(
                f"the Pinecone index {name} keeps vectors of {stats.dimension} numbers, not of {self._dimension}; "
                f"{remedy}"
            )
        if stats.metric not in (None, "dotproduct", "cosine"):  # the cosine of unit vectors is their product
            raise InputError(f"the Pinecone index {name} compares by {stats.metric}, not by dotproduct; {remedy}")

    def _query(self, vector: list[float], k: int, conditions: dict[str, Any] | None) -> list[Any]:
        """Query for matches, from an index that shows this store's last write."""
        end = time.monotonic() + _FRESH_SECONDS
        pause = 0.1
        while True:
            found = self._index.query(vector=vector, top_k=k, namespace=self._config.namespace, filter=conditions)
            shown = found.response_info.lsn_reconciled if found.response_info else None
            if self._written is None or shown is None or shown >= self._written:
                return list(found.matches)
            if time.monotonic() > end:
                raise StoreError(
                    f"Pinecone has not shown the last write for {_FRESH_SECONDS:.0f} seconds; search again later"
                )
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _wait(self) -> None:
        """Wait until the index shows this store's last write."""
        if self._written is not None:
            self._query([1.0] + [0.0] * (self._dimension - 1), 1, None)

    def _meeting(self, conditions: dict[str, Any]) -> Iterator[str]:
        token: str | None = None
        while True:
            page = self._index.fetch_by_metadata(
                filter=conditions, namespace=self._config.namespace, limit=_PAGE, pagination_token=token
            )
            yield from page.vectors
            token = page.pagination.next if page.pagination else None
            if not token:
                return

    def _note(self, written: Any) -> None:
        """Remember the log position of a write, where the service sends it."""
        info = getattr(written, "response_info", None)
        position = info.lsn_committed if info else None
        if position is not None:
            self._written = max(position, self._written or 0)

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        """Turn the client's errors into an error that names the store and a remedy."""
        try:
            yield
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "pinecone":
                raise
            name = self._config.uri or self._config.collection
            raise StoreError(f"Pinecone's index {name}: {_reason(error)}; {_remedy(error)}") from error


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0]


def _remedy(error: Exception) -> str:
    match getattr(error, "status_code", None):
        case 401 | 403:
            return "check the key"
        case 402 | 429:
            return "the plan's limit is reached: wait, or raise it"
        case 404:
            return "create the index first, with metric dotproduct"
    return "check the address and the connection, then try again; what was written stays"


def _facts(id: int, facts: Mapping[str, MetaValue]) -> dict[str, Any]:
    found = typed(facts, order_texts=False)
    size = len(json.dumps(found, ensure_ascii=False).encode())
    if size > _MOST_FACTS:
        raise InputError(
            f"the facts of id {id} take {size} bytes, Pinecone keeps {_MOST_FACTS}; keep fewer or shorter ones"
        )
    return found


def _numbers(vector: Float32s) -> list[float]:
    """Write a vector in nine digits, which are enough for float32 and half as long to send."""
    return [float(f"{number:.9g}") for number in vector.tolist()]


def _batches(records: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for record in records:
        bytes_more = len(json.dumps(record, ensure_ascii=False).encode()) + 1
        if batch and (len(batch) == _MOST_RECORDS or size + bytes_more > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += bytes_more
    if batch:
        yield batch


def _filter(compared: tuple[KeyComparison, ...]) -> dict[str, Any] | None:
    """Write comparisons in Pinecone's language; nothing for no comparisons.

    Raises:
        InputError: texts are compared by order.
    """
    return {"$and": [_one_filter(one) for one in compared]} if compared else None


def _one_filter(one: KeyComparison) -> dict[str, Any]:
    match one.relation:
        case Relation.ONE_OF | Relation.ANY_OF:  # `$in` on a list tests whether the list has any of them
            return {one.key: {"$in": list(one.values)}}
        case Relation.NONE_OF:
            there = {one.key: {"$exists": True}}
            return {"$and": [there, {one.key: {"$nin": list(one.values)}}]} if one.values else there
    (value,) = one.values
    if isinstance(value, str):
        raise InputError("Pinecone puts numbers in order, not texts; keep the fact as a number, such as 20240531")
    return {one.key: {_ORDER[one.relation]: value}}
