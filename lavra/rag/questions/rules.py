"""Make questions from a sentence by rule.

A blank is the cloze of Lewis et al. (2019, "Unsupervised Question Answering by Cloze Translation", section 2.2): a
date, number or name of the sentence is the answer, a question word takes its place at the front, and some of the
words are dropped, so that a search does not only compare equal texts. A definition asks for the meaning of the subject
of `SUBJECT is a …`. A topic is the rarest words of the sentence.

Deliberately absent: grammar.  These are the questions of a hurried person; `written` has those of a language model.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lavra.rag.questions.phrases import PHRASES, WORD, Phrases, content_words
from lavra.rag.questions.question import QuestionKind

LEAST_WORDS, MOST_WORDS = 7, 60
_BEFORE, _AFTER = 9, 6  # number of words that a blank's question keeps on either side
_DROPPED = 0.2  # share of a blank's topic words that are dropped
_LEAST_TOPIC, _MOST_TOPIC = 3, 5  # words

_NUMBER: Final = re.compile(r"(?<![\w.,/-])\d[\d.,]*\d(?:\s?%)?(?![\w/-])|(?<![\w.,/-])\d(?:\s?%)?(?![\w/.,-]\w)")
_CAPITALISED: Final = r"[^\W\d_a-zß-öø-ÿ][^\W\d_]+"
_NAME: Final = re.compile(rf"{_CAPITALISED}(?:\s(?:d[aeo]s?\s|of\s(?:the\s)?)?{_CAPITALISED}){{0,4}}")
_JUNK: Final = re.compile(r"https?://|\[\w*\]|[|{}<>=\\_*#`]|\.{3,}|\s{4,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionDraft:
    """A question about one sentence.

    Attributes:
        question: text as the user asked it.
        answer: part of the sentence that answers.
        kind: origin of the question.
    """

    question: str
    answer: str
    kind: QuestionKind


def is_askable(sentence: str, language: str) -> bool:
    """Whether a sentence may be asked about: prose of some length that is understood alone."""
    words = WORD.findall(sentence)
    if not LEAST_WORDS <= len(words) <= MOST_WORDS or _JUNK.search(sentence):
        return False
    pronouns = PHRASES[language].pronouns if language in PHRASES else frozenset()
    letters = sum(character.isalpha() for character in sentence)
    return words[0].lower() not in pronouns and letters >= 0.6 * len(sentence) and len(set(words)) > LEAST_WORDS // 2


def draft_question(
    sentence: str, language: str, kind: QuestionKind, draw: random.Random, counts: Mapping[str, int]
) -> QuestionDraft | None:
    """Draft a question of a kind about a sentence, or nothing where the kind does not fit the sentence.

    Args:
        sentence: a sentence that `is_askable`.
        language: `en`, `pt`, or another language, which gives only topics.
        kind: `DEFINITION`, `BLANK` or `TOPIC`.
        draw: random numbers for choices and dropped words.
        counts: count of each word, in small letters, in the document.
    """
    phrases = PHRASES.get(language)
    if kind is QuestionKind.TOPIC:
        return _topic(sentence, language, counts)
    if phrases is None:
        return None
    return _definition(sentence, phrases) if kind is QuestionKind.DEFINITION else _blank(sentence, phrases, draw)


def word_counts(text: str) -> Counter[str]:
    """Count each word, in small letters, in a text."""
    return Counter(word.lower() for word in WORD.findall(text))


def _definition(sentence: str, phrases: Phrases) -> QuestionDraft | None:
    found = phrases.definition.match(sentence)
    if found is None:
        return None
    subject = _plain(found["subject"])
    words = subject.split()
    if len(words) > 6 or {word.lower() for word in words[1:-1]} & phrases.pronouns:
        return None
    if words[0].lower() in phrases.function_words and len(words) > 1:
        subject = " ".join([words[0].lower(), *words[1:]])
    if all(word.lower() in phrases.function_words for word in words):
        return None
    form = phrases.what_are if found["verb"] in phrases.plural_verbs else phrases.what_is
    return QuestionDraft(
        question=form.format(subject), answer=found["meaning"].rstrip(" .;:!?"), kind=QuestionKind.DEFINITION
    )


def _blank(sentence: str, phrases: Phrases, draw: random.Random) -> QuestionDraft | None:
    dates = [(one, phrases.when) for one in phrases.date.finditer(sentence)]
    taken = [one.span() for one, _ in dates]
    numbers = [(one, phrases.how_many) for one in _NUMBER.finditer(sentence) if _is_apart(one, taken)]
    taken += [one.span() for one, _ in numbers]
    names = [
        (one, phrases.who)
        for one in _NAME.finditer(sentence)
        if one.start() > 0 and one.group().lower() not in phrases.function_words and _is_apart(one, taken)
    ]
    kinds = [one for one in (dates, numbers, names) if one]
    if not kinds:
        return None
    place, asks = draw.choice(draw.choice(kinds))
    kept = _kept_words(sentence, place, phrases, draw)
    answer, topic = place.group(), [word for word in kept if word.lower() not in phrases.function_words]
    if len(topic) < _LEAST_TOPIC or answer.lower() in " ".join(kept).lower():
        return None
    return QuestionDraft(question=f"{asks} {' '.join(kept)}?", answer=answer, kind=QuestionKind.BLANK)


def _kept_words(sentence: str, place: re.Match[str], phrases: Phrases, draw: random.Random) -> list[str]:
    """The words on both sides of a blank, without some that carry a topic."""
    before = WORD.findall(sentence[: place.start()])[-_BEFORE:]
    after = WORD.findall(sentence[place.end() :])[:_AFTER]
    while before and before[-1].lower() in phrases.function_words:
        before.pop()  # "in" before a year
    first = sentence.split(maxsplit=1)[0]
    words = [word.lower() if word == first and word.lower() in phrases.function_words else word for word in before]
    kept = [word for word in [*words, *after] if word.lower() in phrases.function_words or draw.random() >= _DROPPED]
    while kept and kept[-1].lower() in phrases.function_words:
        kept.pop()
    return kept


def _topic(sentence: str, language: str, counts: Mapping[str, int]) -> QuestionDraft | None:
    words = list(dict.fromkeys(word for word in content_words(sentence, language) if not word.isdigit()))
    if len(words) < _LEAST_TOPIC + 1:
        return None
    rarest = sorted(words, key=lambda word: (counts.get(word.lower(), 0), -len(word), word))[:_MOST_TOPIC]
    asked = [word for word in words if word in rarest]
    return QuestionDraft(question=" ".join(asked), answer=_plain(sentence), kind=QuestionKind.TOPIC)


def _is_apart(found: re.Match[str], taken: list[tuple[int, int]]) -> bool:
    return all(found.end() <= start or found.start() >= end for start, end in taken)


def _plain(text: str) -> str:
    return " ".join(text.split())
