"""Multiple choice: endings in a list or in columns, and every way to give the right one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lavra.base.errors import InputError
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import ChoiceSample, SampleSet
from lavra.tasks.choose import CHOOSE


def read(path: Path, *rows: dict[str, Any], **options: Any) -> SampleSet:
    file = path / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_samples(file, CHOOSE.form, **options)


def chosen(found: SampleSet) -> list[tuple[tuple[str, ...], int | None]]:
    return [(one.choices, one.label) for one in found.samples if isinstance(one, ChoiceSample)]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "choices": ["a", "b", "c"], "answer": 1},
        {"question": "q", "choices": ["a", "b", "c"], "answer": "1"},
        {"question": "q", "choices": ["a", "b", "c"], "answer": 1.0},
        {"question": "q", "choices": ["a", "b", "c"], "answer": "b"},
        {"question": "q", "choices": ["a", "b", "c"], "answer": "B"},
        {"query": "q", "choices": ["a", "b", "c"], "gold": 1},
        {"question": "q", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "2"},
        {"question": "q", "choices": {"A": "a", "B": "b", "C": "c"}, "answer": "B"},
        {"question": "q", "options": {"x": "a", "y": "b", "z": "c", "w": None}, "answer": "y"},
        {"question": "q", "options": [{"label": at, "text": at.lower()} for at in "ABC"], "answerKey": "B"},
        {"question": "q", "options": [{"key": at, "value": at.lower()} for at in "ABC"], "answer": "B"},
        {"question": "q", "choices": '["a", "b", "c"]', "answer": 1},
        {"question": "q", "choices": '{"A": "a", "B": "b", "C": "c"}', "answer": "B"},
        {"startphrase": "q", "ending0": "a", "ending1": "b", "ending2": "c", "label": 1},
        {"goal": "q", "sol1": "a", "sol2": "b", "sol3": "c", "label": 1},
        {"question": "q", "A": "a", "B": "b", "C": "c", "answer": "B"},
    ],
)
def test_every_form_names_the_same_ending(tmp_path: Path, row: dict[str, Any]) -> None:
    first = {name: (0 if value == 1 else value) for name, value in row.items()}  # so that counting from 0 is plain
    found = read(tmp_path, row, first)
    assert chosen(found)[0] == (("a", "b", "c"), 1)
    assert found.issues == ()


def test_numbers_count_from_one_where_the_last_is_named_and_no_zero(tmp_path: Path) -> None:
    rows = [{"sentence": "q", "option1": "a", "option2": "b", "answer": str(at)} for at in (1, 2)]
    found = read(tmp_path, *rows)
    assert [label for _, label in chosen(found)] == [0, 1]
    assert found.fields["choices are counted from"] == "1"
    assert found.fields["choices"] == "option1, option2"


def test_labels_that_name_no_choice_and_too_few_choices_are_reported(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"question": "q", "choices": ["a", "b"], "label": 0},
        {"question": "q", "choices": ["a", "b"], "label": 2},
        {"question": "q", "choices": ["a"], "label": 0},
        {"question": "q", "choices": ["a", ""], "label": 0},
        {"question": "q", "choices": ["a", "b"], "label": None},
        {"question": "q", "choices": ["a", "b"], "label": -1},
    )
    assert chosen(found) == [(("a", "b"), 0)]
    assert [one.place.line for one in found.issues] == [2, 3, 4, 5, 6]


def test_a_question_may_have_fewer_endings_than_columns(tmp_path: Path) -> None:
    rows = [{"question": "q", "choice0": "a", "choice1": "b", "choice2": last, "answer": 0} for last in ("", "c")]
    assert [len(choices) for choices, _ in chosen(read(tmp_path, *rows))] == [2, 3]


def test_a_stem_or_a_mapping_may_name_the_endings(tmp_path: Path) -> None:
    row = {"premise": "p", "question": "cause", "choice1": "a", "choice2": "b", "label": 0}
    with pytest.raises(InputError, match=r"choose with --columns role=column \(in Python: columns="):
        read(tmp_path, row)
    found = read(tmp_path, row, columns={"text": "premise", "choices": "choice"})
    assert chosen(found) == [(("a", "b"), 0)]


def test_one_odd_number_does_not_move_the_others(tmp_path: Path) -> None:
    rows = [{"question": "q", "choices": ["a", "b", "c"], "answer": at} for at in (1, 2, 3, 3)]
    found = read(tmp_path, *rows, {**rows[0], "answer": 0})
    assert [label for _, label in chosen(found)] == [0, 1, 2, 2]
    assert [(one.place.line, one.dropped) for one in found.issues] == [(5, True)]
    assert found.fields["choices are counted from"] == "1: 1 labels are 0, 2 the number of choices"
    rows = [{"question": "q", "choices": ["a", "b", "c"], "answer": at} for at in (0, 0, 1, 2)]
    found = read(tmp_path, *rows, {**rows[0], "answer": 3})
    assert [label for _, label in chosen(found)] == [0, 0, 1, 2]
    assert [one.place.line for one in found.issues] == [5]
