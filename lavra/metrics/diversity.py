"""Variety of generated texts: distinct-n over many of them, repetition within one.

distinct-n (Li et al. 2016, "A Diversity-Promoting Objective Function", §5.2) is the number of different n-grams of all
texts over the number of their words.  rep-n (Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training",
§5.1) is the share of a text's n-grams that it already had.  The share of words inside repeated n-grams is a filter of
web text (Rae et al. 2021, A1.1, there of characters).

All three fall or rise with length; compare texts of about the same.  The caller cuts texts into words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from lavra.base.errors import ConfigError, InputError


def distinct_n(texts: Sequence[Sequence[Hashable]], n: int) -> float:
    """Different n-grams of all texts over their words, 0 to 1; no n-gram reaches over the end of a text.

    Args:
        texts: words of each text.
        n: words of an n-gram.

    Raises:
        ConfigError: `n` is below 1.
        InputError: the texts have no word.
    """
    _check(n)
    num_words = sum(map(len, texts))
    if not num_words:
        raise InputError("the texts have no word; distinct-n needs at least 1")
    return len({gram for words in texts for gram in _ngrams(words, n)}) / num_words


def rep_n(words: Sequence[Hashable], n: int) -> float:
    """Share of the n-grams of a text that occur earlier in it, 0 to 1; 0 where it has fewer words than `n`.

    Raises:
        ConfigError: `n` is below 1.
    """
    _check(n)
    grams = _ngrams(words, n)
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def repeated_share(words: Sequence[Hashable], n: int) -> float:
    """Share of the words of a text that stand in an n-gram it has more than once; 0 where it has fewer than `n`.

    Raises:
        ConfigError: `n` is below 1.
    """
    _check(n)
    grams = _ngrams(words, n)
    times = Counter(grams)
    inside = {at + offset for at, gram in enumerate(grams) if times[gram] > 1 for offset in range(n)}
    return len(inside) / len(words) if words else 0.0


def _ngrams(words: Sequence[Hashable], n: int) -> list[tuple[Hashable, ...]]:
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]


def _check(n: int) -> None:
    if n < 1:
        raise ConfigError(f"n is {n}; an n-gram has at least 1 word, and 1 to 4 are usual")
