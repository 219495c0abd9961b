"""Files of predictions and of reference texts: one text per line, or JSON Lines, with segments in the same order.

A `.jsonl` file has a JSON value on each line: a text, a list of texts (references only), or an object that holds them
under one of the known keys.  Any other file has a text on each line, and an empty line is an empty text: no line is
skipped, so that the lines of several files stay aligned.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError

PREDICTION_KEYS = ("prediction", "output", "text")
REFERENCE_KEYS = ("references", "reference", "target", "text")


def read_predictions(path: Path) -> list[str]:
    """Read the texts of a file, one for each segment.

    Raises:
        InputError: the file is missing, empty or not UTF-8, or a line of it is broken.
    """
    texts = []
    for number, given in enumerate(_segments(path, PREDICTION_KEYS), start=1):
        if len(given) != 1:
            raise InputError(f"{path}, line {number}: {len(given)} predictions for one segment; give one")
        texts.append(given[0])
    return texts


def read_references(paths: Sequence[Path], predictions: Path, num_segments: int) -> list[list[str]]:
    """Read the right texts of each segment, from all files together.

    Args:
        paths: the files of right texts.
        predictions: the file of predictions, named in messages.
        num_segments: number of segments of the predictions.

    Raises:
        InputError: no file is named, or a file is missing, empty, not UTF-8, broken, or has another number of segments.
    """
    if not paths:
        raise InputError("no file of references is named; give at least one")
    found: list[list[str]] = [[] for _ in range(num_segments)]
    for path in paths:
        segments = _segments(path, REFERENCE_KEYS)
        if len(segments) != num_segments:
            raise InputError(
                f"{predictions} has {num_segments} lines and {path} has {len(segments)}; line n of the one is compared "
                "with line n of the other, so give both as many"
            )
        for number, (together, given) in enumerate(zip(found, segments, strict=True), start=1):
            if not given:
                raise InputError(f"{path}, line {number}: there is no reference; give at least one text")
            together.extend(given)
    return found


def _segments(path: Path, keys: Sequence[str]) -> list[list[str]]:
    """The texts of each line."""
    lines = _lines(path)
    if path.suffix != ".jsonl":
        return [[line] for line in lines]
    return [_from_json(line, f"{path}, line {number}", keys) for number, line in enumerate(lines, start=1)]


def _lines(path: Path) -> list[str]:
    """The lines of a file; only newlines end them: texts may hold other characters that `str.splitlines` cuts at."""
    if not path.is_file():
        raise InputError(f"{path} is not a file; name a file of texts")
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 ({error.reason}); convert the file to UTF-8") from error
    if not text:
        raise InputError(f"{path} is empty; give at least one line")
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _from_json(line: str, place: str, keys: Sequence[str]) -> list[str]:
    try:
        value: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON ({error.msg}); give a JSON value a line") from error
    if isinstance(value, dict):
        present = [key for key in keys if key in value]
        if not present:
            has = ", ".join(map(repr, value)) or "none"
            raise InputError(f"{place}: the object has the keys {has}; one of {', '.join(keys)} is needed")
        value = value[present[0]]
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"{place}: {json.dumps(text)[:40]} is not a text; give strings")
    return texts
