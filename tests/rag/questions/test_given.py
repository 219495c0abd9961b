"""A user's questions: files as people write them, positions of their answers, and messages about the rest."""

from __future__ import annotations

import json

import pytest

from lavra.base.errors import InputError
from lavra.base.retrieval import Chunk
from lavra.rag.chunk_table import MemoryChunks
from lavra.rag.questions.given import AnswerPlace, judge_questions, read_questions
from lavra.rag.questions.question import QuestionKind

TEXTS = {
    "docs/a.txt": "The bridge was opened in 1998.\nIt is 340\nmetres long.",
    "docs/b.txt": "In 1998 the harbour closed. A1998 is a code.",
    "other/b.txt": "Nothing here.",
}


@pytest.fixture
def table():
    chunks = [
        Chunk(id=at, document=name, text=text, start=0, end=len(text), line=1)
        for at, (name, text) in enumerate(TEXTS.items())
    ]
    return MemoryChunks(chunks, TEXTS)


def written(folder, rows, name="q.jsonl"):
    path = folder / name
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_answers_are_found_in_every_document_or_in_the_one_named(tmp_path, table):
    rows = [
        {"question": "When?", "answer": "1998"},
        {"question": "When in a?", "answer": "1998", "document": "a.txt"},
        {"question": "How long?", "answer": "340 METRES"},
        {"question": "About b?", "document": "docs/b.txt"},
    ]
    questions, issues = judge_questions(read_questions(written(tmp_path, map(json.dumps, rows))), table)
    assert not issues
    found = [
        [(place.document, TEXTS[place.document][place.start : place.end]) for place in one.places] for one in questions
    ]
    assert found == [
        [("docs/a.txt", "1998"), ("docs/b.txt", "1998")],
        [("docs/a.txt", "1998")],
        [("docs/a.txt", "340\nmetres")],
        [("docs/b.txt", TEXTS["docs/b.txt"])],
    ]
    assert {one.kind for one in questions} == {QuestionKind.GIVEN}


@pytest.mark.parametrize(("name", "mark"), [("q.csv", ","), ("q.csv", ";"), ("q.tsv", "\t")])
def test_tables_are_read_too(tmp_path, table, name, mark):
    path = written(tmp_path, [f"question{mark}answer", f"When?{mark}1998"], name)
    questions, _ = judge_questions(read_questions(path), table)
    assert questions[0].places[0] == AnswerPlace(document="docs/a.txt", start=25, end=29)


def test_unusable_questions_are_reported(tmp_path, table):
    rows = [
        '{"question": "Who?", "answer": "Napoleon"}',
        "",
        '{"question": "How many?", "answer": "3"}',
        '{"question": "When?", "answer": "1998"}',
    ]
    questions, issues = judge_questions(read_questions(written(tmp_path, rows)), table)
    assert [one.question for one in questions] == ["When?"]
    assert issues[0] == "line 1: 'Napoleon' does not stand in any document; the question is left out"
    assert issues[1].startswith("line 3: '3' ")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"question": "", "answer": "a"}', "q.jsonl:1 has no question"),
        ('{"query": "x"}', "its columns are query"),
        ('{"question": "x"}', "neither a document nor an answer"),
        ("question,answer", "q.jsonl:1 is not JSON"),
        ("[1]", "list, not an object"),
        ("", "has no questions"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(tmp_path, row, said):
    with pytest.raises(InputError, match=said):
        read_questions(written(tmp_path, [row]))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("name", "said"), [("c.txt", "no indexed document is called so"), ("b.txt", "2 indexed documents")]
)
def test_a_document_that_is_unknown_or_one_of_two_is_refused(tmp_path, table, name, said):
    given = read_questions(written(tmp_path, [json.dumps({"question": "x?", "document": name})]))
    with pytest.raises(InputError, match=said):
        judge_questions(given, table)
