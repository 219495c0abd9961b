"""Questions about a passage; checks that each answer stands at its given place.

An answer is a span of its passage (SQuAD, Rajpurkar et al. 2016), or the passage has none (SQuAD 2.0, 2018).  An
answer that is not at its place is left out, and its issue quotes the passage there and names the true place.
The answer is never moved, because a reader must not guess which of several occurrences was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lavra.data.labelled.samples import LabelledAnswer, QuestionSample
from lavra.data.labelled.tables import Notes, Row, UnusableError, lookup, shown, text_value

WRITE_ANSWERS = 'write answers as [{"text": ..., "answer_start": ...}], the start in characters of the context'


def question_sample(row: Row, columns: Mapping[str, str], notes: Notes) -> QuestionSample:
    """The sample of a row; its name is its id, or where it stands if it has none.

    Raises:
        UnusableError: a field is empty, or none of the given answers stands in the passage.
    """
    question, context = text_value(row, columns["question"]), text_value(row, columns["context"])
    name = lookup(row, columns["id"]) if "id" in columns else None
    given = _given(row, columns)
    answers = None if given is None else _standing(row, given, context, notes)
    return QuestionSample(
        name=str(row.place) if name is None or name == "" else str(name),
        question=question,
        context=context,
        answers=answers,
        place=row.place,
    )


def _standing(row: Row, given: list[tuple[Any, Any]], context: str, notes: Notes) -> tuple[LabelledAnswer, ...]:
    """The answers that stand at their given places."""
    good, bad = list[LabelledAnswer](), list[str]()
    for text, written in given:
        start = int(written) if isinstance(written, float) and written.is_integer() else written
        text, start = _without_blanks(text, start, context, notes)
        what = _fault(text, start, context)
        if what:
            bad.append(what)
        else:
            good.append(LabelledAnswer(text=text, start=start))
    if bad and not good:
        raise UnusableError("; ".join(bad), "correct the answers: answer_start counts characters of the context from 0")
    for what in bad:
        remedy = "correct the answer: it is left out, and the question keeps its others"
        notes.at(row.place, what, remedy, dropped=False)
    return tuple(good)


def _without_blanks(text: Any, start: Any, context: str, notes: Notes) -> tuple[Any, Any]:
    """An answer without the blanks at its ends, where it stands with them or without them at its start."""
    if not isinstance(text, str) or not isinstance(start, int) or start < 0 or text == text.strip() or not text.strip():
        return text, start
    inner = text.strip()
    behind = start + len(text) - len(text.lstrip())
    at = next((at for at in (behind, start) if context[at : at + len(inner)] == inner), None)
    if at is None or (at == behind and not context.startswith(text, start)):
        return text, start
    notes.counts["answers with blanks at their ends, cut off"] += 1
    return inner, at


def _fault(text: Any, start: Any, context: str) -> str:
    """The fault of an answer, in words; empty where it is sound."""
    if not isinstance(text, str) or not text.strip():
        return f"an answer is {shown(text)}, not text"
    places = _places(text, context)
    where = f"it stands at {', '.join(map(str, places))}" if places else "it is nowhere in the context"
    if isinstance(start, bool) or not isinstance(start, int):
        return f"the answer {shown(text)} has the start {shown(start)}, not a number; {where}"
    if not 0 <= start < len(context):
        return f"the answer {shown(text)} is given the start {start}, outside the {len(context)} characters; {where}"
    there = context[start : start + len(text)]
    if there == text:
        return ""
    return f"the answer {shown(text)} is given the start {start}, where {shown(there)} stands; {where}"


def _places(text: str, context: str, most: int = 3) -> list[int]:
    found: list[int] = []
    at = context.find(text)
    while at >= 0 and len(found) < most:
        found.append(at)
        at = context.find(text, at + 1)
    return found


def _given(row: Row, columns: Mapping[str, str]) -> list[tuple[Any, Any]] | None:
    """(text, start) of every answer of the file, sound or not; None where the row has no field of answers."""
    impossible = lookup(row, columns["impossible"]) if "impossible" in columns else None
    if impossible in (True, "True", "true", "1", 1):
        return []
    value = lookup(row, columns["answers"]) if "answers" in columns else None
    if "answers" not in columns or (value is None and columns["answers"] not in row.values):
        return None
    if isinstance(value, Mapping):  # the Hugging Face form: lists side by side
        texts, starts = value.get("text"), value.get("answer_start")
        if isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts):
            return list(zip(texts, starts, strict=True))
        raise UnusableError(f"the answers are {shown(value)}", WRITE_ANSWERS)
    if isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
        return [(one.get("text"), one.get("answer_start")) for one in value]
    if (isinstance(value, str) or value is None) and "start" in columns:
        return _flat(value, lookup(row, columns["start"]))
    raise UnusableError(f"the answers are {shown(value)}", WRITE_ANSWERS)


def _flat(text: str | None, start: Any) -> list[tuple[Any, Any]]:
    """An answer in two columns; an empty cell says that the passage has none."""
    if not text:
        return []
    if isinstance(start, str) and start.strip().removesuffix(".0").lstrip("-").isdecimal():
        start = int(start.strip().removesuffix(".0"))  # pandas writes whole numbers so where cells are empty
    return [(text, start)]
