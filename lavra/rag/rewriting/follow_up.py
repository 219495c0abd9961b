"""Make a question such as "and when?" understandable alone, from the earlier turns of its conversation.

By rule: a question that begins like a continuation ("and …"), has no topic of its own, or has a pronoun and no name,
is followed by the words of the earlier questions that carry their topic, and the names of their answers. A search by
words or vectors needs no more than these words.

By a model: it writes the question anew, and its text is used only where it keeps the question's own words and has
no words from outside the conversation; otherwise the rule holds.

Deliberately absent: coreference by rule.  A pronoun is not replaced; the words it may stand for are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lavra.base.ports import LanguageModel
from lavra.base.retrieval import Turn
from lavra.base.types import GenerateRequest
from lavra.rag.questions.phrases import PHRASES, WORD, content_words
from lavra.text.function_words import english_or_portuguese

_ENOUGH = 3  # number of topic words; older turns are read until there are this many
_MOST_ADDED = 10  # most words of earlier turns
_MOST_NAMES = 4  # most words of an earlier answer
_MOST_WORDS = 40  # most words that a model writes
_MAX_TOKENS = 60
_LAST_TURNS = 3  # most turns that a model is shown
_STEM = 4  # number of first letters in which two forms of a word agree

_PROMPTS: Final = {
    "en": (
        "Rewrite the last question so that it can be understood alone.\n\n"
        "Question: Who wrote Dom Casmurro?\nQuestion: When was he born?\n"
        "Rewritten: When was the author of Dom Casmurro born?\n\n"
        "{}Rewritten:"
    ),
    "pt": (
        "Reescreva a última pergunta para que ela seja entendida sozinha.\n\n"
        "Pergunta: Quem escreveu Dom Casmurro?\nPergunta: Quando ele nasceu?\n"
        "Reescrita: Quando nasceu o autor de Dom Casmurro?\n\n"
        "{}Reescrita:"
    ),
}
_BEGINNINGS: Final = {"en": ("and", "but", "or", "so", "what about", "how about"), "pt": ("e", "mas", "ou", "então")}
_ASKS: Final = {"en": "Question", "pt": "Pergunta"}


def standalone_question(question: str, history: Sequence[Turn], model: LanguageModel | None = None) -> str:
    """Make the question understandable without its history; an understandable question stays the same.

    Args:
        question: text of the user's latest question.
        history: earlier turns, the oldest first.
        model: rewrites the question; without it, or where its text is not usable, the topic's words are added.
    """
    if not history or not _goes_on(question, history):
        return question
    written = _written(question, history, model) if model is not None else ""
    return written or _with_topic(question, history)


def _goes_on(question: str, history: Sequence[Turn]) -> bool:
    """Whether a question probably needs the earlier turns."""
    language = _language(question, history)
    words = [word.lower() for word in WORD.findall(question)]
    topic = content_words(question, language)
    refers = any(word in PHRASES[language].pronouns for word in words)
    names = [word for word in topic if word[:1].isupper() and not question.startswith(word)]
    goes_on = any(question.lower().lstrip(" ¿").startswith(f"{begin} ") for begin in _BEGINNINGS[language])
    return not topic or (goes_on and len(topic) < _ENOUGH) or (refers and not names)


def _with_topic(question: str, history: Sequence[Turn]) -> str:
    asked = {word.lower() for word in WORD.findall(question)}
    added: dict[str, str] = {}
    for turn in reversed(history):
        for word in content_words(turn.question, _language(turn.question, history)):
            if word.lower() not in asked and len(added) < _MOST_ADDED:
                added.setdefault(word.lower(), word)
        for word in _names(turn.answer, _language(turn.question, history)):
            if word.lower() not in asked and len(added) < _MOST_ADDED:
                added.setdefault(word.lower(), word)
        if len(added) >= _ENOUGH:
            break
    return f"{question} {' '.join(added.values())}" if added else question


def _names(answer: str, language: str) -> list[str]:
    """The first few words of an answer that begin with a capital letter: a pronoun may refer to them."""
    return [word for word in content_words(answer, language) if word[:1].isupper()][:_MOST_NAMES]


def _written(question: str, history: Sequence[Turn], model: LanguageModel) -> str:
    """The model's rewriting of the question, or nothing where it may not be used."""
    language = _language(question, history)
    asked = [*(turn.question for turn in history[-_LAST_TURNS:]), question]
    shown = "".join(f"{_ASKS[language]}: {' '.join(one.split())}\n" for one in asked)
    request = GenerateRequest(
        prompt=_PROMPTS[language].format(shown),
        max_tokens=_MAX_TOKENS,
        stop=("\n",),
        logprobs=False,
        truncate_prompt=True,
    )
    ((completion,),) = model.generate([request])
    written, mark, _ = completion.text.strip().partition("?")
    return f"{written.strip()}?" if mark and _is_faithful(written, question, history, language) else ""


def _is_faithful(written: str, question: str, history: Sequence[Turn], language: str) -> bool:
    """Whether a rewriting has the question's words, more than those, and no word from outside the conversation."""
    stems = _stems(written, language)
    own = _stems(question, language)
    known_stems = own.union(*(_stems(f"{turn.question} {turn.answer}", language) for turn in history))
    return len(WORD.findall(written)) <= _MOST_WORDS and own < stems <= known_stems


def _stems(text: str, language: str) -> set[str]:
    return {word.lower()[:_STEM] for word in content_words(text, language)}


def _language(question: str, history: Sequence[Turn]) -> str:
    """The language of the question, or of the conversation where the question is too short to decide; else English."""
    return english_or_portuguese(question) or english_or_portuguese(" ".join(turn.question for turn in history)) or "en"
