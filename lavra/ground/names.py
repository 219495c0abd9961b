"""Names in sentences: capitalised words and acronyms, in English and Portuguese.

A word belongs to a name where it begins with a capital letter and does not begin the sentence, or where it is written
in capitals or mixes letters and digits (`WHO`, `B-52`).  The first word of the sentence belongs to a name where a
capitalised word follows it.  An acronym matches capitalised words with its initials that stand side by side, and the
other way round.

Deliberately absent: a trained tagger (it would separate people from places, which no check here needs), and names that
languages write otherwise (`London`, `Londres`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from lavra.ground.words import Language, Word, read_words
from lavra.text.function_words import word_set

_TITLES: Final = word_set("mr mrs ms dr dra sr sra prof dom dona sir st")
_SENTENCE_END: Final = re.compile(r"[.!?:;…][\s\"'“”«»)\]]*$")
_SHORTEST_ACRONYM, _LONGEST_ACRONYM = 3, 6


def missing_names(sentence: str, evidence: str, language: Language) -> list[str]:
    """The words of a sentence's names, as written, that the evidence does not have."""
    evidence_words = read_words(evidence, language)
    known = {word.plain for word in evidence_words} | {word.stem for word in evidence_words}
    initials = _initials(evidence, evidence_words)
    words = read_words(sentence, language)
    spelled_out = _spelled_out(sentence, words, known)
    return [
        word.text
        for word in name_words(sentence, words)
        if not ({word.plain, word.stem} & known or word.plain in initials or word.start in spelled_out)
    ]


def name_words(text: str, words: Sequence[Word]) -> list[Word]:
    """The words of a text that belong to names, titles and function words left out."""
    return [
        word
        for place, word in enumerate(words)
        if _belongs_to_name(text, words, place) and word.plain not in _TITLES and not word.ties
    ]


def _belongs_to_name(text: str, words: Sequence[Word], place: int) -> bool:
    word = words[place]
    if not any(letter.isupper() for letter in word.text) or (len(word.text) == 1 and word.plain in "aeio"):
        return False
    if sum(letter.isupper() for letter in word.text) > 1 and len(word.text) > 1:
        return True
    if not word.text[0].isupper():
        return False
    return not _begins_sentence(text, word) or _is_capitalised(words, place + 1)


def _begins_sentence(text: str, word: Word) -> bool:
    before = text[: word.start].rstrip("\"'“”«»([ \n\t-–—•*")
    return not before or _SENTENCE_END.search(before) is not None


def _is_capitalised(words: Sequence[Word], place: int) -> bool:
    return place < len(words) and words[place].text[0].isupper()


def _capital_runs(text: str, words: Sequence[Word]) -> list[list[Word]]:
    """Capitalised words side by side, the function words between them left out (`World Health of …`)."""
    runs: list[list[Word]] = [[]]
    for word in words:
        if word.text[0].isupper():
            runs[-1].append(word)
        elif not word.ties:
            runs.append([])
    return [run for run in runs if len(run) > 1]


def _initials(text: str, words: Sequence[Word]) -> set[str]:
    """The acronyms that the capitalised words of a text make."""
    found: set[str] = set()
    for run in _capital_runs(text, words):
        letters = "".join(word.plain[0] for word in run)
        for start in range(len(letters)):
            ends = range(start + _SHORTEST_ACRONYM, min(len(letters), start + _LONGEST_ACRONYM) + 1)
            found.update(letters[start:end] for end in ends)
    return found


def _spelled_out(text: str, words: Sequence[Word], known: Collection[str]) -> set[int]:
    """The places where words begin whose initials are a known acronym."""
    found: set[int] = set()
    for run in _capital_runs(text, words):
        for start in range(len(run)):
            for end in range(start + _SHORTEST_ACRONYM, min(len(run), start + _LONGEST_ACRONYM) + 1):
                part = run[start:end]
                if "".join(word.plain[0] for word in part) in known:
                    found.update(word.start for word in part)
    return found
