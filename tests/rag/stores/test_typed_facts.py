"""Typed keys compare as `meets` does, and no text of a document enters a database's expression unescaped."""

from __future__ import annotations

import operator
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.base.retrieval import ACCESS, Condition, Operator
from lavra.rag.chunk_table import meets
from lavra.rag.stores.facts import FactColumns, facts_text
from lavra.rag.stores.typed_facts import Relation, comparisons, typed

NUMBERS = st.one_of(st.integers(-3, 3), st.booleans(), st.sampled_from([0.5, -1.0, 1e9, 3.0]))
TEXTS = st.one_of(
    st.sampled_from(["a", "b", "ab", "", "1", "é", "日本", "q\"uo\\te'", "a|b", "%41"]), st.text(max_size=3)
)
WORDS = st.lists(TEXTS, max_size=3).map(tuple)
FIELDS = st.sampled_from(["f", "f_", "f.g", "f_2e_g", "é", ACCESS])
FACTS = st.dictionaries(FIELDS, st.one_of(NUMBERS, TEXTS, WORDS), max_size=4)
ORDERED = (Operator.AT_LEAST, Operator.AT_MOST, Operator.OVER, Operator.UNDER)
ORDER = {
    Relation.AT_LEAST: operator.ge,
    Relation.AT_MOST: operator.le,
    Relation.OVER: operator.gt,
    Relation.UNDER: operator.lt,
}


@st.composite
def conditions(draw):
    which = draw(st.sampled_from(list(Operator)))
    single, several = st.one_of(NUMBERS, TEXTS), st.lists(st.one_of(NUMBERS, TEXTS), max_size=3).map(tuple)
    values = single if which in ORDERED else st.one_of(single, several)
    return Condition(field=draw(FIELDS), operator=which, value=draw(values))


def holds(keys, one):
    """A database's result of one comparison."""
    if one.key not in keys:
        return False
    value = keys[one.key]
    match one.relation:
        case Relation.ONE_OF:
            return value in one.values
        case Relation.NONE_OF:
            return value not in one.values
        case Relation.ANY_OF:
            return bool(set(value) & set(one.values))
    return ORDER[one.relation](value, one.values[0])


@settings(max_examples=60, deadline=None)
@given(FACTS, st.lists(conditions(), max_size=2).map(tuple))
def test_typed_keys_mean_what_meets_says(facts, where):
    keys, compared = typed(facts, order_texts=True), comparisons(where)
    assert (compared is not None and all(holds(keys, one) for one in compared)) == meets(facts, where)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(FACTS, st.lists(conditions(), max_size=2).map(tuple)), min_size=1, max_size=6))
def test_columns_mean_what_meets_says_while_they_grow(rounds):
    columns, seen = FactColumns(), []
    for facts, where in rounds:
        columns.add(columns.codes([facts_text(facts)])[1])
        seen += [facts] if facts_text(facts) not in map(facts_text, seen) else []
        assert columns.meeting(where).tolist() == [meets(one, where) for one in seen]


@settings(max_examples=40, deadline=None)
@given(FACTS, st.lists(conditions(), max_size=3).map(tuple))
def test_no_sign_of_a_language_stays_in_a_key_or_text(facts, where):
    texts = list(typed(facts, order_texts=True))
    texts += [value for one in comparisons(where) or () for value in one.values if isinstance(value, str)]
    assert not [text for text in texts if re.search(r"[\"'\\$(){}\[\]\x00-\x1f;=<>]", text)]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.text("f_2e.é", min_size=1, max_size=6), max_size=40))
@example({"f.g", "f_2e_g", "f__", "f_"})
def test_different_fields_never_share_a_key(fields):
    keys = typed(dict.fromkeys(fields, 1) | {ACCESS: ("a",)}, order_texts=True)
    assert len(keys) == 3 * len(fields) + 2
    assert all(re.fullmatch(r"[a-z]{2,3}_[A-Za-z0-9_]*", key) for key in keys)


def test_facts_that_cannot_be_compared_are_refused():
    with pytest.raises(InputError, match=r"beyond 2\^53"):
        typed({"n": 2**53 + 1}, order_texts=True)
    with pytest.raises(InputError, match="must be a finite number"):
        typed({"n": float("inf")}, order_texts=True)
    with pytest.raises(InputError, match="must be text, a number"):
        facts_text({"n": (1, 2)})
    with pytest.raises(InputError, match="compares with nan"):
        comparisons((Condition(field="n", operator=Operator.AT_LEAST, value=float("nan")),))
