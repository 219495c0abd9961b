"""Rows of Parquet, numbered from 1; class numbers become names where the file's Hugging Face features name them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lavra.base.errors import InputError
from lavra.data.labelled.samples import Place
from lavra.data.labelled.tables import LabelledTable, Notes, Row, read_bytes

BATCH_ROWS = 1024


def read_parquet(path: Path) -> LabelledTable:
    """The rows of a `.parquet` file; a gzipped one is unpacked in memory.

    Raises:
        InputError: it cannot be read or is damaged.
    """
    notes = Notes(str(path))
    try:
        with pq.ParquetFile(BytesIO(read_bytes(path))) as file:
            schema = file.schema_arrow
            names = _class_names(schema.metadata or {})
            rows = tuple(_rows(path, file, names, notes))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not Parquet that can be read: {error}; write it again") from error
    described = {f"names of {column!r}": "from the file's features" for column in names}
    return LabelledTable(columns=tuple(schema.names), rows=rows, troubles=tuple(notes.troubles), notes=described)


def _rows(path: Path, file: pq.ParquetFile, names: Mapping[str, list[str]], notes: Notes) -> Iterator[Row]:
    number = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS):
        for values in _values(batch):
            number += 1
            if values is None:
                notes.add(number, "the row holds text that is not UTF-8", "write its text as UTF-8", dropped=True)
                continue
            for column, known in names.items():
                values[column] = _named(values.get(column), known)
            yield Row(place=Place(file=str(path), line=number), values=values)


def _values(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | None]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            try:
                yield batch.slice(index, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Columns of class numbers, or of lists of them, and the classes' names (`datasets.ClassLabel`)."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    found = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else feature
        if isinstance(inner, dict) and isinstance(inner.get("names"), list):
            found[column] = [str(name) for name in inner["names"]]
    return found


def _named(value: Any, names: list[str]) -> Any:
    """A number below the count of names becomes its name; -1, which stands for an unknown class, becomes nothing."""
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    if value == -1:
        return None
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value
