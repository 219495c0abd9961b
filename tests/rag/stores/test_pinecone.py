"""Pinecone: the port's suite against a double that speaks its wire format, with its limits and errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lavra.base.errors import ConfigError, InputError
from lavra.base.retrieval import Condition, Operator
from lavra.rag.chunk_table import meets
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.errors import StoreError
from lavra.rag.stores.table import open_store
from lavra.testing.vector_store import VectorStoreConformance
from tests.rag.pinecone_double import KEY, Pinecone, serving

pytest.importorskip("pinecone", reason="pinecone is not installed; it is of the extra `pinecone`")


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("PINECONE_API_KEY", KEY)


@pytest.fixture
def index(key):
    return Pinecone(16)


@pytest.fixture
def address(index):
    with serving(index) as address:
        yield address


@pytest.fixture
def store(address, tmp_path):
    return open_store(StoreConfig(kind=StoreKind.PINECONE, uri=address), tmp_path, 16)


@pytest.mark.slow
class TestPinecone(VectorStoreConformance):
    orders_texts = False
    many = 400

    @pytest.fixture(autouse=True)
    def _address(self, address, tmp_path):
        self.config, self.folder = StoreConfig(kind=StoreKind.PINECONE, uri=address), tmp_path

    def open_store(self, namespace, dimension):
        return open_store(replace(self.config, namespace=namespace), self.folder, dimension)

    def meets(self, facts, where):
        return meets(facts, where)


def entries(count, dimension=16):
    vectors = np.random.default_rng(0).normal(size=(count, dimension)).astype(np.float32)
    return np.arange(count), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_requests_stay_within_the_limits(index, store):
    ids, vectors = entries(2500)
    store.add(ids, vectors, [{"text": "x" * 2000}] * 2500)
    assert store.count() == 2500
    store.delete(ids[:2100])
    assert store.count() == 400
    sizes = [size for path, size in index.requests if path == "/vectors/upsert"]
    assert len(sizes) > 3  # 1,000 records of this size would take more than 2 MB
    assert sum(path == "/vectors/delete" for path, _ in index.requests) == 3


def test_facts_that_are_too_large_are_refused_before_anything_is_sent(index, store):
    ids, vectors = entries(3)
    with pytest.raises(InputError, match=r"facts of id 2 take \d+ bytes, Pinecone keeps 40960"):
        store.add(ids, vectors, [{}, {}, {"text": "y" * 30_000}])
    assert not any(path == "/vectors/upsert" for path, _ in index.requests)


def test_a_search_waits_for_earlier_writes(index, store):
    index.late = 3
    ids, vectors = entries(5)
    store.add(ids, vectors, [{}] * 5)
    assert store.search(vectors[:1], 5)[0].tolist()[0][0] == 0
    store.add(ids + 5, vectors, [{"n": 1}] * 5)
    assert store.count((Condition(field="n", operator=Operator.EQUAL, value=1),)) == 5


def test_failures_of_a_moment_are_repeated(index, store):
    index.failures = [503]
    ids, vectors = entries(5)
    store.add(ids, vectors, [{}] * 5)
    assert store.count() == 5


def test_errors_name_the_remedy(index, address, tmp_path, monkeypatch):
    config = StoreConfig(kind=StoreKind.PINECONE, uri=address)
    with pytest.raises(InputError, match="keeps vectors of 16 numbers, not of 8; create one of dimension 8"):
        open_store(config, tmp_path, 8)
    index.metric = "euclidean"
    with pytest.raises(InputError, match="compares by euclidean, not by dotproduct"):
        open_store(config, tmp_path, 16)
    monkeypatch.setenv("OTHER_KEY", "secret-and-wrong")
    with pytest.raises(StoreError, match="check the key") as told:
        open_store(replace(config, key_variable="OTHER_KEY"), tmp_path, 16)
    assert "secret" not in str(told.value)
    monkeypatch.delenv("PINECONE_API_KEY")
    with pytest.raises(ConfigError, match="PINECONE_API_KEY is not set"):
        open_store(config, tmp_path, 16)
    with pytest.raises(ConfigError, match="cannot be read"):
        open_store(replace(config, key_file=tmp_path / "absent"), tmp_path, 16)


def test_a_key_from_a_file(index, address, tmp_path, monkeypatch):
    monkeypatch.delenv("PINECONE_API_KEY")
    (tmp_path / "key").write_text(f"{KEY}\n")
    config = StoreConfig(kind=StoreKind.PINECONE, uri=address, key_file=tmp_path / "key")
    assert open_store(config, tmp_path, 16).count() == 0


def test_more_results_than_the_service_gives(store):
    with pytest.raises(InputError, match="k=10001: Pinecone gives at most 10000"):
        store.search(entries(1)[1], 10_001)


def test_an_index_has_a_name_of_pinecones_form() -> None:
    assert StoreConfig(kind=StoreKind.PINECONE, collection="my-index").collection == "my-index"
    for name in ("my_index", "Index", "-index", "i" * 46):
        with pytest.raises(ConfigError, match="as Pinecone names its indexes"):
            StoreConfig(kind=StoreKind.PINECONE, collection=name)
    with pytest.raises(ConfigError, match="letters, digits and underscores"):
        StoreConfig(kind=StoreKind.MILVUS, collection="my-index")
