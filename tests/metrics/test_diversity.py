"""Diversity of texts: values by hand, and every n-gram counted plainly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.metrics.diversity import distinct_n, rep_n, repeated_share

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=12), max_size=4)


@given(TEXTS.filter(any), st.integers(1, 4))
def test_every_ngram_counted(texts: list[list[str]], n: int) -> None:
    joined = ["".join(words) for words in texts]
    different = {text[at : at + n] for text in joined for at in range(len(text)) if at + n <= len(text)}
    assert distinct_n(texts, n) == pytest.approx(len(different) / sum(map(len, joined)))
    for text in joined:
        grams = [text[at : at + n] for at in range(len(text) - n + 1)]
        seen_before = sum(gram in grams[:at] for at, gram in enumerate(grams))
        assert rep_n(text, n) == pytest.approx(seen_before / len(grams) if grams else 0.0)
        inside = [
            any(grams.count(text[b : b + n]) > 1 for b in range(at - n + 1, at + 1) if 0 <= b < len(grams))
            for at in range(len(text))
        ]
        assert repeated_share(text, n) == pytest.approx(sum(inside) / len(text) if text else 0.0)


def test_by_hand() -> None:
    assert distinct_n([["i", "do", "not", "know"], ["i", "do", "not"]], 2) == pytest.approx(3 / 7)
    assert rep_n(["a", "b"] * 3, 2) == pytest.approx(3 / 5)
    assert repeated_share(["x", "a", "b", "y", "a", "b"], 2) == pytest.approx(4 / 6)
    assert (rep_n([], 4), repeated_share([], 4)) == (0.0, 0.0)


def test_uncountable_texts_are_refused() -> None:
    with pytest.raises(InputError, match="no word"):
        distinct_n([[], []], 1)
    for call in (lambda: distinct_n([["a"]], 0), lambda: rep_n(["a"], 0), lambda: repeated_share(["a"], 0)):
        with pytest.raises(ConfigError, match="n is 0"):
            call()
