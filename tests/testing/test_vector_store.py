"""The suite of vector stores: a store in two dictionaries passes, and each broken variant fails."""

from __future__ import annotations

import numpy as np

from lavra.base.errors import InputError
from lavra.base.retrieval import Operator
from lavra.rag.chunk_table import meets
from lavra.testing.vector_store import VectorStoreConformance
from tests.testing.suites import check

ORDERED = (Operator.AT_LEAST, Operator.AT_MOST, Operator.OVER, Operator.UNDER)


class ToyStore:
    """Vectors and facts by id; every product is computed anew."""

    def __init__(self, kept, dimension):
        self.kept, self.dimension = kept, dimension
        self.refuse_width(kept)

    def refuse_width(self, kept):
        if any(len(vector) != self.dimension for vector, _ in kept.values()):
            raise InputError("another dimension")

    def add(self, ids, vectors, metadata):
        self.check(ids, vectors, metadata)
        self.put(ids, vectors, metadata)

    def put(self, ids, vectors, metadata):
        for id, vector, facts in zip(ids.tolist(), vectors, metadata, strict=True):
            self.kept[id] = (vector.copy(), dict(facts))

    def check(self, ids, vectors, metadata):
        self.check_vectors(vectors)
        if not len(ids) == len(vectors) == len(metadata) or len(set(ids.tolist())) != len(ids) or min([0, *ids]) < 0:
            raise InputError("ids")
        if any(value != value for facts in metadata for value in facts.values()):
            raise InputError("nan")

    def check_vectors(self, vectors):
        if vectors.shape[1] != self.dimension or not np.isfinite(vectors).all():
            raise InputError("vectors")

    def check_search(self, queries, k):
        self.check_vectors(queries)
        if k < 1:
            raise InputError("k")

    def meeting(self, where):
        return {id: vector for id, (vector, facts) in self.kept.items() if meets(facts, where)}

    def search(self, queries, k, where=()):
        self.check_search(queries, k)
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        products = np.full((len(queries), k), -np.inf, dtype=np.float32)
        allowed = self.meeting(where)
        numbers = np.array(list(allowed), dtype=np.int64)
        vectors = np.array(list(allowed.values()), dtype=np.float32).reshape(-1, self.dimension)
        for row, query in enumerate(queries):
            found = vectors @ query
            best = np.argsort(-found, kind="stable")[:k]
            ids[row, : len(best)], products[row, : len(best)] = numbers[best], found[best]
        return ids, products

    def delete(self, ids):
        for id in ids.tolist():
            self.kept.pop(id, None)

    def count(self, where=()):
        return len(self.meeting(where))


class WithStore(VectorStoreConformance):
    dimension = 8
    many = 400

    def __init__(self, kind=ToyStore, **settings):
        self.kind, self.spaces = kind, {}
        for name, value in settings.items():
            setattr(self, name, value)

    def open_store(self, namespace, dimension):
        return self.kind(self.spaces.setdefault(namespace, {}), dimension)

    def meets(self, facts, where):
        return meets(facts, where)


class Forgetful(WithStore):
    def open_store(self, namespace, dimension):
        return self.kind({}, dimension)


class OneSpace(WithStore):
    def open_store(self, namespace, dimension):
        return self.kind(self.spaces.setdefault("", {}), dimension)


def broken(**methods):
    return lambda: WithStore(type("Broken", (ToyStore,), methods))


def worst_first(self, queries, k, where=()):
    ids, products = ToyStore.search(self, queries, k, where)
    return ids[:, ::-1], products[:, ::-1]


def zeros_for_nothing(self, queries, k, where=()):
    ids, products = ToyStore.search(self, queries, k, where)
    return ids, np.where(ids < 0, 0, products).astype(np.float32)


def one_at_least(self, queries, k, where=()):
    return ToyStore.search(self, queries if len(queries) else np.zeros((1, self.dimension), np.float32), k, where)


def first_query_only(self, queries, k, where=()):
    return ToyStore.search(self, np.repeat(queries[:1], len(queries), axis=0), k, where)


def keeps_the_first(self, ids, vectors, metadata):
    new = [n for n, id in enumerate(ids.tolist()) if id not in self.kept]
    ToyStore.put(self, ids[new], vectors[new], [metadata[n] for n in new])


def adds_one_for_nothing(self, ids, vectors, metadata):
    if not len(ids):
        self.kept[77] = (np.ones(self.dimension, dtype=np.float32), {})
    ToyStore.put(self, ids, vectors, metadata)


def keeps_the_arrays(self, ids, vectors, metadata):
    for n, id in enumerate(ids.tolist()):
        self.kept[id] = (vectors[n], metadata[n])


def half_added(self, ids, vectors, metadata):
    count = min(len(ids), len(vectors), len(metadata))
    self.put(ids[: count // 2], vectors[: count // 2], metadata[: count // 2])
    ToyStore.check(self, ids, vectors, metadata)


def unknown_ids_fail(self, ids):
    for id in ids.tolist():
        del self.kept[id]


def filters_afterwards(self, queries, k, where=()):
    """Conditions are applied to the nearest vectors only after the search, a common mistake."""
    ids, products = ToyStore.search(self, queries, 40)
    found, values = np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, dtype=np.float32)
    for row, some in enumerate(ids):
        kept = [n for n, id in enumerate(some.tolist()) if id >= 0 and meets(self.kept[id][1], where)][:k]
        found[row, : len(kept)], values[row, : len(kept)] = some[kept], products[row, kept]
    self.check_search(queries, k)
    return found, values


def missing_meets_unequal(self, where):
    unequal = (Operator.NOT_EQUAL, Operator.NOT_IN)
    return {
        id: vector
        for id, (vector, facts) in self.kept.items()
        if all(meets(facts, (one,)) or (one.operator in unequal and one.field not in facts) for one in where)
    }


def loses_odd_names(self, where):
    return {} if any(not one.field.isidentifier() for one in where) else ToyStore.meeting(self, where)


class Lax(ToyStore):
    """Reports that it cannot order texts, and orders them."""


def test_vector_stores():
    nearest = "the_nearest_come_first_with_their_products"
    toys = {
        "worst first": (broken(search=worst_first), {nearest}),
        "zeros": (broken(search=zeros_for_nothing), {"where_fewer_are_found_the_rest_is_empty"}),
        "one at least": (broken(search=one_at_least), {"no_queries_no_results"}),
        "first query": (broken(search=first_query_only), {"company_of_queries_does_not_matter"}),
        "first stays": (broken(put=keeps_the_first), {"adding_an_id_again_replaces_its_vector_and_facts"}),
        "one for nothing": (broken(put=adds_one_for_nothing), {"nothing_added_changes_nothing"}),
        "arrays": (broken(put=keeps_the_arrays), {"arrays_of_the_caller_are_not_kept"}),
        "undeleted": (broken(delete=lambda self, ids: None), {"deleted_vectors_are_gone"}),
        "unknown ids": (broken(delete=unknown_ids_fail), {"unknown_ids_are_passed_over"}),
        "missing": (broken(meeting=missing_meets_unequal), {"every_operator_means_what_it_should"}),
        "odd names": (broken(meeting=loses_odd_names), {"odd_names_of_fields"}),
        "afterwards": (
            broken(search=filters_afterwards),
            {"a_condition_that_one_of_many_meets", "recall_with_conditions_of_any_width"},
        ),
        "orders texts": (lambda: WithStore(Lax, orders_texts=False), {"texts_are_put_in_order_or_refused"}),
        "one space": (lambda: OneSpace(), {"namespaces_are_apart"}),
        "forgetful": (
            lambda: Forgetful(),
            {"what_was_added_is_there_when_opened_again", "another_dimension_is_refused"},
        ),
        "half added": (broken(add=half_added), {"entries_that_cannot_be_added_leave_nothing_behind"}),
        "any search": (
            broken(check_search=lambda self, queries, k: None),
            {"searches_that_cannot_be_made_are_refused"},
        ),
        "no store": (lambda: WithStore(lambda kept, dimension: object()), {"satisfies_the_protocol"}),
    }
    check(WithStore(), toys)
