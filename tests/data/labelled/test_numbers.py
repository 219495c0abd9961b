"""Numbers with decimal commas: read where the column has them, refused by name elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lavra.base.tasks import Problem
from lavra.data.labelled.problems import data_report
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import PairSample, SampleSet, TextSample
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.embed import EMBED
from lavra.tasks.rerank import RERANK
from lavra.tasks.spec import TaskSpec


def read(path: Path, task: TaskSpec, *labels: Any, **options: Any) -> SampleSet:
    column = "score" if task is EMBED else "label"
    names = ("query", "passage") if task is RERANK else ("sentence1", "sentence2")
    rows = [{names[0]: "a", names[1]: f"b {at}", column: label} for at, label in enumerate(labels)]
    file = path / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_samples(file, task.form, **options)


def values(found: SampleSet) -> list[Any]:
    return [one.score if isinstance(one, PairSample) else one.label for one in found.samples]  # type: ignore[union-attr]


@pytest.mark.parametrize("task", [CLASSIFY, EMBED, RERANK])
def test_a_column_of_decimal_commas(tmp_path: Path, task: TaskSpec) -> None:
    found = read(tmp_path, task, "4,2", "0,5", "3", "-1.234,75", " 2,0 ")
    assert values(found) == [4.2, 0.5, 3.0, -1234.75, 2.0]
    assert found.fields["numbers"] == "with decimal commas"


@pytest.mark.parametrize("task", [CLASSIFY, EMBED, RERANK])
def test_a_comma_among_points_is_named_and_the_other_way_round(tmp_path: Path, task: TaskSpec) -> None:
    options = {"problem": Problem.REGRESSION} if task is CLASSIFY else {}
    found = read(tmp_path, task, "4.2", "0.5", "3,75", **options)
    assert values(found) == [4.2, 0.5]
    assert "'3,75', with a decimal comma, and the column has decimal points" in found.issues[0].what
    found = read(tmp_path, task, "4,2", "0,5", "1.234", **options)
    assert values(found) == [4.2, 0.5]
    dropped = [one for one in found.issues if one.dropped]
    assert "with a decimal point, and the column has decimal commas" in dropped[0].what


def test_numbers_with_commas_are_doubted_where_they_may_be_labels(tmp_path: Path) -> None:
    found = read(tmp_path, CLASSIFY, "1,2", "2,3")
    assert found.fields["problem"] == "regression"
    report = "\n".join(data_report("d", found).lines())
    assert "--problem single_label_classification (in Python: problem=single_label_classification)" in report
    assert values(read(tmp_path, CLASSIFY, "1,2", "2", problem=Problem.MULTI_LABEL)) == [("1", "2"), ("2",)]


def test_one_odd_label_does_not_make_names_of_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, CLASSIFY, *[at / 7 for at in range(1, 20)], "n/a")
    assert found.fields["problem"] == "regression"
    assert [(one.place.line, one.dropped) for one in found.issues] == [(20, True)]
    assert "'n/a', not a number" in found.issues[0].what
    found = read(tmp_path, CLASSIFY, *["1.0", "2.0"] * 9, "none")  # stars, and none
    assert found.fields["problem"] == "single_label_classification"


def test_lists_of_one_label_are_doubted_or_read_as_it(tmp_path: Path) -> None:
    found = read(tmp_path, CLASSIFY, ["a"], ["b"])
    assert values(found) == [("a",), ("b",)]
    assert "every list of labels has one" in found.issues[0].what
    found = read(tmp_path, CLASSIFY, ["a"], ["b"], problem=Problem.SINGLE_LABEL)
    assert values(found) == ["a", "b"]
    assert isinstance(found.samples[0], TextSample)
