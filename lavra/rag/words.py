"""Split a text into the words of search: the same for documents and for questions.

A text is brought to one Unicode form (NFKC), cut into runs of letters, marks and digits, and each run gives terms:

| in the text | terms |
|---|---|
| `Casas` | `cas`: casefolded, stemmed by its language (Snowball, Porter 2001), accents taken off |
| `snake_case`, `camelCase`, `ISO-9001` | whole (`snakecase`, `camelcase`, `iso9001`) and in parts |
| `1,234` · `3,14` | `1234` · `3.14`: one number however its thousands and decimals are marked |
| `U.S.A.` | `usa` |
| `東京都` | `東京`, `京都`, and each Han character: scripts without spaces give pairs of neighbours |

Accents are taken off so that `educacao` finds `educação`.  Portuguese endings whose accent the stemmer needs get
it back first, so that both forms stem alike, and plurals in `-ões`, which Snowball leaves, become singular
(`eleições`).

A corpus of several languages stems each document by its own; a question is stemmed by all of them.

Deliberately absent: lists of stop words (BM25 already gives frequent words little weight), and dictionaries that would
cut Chinese or Thai into words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from threading import Lock
from typing import Final

import Stemmer

from lavra.base.errors import ConfigError, nearest

STEMMERS: Final = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
"""The languages with a stemmer, by their ISO 639-1 code, and Snowball's name of each."""

_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3100-\u312f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)
_UNSPACED_RUN: Final = re.compile(f"([{_UNSPACED}]+)")
_HAN: Final = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_AMOUNT: Final = re.compile(  # thousands marked throughout, decimals behind the other mark
    r"\d{1,3}(?:\.\d{3})+(?:,\d+)?|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+[.,]\d+"
)
_JOINERS: Final = re.compile(r"[-‐‑_.,'’@]+")
_POSSESSIVE: Final = re.compile(r"['’][sS]$")
_DOTTED: Final = re.compile(r"[^\W\d_](?:\.[^\W\d_])+\.?")
# An acronym before a capitalised word, a word with at most one capital, capitals alone, digits.
_ASCII_PART: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_LETTERS_OR_DIGITS: Final = re.compile(r"\d+|\D+")
_COMBINING: Final = "\u0300", "\u036f"


class Analyzer:
    """An analyzer that turns texts into terms.

    Args:
        languages: ISO 639-1 codes of the corpus's languages, the most frequent first; without any, nothing is stemmed.

    Raises:
        ConfigError: a language has no stemmer; `STEMMERS` lists the languages with a stemmer.
    """

    def __init__(self, languages: Sequence[str] = ()) -> None:
        for language in languages:
            if language not in STEMMERS:
                raise ConfigError(f"no stemmer is known for the language {language!r}{nearest(language, STEMMERS)}")
        self.languages = tuple(dict.fromkeys(languages))
        self._makers = {language: _term_maker(language) for language in self.languages or ("",)}
        self._terms = {language: lru_cache(maxsize=1 << 14)(make) for language, make in self._makers.items()}

    def words(self, text: str, language: str = "") -> list[str]:
        """The terms of a document in its text's order; a text of an unknown language is stemmed as the first language.

        >>> Analyzer(("pt",)).words("As eleições da ISO-9001")
        ['as', 'eleica', 'da', 'iso', '9001', 'iso9001']
        """
        terms = self._terms.get(language) or self._terms[self._first]
        return [term for run in runs(text) for term in terms(run)]

    def query_words(self, text: str) -> list[str]:
        """The terms of a question: each word as every language of the corpus stems it.

        >>> Analyzer(("en", "pt")).query_words("casas")
        ['casa', 'cas']
        """
        if len(self.languages) < 2:
            return self.words(text)
        found: list[str] = []
        for run in runs(text):
            ways = [terms(run) for terms in self._terms.values()]
            found += ways[0]
            found += [term for term in dict.fromkeys(term for way in ways[1:] for term in way) if term not in ways[0]]
        return found

    def run_terms(self, run: str, language: str = "") -> tuple[str, ...]:
        """The terms of a run, as `runs` gives it; they are not remembered, unlike those of whole texts."""
        return (self._makers.get(language) or self._makers[self._first])(run)

    @property
    def _first(self) -> str:
        return self.languages[0] if self.languages else ""


def runs(text: str) -> list[str]:
    """Split a text into runs of letters, marks and digits, with the signs that join parts of a name or number inside.

    >>> runs("As casas, o 3,14 e a ISO-9001.")
    ['As', 'casas', 'o', '3,14', 'e', 'a', 'ISO-9001']
    """
    if text.isascii():
        return _ascii_runs().findall(text)
    return _all_runs().findall(unicodedata.normalize("NFKC", text))


@cache
def _ascii_runs() -> re.Pattern[str]:
    return _run_pattern(r"\w")


@cache
def _all_runs() -> re.Pattern[str]:
    """Find the runs; Python's word characters lack marks, which are vowels in Indic scripts and accents elsewhere."""
    return _run_pattern(rf"[\w{_marks()}]")


def _run_pattern(word: str) -> re.Pattern[str]:
    joined = r"(?:(?:[-‐‑'’.@]|(?<=\d),(?=\d))" + word + "+)*"
    return re.compile(rf"{word}+{joined}(?:\+\+|#)?")


def _marks() -> str:
    """The ranges of all marks, for a character class."""
    ranges: list[list[int]] = []
    for code in range(0x300, 0x1F000):
        if unicodedata.category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def _term_maker(language: str) -> Callable[[str], tuple[str, ...]]:
    stem = _stemmer(language)

    def terms(run: str) -> tuple[str, ...]:
        return tuple(term for part in _parts(run) if (term := stem(part)))

    return terms


def _stemmer(language: str) -> Callable[[str], str]:
    """A stemmer that casefolds, stems and takes accents off a part."""
    if not language:
        return lambda part: fold(part.casefold())
    stemmer = Stemmer.Stemmer(STEMMERS[language], 0)  # no cache of its own, because `Analyzer` has one
    lock = Lock()  # a stemmer keeps the current word as state

    def stem(word: str) -> str:
        with lock:
            return str(stemmer.stemWord(word))

    if language == "pt":
        return lambda part: fold(stem(restore_portuguese(fold(part.casefold()))))
    return lambda part: fold(stem(part.casefold()))


def _parts(run: str) -> list[str]:
    """The parts of a run, and the whole where it differs from them."""
    if run.isalpha() and (run.islower() or run[1:].islower()) and not _UNSPACED_RUN.search(run):
        return [run]
    if _AMOUNT.fullmatch(run):
        return [_number(run)]
    if _DOTTED.fullmatch(run):
        return [run.replace(".", "")]
    if _UNSPACED_RUN.search(run):
        return [part for piece in _UNSPACED_RUN.split(run) if piece for part in _scripts(piece)]
    return _joined(_POSSESSIVE.sub("", run))


def _scripts(piece: str) -> list[str]:
    return _neighbours(piece) if _UNSPACED_RUN.match(piece) else _parts(piece)


def _joined(run: str) -> list[str]:
    """The parts of a name, then the whole without its joining signs."""
    pieces = [piece for piece in _JOINERS.split(run.rstrip("+#")) if piece]
    parts = [part for piece in pieces for part in _cased(piece)]
    whole = re.sub(r"[-‐‑_]", "", run)
    plain_words = len(parts) == len(pieces) and all(part.isalpha() for part in parts)
    apostrophes = "'" in run or "’" in run
    if len(parts) > 1 and (apostrophes or (plain_words and not set(run) & set("_.@+#"))):
        return parts  # `well-known`, `d'água`: two words
    return [*parts, whole] if whole.casefold() != "".join(parts).casefold() or len(parts) > 1 else parts


def _cased(piece: str) -> list[str]:
    if piece.isascii():
        return _ASCII_PART.findall(piece)
    return _LETTERS_OR_DIGITS.findall(piece)


def _number(run: str) -> str:
    """Write a number in one form: no marks between thousands, a point before decimals.

    Three digits behind a mark are thousands (`1.234`) unless another mark stands before it (`1,234.567`).
    """
    marks = [character for character in run if character in ".,"]
    whole, _, last = run.rpartition(marks[-1])
    thousands = len(set(marks)) == 1 and len(last) == 3 and not run.startswith("0")
    digits = whole.replace(".", "").replace(",", "")
    return digits + last if thousands and (len(marks) > 1 or len(whole) <= 3) else f"{digits}.{last}"


def _neighbours(piece: str) -> list[str]:
    """The pairs of neighbouring characters (with the marks upon them), and each Han character by itself."""
    units: list[str] = []
    for character in piece:
        if units and unicodedata.category(character)[0] == "M":
            units[-1] += character
        else:
            units.append(character)
    pairs = [first + second for first, second in pairwise(units)]
    return pairs + [unit for unit in units if len(units) == 1 or _HAN.match(unit)]


def fold(word: str) -> str:
    """Take the accents of Latin, Greek and Cyrillic letters off a word; marks of other scripts count as letters.

    >>> fold("ação"), fold("ёлка"), fold("हिन्दी")
    ('acao', 'елка', 'हिन्दी')
    """
    return word if word.isascii() else "".join(map(_bare, word))


@lru_cache(maxsize=1 << 14)
def _bare(character: str) -> str:
    if _COMBINING[0] <= character <= _COMBINING[1]:
        return ""
    base = unicodedata.normalize("NFD", character)[0]
    if base < "\u0400" or "\u1e00" <= base <= "\u1fff" or character == "ё":
        return base
    return character


_PORTUGUESE_ENDINGS: Final = (
    (re.compile(r"oes$|(?<=..)aes$"), "ao"),  # eleições, alemães
    (re.compile(r"cao$"), "ção"),
    (re.compile(r"avel$|aveis$"), "ável"),
    (re.compile(r"ivel$|iveis$"), "ível"),
    (re.compile(r"ancia(s?)$"), r"ância\1"),
    (re.compile(r"encia(s?)$"), r"ência\1"),
)


def restore_portuguese(word: str) -> str:
    """Restore the accents of endings that the stemmer recognises by them, in a word without accents.

    >>> restore_portuguese("educacoes"), restore_portuguese("ciencias")
    ('educação', 'ciências')
    """
    for ending, accented in _PORTUGUESE_ENDINGS:
        word = ending.sub(accented, word)
    return word
