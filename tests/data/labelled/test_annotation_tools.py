"""Exports of Label Studio, doccano and Prodigy, as on their own documentation pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import SampleSet, TagSample, TextSample
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.spec import TaskSpec
from lavra.tasks.tag import TAG

TEXT = "Ana mora em Lisboa"


def read(path: Path, task: TaskSpec, rows: list[Any], *, lines: bool = False) -> SampleSet:
    file = path / ("a.jsonl" if lines else "a.json")
    text = "".join(json.dumps(row) + "\n" for row in rows) if lines else json.dumps(rows, indent=1)
    file.write_text(text, encoding="utf-8")
    return read_samples(file, task.form)


def tags(found: SampleSet) -> list[Any]:
    return [one.tags for one in found.samples if isinstance(one, TagSample)]


def labels(found: SampleSet) -> list[Any]:
    return [one.label for one in found.samples if isinstance(one, TextSample)]


def task(*results: dict[str, Any], **annotation: Any) -> dict[str, Any]:
    """A Label Studio task in JSON, with one annotation."""
    annotations = [{"id": 7, "result": list(results), "was_cancelled": False, **annotation}]
    return {"data": {"text": TEXT}, "annotations": annotations, "predictions": [], "project": 3}


def span(start: int, end: int, *names: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": TEXT[start:end], "labels": list(names)}
    return {"id": "x", "from_name": "label", "to_name": "text", "type": "labels", "value": value}


def choice(*names: str) -> dict[str, Any]:
    return {"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": list(names)}}


BOTH = ("B-PER", "O", "O", "B-LOC")


@pytest.mark.parametrize(
    ("row", "lines"),
    [
        (task(span(0, 3, "PER"), span(12, 18, "LOC"), choice("x")), False),
        (
            {"id": 1, "text": TEXT, "label": [span(0, 3, "PER")["value"], span(12, 18, "LOC")["value"]]},
            False,
        ),  # JSON_MIN
        ({"id": 1, "text": TEXT, "label": [[0, 3, "PER"], [12, 18, "LOC"]], "Comments": []}, True),  # doccano
        (
            {
                "text": TEXT,
                "entities": [
                    {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 3},
                    {"id": 2, "label": "LOC", "start_offset": 12, "end_offset": 18},
                ],
                "relations": [],
            },
            True,
        ),  # doccano with relations
        (
            {
                "text": TEXT,
                "tokens": [{"text": "Ana", "start": 0, "end": 3, "id": 0, "ws": True}],
                "spans": [{"start": 0, "end": 3, "label": "PER"}, {"start": 12, "end": 18, "label": "LOC"}],
                "_input_hash": 1,
                "_view_id": "ner_manual",
                "answer": "accept",
            },
            True,
        ),  # Prodigy
    ],
)
def test_spans_of_every_tool(tmp_path: Path, row: dict[str, Any], lines: bool) -> None:
    found = read(tmp_path, TAG, [row], lines=lines)
    assert tags(found) == [BOTH]
    assert found.issues == ()


def test_label_studios_tasks_that_say_nothing_are_named(tmp_path: Path) -> None:
    twice = task(span(0, 3, "PER"))
    twice["annotations"].append({"result": [span(12, 18, "LOC")], "ground_truth": True})
    rows = [
        task(span(0, 3, "PER")),
        task(span(0, 3, "PER"), was_cancelled=True),
        {**task(), "annotations": []},
        task(),
        twice,
        task(span(0, 3, "PER", "ORG")),
    ]
    found = read(tmp_path, TAG, rows)
    assert tags(found) == [("B-PER", "O", "O", "O"), ("O",) * 4, ("O", "O", "O", "B-LOC")]
    assert found.fields["export of"] == "Label Studio"
    said = [(one.what, one.dropped) for one in found.issues]
    assert said[0] == ("every annotation of the task was skipped", True)
    assert said[1] == ("the task has no annotation", True)
    assert "has 2 annotations" in said[2][0]
    assert "has 2 labels" in said[3][0]
    assert [dropped for _, dropped in said] == [True, True, False, True]
    assert found.num_read == len(rows)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([task(choice("good")), task(choice("bad"))], ["good", "bad"]),
        ([task(choice("good", "new")), task(choice("bad")), task()], [("good", "new"), ("bad",)]),
        ([{"text": "a", "sentiment": "good"}, {"text": "b", "sentiment": "bad"}], ["good", "bad"]),
        (
            [{"text": "a", "sentiment": {"choices": ["good", "new"]}}, {"text": "b", "sentiment": "bad"}],
            [("good", "new"), ("bad",)],
        ),
    ],
)
def test_label_studios_choices(tmp_path: Path, rows: list[Any], expected: list[Any]) -> None:
    assert labels(read(tmp_path, CLASSIFY, rows)) == expected


def test_prodigys_answers(tmp_path: Path) -> None:
    options = [{"id": "good", "text": "Good"}, {"id": "bad", "text": "Bad"}]
    rows = [
        {"text": f"t{at}", "options": options, "accept": accept, "answer": answer, "_task_hash": at, "score": 0.5}
        for at, (accept, answer) in enumerate(
            [(["good"], "accept"), (["bad"], "reject"), ([], "ignore"), (["bad"], "accept")]
        )
    ]
    found = read(tmp_path, CLASSIFY, rows, lines=True)
    assert labels(found) == ["good", "bad"]
    assert [(one.place.line, one.dropped) for one in found.issues] == [(2, True), (3, True)]
    assert "'reject'" in found.issues[0].what
    binary = [{"text": "a", "label": "SPAM", "answer": "accept"}, {"text": "b", "label": "SPAM", "answer": "reject"}]
    assert labels(read(tmp_path, CLASSIFY, binary, lines=True)) == ["SPAM"]
    empty = read(tmp_path, TAG, [{"text": "a b", "_input_hash": 1, "answer": "accept"}], lines=True)
    assert tags(empty) == [("O", "O")]  # accepted without a span


def test_places_that_browsers_count_in_utf16(tmp_path: Path) -> None:
    text = "🙂🙂 Ana mora"
    start = len(text[: text.index("Ana")].encode("utf-16-le")) // 2
    value = {"start": start, "end": start + 3, "text": "Ana", "labels": ["PER"]}
    found = read(tmp_path, TAG, [{"text": text, "label": [value]}])
    assert tags(found) == [("O", "O", "B-PER", "O")]
    assert "counts UTF-16 units" in found.issues[0].what


def test_spans_as_json_in_a_cell(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    cell = json.dumps([span(0, 3, "PER")["value"]]).replace('"', '""')
    file.write_text(f'id,text,label\n1,{TEXT},"{cell}"\n', encoding="utf-8")
    assert tags(read_samples(file, TAG.form)) == [("B-PER", "O", "O", "O")]
