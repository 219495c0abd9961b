"""Find the places where the sentences of a document begin, by lavra's rule or spaCy's."""

from __future__ import annotations

from functools import cache
from typing import Any

from lavra.base.errors import MissingDependencyError
from lavra.text.chunking.config import SentenceRule
from lavra.text.cutting import CutConfig, cut
from lavra.text.sentences import sentence_spans
from lavra.text.whole import WholeText

_BLOCK_CHARS = 100_000  # spaCy refuses more than a million characters and keeps an object for each token
_ANY_LANGUAGE = "xx"


def sentence_starts(whole: WholeText, rule: SentenceRule) -> list[int]:
    """The place where each sentence of a document begins, in order.

    Raises:
        MissingDependencyError: the rule is spaCy's and spaCy is not installed.
    """
    if rule is SentenceRule.SPACY:
        nlp = _sentencizer(str(whole.meta.get("language", _ANY_LANGUAGE)))
        if nlp is not None:
            return _by_spacy(whole.text, nlp)
    return [span.start for span in sentence_spans(whole.text)]


def _by_spacy(text: str, nlp: Any) -> list[int]:
    starts = []
    for block in cut([text], CutConfig(size=_BLOCK_CHARS)):
        for sentence in nlp(block.text).sents:
            space = len(sentence.text) - len(sentence.text.lstrip())
            starts.append(block.start + sentence.start_char + space)
    return starts


@cache
def _sentencizer(language: str) -> Any:
    """SpaCy's rule for a language; `None` where its tokenizer for the language needs a further package."""
    try:
        import spacy  # noqa: PLC0415 - of the extra; it takes seconds
    except ImportError as missing:
        raise MissingDependencyError("spacy", "splitting sentences by spaCy's rule", "spacy") from missing
    try:
        nlp = spacy.blank(language)
    except ImportError as error:
        if "[E048]" not in str(error):  # the language is one of spaCy's
            return None
        nlp = spacy.blank(_ANY_LANGUAGE)
    nlp.add_pipe("sentencizer")
    return nlp
