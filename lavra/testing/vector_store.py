"""Conformance suite of the `VectorStore` port.

Subclass `VectorStoreConformance` in a test module (with a name starting with `Test`), define how to open the store and
the meaning of a condition; a NumPy array, a library's index, a server and a service are held to the same contract.
Everything is compared with products computed here, vector by vector.

An approximate store states its recall, which is measured without a condition and with narrow and wide conditions.  A
store that cannot put texts in order states that (`orders_texts`), and must then refuse to compare them.

Deliberately absent: speed, memory and the state after a kill, which the tests of each store check.
"""

# ruff: noqa: D102 - the names of the tests say what they hold; pytest is not a dependency of this package

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lavra.base.arrays import Float32s, Int64s
from lavra.base.errors import InputError
from lavra.base.ports import VectorStore
from lavra.base.retrieval import ACCESS, Condition, MetaValue, Operator, Where

_Facts = Mapping[str, MetaValue]

_NUMBERS = (-2, -1, 0, 1, 2, 0.5, 1.0, True, False, 1e9)
_TEXTS = ("", "a", "b", "B", "ab", "1", "ção", "2024-05-01", 'it\'s "so"', "back\\slash", "%_{}$[0]\n", "日本")
_WORDS: tuple[tuple[str, ...], ...] = ((), ("a",), ("a", "b"), ("b", "a"), ("c", 'it\'s "so"'), ("*",), ("1",))
_ORDERED = (Operator.AT_LEAST, Operator.AT_MOST, Operator.OVER, Operator.UNDER)
_SEVERAL = (Operator.IN, Operator.NOT_IN, Operator.HAS_ANY)
_namespaces = itertools.count()


class VectorStoreConformance:
    """The contract of every `VectorStore`.

    Attributes:
        dimension: numbers of a vector, at least 8.
        many: number of vectors on which narrow conditions and recall are tested, at least 400.
        recall: least share of the ten nearest vectors that a search over `many` finds.
        tolerance: largest difference allowed between a product and the same computed here.
        orders_texts: whether texts may be compared by order.
    """

    dimension: int = 16
    many: int = 2_000
    recall: float = 1.0
    tolerance: float = 1e-5
    orders_texts: bool = True

    def open_store(self, namespace: str, dimension: int) -> VectorStore:
        """Open a namespace of a store, empty at first; opened again, it holds the vectors added before."""
        raise NotImplementedError("a conformance suite says which store it tests")

    def close_store(self, store: VectorStore) -> None:
        """Close a store whose kind cannot be open twice at a time."""

    def meets(self, facts: _Facts, where: Where) -> bool:
        """Whether facts meet every condition: the meaning that the store must give to conditions."""
        raise NotImplementedError("a conformance suite says what a condition means")

    # ---------------------------------------------------------------- made for the tests

    def fresh(self) -> VectorStore:
        return self.open_store(f"t{next(_namespaces)}", self.dimension)

    def vectors(self, seed: int, count: int) -> Float32s:
        """(count, D) vectors of unit length around some centres, as embeddings lie."""
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(12, self.dimension))
        found = centres[rng.integers(0, 12, count)] + 0.6 * rng.normal(size=(count, self.dimension))
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)

    def filled(self, seed: int, count: int) -> tuple[VectorStore, Int64s, Float32s]:
        """Make a store with vectors under ids that have gaps and are in no order, with the fact `number`."""
        store, vectors = self.fresh(), self.vectors(seed, count)
        ids = np.random.default_rng(seed).permutation(3 * count)[:count].astype(np.int64)
        store.add(ids, vectors, [{"number": int(id)} for id in ids])
        return store, ids, vectors

    def same(self, store: VectorStore, ids: Int64s, vectors: Float32s, where: Where = (), k: int = 7) -> None:
        """Check that a search finds the nearest of these vectors, in order, with their products."""
        queries = self.vectors(99, 5)
        found_ids, found = store.search(queries, k, where)
        expected = np.full((len(queries), k), -np.inf, dtype=np.float32)
        products = np.sort(queries @ vectors.T, axis=1)[:, ::-1]
        expected[:, : len(vectors)] = products[:, :k]
        assert found_ids.dtype == np.int64
        assert found.dtype == np.float32
        assert found_ids.shape == found.shape == expected.shape
        assert np.array_equal(found_ids == -1, np.isneginf(expected))
        real = found_ids != -1
        assert np.array_equal(np.isneginf(found), ~real)
        assert np.abs(found[real] - expected[real]).max(initial=0.0) <= self.tolerance
        by_id = dict(zip(ids.tolist(), vectors, strict=True))
        for query, row_ids, row in zip(queries, found_ids, found, strict=True):
            kept = row_ids[row_ids != -1].tolist()
            assert len(set(kept)) == len(kept)
            for id, product in zip(kept, row, strict=False):
                assert abs(float(by_id[id] @ query) - float(product)) <= self.tolerance

    # ---------------------------------------------------------------- adding and finding

    def test_satisfies_the_protocol(self) -> None:
        assert isinstance(self.fresh(), VectorStore)

    def test_the_nearest_come_first_with_their_products(self) -> None:
        store, ids, vectors = self.filled(1, 60)
        self.same(store, ids, vectors)
        assert store.count() == 60

    def test_where_fewer_are_found_the_rest_is_empty(self) -> None:
        store, ids, vectors = self.filled(2, 4)
        self.same(store, ids, vectors, k=9)
        self.same(self.fresh(), ids[:0], vectors[:0])

    def test_no_queries_no_results(self) -> None:
        store, _, vectors = self.filled(3, 5)
        ids, products = store.search(vectors[:0], 4)
        assert ids.shape == products.shape == (0, 4)
        assert ids.dtype == np.int64
        assert products.dtype == np.float32

    def test_company_of_queries_does_not_matter(self) -> None:
        store, _, _ = self.filled(4, 300)
        queries = self.vectors(5, 40)
        together = store.search(queries, 6)[1]
        alone = np.concatenate([store.search(query[None], 6)[1] for query in queries])
        assert np.abs(together - alone).max() <= self.tolerance

    def test_adding_an_id_again_replaces_its_vector_and_facts(self) -> None:
        store, ids, vectors = self.filled(6, 30)
        fresh = self.vectors(7, 10)
        store.add(ids[:10], fresh, [{"number": -1}] * 10)
        vectors[:10] = fresh
        self.same(store, ids, vectors)
        assert store.count() == 30
        minus = (Condition(field="number", operator=Operator.EQUAL, value=-1),)
        assert store.count(minus) == 10
        self.same(store, ids[:10], fresh, minus)

    def test_nothing_added_changes_nothing(self) -> None:
        store, ids, vectors = self.filled(8, 10)
        store.add(ids[:0], vectors[:0], [])
        self.same(store, ids, vectors)

    def test_arrays_of_the_caller_are_not_kept(self) -> None:
        store, ids, vectors = self.fresh(), np.arange(20, dtype=np.int64), self.vectors(9, 20)
        given_ids, given, facts = ids.copy(), vectors.copy(), [{"number": 1}]
        store.add(given_ids, given, facts * 20)
        given_ids[:], given[:] = 5, 0.0
        facts[0]["number"] = 2
        self.same(store, ids, vectors, (Condition(field="number", operator=Operator.EQUAL, value=1),))

    # ---------------------------------------------------------------- deleting

    def test_deleted_vectors_are_gone(self) -> None:
        store, ids, vectors = self.filled(10, 40)
        store.delete(ids[5:25])
        kept = np.r_[0:5, 25:40]
        self.same(store, ids[kept], vectors[kept])
        assert store.count() == 20
        store.add(ids[5:8], vectors[5:8], [{}] * 3)
        kept = np.r_[0:8, 25:40]
        self.same(store, ids[kept], vectors[kept])

    def test_unknown_ids_are_passed_over(self) -> None:
        store, ids, vectors = self.filled(11, 12)
        store.delete(np.array([10**6, int(ids[0]), 10**6 + 1], dtype=np.int64))
        store.delete(np.array([10**6], dtype=np.int64))
        store.delete(np.array([], dtype=np.int64))
        self.same(store, ids[1:], vectors[1:])

    # ---------------------------------------------------------------- conditions

    def test_every_operator_means_what_it_should(self) -> None:
        store, vectors = self.fresh(), self.vectors(12, 60)
        rng = np.random.default_rng(12)
        facts = [_random_facts(rng) for _ in vectors]
        ids = np.arange(60, dtype=np.int64)
        store.add(ids, vectors, facts)
        for where in _random_conditions(rng, 120, self.orders_texts):
            met = np.array([self.meets(one, where) for one in facts], dtype=np.bool_)
            found = store.search(vectors[:1], 60, where)[0][0]
            assert sorted(found[found != -1].tolist()) == ids[met].tolist(), where
            assert store.count(where) == int(met.sum()), where

    def test_texts_are_put_in_order_or_refused(self) -> None:
        store, _, vectors = self.filled(13, 5)
        for operator in _ORDERED:
            where = (Condition(field="text", operator=operator, value="2024"),)
            if self.orders_texts:
                assert store.count(where) == 0
            else:
                _refused(lambda where=where: store.search(vectors[:1], 2, where))  # type: ignore[misc]

    def test_odd_names_of_fields(self) -> None:
        store, vectors = self.fresh(), self.vectors(14, 6)
        names = ("a b", "a_b", "a.b", "$in", 'q"uote', "título", "id", "vector", "1st")
        store.add(np.arange(6, dtype=np.int64), vectors, [dict.fromkeys(names, n) for n in range(6)])
        for name in names:
            assert store.count((Condition(field=name, operator=Operator.AT_LEAST, value=4),)) == 2, name

    def test_a_condition_that_one_of_many_meets(self) -> None:
        store, ids, vectors = self.filled(15, self.many)
        for place in (0, self.many // 2, self.many - 1):
            where = (Condition(field="number", operator=Operator.EQUAL, value=int(ids[place])),)
            self.same(store, ids[place : place + 1], vectors[place : place + 1], where)
        none = (Condition(field="number", operator=Operator.EQUAL, value=-5),)
        self.same(store, ids[:0], vectors[:0], none)
        assert store.count(none) == 0

    def test_recall_with_conditions_of_any_width(self) -> None:
        store, ids, vectors = self.filled(16, self.many)
        queries = self.vectors(17, 30)
        for least in (0, int(1.5 * self.many), int(2.85 * self.many), int(2.985 * self.many)):
            where = (Condition(field="number", operator=Operator.AT_LEAST, value=least),)
            allowed = ids >= least
            k = min(10, int(allowed.sum()))
            least_products = np.sort(queries @ vectors[allowed].T, axis=1)[:, -k]
            found_ids, found = store.search(queries, k, where)
            assert np.isin(found_ids[found_ids != -1], ids[allowed]).all(), where
            share = float((found >= least_products[:, None] - self.tolerance).mean())
            assert share >= self.recall, f"recall {share:.3f} where {int(allowed.sum())} of {self.many} are allowed"

    # ---------------------------------------------------------------- apart, and kept

    def test_namespaces_are_apart(self) -> None:
        first, ids, vectors = self.filled(18, 15)
        second = self.fresh()
        assert second.count() == 0
        second.add(ids, vectors[::-1].copy(), [{}] * 15)
        second.delete(ids[:5])
        self.same(first, ids, vectors)
        self.same(second, ids[5:], vectors[::-1][5:])

    def test_what_was_added_is_there_when_opened_again(self) -> None:
        namespace = f"t{next(_namespaces)}"
        store, vectors = self.open_store(namespace, self.dimension), self.vectors(19, 25)
        ids = np.arange(25, dtype=np.int64)
        store.add(ids, vectors, [{"number": n % 2, "text": "é"} for n in range(25)])
        store.delete(ids[:5])
        self.close_store(store)
        again = self.open_store(namespace, self.dimension)
        self.same(again, ids[5:], vectors[5:])
        odd = (
            Condition(field="number", operator=Operator.EQUAL, value=1),
            Condition(field="text", operator=Operator.EQUAL, value="é"),
        )
        self.same(again, ids[5::2], vectors[5::2], odd)

    # ---------------------------------------------------------------- refused

    def test_entries_that_cannot_be_added_leave_nothing_behind(self) -> None:
        store, ids, vectors = self.filled(20, 10)
        new, fresh, facts = np.arange(100, 103), self.vectors(21, 3), [{"number": 1}] * 3
        infinite, nan = fresh.copy(), fresh.copy()
        infinite[2, 3], nan[2, 0] = np.inf, np.nan
        wrong: tuple[tuple[Any, Any, Any], ...] = (
            (new, self.vectors(21, 3)[:, :-1], facts),
            (new, infinite, facts),
            (new, nan, facts),
            (new[:2], fresh, facts),
            (new, fresh, facts[:2]),
            (np.array([100, 101, 100]), fresh, facts),
            (np.array([100, 101, -1]), fresh, facts),
            (new, fresh, [*facts[:2], {"number": float("nan")}]),
        )
        for bad_ids, bad, bad_facts in wrong:
            _refused(lambda a=bad_ids, b=bad, c=bad_facts: store.add(a, b, c))  # type: ignore[misc]
            assert store.count() == 10
        self.same(store, ids, vectors)

    def test_searches_that_cannot_be_made_are_refused(self) -> None:
        store, _, vectors = self.filled(22, 10)
        nan = vectors[:1].copy()
        nan[0, 0] = np.nan
        _refused(lambda: store.search(vectors[:1], 0))
        _refused(lambda: store.search(vectors[:1, :-1], 3))
        _refused(lambda: store.search(nan, 3))

    def test_another_dimension_is_refused(self) -> None:
        namespace = f"t{next(_namespaces)}"
        store = self.open_store(namespace, self.dimension)
        store.add(np.arange(3, dtype=np.int64), self.vectors(23, 3), [{}] * 3)
        self.close_store(store)
        _refused(lambda: self.open_store(namespace, self.dimension + 8))


def _refused(act: Callable[[], object]) -> None:
    try:
        act()
    except InputError:
        return
    raise AssertionError("it was not refused")


def _random_facts(rng: np.random.Generator) -> dict[str, MetaValue]:
    """Make facts of every kind; any may be missing, and the kind of `mixed` differs from vector to vector."""
    pools: dict[str, Sequence[MetaValue]] = {
        "number": _NUMBERS,
        "text": _TEXTS,
        "words": _WORDS,
        "mixed": (*_NUMBERS, *_TEXTS, *_WORDS),
        ACCESS: (("a",), ("a", "b"), ("*",)),
    }
    return {name: _one_of(rng, pool) for name, pool in pools.items() if rng.random() < 0.7}


def _random_conditions(rng: np.random.Generator, count: int, orders_texts: bool) -> list[Where]:
    found: list[Where] = []
    while len(found) < count:
        where = tuple(_random_condition(rng) for _ in range(int(rng.choice([1, 1, 1, 2]))))
        if orders_texts or not any(one.operator in _ORDERED and isinstance(one.value, str) for one in where):
            found.append(where)
    return found


def _random_condition(rng: np.random.Generator) -> Condition:
    operator = _one_of(rng, tuple(Operator))
    single: tuple[str | int | float, ...] = (*_NUMBERS, *_TEXTS)
    value: Any = _one_of(rng, single)
    if operator in _SEVERAL:
        value = tuple(_one_of(rng, single) for _ in range(int(rng.integers(0, 4))))
    elif operator in (Operator.EQUAL, Operator.NOT_EQUAL) and rng.random() < 0.2:
        value = _one_of(rng, _WORDS)
    field = _one_of(rng, ("number", "text", "words", "mixed", ACCESS, "unknown"))
    return Condition(field=field, operator=operator, value=value)


def _one_of(rng: np.random.Generator, pool: Sequence[Any]) -> Any:
    return pool[int(rng.integers(0, len(pool)))]
