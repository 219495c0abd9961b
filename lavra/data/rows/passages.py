"""Questions about passages as rows: the question, a window of the passage, and where in it the answer stands.

A passage that does not fit beside its question is shown in windows that overlap, each with the whole question, as in
Devlin et al. 2018 and Hugging Face's `run_qa.py`.  The answer is the first and the last token that cover it; where a
window does not hold all of it, both are position 0: `[CLS]` where there is one, else the row's first token, which
never is part of a passage.

Learning takes the first of the answers people gave; scoring takes all of them.  `answer_spans` reads the answer of
a passage from the logits of its windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import tokenizers

from lavra.base.arrays import Int32s
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.data.labelled.samples import DataIssue, LabelledAnswer, Place, QuestionSample
from lavra.data.rows.batches import TaskRows
from lavra.data.rows.encoding import EncodedRows, RowFormat, pair_issues

WithoutAnswer = Literal["keep", "drop"]
OVERLAP = 128  # as in run_qa.py
_CHUNK = 256  # questions encoded at once; passages are long


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """Settings of the windows over a passage.

    Attributes:
        overlap: tokens that a window repeats from the window before (`doc_stride` of `run_qa.py`); 128, or a third
            of a row where that is less, unless given.
        without_answer: the treatment of windows that do not hold the answer their passage has: `keep` teaches that
            the answer is not there, `drop` leaves them out of learning.
    """

    overlap: int | None = None
    without_answer: WithoutAnswer = "keep"

    def __post_init__(self) -> None:
        if self.overlap is not None and self.overlap < 0:
            raise ConfigError(f"overlap is {self.overlap}; it must be at least 0")
        if self.without_answer not in get_args(WithoutAnswer):
            known = nearest(str(self.without_answer), get_args(WithoutAnswer))
            raise ConfigError(f"without_answer is {self.without_answer!r}{known}")


@dataclass(frozen=True, kw_only=True)
class QuestionRows(TaskRows):
    """Windows of passages.

    Attributes:
        first_context: place of each row's first token of the passage.
        spans: (C, 2) of each row, the characters of the passage that each of its C tokens of the passage covers,
            without white space at their ends.
        num_without_answer: windows left out because the answer is not in them.
    """

    first_context: tuple[int, ...] = ()
    spans: tuple[Int32s, ...] = ()
    num_without_answer: int = 0

    @cached_property
    def rows_of(self) -> dict[int, list[int]]:
        """The rows of each question, by its number among those given, in the order of the passage."""
        found: dict[int, list[int]] = {}
        for row, number in enumerate(self.sources):
            found.setdefault(number, []).append(row)
        return found

    def characters(self, row: int, token: int) -> tuple[int, int] | None:
        """The characters of the passage that a token covers; `None` for the question, the frame and padding."""
        place = token - self.first_context[row]
        if not 0 <= place < len(self.spans[row]):
            return None
        start, stop = self.spans[row][place].tolist()
        return start, stop


def question_rows(
    samples: Sequence[QuestionSample], form: RowFormat, *, config: WindowConfig | None = None
) -> QuestionRows:
    """Rows to learn from: `targets` are (N, 2), the first and the last token of the answer.

    Args:
        samples: questions; a question whose answers are `None` is left out, with an issue.  A question that has no
            answer has position 0 in all its windows.
        form: the format of the rows; `on_long="cut"` makes windows.
        config: settings of the windows.

    Raises:
        InputError: an answer is not at its place in the passage; a text is not valid Unicode, or too long where
            `on_long` is `refuse`.
        ConfigError: a pair of texts has no room in a row.
    """
    config = config or WindowConfig()
    issues = [_unlabelled(sample.place) for sample in samples if sample.answers is None]
    for sample in samples:
        for answer in sample.answers or ():
            _check_answer(sample, answer)
    table = _table(samples, [number for number, one in enumerate(samples) if one.answers is not None], form, config)
    targets = [_target(table, row, samples[number]) for row, number in enumerate(table.sources)]
    keep: list[int] = []
    num_without = 0
    for number, rows in table.rows_of.items():
        holding = [row for row in rows if targets[row] != (0, 0)]
        if samples[number].answers and not holding:
            issues.append(_across_windows(samples[number].place))
        elif samples[number].answers and config.without_answer == "drop":
            keep += holding
            num_without += len(rows) - len(holding)
        else:
            keep += rows
    return replace(
        _rows(table, keep),
        targets=np.array([targets[row] for row in keep], dtype=np.int64).reshape(-1, 2),
        issues=(*issues, *table.issues),
        num_without_answer=num_without,
    )


def unlabelled_question_rows(
    samples: Sequence[QuestionSample], form: RowFormat, *, config: WindowConfig | None = None
) -> QuestionRows:
    """Rows to predict; answers are not read."""
    return _table(samples, range(len(samples)), form, config or WindowConfig())


@dataclass
class _Gathered:
    ids: list[Int32s] = field(default_factory=list)
    types: list[Int32s] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    first_context: list[int] = field(default_factory=list)
    spans: list[Int32s] = field(default_factory=list)
    issues: list[DataIssue] = field(default_factory=list)

    def add(self, number: int, encoding: tokenizers.Encoding, context: str) -> None:
        of_context = np.flatnonzero(np.array([part == 1 for part in encoding.sequence_ids]))
        offsets = np.asarray(encoding.offsets, dtype=np.int32)[of_context]
        self.ids.append(np.asarray(encoding.ids, dtype=np.int32))
        self.types.append(np.asarray(encoding.type_ids, dtype=np.int32))
        self.sources.append(number)
        self.first_context.append(int(of_context[0]))
        self.spans.append(_trimmed(offsets, context))


def _table(
    samples: Sequence[QuestionSample], numbers: Sequence[int], form: RowFormat, config: WindowConfig
) -> QuestionRows:
    gathered = _Gathered()
    if numbers:
        gathered.issues += pair_issues(samples[numbers[0]].place, form)
    overlap = _overlap(form, config)
    for number, windows, question_tokens in _encodings(samples, numbers, form, overlap):
        sample = samples[number]
        issue = _issue(sample.place, windows, question_tokens, form, overlap)
        if issue is not None:
            gathered.issues.append(issue)
            continue
        for window in windows:
            gathered.add(number, window, sample.context)
    return QuestionRows(
        encoded=EncodedRows(
            ids=tuple(gathered.ids),
            types=tuple(gathered.types) if form.num_token_types > 1 else None,
            sources=tuple(gathered.sources),
        ),
        form=form,
        names=tuple(f"{samples[number].place} ({samples[number].name})" for number in gathered.sources),
        sources=tuple(gathered.sources),
        issues=tuple(gathered.issues),
        first_context=tuple(gathered.first_context),
        spans=tuple(gathered.spans),
    )


def _overlap(form: RowFormat, config: WindowConfig) -> int:
    capacity = form.max_tokens - form.frame_tokens(pairs=True)
    overlap = min(OVERLAP, capacity // 3) if config.overlap is None else config.overlap
    if overlap > capacity - 2:
        raise ConfigError(
            f"overlap is {overlap} and a row has room for {capacity} tokens of question and passage; it must be at "
            f"most {capacity - 2}, and better a third"
        )
    return overlap


def _encodings(
    samples: Sequence[QuestionSample], numbers: Sequence[int], form: RowFormat, overlap: int
) -> Iterator[tuple[int, list[tokenizers.Encoding], int]]:
    """(number, windows, tokens of the question) of each sample; no windows where the question leaves no room."""
    reader = form.tokenizer.spelling_backend
    windower = tokenizers.Tokenizer.from_str(reader.to_str())
    windower.encode_special_tokens = True
    windower.enable_truncation(form.max_tokens, stride=overlap, strategy="only_second")
    capacity = form.max_tokens - form.frame_tokens(pairs=True)
    for start in range(0, len(numbers), _CHUNK):
        chunk = numbers[start : start + _CHUNK]
        try:
            questions = reader.encode_batch_fast([samples[n].question for n in chunk], add_special_tokens=False)
            contexts = reader.encode_batch_fast([samples[n].context for n in chunk], add_special_tokens=False)
        except TypeError as error:
            raise _not_unicode([samples[n] for n in chunk]) from error
        for number, question, context in zip(chunk, questions, contexts, strict=True):
            taken = len(question.ids)
            windows: list[tokenizers.Encoding] = []
            if len(context.ids) and (taken + len(context.ids) <= capacity or taken + overlap < capacity):
                first = windower.encode(samples[number].question, samples[number].context)
                windows = [first, *first.overflowing]
            yield number, windows, taken


def _issue(
    place: Place, windows: Sequence[tokenizers.Encoding], question_tokens: int, form: RowFormat, overlap: int
) -> DataIssue | None:
    if len(windows) == 1:
        return None
    if windows and form.on_long == "cut":
        return None
    if windows:
        what = f"question and passage need {len(windows)} rows of {form.max_tokens} tokens"
        remedy = "raise max_tokens, or let on_long be 'cut', which makes windows and loses nothing"
    else:
        what = (
            f"the question has {question_tokens} tokens and a row {form.max_tokens}: nothing of the passage fits "
            f"beside it and an overlap of {overlap}"
        )
        remedy = "raise max_tokens, lower the overlap, shorten the question, or give it a passage if it has none"
    if form.on_long == "refuse":
        raise InputError(f"{place}: {what}; {remedy}")
    return DataIssue(place=place, what=f"{what}: left out", remedy=remedy, dropped=True)


def _trimmed(offsets: Int32s, context: str) -> Int32s:
    """(C, 2) without white space at the ends, which byte-level tokenizers count to the token behind it."""
    trimmed = offsets.copy()
    for place, (start, stop) in enumerate(offsets.tolist()):
        text = context[start:stop]
        if text and (text[0].isspace() or text[-1].isspace()):
            trimmed[place] = (stop - len(text.lstrip()), max(start + len(text.rstrip()), stop - len(text.lstrip())))
    return trimmed


def _target(table: QuestionRows, row: int, sample: QuestionSample) -> tuple[int, int]:
    """First and last token that cover the answer; (0, 0) where the window does not hold all of it."""
    if not sample.answers:
        return 0, 0
    answer, spans = sample.answers[0], table.spans[row]
    stop = answer.start + len(answer.text)
    if spans[0, 0] > answer.start or spans[-1, 1] < stop:
        return 0, 0
    # The last token that begins at or before the answer; the first behind which all ends are at or after its end.
    first = int(np.flatnonzero(spans[:, 0] <= answer.start)[-1])
    before = np.flatnonzero(spans[:, 1] < stop)
    last = int(before[-1]) + 1 if len(before) else 0
    last = max(first, last)  # the tokens of one character's bytes all begin and end with it
    return table.first_context[row] + first, table.first_context[row] + last


def _rows(table: QuestionRows, rows: Sequence[int]) -> QuestionRows:
    sources = tuple(table.sources[row] for row in rows)
    return replace(
        table,
        encoded=table.encoded.kept(rows, sources),
        names=tuple(table.names[row] for row in rows),
        sources=sources,
        first_context=tuple(table.first_context[row] for row in rows),
        spans=tuple(table.spans[row] for row in rows),
    )


def _check_answer(sample: QuestionSample, answer: LabelledAnswer) -> None:
    found = sample.context[max(answer.start, 0) : max(answer.start, 0) + len(answer.text)]
    if not answer.text or answer.start < 0 or found != answer.text:
        raise InputError(
            f"{sample.place}: the answer {answer.text[:40]!r} is not at character {answer.start} of the passage, where "
            f"{found[:40]!r} stands; correct its start"
        )


def _unlabelled(place: Place) -> DataIssue:
    return DataIssue(
        place=place, what="the answers are not known: left out", remedy="give it answers, or predict it", dropped=True
    )


def _across_windows(place: Place) -> DataIssue:
    return DataIssue(
        place=place,
        what="no window holds the whole answer: left out",
        remedy="raise the overlap or max_tokens above the tokens of the answer",
        dropped=True,
    )


def _not_unicode(samples: Sequence[QuestionSample]) -> InputError:
    for sample in samples:
        try:
            f"{sample.question}{sample.context}".encode()
        except UnicodeEncodeError:
            return InputError(f"{sample.place}: the text is not valid Unicode; write the file again as UTF-8")
    return InputError("a question or passage is not a str; decode or convert it first")
