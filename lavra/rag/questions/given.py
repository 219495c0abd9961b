"""Read a user's own questions, and find the places in the documents that answer them.

A file of lines of JSON, or a CSV with a heading, has the column `question` and one or both of `document` (its name as
indexed, or the end of it) and `answer` (words that stand in the document).  With both, the answer's places in that
document count; with a document alone, all of it; with an answer alone, its places in every document.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError, nearest
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.questions.question import MadeQuestion, QuestionKind

_SHORTEST_ANSWER = 3  # least characters of an answer to look for in every document
_MOST_PLACES = 50  # most places of an answer; an answer with more places tells little


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenQuestion:
    """A question of the user.

    Attributes:
        question: text as the user asked it.
        document: name of the answering document, or the end of the name; `None` where any document may answer.
        answer: words of the answer; `None` where only the document is known.
        line: its place in the file, from 1.
    """

    question: str
    document: str | None
    answer: str | None
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPlace:
    """A part of a document.

    Attributes:
        document: name of the document, as indexed.
        start: place of its first character.
        end: place behind its last character.
    """

    document: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedQuestion:
    """A question with the places of its answer.

    Attributes:
        question: text as the user asked it.
        places: stretches of documents, any of which answers the question; at least one.
        kind: origin of the question.
    """

    question: str
    places: tuple[AnswerPlace, ...]
    kind: QuestionKind


def read_questions(path: Path) -> list[GivenQuestion]:
    """Read the questions of a JSONL or CSV file.

    Raises:
        InputError: the file cannot be read, or a line has no question, or neither a document nor an answer; the
            message names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(_csv_rows(lines) if path.suffix.lower() in (".csv", ".tsv") else _json_rows(path, lines))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}; give a JSONL or CSV file in UTF-8") from None
    if not rows:
        raise InputError(f"{path} has no questions; give one a line, such as " + '{"question": "…", "answer": "…"}')
    return [_given(path, line, row) for line, row in rows]


def judge_questions(given: Sequence[GivenQuestion], table: ChunkTable) -> tuple[list[JudgedQuestion], list[str]]:
    """Find the questions whose answers stand in the documents, and write a sentence about each other question.

    Raises:
        InputError: a question names a document that is not indexed.
    """
    names = table.documents()
    wanted = {one.line: _document(one, names) for one in given}
    places: dict[int, list[AnswerPlace]] = {one.line: [] for one in given}
    for name in names:
        asked = [one for one in given if wanted[one.line] in (None, name)]
        text = table.document_text(name) if asked else ""
        for one in asked:
            places[one.line] += _places(one, name, text)
    judged = [
        JudgedQuestion(question=one.question, places=tuple(places[one.line]), kind=QuestionKind.GIVEN)
        for one in given
        if 0 < len(places[one.line]) <= _MOST_PLACES
    ]
    return judged, [
        _issue(one, len(places[one.line])) for one in given if not 0 < len(places[one.line]) <= _MOST_PLACES
    ]


def judged(made: Sequence[MadeQuestion]) -> list[JudgedQuestion]:
    """Turn made questions into judged questions, each with its single place."""
    return [
        JudgedQuestion(
            question=one.question,
            places=(AnswerPlace(document=one.document, start=one.start, end=one.end),),
            kind=one.kind,
        )
        for one in made
    ]


def _csv_rows(lines: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = lines.read()
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ";" if text.partition("\n")[0].count(";") else ","
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter)
    yield from ((reader.line_num, row) for row in reader)


def _json_rows(path: Path, lines: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}:{number} is not JSON: {error}; write one object a line") from None
        if not isinstance(row, Mapping):
            raise InputError(f"{path}:{number} is {type(row).__name__}, not an object with a question")
        yield number, row


def _given(path: Path, line: int, row: Mapping[str, Any]) -> GivenQuestion:
    question, document, answer = (str(row.get(name) or "").strip() for name in ("question", "document", "answer"))
    if not question:
        raise InputError(f"{path}:{line} has no question; its columns are {', '.join(map(str, row)) or 'none'}")
    if not document and not answer:
        raise InputError(f"{path}:{line} has neither a document nor an answer; one of them says what is to be found")
    return GivenQuestion(question=question, document=document or None, answer=answer or None, line=line)


def _document(given: GivenQuestion, names: Sequence[str]) -> str | None:
    """Find the document that a question names; `None` where it names none."""
    if given.document is None or given.document in names:
        return given.document
    ends = [name for name in names if name.endswith(f"/{given.document}")]
    if len(ends) != 1:
        why = f"{len(ends)} indexed documents are called so" if ends else "no indexed document is called so"
        raise InputError(f"line {given.line} names {given.document!r}: {why}{nearest(given.document, names[:10_000])}")
    return ends[0]


def _places(given: GivenQuestion, name: str, text: str) -> list[AnswerPlace]:
    if given.answer is None:
        return [AnswerPlace(document=name, start=0, end=len(text))]
    if given.document is None and len(given.answer) < _SHORTEST_ANSWER:
        return []
    words = r"\s+".join(re.escape(word) for word in given.answer.split())
    bounds = (r"(?<!\w)" if given.answer[0].isalnum() else "", r"(?!\w)" if given.answer[-1].isalnum() else "")
    found = re.finditer(bounds[0] + words + bounds[1], text, re.IGNORECASE)
    return [AnswerPlace(document=name, start=one.start(), end=one.end()) for one in found]


def _issue(given: GivenQuestion, number: int) -> str:
    if number:
        return f"line {given.line}: {given.answer!r} stands in {number} places, so the document is not known; name it"
    where = given.document or "any document"
    return f"line {given.line}: {given.answer!r} does not stand in {where}; the question is left out"
