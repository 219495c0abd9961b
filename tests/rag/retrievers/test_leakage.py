"""A chunk that a user may not read does not influence the user's results.

Results of a user of some groups are compared with results from an index that never had the other documents: passages,
scores and warnings are equal.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.retrieval import EVERYONE, Condition, Operator, SearchRequest
from lavra.rag.retrievers.build import build_retriever
from lavra.rag.retrievers.config import Arms, Expansion, Fusion, RetrievalConfig
from tests.rag.retrievers.toy import Overlap, Parts

WORDS = ["wing", "lift", "heat", "flow", "the", "shock", "canary"]
LINES = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join), min_size=1, max_size=3)
GROUPS = st.sampled_from([(), ("staff",), ("board",), ("staff", "board"), (EVERYONE,)])
EVERY = {
    "words": RetrievalConfig(arms=Arms.WORDS),
    "dense": RetrievalConfig(arms=Arms.DENSE),
    "ranks": RetrievalConfig(fusion=Fusion.RANKS, depth=3),
    "weights": RetrievalConfig(fusion=Fusion.WEIGHTS, depth=3),
    "all stages": RetrievalConfig(rerank_depth=4, rerank_weight=0.5, relevance=0.6, expansion=Expansion.NEIGHBOURS),
    "section": RetrievalConfig(expansion=Expansion.SECTION),
}


def found(parts, config, request):
    retriever = build_retriever(parts.table, parts.postings, parts.store, parts.embedder, config, Overlap())
    result = retriever.search(request)
    passages = [(one.chunk.document, one.chunk.start, one.chunk.text, one.score, one.scores) for one in result.passages]
    return passages, result.warnings


@settings(max_examples=20)
@given(
    documents=st.lists(st.tuples(LINES, GROUPS), min_size=1, max_size=6),
    query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join),
    groups=st.sampled_from([frozenset(), frozenset({"staff"}), frozenset({"board", "other"})]),
    k=st.integers(1, 5),
)
def test_a_user_finds_what_an_index_without_the_rest_has(tmp_path_factory, documents, query, groups, k):
    folder = tmp_path_factory.mktemp("leak")
    texts = {f"d{place}": "\n".join(lines) for place, (lines, _) in enumerate(documents)}
    named = {f"d{place}": given_ for place, (_, given_) in enumerate(documents) if given_}
    whole = Parts(folder / "whole", texts, named)
    readable = {
        document: text
        for document, text in texts.items()
        if set(named.get(document, (EVERYONE,))) & {*groups, EVERYONE}
    }
    alone = Parts(folder / "alone", readable, {one: named[one] for one in readable if one in named})
    for config in EVERY.values():
        seen = found(whole, config, SearchRequest(query=query, k=k, groups=groups))
        assert_equal(seen, found(alone, config, SearchRequest(query=query, k=k)))


def assert_equal(one, other):
    (seen, told), (expected, expected_told) = one, other
    assert told == expected_told
    assert [one[:3] for one in seen] == [one[:3] for one in expected]
    for (*_, score, scores), (*_, expected_score, expected_scores) in zip(seen, expected, strict=True):
        assert score == pytest.approx(expected_score, abs=1e-9)
        assert scores == pytest.approx(expected_scores, abs=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_a_canary_of_another_group_changes_nothing(tmp_path, name):
    """The word is in one forbidden document only; a query with it gets the same results as without that document."""
    texts = {"open": "the wing\nthe lift of a wing\nheat", "also": "heat flow\nshock wing"}
    secret = {"secret": "canary canary wing\nthe canary flies"}
    with_it = Parts(tmp_path / "with", {**texts, **secret}, {"secret": ("board",)})
    without = Parts(tmp_path / "without", texts)
    request = SearchRequest(query="canary wing", k=3, groups=frozenset({"staff"}))
    assert found(with_it, EVERY[name], request) == found(without, EVERY[name], request)
    board, _ = found(with_it, EVERY[name], SearchRequest(query="canary wing", k=3, groups=frozenset({"board"})))
    assert any("canary" in text for _, _, text, _, _ in board)


@pytest.mark.parametrize("name", EVERY)
def test_time_is_applied_before_the_search(tmp_path, name):
    texts = {"old": "\n".join(["the wing of the wing"] * 4), "new": "a wing\nheat"}
    parts = Parts(tmp_path / "p", texts, meta={"old": {"date": "1958-01-01"}, "new": {"date": "2026-01-01"}})
    where = (Condition(field="date", operator=Operator.AT_LEAST, value="2000-01-01"),)
    passages, _ = found(parts, EVERY[name], SearchRequest(query="wing", k=1, where=where))
    assert [document for document, *_ in passages] == ["new"]
