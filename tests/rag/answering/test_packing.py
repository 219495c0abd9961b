"""Packing: passages that fit are used, the best at the edges, and all others are reported."""

from hypothesis import given
from hypothesis import strategies as st

from lavra.base.retrieval import Chunk, Passage
from lavra.rag.answering.packing import PackedPassage, best_at_the_edges, pack_passages
from lavra.rag.answering.source_sentences import Sources
from lavra.rag.chunk_table import MemoryChunks


def cost(text):
    return len(text.split())


def passages_of(texts, spans):
    """Passages at (document, start, end), the best first."""
    chunks = [
        Chunk(id=number, document=name, text=texts[name][start:end], start=start, end=end, line=1)
        for number, (name, start, end) in enumerate(spans)
    ]
    found = [Passage(chunk=chunk, score=1.0 / (1 + chunk.id)) for chunk in chunks]
    return found, Sources(MemoryChunks(chunks, texts))


def test_the_best_stand_at_the_edges():
    ranks = [PackedPassage(passage=rank, document="d", start=0, end=1, text="") for rank in range(5)]
    assert [one.passage for one in best_at_the_edges(ranks)] == [0, 2, 4, 3, 1]


def test_overlapping_passages_become_one():
    texts = {"a": "one two three four five six", "b": "seven eight"}
    found, sources = passages_of(texts, [("a", 0, 13), ("b", 0, 11), ("a", 8, 27)])
    packed = pack_passages(found, sources, budget=100, cost=cost)
    assert [one.text for one in packed.passages] == ["one two three four five six", "seven eight"]
    assert not packed.left_out


def test_the_best_passage_is_cut_where_nothing_else_fits():
    texts = {"a": "One two. Three four. Five six seven eight."}
    found, sources = passages_of(texts, [("a", 0, len(texts["a"]))])
    packed = pack_passages(found, sources, budget=5, cost=cost)
    assert packed.passages[0].text == "One two. Three four."
    (left_out,) = packed.left_out
    assert texts["a"][left_out.start : left_out.end].strip() == "Five six seven eight."


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 80), st.integers(1, 40)), max_size=8), st.integers(0, 60))
def test_nothing_is_lost_and_the_budget_is_kept(drawn, budget):
    texts = {f"d{number}": " ".join(f"w{number}x{word}." for word in range(30)) for number in range(4)}
    spans = [(f"d{number}", start, min(start + length, 150)) for number, start, length in drawn]
    spans = [
        (name, start, end) for name, start, end in spans if texts[name][start:end].strip() == texts[name][start:end]
    ]
    found, sources = passages_of(texts, spans)
    packed = pack_passages(found, sources, budget=budget, cost=cost)
    assert sum(cost(one.text) for one in packed.passages) <= budget
    for one in packed.passages:
        assert one.text == texts[one.document][one.start : one.end]
    for passage in found:
        chunk = passage.chunk
        packed_in = [
            one for one in packed.passages if one.document == chunk.document and one.start <= chunk.start < one.end
        ]
        told = [one for one in packed.left_out if one.document == chunk.document and one.end == chunk.end]
        assert packed_in or told
        if not told:
            assert any(chunk.end <= one.end for one in packed_in)
