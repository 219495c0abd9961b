"""The words of a sentence as grounding compares them: without case and accents, stemmed, function words apart.

Two words are the same where their stems are (Snowball's, in the sentence's language): `rises` is `rising`, and is not
`rose`, since irregular forms are not known.

Deliberately absent: synonyms, and function words of languages other than English and Portuguese.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

import Stemmer


class Language(Enum):
    """A language whose function words and forms are known."""

    ENGLISH = "english"
    PORTUGUESE = "portuguese"


def listed(words: str) -> frozenset[str]:
    """The words of a list that is written as one string."""
    return frozenset(words.split())


_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?", re.UNICODE)
_PUNCTUATION: Final = re.compile(r"[,;:.!?()\[\]—–\n]")
_POSSESSIVE: Final = re.compile(r"['’]s?$")
_ENGLISH: Final = listed("""
a about above after again all also although am an and any are as at be because been before being below between both
but by can could did do does doing down during each else ever few for from further had has have having he her here
hers herself him himself his how however i if in into is it its itself just may me might more most much must my of off
on once one only onto or other our ours out over own per rather same shall she should so some such than that the their
theirs them themselves then there these they this those through thus to too under until up upon us very via was we
were what when where whether which while who whom whose why will with within would yet you your
""")
_PORTUGUESE: Final = listed("""
a ainda algo alguem algum alguma algumas alguns alem ante ao aos apos aquela aquelas aquele aqueles aquilo as ate cada
com como contra da das de dela delas dele deles desde dessa dessas desse desses desta destas deste destes do dos e ela
elas ele eles em enquanto entao entre era eram essa essas esse esses esta estao estar estas estava estavam este esteve
estes eu foi fora foram ha havia isso isto ja la lhe lhes mais mas me mesma mesmo meu meus minha muito muitos na nas
naquela naquele nessa nesse nesta neste no nos nossa nosso num numa o onde os ou para pela pelas pelo pelos per
perante pode podem poder pois por porem porque portanto quais qual quando quanto que quem sao se seja sejam sendo ser
sera seu seus sido sob sobre sua suas tal tambem tao te tem tendo tenha ter teve tinha tinham toda todas todo todos tu
tua um uma umas uns voce voces
""")
_FUNCTION_WORDS: Final = {Language.ENGLISH: _ENGLISH, Language.PORTUGUESE: _PORTUGUESE}
_TELLING: Final = {  # frequent in one language, rare in the other
    Language.ENGLISH: listed("the of and is was were by with for that this from which are has had an its at"),
    Language.PORTUGUESE: listed("de da do das dos que em uma para com foi por os na nas ao pela pelo sua seu nao e"),
}
_LOCK: Final = threading.Lock()
_STEMMERS: Final = {language: Stemmer.Stemmer(language.value) for language in Language}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word of a text.

    Attributes:
        text: as written.
        plain: in small letters, without accents and `'s`.
        stem: what it shares with its other forms.
        start: of its first character.
        end: behind its last.
        ties: whether it is a function word, which only ties others together; a single letter is one, a digit is not.
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
    """English or Portuguese, by the function words a text has; English where they say nothing."""
    found = [fold(match[0]) for match in _WORD.finditer(text)]
    scores = {language: sum(word in telling for word in found) for language, telling in _TELLING.items()}
    return max(scores, key=lambda language: scores[language])


@lru_cache(maxsize=65_536)
def fold(word: str) -> str:
    """A word in small letters, without accents."""
    parts = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def _word(match: re.Match[str], language: Language, *, parted: bool) -> Word:
    bare = _POSSESSIVE.sub("", match[0])
    plain = fold(bare)
    return Word(
        text=match[0],
        plain=plain,
        stem=fold(_stemmed(bare.casefold(), language)),
        start=match.start(),
        end=match.end(),
        ties=plain in _FUNCTION_WORDS[language] or (len(plain) == 1 and not plain.isdigit()),
        parted=parted,
    )


@lru_cache(maxsize=65_536)
def _stemmed(word: str, language: Language) -> str:
    with _LOCK:  # a stemmer of Snowball is one thread's at a time
        return str(_STEMMERS[language].stemWord(word))
