"""A labelled example of each task, as plain values, with its place in a file.

Readers make them, batch makers and scores take them.  A label that is `None` is missing: such a sample can be
predicted, not learnt from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Label = str | float | tuple[str, ...]
"""One label, a number to be predicted, or the several labels that hold (perhaps none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of a sample in a file.

    Attributes:
        file: the file's name as the user gave it; empty where the sample came from Python.
        line: the sample's line from 1, or its number from 1 in a format without lines.
    """

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else f"sample {self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSample:
    """A text, or a pair of texts, and its label (classification, regression, reranking: query and passage).

    Attributes:
        text: the first or only text.
        pair: the second one.
        label: the right answer for the text.
        place: the sample's place in its file.
    """

    text: str
    pair: str | None = None
    label: Label | None = None
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class TagSample:
    """The words of a sentence and their tags.

    Attributes:
        words: in order; none is empty.
        tags: a tag for each word, such as `B-PER`.
        offsets: (start, end) of each word in `text`, in characters.
        text: the text that the words were cut from; without one, the words joined by spaces.
        place: the sample's place in its file.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None
    offsets: tuple[tuple[int, int], ...] = ()
    text: str = ""
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledAnswer:
    """A span of a passage.

    Attributes:
        text: `context[start : start + len(text)]`.
        start: character it begins at.
    """

    text: str
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSample:
    """A question about a passage.

    Attributes:
        name: the question's id in the file, unique in it.
        question: the question.
        context: the passage.
        answers: every answer people gave; empty when the passage has none; `None` when they are missing.
        place: the sample's place in its file.
    """

    name: str
    question: str
    context: str
    answers: tuple[LabelledAnswer, ...] | None = None
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceSample:
    """A beginning and the endings to choose from.

    Attributes:
        text: the beginning; may be a question.
        choices: at least two.
        label: index of the right one.
        place: the sample's place in its file.
    """

    text: str
    choices: tuple[str, ...]
    label: int | None = None
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSample:
    """Texts whose vectors are to be near or far.

    Attributes:
        anchor: a text or a query.
        positive: a text to be near it.
        negatives: texts to be far from it.
        score: wanted nearness of anchor and positive, where the file gives it, in the file's own scale.
        place: the sample's place in its file.
    """

    anchor: str
    positive: str
    negatives: tuple[str, ...] = ()
    score: float | None = None
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSample:
    """A conversation.

    Attributes:
        messages: `{"role": …, "content": …}` and other fields that a chat template reads, in JSON types.
        tools: JSON schemas of functions the assistant may call.
        not_learnt: indexes of messages that are read and not learnt.
        place: the sample's place in its file.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] | None = None
    not_learnt: tuple[int, ...] = ()
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteSample:
    """A source text and its target text (translation, summary, completion of a prompt).

    Attributes:
        source: the text to read.
        target: the text to write.
        place: the sample's place in its file.
    """

    source: str
    target: str | None = None
    place: Place = Place()


Sample = TextSample | TagSample | QuestionSample | ChoiceSample | PairSample | ChatSample | RewriteSample


@dataclass(frozen=True, slots=True, kw_only=True)
class DataIssue:
    """Something wrong with the data.

    Attributes:
        place: the place of the fault in its file.
        what: the fault in words, with the value.
        remedy: the advice to the user.
        dropped: whether the sample is left out because of it.
    """

    place: Place
    what: str
    remedy: str
    dropped: bool


@dataclass(frozen=True, kw_only=True)
class SampleSet:
    """The content of a file or folder of labelled data.

    Attributes:
        samples: the usable ones, in the order of the file.
        issues: faults of the data, in the order of the file; nothing is left out without an issue.
        num_read: samples in the file, usable or not.
        fields: the column chosen for each role, and other facts found, shown to the user.
    """

    samples: tuple[Sample, ...]
    issues: tuple[DataIssue, ...] = ()
    num_read: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_dropped(self) -> int:
        """The number of samples left out."""
        return self.num_read - len(self.samples)
