"""A question whose answer stands at a known place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class QuestionKind(Enum):
    """How a question was made."""

    BLANK = "blank"  # a name, number or date of a sentence is asked for
    DEFINITION = "definition"  # what the subject of a sentence is
    HEADING = "heading"  # a title, asked as a person would type it into a search box
    TOPIC = "topic"  # the rarest words of a sentence
    WRITTEN = "written"  # by a language model
    GIVEN = "given"  # by the user


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeQuestion:
    """A question made from a document.

    Attributes:
        question: as a person would ask it.
        document: name of the document, as indexed.
        start: of the first character of the place that answers it, in the document's text.
        end: behind the last.
        answer: a short answer that stands between them; for a title or a topic, the whole sentence.
        kind: how it was made.
    """

    question: str
    document: str
    start: int
    end: int
    answer: str
    kind: QuestionKind
