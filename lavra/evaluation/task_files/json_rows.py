"""Rows of JSON and JSON Lines files with the types that `datasets` gives them, which are Arrow's types.

Keys that a row lacks are `None`, whole numbers beside decimal numbers become decimal, a text that is a date becomes a
date.  A field whose objects differ in their keys keeps them as they are (`datasets` calls that type `Json`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as arrow_json

from lavra.base.errors import InputError, nearest

KEYS = frozenset(("field", "encoding"))
_Place = list[str | int]


def read_json_rows(data: bytes, path: Path, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parse the rows of a file that was read whole.

    Args:
        data: bytes of the file, unpacked.
        path: path of the file, for errors.
        options: options from `dataset_kwargs`; `field` names the list inside one object.

    Raises:
        InputError: a line is not JSON or not an object, the field is missing, or the values of a field have types that
            cannot be combined.
    """
    for key in options:
        if key not in KEYS:
            raise InputError(f"{path}: unknown option {key!r} of a json file{nearest(key, KEYS)}")
    try:
        text = data.decode(options.get("encoding", "utf-8")).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not {error.encoding} at byte {error.start}; save it as UTF-8") from error
    rows = _listed(text, path, options.get("field"))
    return _through_arrow(rows, path) if rows else []


def _listed(text: str, path: Path, field: str | None) -> list[dict[str, Any]]:
    if field is not None:
        return _checked(_inside(_parsed(text, path), field, path), path)
    if text.lstrip()[:1] == "[":
        return _checked(_parsed(text, path), path)
    return list(_lines(text, path))


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: is not JSON: {error.msg} in column {error.colno}") from error


def _inside(value: Any, field: str, path: Path) -> Any:
    if not isinstance(value, Mapping) or field not in value:
        known = value if isinstance(value, Mapping) else ()
        raise InputError(f"{path}: has no field {field!r}{nearest(field, known)}")
    return value[field]


def _checked(rows: Any, path: Path) -> list[dict[str, Any]]:
    if not isinstance(rows, list):
        raise InputError(
            f"{path}: holds {type(rows).__name__} where a list of rows is wanted; name the list with `field`"
        )
    if rows and not isinstance(rows[0], Mapping):
        return [{"text": row} for row in rows]
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(f"{path}: row {number} is {type(row).__name__}; a row is an object of column to value")
    return rows


def _lines(text: str, path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}:{number}: is not JSON: {error.msg} in column {error.colno}; write one object a line, or name "
                "the list inside one object with `field`"
            ) from error
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number}: is {type(row).__name__}; a row is an object of column to value")
        yield row


def _through_arrow(rows: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    free = _free_fields(rows)
    while True:
        packed = [_each(row, free, _pack) for row in rows]
        data = "\n".join(json.dumps(row) for row in packed).encode()
        try:
            table = arrow_json.read_json(io.BytesIO(data), arrow_json.ReadOptions(block_size=len(data) + 1))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            _add_free(free, str(error), path)
            continue
        return [_each(row, free, _unpack) for row in table.to_pylist()]


def _add_free(free: list[_Place], message: str, path: Path) -> None:
    """Let a field hold values of any type, if Arrow's message says that its type changes."""
    if "Column(" not in message or ") changed from" not in message:
        raise InputError(f"{path}: its rows do not go together: {message}")
    column = message.split("Column(", 1)[1].rsplit(") changed from", 1)[0]
    place: _Place = [0 if part == "[]" else part for part in column.strip("/").split("/")]
    if any(place[: len(known)] == known for known in free):
        raise InputError(f"{path}: the field {column} holds values of several types; write it alike in all rows")
    free[:] = [known for known in free if known[: len(place)] != place] + [place]


def _free_fields(rows: Sequence[Any]) -> list[_Place]:
    """The places of objects whose keys differ from row to row, and of values that are objects in some rows only."""
    free: list[_Place] = []
    waiting: list[tuple[_Place, list[Any]]] = [([], [row for row in rows if row is not None])]
    while waiting:
        place, values = waiting.pop(0)
        if not values:
            continue
        if all(isinstance(value, dict) for value in values):
            if place and (not values[0] or any(value.keys() != values[0].keys() for value in values)):
                free.append(place)
            else:
                waiting += [([*place, key], _below(values, key)) for key in {key for value in values for key in value}]
        elif all(isinstance(value, list) for value in values):
            waiting.append(([*place, 0], [item for value in values for item in value if item is not None]))
        elif any(isinstance(value, dict | list) for value in values):
            free.append(place)
    return free


def _below(values: Sequence[dict[str, Any]], key: str) -> list[Any]:
    return [value[key] for value in values if value.get(key) is not None]


def _each(row: Any, places: Sequence[_Place], change: Any) -> Any:
    for place in places:
        row = _at(row, place, change)
    return row


def _at(value: Any, place: _Place, change: Any) -> Any:
    if value is None:
        return None
    if not place:
        return change(value)
    if place[0] == 0:
        return [_at(item, place[1:], change) for item in value]
    return {**value, place[0]: _at(value.get(place[0]), place[1:], change)}


def _pack(value: Any) -> str:
    """Write a value as JSON; a text that is JSON stays as it is."""
    try:
        json.loads(value)
    except (TypeError, ValueError):
        return json.dumps(value)
    return str(value)


def _unpack(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
