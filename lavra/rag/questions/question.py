"""A question whose answer stands at a known place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class QuestionKind(Enum):
    """The origin of a question."""

    BLANK = "blank"  # a name, number or date of a sentence is asked for
    DEFINITION = "definition"  # the question asks for a definition of a sentence's subject
    HEADING = "heading"  # a title, asked as a person would type it into a search box
    TOPIC = "topic"  # the question is the rarest words of a sentence
    WRITTEN = "written"  # written by a language model
    GIVEN = "given"  # given by the user


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeQuestion:
    """A question made from a document.

    Attributes:
        question: text as a person would ask it.
        document: name of the document, as indexed.
        start: first character of the place that answers it, in the document's text.
        end: place behind the last character.
        answer: a short answer that stands between them; for a title or a topic, the whole sentence.
        kind: origin of the question.
    """

    question: str
    document: str
    start: int
    end: int
    answer: str
    kind: QuestionKind
