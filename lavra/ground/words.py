"""The words of a sentence as grounding compares them: without case and accents, stemmed, function words apart.

Two words are the same where their stems are (Snowball's, in the sentence's language): `rises` is `rising`, and is not
`rose`, since irregular forms are not known.

Deliberately absent: synonyms, and function words of languages other than English and Portuguese.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

import Stemmer

from lavra.text.function_words import FUNCTION_WORDS, english_or_portuguese, without_accents


class Language(Enum):
    """A language whose function words and forms are known."""

    ENGLISH = "english"
    PORTUGUESE = "portuguese"


_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?", re.UNICODE)
_PUNCTUATION: Final = re.compile(r"[,;:.!?()\[\]—–\n]")
_POSSESSIVE: Final = re.compile(r"['’]s?$")
_CODES: Final = {Language.ENGLISH: "en", Language.PORTUGUESE: "pt"}
_LOCK: Final = threading.Lock()
_STEMMERS: Final = {language: Stemmer.Stemmer(language.value) for language in Language}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word of a text.

    Attributes:
        text: the word as written.
        plain: the word in small letters, without accents and `'s`.
        stem: the part that it shares with its other forms.
        start: place of its first character.
        end: place behind its last character.
        ties: whether it is a function word, which only ties other words together; a single letter counts as a
            function word, a digit does not.
        parted: whether a punctuation mark stands between it and the word before.
    """

    text: str
    plain: str
    stem: str
    start: int
    end: int
    ties: bool
    parted: bool


def read_words(text: str, language: Language) -> list[Word]:
    """The words of a text, in order."""
    found, end = [], 0
    for match in _WORD.finditer(text):
        found.append(_word(match, language, parted=_PUNCTUATION.search(text, end, match.start()) is not None))
        end = match.end()
    return found


def language_of(text: str) -> Language:
    """Guess English or Portuguese by the function words of a text; English where there are none to decide."""
    return Language.PORTUGUESE if english_or_portuguese(text) == "pt" else Language.ENGLISH


@lru_cache(maxsize=65_536)
def fold(word: str) -> str:
    """Lower-case a word and take its accents off."""
    return without_accents(word.casefold())


def _word(match: re.Match[str], language: Language, *, parted: bool) -> Word:
    bare = _POSSESSIVE.sub("", match[0])
    plain = fold(bare)
    return Word(
        text=match[0],
        plain=plain,
        stem=fold(_stemmed(bare.casefold(), language)),
        start=match.start(),
        end=match.end(),
        ties=plain in FUNCTION_WORDS[_CODES[language]] or (len(plain) == 1 and not plain.isdigit()),
        parted=parted,
    )


@lru_cache(maxsize=65_536)
def _stemmed(word: str, language: Language) -> str:
    with _LOCK:  # only one thread at a time may use a stemmer of Snowball
        return str(_STEMMERS[language].stemWord(word))
