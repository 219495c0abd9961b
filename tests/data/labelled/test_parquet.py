"""Parquet as pyarrow and `datasets` write it: class names at any depth, decimals, bytes, dates."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lavra.data.labelled.parquet_table import read_parquet
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import TagSample, TextSample
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.tag import TAG

NAMES = ["O", "B-PER", "B-LOC"]
LABEL = {"names": NAMES, "_type": "ClassLabel"}


def write(path: Path, table: pa.Table, features: dict[str, Any] | None = None) -> Path:
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    "feature",
    [
        [LABEL],
        {"feature": LABEL, "_type": "Sequence"},
        {"feature": LABEL, "length": -1, "_type": "Sequence"},
        {"feature": LABEL, "_type": "List"},
        {"feature": LABEL, "_type": "LargeList"},
    ],
)
def test_lists_of_classes_in_every_form_of_datasets(tmp_path: Path, feature: Any) -> None:
    table = pa.table({"tokens": [["Ana", "mora"], ["Lisboa"]], "ner_tags": [[1, 0], [2]]})
    found = read_samples(write(tmp_path / "a.parquet", table, {"ner_tags": feature}), TAG.form)
    assert [one.tags for one in found.samples if isinstance(one, TagSample)] == [("B-PER", "O"), ("B-LOC",)]
    assert found.fields["names of 'ner_tags'"] == "from the file's features"


def test_classes_within_structs_and_sequences_of_structs(tmp_path: Path) -> None:
    """`datasets` stores a sequence of structs as a struct of lists."""
    table = pa.table({"a": [{"kind": 1, "n": 1}], "b": [{"kind": [0, 2], "n": [1, 2]}], "c": [[[1], [2]]]})
    value = {"dtype": "int64", "_type": "Value"}
    features = {
        "a": {"kind": LABEL, "n": value},
        "b": {"feature": {"kind": LABEL, "n": value}, "_type": "Sequence"},
        "c": [[LABEL]],
    }
    (row,) = read_parquet(write(tmp_path / "a.parquet", table, features)).rows
    assert row.values == {
        "a": {"kind": "B-PER", "n": 1},
        "b": {"kind": ["O", "B-LOC"], "n": [1, 2]},
        "c": [["B-PER"], ["B-LOC"]],
    }


def test_a_column_called_names_is_no_class(tmp_path: Path) -> None:
    table = pa.table({"text": [{"names": 1}]})
    features = {"text": {"names": {"dtype": "int64", "_type": "Value"}}}
    assert read_parquet(write(tmp_path / "a.parquet", table, features)).rows[0].values == {"text": {"names": 1}}


def test_decimals_are_numbers(tmp_path: Path) -> None:
    scores = pa.array([Decimal("4.20"), Decimal("0.50"), Decimal("3.00")], pa.decimal128(6, 2))
    table = pa.table({"sentence1": ["a", "b", "c"], "sentence2": ["d", "e", "f"], "score": scores})
    found = read_samples(write(tmp_path / "a.parquet", table), CLASSIFY.form)
    assert [one.label for one in found.samples if isinstance(one, TextSample)] == [4.2, 0.5, 3.0]
    whole = pa.array([Decimal("1"), Decimal("0")], pa.decimal128(6, 0))
    found = read_samples(write(tmp_path / "b.parquet", pa.table({"text": ["a", "b"], "label": whole})), CLASSIFY.form)
    assert [one.label for one in found.samples if isinstance(one, TextSample)] == ["1", "0"]


def test_bytes_dates_and_categories(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["é".encode(), b"\xff", b"c"], pa.binary()),
            "label": pa.array(["x", "y", "x"]).dictionary_encode(),
            "day": [dt.date(2024, 1, 2)] * 3,
        }
    )
    found = read_parquet(write(tmp_path / "a.parquet", table))
    assert [row.values for row in found.rows] == [
        {"text": "é", "label": "x", "day": "2024-01-02"},
        {"text": "c", "label": "x", "day": "2024-01-02"},
    ]
    assert [(one.place.line, one.dropped) for one in found.issues] == [(2, True)]
