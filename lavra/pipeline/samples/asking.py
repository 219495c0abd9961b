"""The words of questions about prose: Portuguese or English where the text is, and signs for any other language.

A language is told by its commonest words, those that its neighbours do not have.  What is in neither is asked in signs,
which no text has to know: a wrong guess would teach a model to be asked in a language that its text is not in.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Phrasing:
    """How each kind is asked for, in one language.

    Attributes:
        go_on: for how a text goes on.
        section: for what stands under a heading.
        paragraph: for the paragraph of a sentence.
        word: for the word that is missing.
        summary: for the sentence that says the most of a paragraph.
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
_LEAST: Final = 0.04  # of all words, the commonest of them not counted: one word alone is a word of many languages
_LANGUAGES: Final = (
    (_ENGLISH, frozenset(_ENGLISH_WORDS.split())),
    (_PORTUGUESE, frozenset(_PORTUGUESE_WORDS.split())),
)
_READ: Final = 20_000  # characters of a document that are looked at
_WORD: Final = re.compile(r"[^\W\d_]+")


def asking_of(text: str) -> Phrasing:
    """How to ask about a text."""
    words = [word.lower() for word in _WORD.findall(text[:_READ])]
    share, asking = max(((_share(words, known), one) for one, known in _LANGUAGES), key=lambda found: found[0])
    return asking if share >= _LEAST else _NEUTRAL


def _share(words: list[str], known: frozenset[str]) -> float:
    found = Counter(word for word in words if word in known)
    return (found.total() - max(found.values(), default=0)) / max(1, len(words))
