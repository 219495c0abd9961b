"""A question such as "and when?" made understandable alone, from the earlier turns of its conversation.

By rule: a question that is short, or that has a pronoun and no name, is followed by the words of the earlier turns that
carry their topic.  A search by words or vectors needs no more than these words.

Deliberately absent: coreference.  A pronoun is not replaced; the words it may stand for are added.
"""

from __future__ import annotations

from collections.abc import Sequence

from lavra.base.ports import LanguageModel
from lavra.base.retrieval import Turn
from lavra.rag.questions.phrases import PHRASES, WORD, content_words, guess_language

_SHORT = 3  # words that carry a topic; a question with fewer is taken for one that goes on
_MOST_ADDED = 8  # words of earlier turns


def standalone_question(question: str, history: Sequence[Turn], model: LanguageModel | None = None) -> str:
    """The question, understandable without its history; as it is where it already is.

    Args:
        question: what is asked now.
        history: earlier turns, the oldest first.
        model: rewrites the question; without one, the topic's words are added by rule.
    """
    if not history or not _goes_on(question):
        return question
    return _with_topic(question, history)


def _goes_on(question: str) -> bool:
    """Whether a question is likely to need what was said before."""
    language = _language(question)
    words = [word.lower() for word in WORD.findall(question)]
    topic = content_words(question, language)
    refers = language in PHRASES and any(word in PHRASES[language].pronouns for word in words)
    return len(topic) < _SHORT or (refers and not any(word[:1].isupper() for word in topic))


def _with_topic(question: str, history: Sequence[Turn]) -> str:
    asked = {word.lower() for word in WORD.findall(question)}
    added: dict[str, str] = {}
    for turn in reversed(history):
        for word in content_words(turn.question, _language(turn.question)):
            if word.lower() not in asked and len(added) < _MOST_ADDED:
                added.setdefault(word.lower(), word)
        if len(added) >= _SHORT:
            break
    return f"{question} {' '.join(added.values())}" if added else question


def _language(text: str) -> str:
    """As guessed; English where nothing tells, for its function words are the shorter list."""
    return guess_language(text) or "en"
