"""The index against a set of word tuples; equal words in different forms; bounded memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.card import write_card
from lavra.base.errors import InputError
from lavra.evaluation.contamination import index as index_module
from lavra.evaluation.contamination import ngrams as ngrams_module
from lavra.evaluation.contamination.index import NgramIndex, build_index, index_bytes, open_index
from lavra.evaluation.contamination.ngrams import WordHasher, ngram_hashes, words_of
from lavra.text.corpus import build_corpus


def grams(text: str, order: int) -> list[tuple[str, ...]]:
    words = words_of(text)
    return [tuple(words[at : at + order]) for at in range(len(words) - order + 1)]


def test_looks_do_not_count() -> None:
    assert words_of("Don't STOP—now, «ação»!") == ["don", "t", "stop", "now", "acao"]
    assert words_of("don’t stop\n> now;   ac\u0327a\u0303o") == words_of("Don't STOP—now, «ação»!")
    assert words_of("ﬁne ½ ß") == ["fine", "1", "2", "ss"]
    assert words_of("漢字かなABC 12_3") == ["漢", "字", "か", "な", "abc", "12", "3"]
    assert words_of(" \n—…") == []


@given(st.lists(st.sampled_from("abcdef"), max_size=30), st.integers(1, 9))
def test_hashes_are_equal_where_ngrams_are(words: list[str], order: int) -> None:
    text = " ".join(words)
    hashes = ngram_hashes(WordHasher().hash_text(text), order).tolist()
    as_tuples = grams(text, order)
    assert len(hashes) == len(as_tuples)
    assert len(set(hashes)) == len(set(as_tuples))
    assert len(set(zip(hashes, as_tuples, strict=True))) == len(set(as_tuples))


def test_hashes_are_the_same_in_every_process() -> None:
    assert ngram_hashes(WordHasher().hash_text("the cat sat"), 2).tolist() == [5103327886943769195, 1544929490433407794]


def random_texts(seed: int, num_texts: int, num_words: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(f"w{at}" for at in draw.integers(0, 40, num_words)) for _ in range(num_texts)]


@pytest.mark.parametrize("buffered", [10, 1 << 22])
def test_an_index_has_what_the_corpus_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffered: int) -> None:
    monkeypatch.setattr(index_module, "_BUFFERED", buffered)
    texts = random_texts(0, 30, 60)
    build_index(texts, tmp_path / "index", "abc", order=3)
    found = NgramIndex.open(tmp_path / "index")
    there = {gram for text in texts for gram in grams(text, 3)}
    assert (found.num_ngrams, found.num_words, found.corpus_id, found.order) == (len(there), 1800, "abc", 3)
    for text in [*texts[:3], *random_texts(1, 20, 60)]:
        hits = found.contains(ngram_hashes(WordHasher().hash_text(text), 3))
        assert hits.tolist() == [gram in there for gram in grams(text, 3)]
    assert [path.name for path in sorted((tmp_path / "index").iterdir())] == ["lavra.json", "ngrams.u32", "starts.npy"]


def test_a_long_text_is_read_in_pieces_that_lose_no_ngram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = random_texts(3, 1, 400)[0]
    whole = set(ngram_hashes(WordHasher().hash_text(text), 5).tolist())
    monkeypatch.setattr(ngrams_module, "_PIECE", 50)
    monkeypatch.setattr(ngrams_module, "_KNOWN_WORDS", 7)
    pieces = list(WordHasher().hash_long_text(text, 4))
    assert len(pieces) > 20
    assert {one for words in pieces for one in ngram_hashes(words, 5).tolist()} == whole
    build_index([text, "", "one two"], tmp_path / "index", "abc", order=5)
    found = NgramIndex.open(tmp_path / "index")
    assert (found.num_ngrams, found.num_words) == (len(whole), 402)


def test_no_ngram_reaches_into_the_next_text(tmp_path: Path) -> None:
    build_index(["a b", "c d"], tmp_path / "index", "abc", order=2)
    found = NgramIndex.open(tmp_path / "index")
    assert found.contains(ngram_hashes(WordHasher().hash_text("a b c d"), 2)).tolist() == [True, False, True]
    build_index(["a", ""], tmp_path / "empty", "abc", order=2)
    assert NgramIndex.open(tmp_path / "empty").num_ngrams == 0


@pytest.mark.slow
def test_memory_is_less_than_the_ngrams_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_BUFFERED", 1 << 14)
    peaks = []
    for name in (
        "index",
        "again",
    ):  # the lower peak: memory of all threads is counted, and earlier tests may have left one
        tracemalloc.start()
        build_index((random_texts(seed, 1, 2000)[0] for seed in range(500)), tmp_path / name, "abc")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    found = NgramIndex.open(tmp_path / "index")
    assert found.num_words == 1_000_000
    assert min(peaks) < 8 * found.num_ngrams / 2
    assert 4.0 * found.num_ngrams < index_bytes(found) < 4.0 * found.num_words + 600_000


@pytest.mark.slow
def test_the_index_of_a_corpus_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(40):
        (tmp_path / f"{at}.txt").write_text(random_texts(at, 1, 200)[0])
    corpus = build_corpus([tmp_path / f"{at}.txt" for at in range(40)], tmp_path / "corpus")
    told: list[float] = []
    first = open_index(tmp_path / "indexes", corpus, lambda step, done, total, note="": told.append(done))
    assert told[-1] == corpus.num_bytes("train")
    assert first.corpus_id == corpus.id
    monkeypatch.setattr(index_module, "build_index", None)
    assert open_index(tmp_path / "indexes", corpus).num_ngrams == first.num_ngrams
    hasher = WordHasher()
    for document in corpus.documents("train"):
        assert first.contains(ngram_hashes(hasher.hash_text(document.text), first.order)).all()
    for document in corpus.documents("heldout"):
        assert not first.contains(ngram_hashes(hasher.hash_text(document.text), first.order)).any()


def test_other_files_than_an_index_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no lavra\.json"):
        NgramIndex.open(tmp_path)
    write_card(tmp_path, kind="ngram-index", parents={}, config={"version": 0})
    with pytest.raises(InputError, match="is not a ngram-index of version 1; remove it"):
        NgramIndex.open(tmp_path)
