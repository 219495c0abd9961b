"""Measured recall is true: of an exact store, of stores that miss, and of stores that find forbidden rows."""

from __future__ import annotations

import numpy as np
import pytest

from lavra.base.errors import InputError
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.recall import measure_recall
from lavra.rag.stores.table import open_store

COUNT, DIMENSION = 2_000, 12


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(COUNT, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = rng.permutation(np.repeat(np.arange(200), 10))
    facts = [{"document": f"d{name}", "language": "pt" if name % 2 else "en"} for name in names.tolist()]
    return np.arange(COUNT) * 3, vectors, facts


@pytest.fixture
def store(data, tmp_path):
    store = open_store(StoreConfig(kind=StoreKind.EXACT), tmp_path, DIMENSION)
    store.add(*data)
    return store


def measured(store, data, **settings):
    ids, vectors, facts = data
    return measure_recall(store, vectors, ids, facts, k=5, queries=20, **settings)


class Wrapped:
    def __init__(self, store):
        self.store = store

    def count(self, where=()):
        return self.store.count(where)

    def search(self, queries, k, where=()):
        return self.store.search(queries, k, where)


def test_an_exact_store_finds_everything(store, data):
    table = measured(store, data)
    assert [row.allowed for row in table.rows] == [2000, 1000, 100, 10, 10]
    assert [(row.recall, row.worst) for row in table.rows] == [(1.0, 1.0)] * 5
    assert table.least() == 1.0
    assert table.warnings == ()
    assert "recall@5" in table.text()


def test_a_store_that_misses_one_of_five(store, data):
    class Misses(Wrapped):
        def search(self, queries, k, where=()):
            ids, products = self.store.search(queries, k, where)
            return np.roll(ids, -1), np.roll(products, -1) - np.array([0, 0, 0, 0, 10], dtype=np.float32)

    assert measured(Misses(store), data).least() == pytest.approx(0.8)


def test_a_store_that_ignores_conditions(store, data):
    class Ignores(Wrapped):
        def count(self, where=()):
            return self.store.count()

        def search(self, queries, k, where=()):
            return self.store.search(queries, k)

    table = measured(Ignores(store), data)
    assert table.rows[0].recall == 1.0
    assert table.rows[-1].recall < 0.1
    assert any("the store counts 2000 vectors, there are 100" in warning for warning in table.warnings)


def test_facts_that_give_no_narrow_condition(store, data):
    ids, vectors, _ = data
    table = measure_recall(store, vectors, ids, [{}] * COUNT, queries=5)
    assert [row.name for row in table.rows] == ["no condition"]
    assert len(table.warnings) == 3
    with pytest.raises(InputError, match="no vectors"):
        measure_recall(store, vectors[:0], ids[:0], [])
