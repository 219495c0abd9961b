"""The Milvus store: milvus-lite in this process, or a Milvus server by URI, through the same client (pymilvus 3).

A namespace is a collection of its own (`COLLECTION_NAMESPACE`): ids of one namespace can never replace those of
another.  Facts are dynamic fields (`typed_facts`), vectors are compared by inner product, and every request asks for
strong consistency, so that added vectors are found at once.

In this process the index is FLAT: milvus-lite walks every row in Python whatever the index, so that a graph gains
little there and loses recall.  A server gets HNSW; a search with a condition first asks for the number of vectors that
meet it, and looks further, the fewer they are.

milvus-lite locks its folder: one process at a time.  For several, start `milvus-lite server`, or Milvus.
"""

from __future__ import annotations

import math
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

_MOST_RESULTS: Final = 16_384  # Milvus' limit of k, and of ids in one answer
_WIDEST: Final = 32_768  # Milvus' limit of ef
_ADDED_ROWS: Final = 2_000  # rows in a request, some megabytes; Milvus takes 64 MB
_DELETED_IDS: Final = 5_000
_QUERIES: Final = 64
_BUILDING: Final = 200  # efConstruction: vectors in sight while the graph is made
_SECONDS: Final = 30.0


class MilvusStore:
    """A `VectorStore` of Milvus.

    Args:
        config: settings, with the `uri` of a server, or without it for milvus-lite in `folder`.
        folder: path where milvus-lite keeps its data (`milvus.db`, a folder).
        dimension: numbers of a vector.

    Raises:
        MissingDependencyError: pymilvus or milvus-lite is not installed.
        StoreError: the server cannot be reached, or another process has the folder open.
        InputError: the collection has vectors of another width, or of another metric.
    """

    def __init__(self, config: StoreConfig, folder: Path, dimension: int) -> None:
        self._config, self._dimension = config, dimension
        self._where = config.uri or str(folder / "milvus.db")
        self._collection = f"{config.collection}_{config.namespace}"
        if not config.uri:
            folder.mkdir(parents=True, exist_ok=True)
        with self._readable_errors():
            self._client = self._connect()
            if not self._client.has_collection(self._collection):
                self._create()
            else:
                self._check()
            self._client.load_collection(self._collection)

    def add(self, ids: Int64s, vectors: Float32s, metadata: Sequence[Mapping[str, MetaValue]]) -> None:
        """See `VectorStore.add`.

        Raises:
            StoreError: the server failed; entries that it had taken are kept, and adding again replaces them.
        """
        check_entries(ids, vectors, metadata, self._dimension)
        facts = [typed(one, order_texts=True) for one in metadata]
        entries = zip(ids.tolist(), vectors.tolist(), facts, strict=True)
        rows = [{"id": id, "vector": vector, **typed_facts} for id, vector, typed_facts in entries]
        with self._readable_errors():
            for start in range(0, len(rows), _ADDED_ROWS):
                self._client.upsert(self._collection, rows[start : start + _ADDED_ROWS])

    def search(self, queries: Float32s, k: int, where: Where = ()) -> tuple[Int64s, Float32s]:
        """See `VectorStore.search`.

        Raises:
            InputError: more results are wanted than Milvus gives at once.
            StoreError: the server failed.
        """
        check_search(queries, k, self._dimension)
        if k > _MOST_RESULTS:
            raise InputError(f"k={k}: Milvus gives at most {_MOST_RESULTS} vectors a query; ask for fewer")
        ids, products = no_results(len(queries), k)
        compared = comparisons(where)
        if compared is None:
            return ids, products
        with self._readable_errors():
            settings = self._effort(k, compared)
            for start in range(0, len(queries), _QUERIES):
                part = queries[start : start + _QUERIES]
                for number, hits in enumerate(self._hits(part, k, compared, settings), start):
                    ids[number, : len(hits)] = [hit["id"] for hit in hits]
                    products[number, : len(hits)] = [hit["distance"] for hit in hits]
        return ids, products

    def delete(self, ids: Int64s) -> None:
        """See `VectorStore.delete`."""
        with self._readable_errors():
            for start in range(0, len(ids), _DELETED_IDS):
                self._client.delete(self._collection, ids=ids[start : start + _DELETED_IDS].tolist())

    def count(self, where: Where = ()) -> int:
        """See `VectorStore.count`."""
        compared = comparisons(where)
        if compared is None:
            return 0
        with self._readable_errors():
            return self._count(compared)

    def close(self) -> None:
        """End the connection; milvus-lite itself ends with this process."""
        self._client.close()

    def _count(self, compared: tuple[KeyComparison, ...]) -> int:
        rows = self._client.query(
            self._collection,
            filter=_expression(compared),
            output_fields=["count(*)"],
            consistency_level="Strong",
        )
        return int(rows[0]["count(*)"])

    def _hits(
        self, queries: Float32s, k: int, compared: tuple[KeyComparison, ...], settings: dict[str, Any]
    ) -> list[list[dict[str, Any]]]:
        found = self._client.search(
            self._collection,
            data=queries.tolist(),
            anns_field="vector",
            limit=k,
            filter=_expression(compared),
            search_params={"metric_type": "IP", "params": settings},
            consistency_level="Strong",
        )
        return [list(hits) for hits in found]

    def _effort(self, k: int, compared: tuple[KeyComparison, ...]) -> dict[str, Any]:
        """The settings of a search in a graph: the fewer vectors are allowed, the further it looks."""
        if not self._config.uri:
            return {}
        effort = max(self._config.effort, 2 * k)
        if compared:
            effort *= 4 * math.ceil(self._count(()) / max(1, self._count(compared)))
        return {"ef": min(effort, _WIDEST)}

    # ------------------------------------------------------------------ the collection

    def _connect(self) -> Any:
        try:
            import milvus_lite  # noqa: F401, PLC0415 - of the same extra: pymilvus starts it
            from pymilvus import MilvusClient  # noqa: PLC0415
        except ImportError as missing:
            raise MissingDependencyError(missing.name or "pymilvus", "the store `milvus`", "milvus") from missing
        token = read_key(self._config, "MILVUS_TOKEN", needed=False) if self._config.uri else ""
        return MilvusClient(uri=self._where, token=token, timeout=_SECONDS)

    def _create(self) -> None:
        from pymilvus import DataType, MilvusClient  # noqa: PLC0415

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._dimension)
        index = MilvusClient.prepare_index_params()
        graph = {"M": self._config.links, "efConstruction": _BUILDING}
        kind, settings = ("HNSW", graph) if self._config.uri else ("FLAT", {})
        index.add_index("vector", index_type=kind, metric_type="IP", params=settings)
        self._client.create_collection(self._collection, schema=schema, index_params=index, consistency_level="Strong")

    def _check(self) -> None:
        """Refuse a collection of other vectors."""
        fields = {field["name"]: field for field in self._client.describe_collection(self._collection)["fields"]}
        width = fields.get("vector", {}).get("params", {}).get("dim")
        if width is None or int(width) != self._dimension:
            raise InputError(
                f"the Milvus collection {self._collection!r} keeps vectors of {width or 'no'} numbers, not of "
                f"{self._dimension}; use the encoder that it was made with, or name another collection"
            )
        for name in self._client.list_indexes(self._collection, "vector"):
            metric = self._client.describe_index(self._collection, name).get("metric_type")
            if metric != "IP":
                raise InputError(
                    f"the Milvus collection {self._collection!r} compares by {metric}, not by inner product (IP); "
                    "name another collection"
                )

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        """Turn the client's errors into an error that names the store and a remedy."""
        try:
            yield
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("pymilvus", "grpc", "milvus_lite"):
                raise
            raise StoreError(f"Milvus at {self._where}: {_reason(error)}; {self._remedy(error)}") from error

    def _remedy(self, error: Exception) -> str:
        if self._config.uri:
            return "check that the server runs, that the key is right, and that it has room"
        if "Open local milvus failed" in str(error):
            return "another process may have it open: end it, or start `milvus-lite server` and give its `uri`"
        return "check the disk, or index anew"


def _reason(error: Exception) -> str:
    return str(getattr(error, "message", "") or error).splitlines()[0]


def _expression(compared: tuple[KeyComparison, ...]) -> str:
    """Write comparisons in Milvus' language; texts in them have neither quotes nor backslashes."""
    return " and ".join(map(_one_expression, compared))


def _one_expression(one: KeyComparison) -> str:
    values = ", ".join(f'"{value}"' if isinstance(value, str) else repr(value) for value in one.values)
    match one.relation:
        case Relation.ONE_OF:
            return f"{one.key} in [{values}]"
        case Relation.NONE_OF:
            return f"(exists {one.key} and {one.key} not in [{values}])" if values else f"exists {one.key}"
        case Relation.ANY_OF:
            return f"json_contains_any({one.key}, [{values}])"
    return f"{one.key} {one.relation.value} {values}"
