"""The report of problems in the data."""

from __future__ import annotations

import json

import pytest

from lavra.base.errors import ConfigError
from lavra.data.labelled.problems import data_report
from lavra.data.labelled.samples import DataIssue, Place, SampleSet, TextSample


def issue(line: int, remedy: str, *, dropped: bool) -> DataIssue:
    return DataIssue(place=Place(file="a.csv", line=line), what=f"what {line}", remedy=remedy, dropped=dropped)


SET = SampleSet(
    samples=(TextSample(text="a"), TextSample(text="b")),
    issues=(issue(2, "look", dropped=False), *(issue(line, "fill in", dropped=True) for line in range(3, 7))),
    num_read=6,
    fields={"text": "sentence"},
)


def test_lines_show_the_first_of_each_kind_and_count_the_rest() -> None:
    assert data_report("training data", SET, most=2).lines() == [
        "training data: 6 samples read, 2 usable, 4 left out",
        "  text: sentence",
        "  4 x fill in, 4 samples left out",
        "    a.csv:3: what 3",
        "    a.csv:4: what 4",
        "    and 2 more",
        "  1 x look",
        "    a.csv:2: what 2",
    ]


def test_one_sample_is_named_in_the_singular() -> None:
    one = SampleSet(samples=(), issues=(issue(2, "fill in", dropped=True),), num_read=1)
    assert data_report("test", one).lines()[:2] == [
        "test: 1 sample read, 0 usable, 1 left out",
        "  1 x fill in, 1 sample left out",
    ]


def test_json_has_every_count_and_later_troubles_too() -> None:
    report = data_report("dev", SET, also=[issue(9, "fill in", dropped=True)], most=0)
    value = json.loads(json.dumps(report.to_json()))
    assert (value["num_read"], value["num_usable"], value["num_dropped"]) == (6, 1, 5)
    assert [(group["count"], group["num_dropped"], group["num_hidden"]) for group in value["troubles"]] == [
        (5, 5, 5),
        (1, 0, 1),
    ]
    assert sum(group["num_dropped"] for group in value["troubles"]) == value["num_dropped"]


def test_a_set_without_troubles_says_so_in_one_line() -> None:
    assert data_report("test", SampleSet(samples=(TextSample(text="a"),), num_read=1)).lines() == [
        "test: 1 sample read, 1 usable, 0 left out"
    ]
    with pytest.raises(ConfigError, match="most is -1"):
        data_report("test", SET, most=-1)
