"""Rows of Parquet, numbered from 1, in the types that JSON has.

Class numbers become names where the file's Hugging Face features name them, at any depth (a list of `ClassLabel`, a
field of a struct).  Decimals become numbers, dates and times their ISO text, and bytes text where they are UTF-8.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lavra.base.errors import InputError
from lavra.data.labelled.samples import Place
from lavra.data.labelled.tables import LabelledTable, Notes, Row, read_bytes

BATCH_ROWS = 1024
Namer = Callable[[Any], Any]
"""From a value with class numbers to the same value with names."""


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
    return LabelledTable(columns=tuple(schema.names), rows=rows, issues=tuple(notes.issues), notes=described)


def _rows(path: Path, file: pq.ParquetFile, names: Mapping[str, Namer], notes: Notes) -> Iterator[Row]:
    number = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS):
        for read in _values(batch):
            number += 1
            try:
                values = None if read is None else {name: _plain(value) for name, value in read.items()}
            except UnicodeDecodeError:
                values = None
            if values is None:
                notes.add(number, "the row holds text that is not UTF-8", "write its text as UTF-8", dropped=True)
                continue
            for column, name in names.items():
                values[column] = name(values.get(column))
            yield Row(place=Place(file=str(path), line=number), values=values)


def _plain(value: Any) -> Any:
    """A value in the types of JSON.

    Raises:
        UnicodeDecodeError: the bytes are not text.
    """
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else float(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def _values(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | None]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            try:
                yield batch.slice(index, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, Namer]:
    """The namer of each column that holds class numbers, from its `datasets.ClassLabel`."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    found = {column: _namer(feature) for column, feature in features.items()} if isinstance(features, dict) else {}
    return {column: name for column, name in found.items() if name is not None}


def _namer(feature: Any) -> Namer | None:
    """The function that names the classes within a feature; None where it has none.

    A list is written as `[feature]` or `{"feature": …, "_type": "Sequence"}`, a struct as an object of features.
    """
    if isinstance(feature, list):
        return _of_items(_namer(feature[0])) if len(feature) == 1 else None
    if not isinstance(feature, dict):
        return None
    if isinstance(feature.get("names"), list) and feature.get("_type", "ClassLabel") == "ClassLabel":
        names = [str(name) for name in feature["names"]]
        return lambda value: _named(value, names)
    if "feature" in feature and "_type" in feature:
        return _of_items(_namer(feature["feature"]))
    fields = {name: found for name, one in feature.items() if (found := _namer(one)) is not None}
    return (lambda value: _of_fields(value, fields)) if fields else None


def _of_items(name: Namer | None) -> Namer | None:
    """The same for each item; a sequence of structs is stored as a struct of lists, whose fields name their items."""
    if name is None:
        return None
    return lambda value: [name(one) for one in value] if isinstance(value, list) else name(value)


def _of_fields(value: Any, fields: Mapping[str, Namer]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: fields[name](one) if name in fields else one for name, one in value.items()}


def _named(value: Any, names: list[str]) -> Any:
    """A number below the count of names becomes its name; -1, which stands for an unknown class, becomes nothing."""
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    if value == -1:
        return None
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value
