"""Function words of English and Portuguese: lists of them, and a test of a text's language by them.

They tie other words together and carry no topic.  A few of them decide the language of a sentence or a question, which
are too short for `lavra.text.language`.

Deliberately absent: negations and numerals, which change the meaning of a sentence, and other languages.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final


def without_accents(word: str) -> str:
    """A word without its accents.

    >>> without_accents("é"), without_accents("está")
    ('e', 'esta')
    """
    parts = unicodedata.normalize("NFKD", word)
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def word_set(words: str) -> frozenset[str]:
    """The words of a list in one string, each word both as written and without accents."""
    listed = words.split()
    return frozenset((*listed, *map(without_accents, listed)))


FUNCTION_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "en": word_set("""
        a about above after again all also although am an and any are as at be because been before being below between
        both but by can could did do does doing down during each else ever few for from further had has have having he
        her here hers herself him himself his how however i if in into is it its itself just may me might more most much
        must my of off on once one only onto or other our ours out over own per rather same shall she should so some
        such than that the their theirs them themselves then there these they this those through thus to too under until
        up upon us very via was we were what when where whether which while who whom whose why will with within would
        yet you your
    """),
    "pt": word_set("""
        a à ainda além algo alguém algum alguma algumas alguns ante ao aos após aquela aquelas aquele aqueles aquilo as
        às até cada com como contra da das de dela delas dele deles desde dessa dessas desse desses desta destas deste
        destes do dos e é ela elas ele eles em enquanto então entre era eram essa essas esse esses esta está estão estar
        estas estava estavam este esteve estes eu foi fora foram há havia isso isto já lá lhe lhes mais mas me mesma
        mesmo meu meus minha muito muitos na naquela naquele nas nessa nesse nesta neste no nos nós nossa nosso num numa
        o onde os ou para pela pelas pelo pelos per perante pode podem poder pois por porém porque porquê portanto quais
        qual quando quanto que quê quem são se seja sejam sendo ser será seu seus sido sob sobre sua suas tal também tão
        te tem têm tendo tenha ter teve tinha tinham toda todas todo todos tu tua um uma umas uns você vocês
    """),
}
"""Words by ISO 639-1 code; words of Portuguese stand without their accents too."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_SHARED: Final = FUNCTION_WORDS["en"] & FUNCTION_WORDS["pt"]
_TELLING: Final = {language: words - _SHARED for language, words in FUNCTION_WORDS.items()}
_PORTUGUESE_LETTERS: Final = frozenset("ãõç")
_LEAST_SHARE: Final = 0.1


def english_or_portuguese(text: str) -> str:
    """`en` or `pt`, by the words that only one of the two has; empty where they are under a tenth of the text's words.

    >>> [english_or_portuguese(text) for text in ("Who is she?", "Quem é ela?", "Guernica 1937")]
    ['en', 'pt', '']
    """
    words = [word.casefold() for word in _WORD.findall(text)]
    counts = {language: sum(word in telling for word in words) for language, telling in _TELLING.items()}
    counts["pt"] += sum(not _PORTUGUESE_LETTERS.isdisjoint(word) for word in words)
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] >= max(1.0, _LEAST_SHARE * len(words)) else ""
