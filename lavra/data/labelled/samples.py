"""One labelled example of each task, as plain values, and where in which file it stands.

Readers make them, batch makers and scores take them.  A label that is `None` is not known: such a sample can be
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
    """Where a sample was read.

    Attributes:
        file: as the user named it; empty where it came from Python.
        line: its line from 1, or its number from 1 in a format without lines.
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
        label: what is to be said of it.
        place: where it was read.
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
        tags: one a word, such as `B-PER`.
        offsets: (start, end) of each word in `text`, in characters.
        text: what the words were cut from; the words joined by spaces where only they are known.
        place: where it was read.
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
        name: its id in the file, unique in it.
        question: the question.
        context: the passage.
        answers: every answer people gave; empty when the passage has none; `None` when not known.
        place: where it was read.
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
        text: what comes before; may be a question.
        choices: at least two.
        label: index of the right one.
        place: where it was read.
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
        positive: what is to be near it.
        negatives: what is to be far from it.
        score: how near anchor and positive are to be, where that is given, in the file's own scale.
        place: where it was read.
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
        messages: `{"role": …, "content": …}` and whatever else a chat template reads, in JSON types.
        tools: JSON schemas of functions the assistant may call.
        not_learnt: indexes of messages that are read and not learnt.
        place: where it was read.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] | None = None
    not_learnt: tuple[int, ...] = ()
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteSample:
    """A text and the one to be made of it (translation, summary, completion of a prompt).

    Attributes:
        source: what is read.
        target: what is to be written.
        place: where it was read.
    """

    source: str
    target: str | None = None
    place: Place = Place()


Sample = TextSample | TagSample | QuestionSample | ChoiceSample | PairSample | ChatSample | RewriteSample


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something wrong with the data.

    Attributes:
        place: where.
        what: what is wrong, the value named.
        remedy: what to do about it.
        dropped: whether the sample is left out because of it.
    """

    place: Place
    what: str
    remedy: str
    dropped: bool


@dataclass(frozen=True, kw_only=True)
class SampleSet:
    """What a file or folder of labelled data holds.

    Attributes:
        samples: the usable ones, in the order of the file.
        troubles: what is wrong, in the order of the file; nothing is left out without one.
        num_read: samples in the file, usable or not.
        fields: which column was taken for what, for the user to see.
    """

    samples: tuple[Sample, ...]
    troubles: tuple[Trouble, ...] = ()
    num_read: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_dropped(self) -> int:
        """Samples left out."""
        return self.num_read - len(self.samples)
