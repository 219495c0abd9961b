"""Items against corpora of known content; planted leaks of real items."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.planting import check as check_planted
from benchmarks.planting import edited, read_corpus, read_items, rewrapped
from lavra.base.errors import ConfigError
from lavra.evaluation.contamination.index import ORDER, NgramIndex, build_index
from lavra.evaluation.contamination.overlap import OverlapVerdict, check_texts, texts_of

SENTENCE = "In the beginning the river carried nine old boats slowly down to the quiet harbour"  # 15 words
OTHER = "Nobody had told the young clerk which of the seven drawers held the missing letters"  # 15 words


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> NgramIndex:
    folder = tmp_path_factory.mktemp("index") / "index"
    build_index([f"Chapter one. {SENTENCE}, and there they stayed.", "something else"], folder, "abc")
    return NgramIndex.open(folder)


def test_an_item_that_stands_in_the_corpus_is_found(index: NgramIndex) -> None:
    verbatim, clean, half, short = check_texts([index], [[SENTENCE], [OTHER], [SENTENCE, OTHER], ["the river"]])
    assert (verbatim.share, verbatim.longest_run, verbatim.num_found, verbatim.num_ngrams) == (1.0, 15, 8, 8)
    assert (clean.share, clean.longest_run, clean.num_found, clean.num_ngrams) == (0.0, 0, 0, 8)
    assert (half.share, half.longest_run) == (0.5, 15)
    assert [one.verdict() for one in (verbatim, clean, half, short)] == [
        OverlapVerdict.OVERLAPPING,
        OverlapVerdict.NO_OVERLAP,
        OverlapVerdict.OVERLAPPING,
        OverlapVerdict.TOO_SHORT,
    ]
    assert half.verdict(0.6) is OverlapVerdict.NO_OVERLAP


def test_a_changed_word_takes_its_ngrams_only(index: NgramIndex) -> None:
    words = SENTENCE.split()
    words[3] = "brook"  # four words from the front: no n-gram of eight is left before it, four are left after
    found = check_texts([index], [[" ".join(words)]])[0]
    assert (found.num_found, found.longest_run, found.share) == (4, 11, pytest.approx(11 / 15))


@given(st.integers(0, 1000))
def test_wrapping_hides_nothing(index: NgramIndex, seed: int) -> None:
    text = rewrapped(f"{SENTENCE}, and there they stayed.", random.Random(seed))
    assert check_texts([index], [[text]])[0].share == 1.0


def test_text_common_to_many_items_accuses_none_of_them(tmp_path: Path) -> None:
    items = [[f"{SENTENCE}: {' '.join(f'n{at}x{number}' for number in range(9))}"] for at in range(20)]
    build_index([items[0][0]], tmp_path / "index", "abc")
    found = check_texts([NgramIndex.open(tmp_path / "index")], items)
    assert [one.verdict() for one in found] == [OverlapVerdict.OVERLAPPING, *[OverlapVerdict.NO_OVERLAP] * 19]
    assert found[1].num_found == 0
    alone = check_texts([NgramIndex.open(tmp_path / "index")], items[:9])
    assert alone[1].verdict() is OverlapVerdict.OVERLAPPING  # nine items are too few to call a text common


def test_every_text_of_a_row_counts(index: NgramIndex) -> None:
    row = {"id": 3, "question": "what", "choices": {"text": ["a", "b"], "gold": None}, "more": [{"x": SENTENCE}, 2.5]}
    assert list(texts_of(row)) == ["what", "a", "b", SENTENCE]
    assert check_texts([index], [list(texts_of(row))])[0].share == 1.0
    assert check_texts([index], []) == []
    with pytest.raises(ConfigError, match="give at least one"):
        check_texts([], [["a"]])


def test_edits_are_as_many_as_asked_for() -> None:
    text = " ".join(f"word{at}" for at in range(3000))
    kept = set(edited(text, 0.1, random.Random(0)).split()) & set(text.split())
    assert len(kept) / 3000 == pytest.approx(0.9, abs=0.03)
    assert edited(text, 0.0, random.Random(0)) == text


@pytest.mark.data
@pytest.mark.slow
def test_planted_leaks_are_found_and_clean_items_are_not_accused(lavra_data: Path) -> None:
    """A small version of benchmarks/planted_leaks.py, whose table is in docs/contamination.md."""
    items, corpus = read_items(lavra_data, 60, random.Random(0)), read_corpus(lavra_data)[::20]
    least = {"verbatim": 0.93, "re-wrapped": 0.93, "0.05 edited": 0.85, "0.1 edited": 0.8}
    for kind, recall in least.items():
        found, _ = check_planted(kind, corpus, items, ORDER)
        assert found.recall(0.3) >= recall, kind
        assert found.precision(0.3) >= 0.97, kind
