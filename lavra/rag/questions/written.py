"""Write questions about passages with a language model, and choose those that are kept.

A small model writes many bad questions.  A question is kept where it has enough words, copies no long run of the
passage, shares words with it, and finds it: among all passages shown, its own is one of the first three by
their common words, with rare words counting most (a round trip, as Alberti et al. 2019 filter with a reader).

Deliberately absent: a chat template.  The prompt is two examples and a beginning, which base models continue too.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lavra.base.ports import LanguageModel
from lavra.base.types import GenerateRequest
from lavra.rag.questions.phrases import WORD, content_words
from lavra.rag.questions.question import MadeQuestion, QuestionKind
from lavra.text.sentences import sentence_spans

_LEAST_WORDS, _MOST_WORDS = 4, 30
_MOST_COPIED = 6  # most copied words in a row
_FIRST = 3  # worst rank at which the passage must be found
_MAX_TOKENS = 40

_PROMPTS: Final[Mapping[str, str]] = {
    "en": (
        "Write one short question that the passage answers.\n\n"
        "Passage: The museum opened in 1902. Admission has been free since 1998.\n"
        "Question: When did visitors stop having to pay?\n\n"
        "Passage: Basalt is a dark rock. It forms when lava cools quickly at the surface.\n"
        "Question: How does basalt come into being?\n\n"
        "Passage: {}\nQuestion:"
    ),
    "pt": (
        "Escreva uma pergunta curta que o trecho responde.\n\n"
        "Trecho: O museu abriu em 1902. A entrada é gratuita desde 1998.\n"
        "Pergunta: Quando os visitantes deixaram de pagar?\n\n"
        "Trecho: O basalto é uma rocha escura. Ele se forma quando a lava esfria depressa na superfície.\n"
        "Pergunta: Como surge o basalto?\n\n"
        "Trecho: {}\nPergunta:"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPassage:
    """A part of a document shown to a model.

    Attributes:
        document: name of the document, as indexed.
        text: content of the part.
        start: place of its first character in the document's text.
        language: code `en` or `pt`, or nothing.
    """

    document: str
    text: str
    start: int
    language: str


def write_questions(shown: Sequence[ShownPassage], generator: LanguageModel) -> list[MadeQuestion]:
    """Write at most one question about each passage; return those that are kept, in the order of the passages.

    Args:
        shown: the passages; with more of them, a vague question is less likely to find its own.
        generator: the model, which writes greedily, so that the questions are the same each time.
    """
    requests = [
        GenerateRequest(
            prompt=_PROMPTS["pt" if one.language == "pt" else "en"].format(" ".join(one.text.split())),
            max_tokens=_MAX_TOKENS,
            stop=("\n",),
            logprobs=False,
            truncate_prompt=True,
        )
        for one in shown
    ]
    trip = _RoundTrip(shown)
    made: dict[str, MadeQuestion] = {}
    for place, completions in enumerate(generator.generate(requests) if requests else []):
        question = _first_question(completions[0].text)
        if question and trip.finds(question, place):
            made.setdefault(question, _made(question, shown[place]))
    return list(made.values())


def _first_question(written: str) -> str:
    """The text up to its first question mark, or nothing where it is not a usable question."""
    question, mark, _ = written.strip().partition("?")
    words = WORD.findall(question)
    return f"{question.strip()}?" if mark and _LEAST_WORDS <= len(words) <= _MOST_WORDS else ""


def _made(question: str, passage: ShownPassage) -> MadeQuestion:
    """Make the question's record, with the sentence of its passage that shares most words with it."""
    asked = {word.lower() for word in content_words(question, passage.language)}
    spans = sentence_spans(passage.text)
    best = max(spans, key=lambda one: len(asked & _words(passage.text[one.start : one.end], passage.language)))
    return MadeQuestion(
        question=question,
        document=passage.document,
        start=passage.start + best.start,
        end=passage.start + best.end,
        answer=" ".join(passage.text[best.start : best.end].split()),
        kind=QuestionKind.WRITTEN,
    )


class _RoundTrip:
    """A check whether a question leads back to the passage it was written about."""

    def __init__(self, shown: Sequence[ShownPassage]) -> None:
        self._shown = shown
        self._words = [_words(one.text, one.language) for one in shown]
        found = Counter(word for words in self._words for word in words)
        self._weight = {word: math.log1p(len(shown) / count) for word, count in found.items()}

    def finds(self, question: str, place: int) -> bool:
        asked = _words(question, self._shown[place].language)
        shares = [sum(self._weight[word] for word in asked & words) for words in self._words]
        own = shares[place]
        before = sum(share > own for share in shares)
        return own > 0 and before < _FIRST and not _copies(question, self._shown[place].text)


def _words(text: str, language: str) -> set[str]:
    return {word.lower() for word in content_words(text, language)}


def _copies(question: str, passage: str) -> bool:
    """Whether a question repeats more than `_MOST_COPIED` words of a passage in a row."""
    asked, passage_words = ([word.lower() for word in WORD.findall(text)] for text in (question, passage))
    runs = (" ".join(asked[at : at + _MOST_COPIED + 1]) for at in range(len(asked) - _MOST_COPIED))
    whole = f" {' '.join(passage_words)} "
    return any(re.search(rf" {re.escape(run)} ", whole) for run in runs)
