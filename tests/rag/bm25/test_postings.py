"""BM25 against twenty lines of plain Python, over random texts, settings and allowed chunks."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.rag.bm25 import sorting, write
from lavra.rag.bm25.config import Bm25Config, Weighting
from lavra.rag.bm25.postings import Postings
from lavra.rag.bm25.write import merge_postings, write_postings
from lavra.rag.words import Analyzer

ANALYZER = Analyzer(("en",))
WORDS = ["cat", "cats", "dog", "the", "running", "run", "ISO-9001", "9001", "água", "東京都", "x", "…"]
TEXT = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


def naive(query, texts, k1, b):
    """{id: score} of the chunks that share a word, term by term as in the paper's formula."""
    counts = {id: Counter(ANALYZER.words(text)) for id, text in texts.items()}
    lengths = {id: sum(found.values()) for id, found in counts.items()}
    mean = sum(lengths.values()) / max(1, len(texts))
    frequencies = Counter(term for found in counts.values() for term in found)
    scores = {}
    for id, found in counts.items():
        total = 0.0
        for term in ANALYZER.query_words(query):
            if term in found:
                frequency = frequencies[term]
                idf = math.log(1 + (len(texts) - frequency + 0.5) / (frequency + 0.5))
                total += idf * found[term] / (found[term] + k1 * (1 - b + b * lengths[id] / mean))
        if total > 0:
            scores[id] = total
    return scores


@pytest.fixture(autouse=True, scope="module")
def _small_blocks():
    """Blocks small enough that a few texts fill several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "BLOCK", 7)
        patch.setattr(write, "BLOCK", 5)
        patch.setattr(write, "_REMEMBERED", 3)
        yield


def written(folder, texts, config=None, **options):
    write_postings(folder, list(texts), texts.values(), ANALYZER, config, **options)
    return Postings.open(folder)


@settings(max_examples=40)
@given(
    texts=st.lists(TEXT, min_size=1, max_size=30),
    query=TEXT,
    k=st.integers(1, 40),
    k1=st.sampled_from([0.0, 0.9, 1.5]),
    b=st.sampled_from([0.0, 0.4, 1.0]),
    data=st.data(),
)
def test_scores_are_those_of_the_naive_reference(tmp_path_factory, texts, query, k, k1, b, data):
    ids = data.draw(st.permutations(range(100, 100 + 3 * len(texts), 3)))
    given_texts = dict(zip(ids, texts, strict=True))
    allowed = data.draw(st.none() | st.sets(st.sampled_from(ids)))
    found, scores = written(tmp_path_factory.mktemp("p"), given_texts, Bm25Config(k1=k1, b=b)).search(
        query, k, None if allowed is None else np.array(sorted(allowed), dtype=np.int64)
    )
    # Chunks that are not allowed have no influence: neither on idf nor on the mean length.
    seen = given_texts if allowed is None else {id: text for id, text in given_texts.items() if id in allowed}
    expected = naive(query, seen, k1, b)
    best = sorted(expected, key=lambda id: (-round(expected[id], 9), id))[:k]
    assert found.tolist() == best
    np.testing.assert_allclose(scores, [expected[id] for id in best], atol=1e-5, rtol=0)


def test_leaving_chunks_out_early_changes_nothing(tmp_path):
    """Many chunks, frequent and rare words: the search reads few of them, and its result equals a full search's."""
    rng = np.random.default_rng(0)
    shares = np.array([0.9, 0.7, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.02, 0.004])
    names = ["the", "of", "and", "lift", "drag", "mach", "heat", "flow", "wing", "shock", "ablation"]
    texts = {
        id: " ".join(" ".join([name] * int(times)) for name, times in zip(names, rng.poisson(shares), strict=True))
        for id in range(700)
    }
    postings = written(tmp_path / "p", texts)
    for query in (
        "the ablation of the wing",
        "of and the",
        "shock and the ablation",
        " ".join(names[:9]),
        " ".join(names),
    ):
        expected = naive(query, texts, 1.5, 0.75)
        order = sorted(expected, key=lambda id: (-round(expected[id], 9), id))
        for k in (1, 3, 10, 1000):
            found, scores = postings.search(query, k)
            assert found.tolist() == order[:k]
            np.testing.assert_allclose(scores, [expected[id] for id in order[:k]], atol=1e-5)


def test_robertson_is_lucene_times_k1_plus_1(tmp_path):
    texts = {1: "a cat", 2: "the cat and the dog", 3: "a dog"}
    lucene = written(tmp_path / "l", texts, Bm25Config(k1=1.5)).search("cat dog", 3)
    robertson = written(tmp_path / "r", texts, Bm25Config(k1=1.5, weighting=Weighting.ROBERTSON)).search("cat dog", 3)
    assert lucene[0].tolist() == robertson[0].tolist()
    np.testing.assert_allclose(robertson[1], 2.5 * lucene[1])


def test_scores_are_those_of_bm25s(tmp_path):
    """In Lucene's form, over all chunks, an independent library."""
    import bm25s

    texts = {id: f"wing {'flow ' * (id % 4)} shock{id % 7} layer {'heat ' * (id % 3)}" for id in range(60)}
    peer = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    peer.index([ANALYZER.words(text) for text in texts.values()], show_progress=False)
    expected = peer.get_scores(ANALYZER.words("flow of heat in shock3"))
    found, scores = written(tmp_path / "p", texts).search("flow of heat in shock3", 60)
    np.testing.assert_allclose(scores, expected[found], atol=1e-5)
    assert len(found) == int((expected > 0).sum())


@settings(max_examples=25)
@given(data=st.data(), texts=st.lists(TEXT, max_size=20))
def test_merging_gives_the_files_of_writing_anew(tmp_path_factory, data, texts):
    folder = tmp_path_factory.mktemp("p")
    every = dict(enumerate(texts))
    old = data.draw(st.sets(st.sampled_from(sorted(every))) if every else st.just(set()))
    keep = data.draw(st.sets(st.sampled_from(sorted(old))) if old else st.just(set()))
    new = [id for id in every if id not in old]
    new = data.draw(st.permutations(new))
    postings = written(folder / "old", {id: every[id] for id in sorted(old)})
    merge_postings(folder / "merged", postings, sorted(keep), new, [every[id] for id in new])
    written(folder / "anew", {id: every[id] for id in [*keep, *new]})
    for path in sorted((folder / "anew").iterdir()):
        assert path.read_bytes() == (folder / "merged" / path.name).read_bytes(), path.name
    assert {path.name for path in (folder / "anew").iterdir()} == {
        *(
            "postings.json",
            "ids.npy",
            "lengths.npy",
            "terms.bin",
            "term_ends.npy",
            "starts.npy",
            "rows.npy",
            "counts.npy",
        )
    }


def test_new_chunks_may_have_lower_numbers(tmp_path):
    old = written(tmp_path / "old", {5: "a cat", 9: "a cat and a dog"})
    merge_postings(tmp_path / "p", old, [9, 5], [7, 2], ["a dog", "the cat"])
    rows = Postings.open(tmp_path / "p").columns
    for start, end in zip(rows.starts[:-1], rows.starts[1:], strict=True):
        assert (np.diff(rows.rows[start:end]) > 0).all()


def test_a_chunk_that_is_to_stay_must_be_there(tmp_path):
    with pytest.raises(InputError, match="chunk 7"):
        merge_postings(tmp_path / "m", written(tmp_path / "p", {1: "a"}), [1, 7], [], [])


def test_each_chunk_is_stemmed_by_its_language(tmp_path):
    both = Analyzer(("en", "pt"))
    texts = ["as eleições", "the elections"]
    write_postings(tmp_path / "p", [1, 2], texts, both, languages=["pt", "en"])
    postings = Postings.open(tmp_path / "p")
    assert postings.analyzer.languages == ("en", "pt")
    assert postings.search("eleição", 5)[0].tolist() == [1]
    assert postings.search("election", 5)[0].tolist() == [2]


@pytest.mark.parametrize("texts", [{}, {3: ""}, {3: "…", 9: ""}])
def test_nothing_to_find_finds_nothing(tmp_path, texts):
    found, scores = written(tmp_path / "p", texts).search("a cat", 5)
    assert found.tolist() == []
    assert scores.tolist() == []


def test_wrong_input_is_named(tmp_path):
    with pytest.raises(InputError, match="two chunks have one number"):
        write_postings(tmp_path / "p", [1, 1], ["a", "b"], ANALYZER)
    with pytest.raises(InputError, match="2 chunks have numbers and 1 have texts"):
        write_postings(tmp_path / "p", [1, 2], ["a"], ANALYZER)
    with pytest.raises(InputError, match="has no postings"):
        Postings.open(tmp_path / "p")
    with pytest.raises(InputError, match="at least 1"):
        written(tmp_path / "p", {1: "a"}).search("a", 0)
    for settings_ in ({"k1": -1.0}, {"k1": float("nan")}, {"b": 1.1}):
        with pytest.raises(ConfigError):
            Bm25Config(**settings_)


@pytest.mark.parametrize("name", ["rows.npy", "terms.bin", "ids.npy", "postings.json", "starts.npy"])
def test_damaged_files_are_refused(tmp_path, name):
    written(tmp_path / "p", {1: "a cat", 2: "a dog"})
    path = tmp_path / "p" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="damaged"):
        Postings.open(tmp_path / "p")


def test_columns_are_memory_mapped(tmp_path):
    columns = written(tmp_path / "p", {1: "a cat", 2: "a dog"}).columns
    for name in ("ids", "lengths", "terms", "term_ends", "starts", "rows", "counts"):
        assert isinstance(getattr(columns, name), np.memmap), name
