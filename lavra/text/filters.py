"""Filters: drop documents that are not worth learning from, each with its exact reason.

Every filter is a small function from a document's measures and the bounds of its kind to a `Drop` or None; the first
filter that objects wins, and its reason, value and bound are kept for each dropped document.  The measures are those of
MassiveText (Rae et al. 2021, "Gopher", appendix A.1) for prose and of Codex and The Stack (Chen et al. 2021; Kocetkov
et al. 2022) for code.  Absent on purpose: stop-word and language tests, which would drop every language but English.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cached_property
from operator import mul

from lavra.base.errors import ConfigError
from lavra.base.types import Document
from lavra.text.tally import Tally

_ALPHANUMERIC = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SPACE = b" \t\n\r\f\v"
_ASCII = re.compile(r"[\x00-\x7f]+")


class Reason(Enum):
    """The reason why a document is dropped."""

    TOO_SHORT = "too short"
    REPEATED_LINES = "too many repeated lines"
    REPEATED_LINE_CHARACTERS = "too much text in repeated lines"
    TOP_2GRAM = "one 2-gram makes up too much of it"
    TOP_3GRAM = "one 3-gram makes up too much of it"
    TOP_4GRAM = "one 4-gram makes up too much of it"
    SYMBOLS = "too many symbols a word"
    NOT_ALPHANUMERIC = "too few letters and digits"
    SHORT_LINES = "lines too short on average"
    LONG_LINES = "lines too long on average"
    LONGEST_LINE = "a line is too long"


@dataclass(frozen=True, kw_only=True)
class Drop:
    """The reason why one document is dropped, with the measured value and the bound it broke."""

    reason: Reason
    value: float
    bound: float


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds on a document of one kind.  A bound of None is not tested.

    Attributes:
        min_characters: fewest characters, spaces aside.
        max_repeated_lines: fraction of lines that repeat an earlier line of the document.
        max_repeated_line_characters: fraction of characters in such lines.
        max_top_2gram: fraction of characters in occurrences of the most frequent pair of words.
        max_top_3gram: the same for three words.
        max_top_4gram: the same for four words.
        max_symbols_per_word: hash signs and ellipses for each word.
        min_alphanumeric: fraction of letters, digits and accents among characters that are not spaces.
        min_mean_line: characters in a line on average, blank lines aside.
        max_mean_line: the same, at most.
        max_line: characters in the longest line.
    """

    min_characters: int = 32
    max_repeated_lines: float = 0.30
    max_repeated_line_characters: float = 0.20
    max_top_2gram: float = 0.20
    max_top_3gram: float = 0.18
    max_top_4gram: float = 0.16
    max_symbols_per_word: float | None = 0.10
    min_alphanumeric: float = 0.60
    min_mean_line: float = 6.0
    max_mean_line: float | None = None
    max_line: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and not 0 <= value < float("inf"):
                raise ConfigError(f"{each.name} is {value}; it must be a number from 0")


# Code repeats `else:` and `return None`, and a table of constants is code too; the lengths of its lines reveal data.
CODE_BOUNDS = Bounds(
    max_repeated_lines=0.70,
    max_repeated_line_characters=0.60,
    max_top_2gram=0.30,
    max_top_3gram=0.30,
    max_top_4gram=0.30,
    max_symbols_per_word=None,
    min_alphanumeric=0.25,
    min_mean_line=4.0,
    max_mean_line=100.0,
    max_line=1000.0,
)


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """Bounds by kind of document.

    Attributes:
        prose: bounds for text, Markdown, pages and rows.
        code: bounds for source code.
    """

    prose: Bounds = field(default_factory=Bounds)
    code: Bounds = CODE_BOUNDS


class Measures:
    """The measures of a text for the filters; each is computed once, at its first use."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def lines(self) -> list[str]:
        """The lines that are not blank, stripped."""
        return [stripped for line in self.text.split("\n") if (stripped := line.strip())]

    @cached_property
    def words(self) -> list[str]:
        """The words: text between white space."""
        return self.text.split()

    @cached_property
    def num_visible(self) -> int:
        """Number of characters that are not spaces."""
        return sum(map(len, self.words))

    @cached_property
    def num_alphanumeric(self) -> int:
        """Number of letters, digits, and marks that belong to letters, in any script."""
        ascii_part = self.text.encode("ascii", "ignore")
        found = len(ascii_part) - len(ascii_part.translate(None, _ALPHANUMERIC))
        if len(ascii_part) < len(self.text):
            wide = Counter(_ASCII.sub("", self.text))
            found += sum(count for character, count in wide.items() if unicodedata.category(character)[0] in "LMN")
        return found

    @cached_property
    def repeated_lines(self) -> tuple[int, int]:
        """The number of lines that repeat an earlier line, and the number of their characters."""
        repeats = [(line, count - 1) for line, count in Counter(self.lines).items() if count > 1]
        return sum(count for _, count in repeats), sum(len(line) * count for line, count in repeats)

    @cached_property
    def top_word_share(self) -> float:
        """The largest fraction of visible characters that occurrences of one word make up."""
        counts = Counter(self.words)
        return max(map(mul, map(len, counts), counts.values()), default=0) / max(1, self.num_visible)

    def top_ngram_share(self, n: int) -> float:
        """The fraction of visible characters in occurrences of the most frequent n-gram of words.

        An n-gram that occurs fewer than three times is not repetition, even with a large share of a short text.
        """
        counts = Counter(zip(*(self.words[start:] for start in range(n)), strict=False))
        if not counts:
            return 0.0
        most = max(counts.values())
        if most < 3:
            return 0.0
        longest = max(sum(map(len, ngram)) for ngram, count in counts.items() if count == most)
        return min(1.0, longest * most / max(1, self.num_visible))


Filter = Callable[[Measures, Bounds], Drop | None]


def _above(value: float, bound: float | None, reason: Reason) -> Drop | None:
    return Drop(reason=reason, value=round(value, 4), bound=bound) if bound is not None and value > bound else None


def _below(value: float, bound: float, reason: Reason) -> Drop | None:
    return Drop(reason=reason, value=round(value, 4), bound=bound) if value < bound else None


def too_short(measures: Measures, bounds: Bounds) -> Drop | None:
    """Object to a text with too few visible characters to learn from."""
    return _below(measures.num_visible, bounds.min_characters, Reason.TOO_SHORT)


def repeated_lines(measures: Measures, bounds: Bounds) -> Drop | None:
    """Object to lines that repeat earlier lines (Gopher, table A1)."""
    share = measures.repeated_lines[0] / max(1, len(measures.lines))
    return _above(share, bounds.max_repeated_lines, Reason.REPEATED_LINES)


def repeated_line_characters(measures: Measures, bounds: Bounds) -> Drop | None:
    """Object to characters in lines that repeat earlier lines (Gopher, table A1)."""
    share = measures.repeated_lines[1] / max(1, sum(map(len, measures.lines)))
    return _above(share, bounds.max_repeated_line_characters, Reason.REPEATED_LINE_CHARACTERS)


def top_ngram(measures: Measures, bounds: Bounds) -> Drop | None:
    """Object when the most frequent 2-, 3- or 4-gram of words makes up too much of the text (Gopher, table A1)."""
    for n, bound, reason in (
        (2, bounds.max_top_2gram, Reason.TOP_2GRAM),
        (3, bounds.max_top_3gram, Reason.TOP_3GRAM),
        (4, bounds.max_top_4gram, Reason.TOP_4GRAM),
    ):
        # Each word of an n-gram occurs at least as often as the n-gram, so its share is at most n times the top
        # word's: most texts need no count of n-grams at all.
        if n * measures.top_word_share > bound:
            drop = _above(measures.top_ngram_share(n), bound, reason)
            if drop is not None:
                return drop
    return None


def symbols(measures: Measures, bounds: Bounds) -> Drop | None:
    """Object to hash signs and ellipses, counted for each word (Gopher, appendix A.1.1)."""
    found = sum(map(measures.text.count, ("#", "...", "…")))
    return _above(found / max(1, len(measures.words)), bounds.max_symbols_per_word, Reason.SYMBOLS)


def alphanumeric(measures: Measures, bounds: Bounds) -> Drop | None:
    """Object to few letters and digits among visible characters (The Stack: at least a quarter for code)."""
    share = measures.num_alphanumeric / max(1, measures.num_visible)
    return _below(share, bounds.min_alphanumeric, Reason.NOT_ALPHANUMERIC)


def mean_line(measures: Measures, bounds: Bounds) -> Drop | None:
    """Object to lines that are on average too short (a column of figures) or too long (minified code, data)."""
    mean = sum(map(len, measures.lines)) / max(1, len(measures.lines))
    return _below(mean, bounds.min_mean_line, Reason.SHORT_LINES) or _above(
        mean, bounds.max_mean_line, Reason.LONG_LINES
    )


def longest_line(measures: Measures, bounds: Bounds) -> Drop | None:
    """Object to a line too long for a person to have written (Codex and The Stack: 1,000 characters for code)."""
    return _above(max(map(len, measures.lines), default=0), bounds.max_line, Reason.LONGEST_LINE)


FILTERS: tuple[Filter, ...] = (
    too_short,
    mean_line,
    longest_line,
    symbols,
    alphanumeric,
    repeated_lines,
    repeated_line_characters,
    top_ngram,
)

OnDrop = Callable[[Document, Drop], None]


def why_dropped(document: Document, config: FilterConfig) -> Drop | None:
    """The first objection to a document, or None."""
    measures = Measures(document.text)
    bounds = config.code if document.kind == "code" else config.prose
    return next((drop for each in FILTERS if (drop := each(measures, bounds)) is not None), None)


def filtered(documents: Iterable[Document], config: FilterConfig, tally: Tally, on_drop: OnDrop) -> Iterator[Document]:
    """The documents that pass all filters; the other documents are counted and given to `on_drop` with the reason."""
    for document in documents:
        drop = why_dropped(document, config)
        if drop is None:
            yield document
        else:
            tally.drop(drop.reason.value, len(document.text.encode()))
            on_drop(document, drop)
