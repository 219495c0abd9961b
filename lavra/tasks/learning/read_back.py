"""Rows read back: token ids decoded and held beside the text a person wrote.

Rows are made by one way (offsets, masks, indexes) and checked by another.  Letters and digits alone are compared, for
tokenizers change case, accents and spaces.  Rows that were cut and texts with unknown tokens cannot be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from torch import Tensor

from lavra.base.arrays import Int32s
from lavra.data.batch import IGNORE
from lavra.data.labelled.samples import (
    ChatSample,
    ChoiceSample,
    PairSample,
    QuestionSample,
    RewriteSample,
    Sample,
    TagSample,
    TextSample,
)
from lavra.data.labelled.word_cutting import has_units
from lavra.data.rows.batch import TaskBatch
from lavra.data.rows.language import LanguageRows
from lavra.data.rows.passages import QuestionRows
from lavra.data.rows.words import TagRows
from lavra.tasks.keys import plain
from lavra.tokens.tokenizer import Tokenizer

_SHOWN: Final = 60  # characters of a row in a message


@dataclass(frozen=True)
class ReadBackRow:
    """A row, read back.

    Attributes:
        shown: the decoded text.
        wrong: the difference from its sample; empty where there is none.
        odd: whether only the text differs, which a tokenizer may cause.
    """

    shown: str
    wrong: str = ""
    odd: bool = False


@dataclass(frozen=True, kw_only=True)
class RowReader:
    """The rows, tokenizer and facts that reading rows back takes.

    Attributes:
        table: the rows.
        tokenizer: the tokenizer that made the rows.
        num_virtual: tokens of a soft prompt in front of every row.
        labels: labels of the model.
        max_length: tokens of a text's row.
    """

    table: Any
    tokenizer: Tokenizer
    num_virtual: int
    labels: tuple[str, ...]
    max_length: int

    def texts(self, batch: TaskBatch) -> list[str | None]:
        """The decoded text of each row of a batch, plain; None where it holds unknown tokens."""
        return [self.text(ids[mask]) for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True)]

    def text(self, ids: Tensor) -> str | None:
        """The decoded text of some tokens of a row, plain; None where one is unknown."""
        return self.plain(ids[self.num_virtual :])

    def plain(self, ids: Tensor | Int32s) -> str | None:
        """The decoded text, plain, of tokens that are no row's beginning."""
        numbers: list[int] = ids.tolist()
        if self.tokenizer.num_unknown(numbers):
            return None
        return plain(self.tokenizer.decode(numbers, skip_special_tokens=True))

    def is_full(self, batch: TaskBatch) -> bool:
        """Whether a row has no room left, and so may have been cut."""
        return batch.input_ids.shape[1] - self.num_virtual >= self.max_length


def look_at_labels(reader: RowReader, number: int, sample: Sample) -> ReadBackRow | None:
    """A text, or a pair of them, and its label."""
    assert isinstance(sample, TextSample)
    batch = reader.table.batch([number])
    (read,) = reader.texts(batch)
    label = _label(batch.labels[0], sample, reader.labels)
    shown = f"{_short(sample.text)} = {label}"
    expected = sample.label if not isinstance(sample.label, tuple) else tuple(sorted(sample.label))
    if label != expected:
        return ReadBackRow(shown, f"{sample.place} has the label {expected!r} and its row {label!r}")
    return _same_text(shown, read, sample, [sample.text, sample.pair or ""], full=reader.is_full(batch))


def _label(target: Tensor, sample: TextSample, labels: Sequence[str]) -> Any:
    """A row's label, as its file has it."""
    if target.ndim == 1:
        return tuple(sorted(labels[place] for place in target.nonzero().flatten().tolist()))
    if target.is_floating_point():
        number = float(target)
        close = isinstance(sample.label, float) and bool(np.isclose(number, sample.label))
        return sample.label if close else number
    return labels[int(target)] if 0 <= int(target) < len(labels) else f"number {int(target)}"


def _same_text(shown: str, read: str | None, sample: Sample, texts: Sequence[str], *, full: bool) -> ReadBackRow | None:
    wanted = "".join(plain(text) for text in texts)
    if read is None or full or not wanted:
        return None
    if read == wanted:
        return ReadBackRow(shown)
    return ReadBackRow(shown, f"the row of {sample.place} reads {_short(read)} instead of {_short(wanted)}", odd=True)


def look_at_tags(reader: RowReader, number: int, sample: Sample) -> ReadBackRow | None:
    """The words of a window: each labelled token begins the word whose tag it carries."""
    assert isinstance(sample, TagSample)
    assert isinstance(reader.table, TagRows)
    batch, words = reader.table.batch([number]), reader.table.words[number].tolist()
    ids, labels = batch.input_ids[0], batch.labels[0]
    places = reader.table.pieces[number].tolist()
    num_labels = int((labels != IGNORE).sum())
    may_be_more = any(map(has_units, sample.words))  # these have a tag on every piece
    if num_labels < len(words) or (num_labels > len(words) and not may_be_more):
        return ReadBackRow("", f"the row of {sample.place} has {len(words)} words and {num_labels} labels")
    shown = []
    for word, place, stop in zip(words, places, [*places[1:], len(ids)], strict=True):
        read, text = reader.plain(ids[place:stop]), plain(_words_of_token(reader.table, number, word, sample))
        wanted = (sample.tags or ())[word]
        tag = reader.labels[int(labels[place])] if 0 <= int(labels[place]) < len(reader.labels) else "none of the model"
        shown.append(f"{sample.words[word]}={tag}")
        cut = stop == len(ids)
        whole = read is None or (read.startswith(text) or text.startswith(read) if cut else read == text)
        if tag != wanted or not whole:
            return ReadBackRow(
                shown[0],
                f"{sample.place}: the word {sample.words[word]!r} is {wanted}, its row has "
                f"{_short(read or '?')} as {tag}",
            )
    return ReadBackRow(_short(" ".join(shown)))


def _words_of_token(table: TagRows, row: int, word: int, sample: TagSample) -> str:
    """A word and the words that share its token."""
    shared = table.shared.get(table.sources[row], ())
    return "".join([sample.words[word], *(sample.words[other] for other, owner in shared if owner == word)])


def look_at_answers(reader: RowReader, number: int, sample: Sample) -> ReadBackRow | None:
    """The answer of a window, decoded, and its ends in characters of the passage."""
    assert isinstance(sample, QuestionSample)
    assert isinstance(reader.table, QuestionRows)
    batch = reader.table.batch([number])
    first, last = batch.labels[0].tolist()
    if not sample.answers:
        wrong = "" if (first, last) == (0, 0) else f"{sample.place} has no answer and its row points at token {first}"
        return ReadBackRow(f"{_short(sample.question)} = nothing", wrong)
    if (first, last) == (0, 0):
        return None  # another window holds it
    answer = sample.answers[0]
    start, stop = answer.start, answer.start + len(answer.text)
    read, text = reader.plain(batch.input_ids[0, first : last + 1]), plain(answer.text)
    shown = f"{_short(sample.question)} = {_short(answer.text)}"
    begin, end = reader.table.characters(number, first), reader.table.characters(number, last)
    holds = begin is not None and end is not None and begin[0] <= start < begin[1] and end[0] < stop <= end[1]
    if answer.text != answer.text.strip():
        holds = begin is not None and end is not None
    if not holds or (read is not None and text not in read):
        return ReadBackRow(
            shown, f"the answer of {sample.place} is {_short(answer.text)} and its row has {_short(read or '?')}"
        )
    return ReadBackRow(shown)


def look_at_choices(reader: RowReader, number: int, sample: Sample) -> ReadBackRow | None:
    """Read back the right choice's row."""
    assert isinstance(sample, ChoiceSample)
    batch = reader.table.batch([number])
    right = int(batch.labels[0])
    if right != sample.label:
        return ReadBackRow("", f"choice {sample.label} of {sample.place} is right and its row says {right}")
    shown = f"{_short(sample.text)} = {_short(sample.choices[right])}"
    read = reader.texts(batch)[right]
    return _same_text(shown, read, sample, [sample.text, sample.choices[right]], full=reader.is_full(batch))


def look_at_pairs(reader: RowReader, number: int, sample: Sample) -> ReadBackRow | None:
    """Anchor and positive, in this order."""
    assert isinstance(sample, PairSample)
    batch = reader.table.batch([number])
    both = reader.texts(batch)[:2]
    read = None if None in both else "".join(one or "" for one in both)
    shown = f"{_short(sample.anchor)} ~ {_short(sample.positive)}"
    return _same_text(shown, read, sample, [sample.anchor, sample.positive], full=reader.is_full(batch))


def look_at_turns(reader: RowReader, number: int, sample: Sample) -> ReadBackRow | None:
    """The learnt part of a conversation: the assistant's words, each turn with its end token, and no more."""
    assert isinstance(sample, ChatSample)
    assistant = [at for at, message in enumerate(sample.messages) if message.get("role") == "assistant"]
    turns = [sample.messages[at] for at in assistant if at not in sample.not_learnt]
    if not all(isinstance(turn.get("content"), str) and set(turn) == {"role", "content"} for turn in turns):
        return None  # calls of tools and reasoning are written as the template likes
    ids = _learnt(reader.table, number)
    read, wanted = reader.plain(ids), "".join(plain(turn["content"]) for turn in turns)
    shown = _short(reader.tokenizer.decode(ids))
    ends = sum(int(one) in reader.tokenizer.special_ids for one in ids)
    if ends < len(turns) or int(ids[-1]) not in reader.tokenizer.special_ids:
        return ReadBackRow(shown, f"{sample.place} has {len(turns)} turns and {ends} ends of turns are learnt")
    if read is not None and read != wanted:
        return ReadBackRow(shown, f"of {sample.place} {_short(read)} is learnt and the assistant says {_short(wanted)}")
    return ReadBackRow(shown)


def look_at_targets(reader: RowReader, number: int, sample: Sample) -> ReadBackRow | None:
    """The target text, with the token that ends it."""
    assert isinstance(sample, RewriteSample)
    table = reader.table
    ids = _learnt(table, number)
    if (
        max(len(table.sequences.inputs[number]) - reader.num_virtual, len(table.sequences.labels[number]))
        >= reader.max_length
    ):
        return None
    read, wanted = reader.plain(ids), plain(sample.target or "")
    shown = f"{_short(sample.source)} -> {_short(reader.tokenizer.decode(ids))}"
    if int(ids[-1]) not in reader.tokenizer.special_ids:
        return ReadBackRow(shown, f"the target of {sample.place} has no end, so the model would not learn to stop")
    if read is not None and read != wanted:
        return ReadBackRow(shown, f"of {sample.place} {_short(read)} is learnt and the target is {_short(wanted)}")
    return ReadBackRow(shown)


def _learnt(table: LanguageRows, number: int) -> Int32s:
    labels = table.sequences.labels[number]
    learnt: Int32s = labels[labels != IGNORE]
    return learnt


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
