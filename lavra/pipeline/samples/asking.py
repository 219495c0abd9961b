"""The words of questions about prose: Portuguese or English where the text is, and signs for any other language.

The commonest words that other languages lack identify a language.
A text in neither language gets questions in signs: a wrong guess would teach the model questions in a language that
its text does not use.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Phrasing:
    """The words of each kind of question, in one language.

    Attributes:
        go_on: question for the continuation of a text.
        section: question for the text under a heading.
        paragraph: question for the paragraph of a sentence.
        word: question for the missing word.
        summary: question for the most central sentence of a paragraph.
    """

    go_on: str
    section: str
    paragraph: str
    word: str
    summary: str


_ENGLISH: Final = Phrasing(
    go_on="Continue this text.",
    section="Write the section under this heading.",
    paragraph="Write the paragraph that has this sentence.",
    word="Which word is missing?",
    summary="Which sentence sums this up?",
)
_PORTUGUESE: Final = Phrasing(
    go_on="Continue este texto.",
    section="Escreva a seção deste título.",
    paragraph="Escreva o parágrafo que tem esta frase.",
    word="Que palavra falta?",
    summary="Que frase resume isto?",
)
_NEUTRAL: Final = Phrasing(go_on="…", section="#", paragraph="¶", word="___ ?", summary="∑")

_ENGLISH_WORDS: Final = "the and that with he it his was she you this they which from have"
_PORTUGUESE_WORDS: Final = (
    "não uma com os do da dos das em ao seu sua mais foi ou pela pelo nos são já até meu minha isso"
)
_LEAST: Final = 0.04  # least share of a language's words, its commonest left out: it occurs in many languages
_LANGUAGES: Final = (
    (_ENGLISH, frozenset(_ENGLISH_WORDS.split())),
    (_PORTUGUESE, frozenset(_PORTUGUESE_WORDS.split())),
)
_READ: Final = 20_000  # characters of a document that are looked at
_WORD: Final = re.compile(r"[^\W\d_]+")


def asking_of(text: str) -> Phrasing:
    """The phrasing in the language of a text."""
    words = [word.lower() for word in _WORD.findall(text[:_READ])]
    share, asking = max(((_share(words, known), one) for one, known in _LANGUAGES), key=lambda found: found[0])
    return asking if share >= _LEAST else _NEUTRAL


def _share(words: list[str], known: frozenset[str]) -> float:
    found = Counter(word for word in words if word in known)
    return (found.total() - max(found.values(), default=0)) / max(1, len(words))
