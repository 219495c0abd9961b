"""Files of answers: columns by their usual names, prompts matched, and every fault named with its line."""

from __future__ import annotations

import json

import pytest

from lavra.base.errors import InputError
from lavra.evaluation.human.answers import read_answers


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_columns_by_their_usual_names(tmp_path) -> None:
    first = lines(
        tmp_path / "a.jsonl", {"prompt": "P", "completion": "A", "teacher": "gpt"}, {"prompt": "Q", "answer": ""}
    )
    second = lines(tmp_path / "b.jsonl", {"question": "Q", "response": "B", "id": 7, "evidence": "E"})
    found = read_answers([first, f"mine={second}"])
    assert [(one.model, one.prompt, one.answer) for one in found] == [
        ("gpt", "P", "A"),
        ("a", "Q", ""),
        ("mine", "Q", "B"),
    ]
    assert found[1].question_id == found[2].question_id  # matched by the prompt
    assert found[2].reference == "E"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "P"}], r"a.jsonl:1: there is no 'completion'"),
        ([{"completion": "P"}], r"a.jsonl:1: there is no 'prompt'"),
        ([{"prompt": " ", "completion": "x"}], r"a.jsonl:1: the prompt is empty"),
        ([{"prompt": "P", "completion": 3}], r"a.jsonl:1: 'completion' is 3, not text"),
        ([{"prompt": "P", "completion": "x"}] * 2, r"a.jsonl:2: a has answered this prompt at .*a.jsonl:1"),
        (
            [{"prompt": "P", "completion": "x", "id": 1}, {"prompt": "Q", "completion": "x", "id": 1}],
            "two different prompts",
        ),
        ([], "has no rows"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, rows, message) -> None:
    with pytest.raises(InputError, match=message):
        read_answers([lines(tmp_path / "a.jsonl", *rows)])


def test_a_broken_line_is_an_error(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "P", "completion": "x"}\n{oops\n')
    with pytest.raises(InputError, match=r"a.jsonl:2: not JSON"):
        read_answers([str(path)])
