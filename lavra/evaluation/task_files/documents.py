"""Rows of a task's splits, from data files or a dataset on the hub: the same rows as `datasets.load_dataset` gives.

`dataset_path` names the reader (`json`, `csv`, `parquet`, `text`), `dataset_kwargs.data_files` the files: a name, a
list, or a mapping of split to either; `*` and `**` match as in a shell.  Packed files (gzip, bzip2, xz) are recognised
by their first bytes.  A relative name counts from the data's root.  Absent: dataset scripts, streaming, folders of
images or sound.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import lzma
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as arrow_parquet

from lavra.base.errors import ConfigError, InputError, nearest, setting
from lavra.base.files import hash_json
from lavra.evaluation.task_files.csv_rows import read_csv
from lavra.evaluation.task_files.hub import parquet_files
from lavra.evaluation.task_files.json_rows import read_json_rows
from lavra.evaluation.task_files.rows import DocumentRow
from lavra.evaluation.task_files.task_file import TaskFile

READERS = ("csv", "json", "parquet", "text")
_MAGIC = ((b"\x1f\x8b", gzip.decompress), (b"BZh", bz2.decompress), (b"\xfd7zXZ\x00", lzma.decompress))
_COMMON = frozenset(("data_files", "data_dir", "trust_remote_code"))
_HUB = frozenset(("revision", "trust_remote_code"))


class Documents:
    """The splits of one task's data; a split is read on its first use.

    Attributes:
        task: task file that names the data.
        data: root of relative file names.
    """

    def __init__(self, task: TaskFile, data: Path) -> None:
        self.task, self.data = task, data
        self._splits: dict[str, list[DocumentRow]] = {}

    def split(self, name: str) -> list[DocumentRow]:
        """Read the rows of a split, in order.

        Raises:
            ConfigError: the data has no such split, or no file is named for it.
            InputError: a file is missing or broken, or the split is empty.
        """
        if name not in self._splits:
            files = self.files(name)
            rows = [row for file in files for row in self._read(file)]
            if not rows:
                listed = ", ".join(map(str, files))
                raise InputError(f"task {self.task.task!r}: the split {name!r} is empty; look at {listed}")
            self._splits[name] = _same_columns(rows)
        return self._splits[name]

    def files(self, name: str) -> list[Path]:
        """The files of a split, in the order of reading."""
        task = self.task
        if task.dataset_path not in READERS:
            _check_options(task, _HUB)
            return parquet_files(task.dataset_path, task.dataset_name, name, task.dataset_kwargs.get("revision"))
        given = task.dataset_kwargs.get("data_files")
        if not given:
            raise ConfigError(f"{task.path}: `dataset_kwargs` has no `data_files`; name the files of each split")
        splits = given if isinstance(given, Mapping) else {"train": given}
        if name not in splits:
            raise ConfigError(f"{task.path}: `data_files` has no split {name!r}{nearest(name, map(str, splits))}")
        patterns = [splits[name]] if isinstance(splits[name], str) else splits[name]
        return [file for pattern in patterns for file in self._matching(str(pattern))]

    def has_files(self, name: str) -> bool:
        """Whether the files of a split exist; True without a check for a dataset on the hub."""
        if self.task.dataset_path not in READERS:
            return True
        try:
            return bool(self.files(name))
        except InputError:
            return False

    def _matching(self, pattern: str) -> list[Path]:
        if "://" in pattern:
            raise ConfigError(
                f"{self.task.path}: {pattern!r} is an address; fetch the file and name it in `data_files`"
            )
        root = self.data / str(self.task.dataset_kwargs.get("data_dir") or "")
        files = [root / pattern] if not glob.has_magic(pattern) else sorted(
            Path(name) for name in glob.glob(str(root / pattern), recursive=True) if Path(name).is_file()
        )  # fmt: skip
        if not files or not all(file.is_file() for file in files):
            raise InputError(
                f"task {self.task.task!r}: there is no file {root / pattern}; names in {self.task.path} count from the "
                f"data's root: give it with {setting('--data FOLDER', 'data=')}"
            )
        return files

    def _read(self, file: Path) -> Iterator[DocumentRow]:
        options = {key: value for key, value in self.task.dataset_kwargs.items() if key not in _COMMON}
        kind = self.task.dataset_path if self.task.dataset_path in READERS else "parquet"
        if kind == "parquet":
            return _parquet_rows(file, options if self.task.dataset_path == "parquet" else {})
        data = _unpacked(file)
        if kind == "json":
            return iter(read_json_rows(data, file, options))
        text = _decoded(data, file, options)
        if kind == "csv":
            return read_csv(io.StringIO(text.removeprefix("\ufeff"), newline=""), file, options)
        return _text_rows(text, file, options)


def _unpacked(file: Path) -> bytes:
    data = file.read_bytes()
    for magic, unpack in _MAGIC:
        if data.startswith(magic):
            try:
                return unpack(data)
            except (OSError, EOFError, lzma.LZMAError) as error:
                raise InputError(f"{file} cannot be unpacked: {error}; fetch it again") from error
    return data


def _decoded(data: bytes, file: Path, options: Mapping[str, Any]) -> str:
    encoding = options.get("encoding") or "utf-8"
    try:
        return data.decode(encoding, errors=options.get("encoding_errors") or "strict")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{file}:{line}: is not {error.encoding} at byte {error.start}; name the encoding in `dataset_kwargs`, as "
            "`encoding: latin-1`"
        ) from error


def _parquet_rows(file: Path, options: Mapping[str, Any]) -> Iterator[DocumentRow]:
    columns = options.get("columns")
    for key in options:
        if key != "columns":
            raise InputError(f"{file}: unknown option {key!r} of a parquet file; it takes 'columns'")
    try:
        for batch in arrow_parquet.ParquetFile(file).iter_batches(columns=columns):
            yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is not a sound parquet file: {error}; fetch it again") from error


_TEXT_KEYS = frozenset(("keep_linebreaks", "sample_by", "encoding", "encoding_errors"))


def _text_rows(text: str, file: Path, options: Mapping[str, Any]) -> Iterator[DocumentRow]:
    for key in options:
        if key not in _TEXT_KEYS:
            raise InputError(f"{file}: unknown option {key!r} of a text file{nearest(key, _TEXT_KEYS)}")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    by = options.get("sample_by", "line")
    if by == "document":
        return iter([{"text": text}])
    if by == "paragraph":
        return ({"text": part} for part in text.split("\n\n") if part)
    if by != "line":
        raise InputError(f"{file}: sample_by={by!r}; it is 'line', 'paragraph' or 'document'")
    lines = text.split("\n")[: None if text and not text.endswith("\n") else -1]
    ending = "\n" if options.get("keep_linebreaks") else ""
    last = "" if text and not text.endswith("\n") else ending
    return ({"text": line + (ending if index < len(lines) - 1 else last)} for index, line in enumerate(lines))


def _same_columns(rows: Sequence[DocumentRow]) -> list[DocumentRow]:
    """Give the rows of several files the columns of all files, in the order in which the columns appear."""
    columns = dict.fromkeys(key for row in rows for key in row)
    if all(len(row) == len(columns) for row in rows):
        return list(rows)
    return [{column: row.get(column) for column in columns} for row in rows]


def _check_options(task: TaskFile, known: frozenset[str]) -> None:
    for key in task.dataset_kwargs:
        if key not in known:
            raise ConfigError(
                f"{task.path}: `dataset_kwargs` has the key {key!r}, which lavra does not take for the dataset "
                f"{task.dataset_path!r} on the hub{nearest(str(key), known)}"
            )


def hash_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """16 hex digits that depend on the columns, values and order of rows."""
    return hash_json([{key: _plain(value) for key, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
